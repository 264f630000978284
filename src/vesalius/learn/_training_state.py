"""The state of a training run: what must be kept so that a stopped one can go on exactly."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Mapping
from typing import final

import torch
from torch import Tensor, nn

from vesalius.errors import ConfigError, IntensityError

State = Mapping[str, Tensor]


@final
class Run:
    """What changes while a model learns.

    Args:
        model: The module.
        optimiser: Of its parameters.
        generator: Of the batches; None where they come from elsewhere.
    """

    def __init__(
        self,
        model: nn.Module,
        optimiser: torch.optim.Optimizer,
        generator: torch.Generator | None,
    ) -> None:
        self.model = model
        self.optimiser = optimiser
        self.generator = generator
        self.mean = {name: p.detach().clone() for name, p in model.named_parameters()}
        self.steps = 0
        self.seconds = 0.0


def flat_state(run: Run) -> dict[str, Tensor]:
    """Flatten weights, buffers, averages, moments, time and chance into named tensors.

    Args:
        run: At the end of a step.

    Returns:
        Copies, fit for safetensors.
    """
    state = {f"model.{k}": v.detach().clone() for k, v in run.model.state_dict().items()}
    state |= {f"mean.{k}": v.clone() for k, v in run.mean.items()}
    for name, p in run.model.named_parameters():
        moments = run.optimiser.state.get(p, {})
        state |= {f"moment.{name}.{k}": v.detach().clone() for k, v in moments.items()}
    state["step"] = torch.tensor(run.steps, dtype=torch.int64)
    state["seconds"] = torch.tensor(run.seconds, dtype=torch.float64)
    if run.generator is not None:
        state["generator"] = run.generator.get_state()
    return state


def put_back(state: State, run: Run) -> None:
    """Bring a run to a state.

    Args:
        state: From :func:`flat_state`.
        run: Of the same model; changed in place.

    Raises:
        ConfigError: The state is not of this model, or lacks the chance of the batches.
    """
    weights = _under(state, "model.")
    expected = run.model.state_dict()
    shapes = {k: tuple(v.shape) for k, v in weights.items()}
    if "step" not in state or shapes != {k: tuple(v.shape) for k, v in expected.items()}:
        raise ConfigError(
            f"the state must hold the {len(expected)} tensors of this model with their shapes, "
            f"got {len(weights)}: resume with the same model"
        )
    if run.generator is not None:
        if "generator" not in state:
            raise ConfigError(
                "the state must hold the generator of the drawn batches, got one without: resume "
                "with the kind of batches that the run began with"
            )
        run.generator.set_state(state["generator"].cpu())
    run.model.load_state_dict(weights)
    for name, value in _under(state, "mean.").items():
        run.mean[name].copy_(value)
    for name, p in run.model.named_parameters():
        moments = _under(state, f"moment.{name}.")
        if moments:
            run.optimiser.state[p] = {k: v.clone() for k, v in moments.items()}
    run.steps = int(state["step"])
    run.seconds = float(state["seconds"]) if "seconds" in state else 0.0


def _under(state: State, prefix: str) -> dict[str, Tensor]:
    """Part of a state; a layer named like the start of another one must not catch it."""
    found = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
    return {k: v for k, v in found.items() if "." not in k or not prefix.startswith("moment.")}


def load_average(model: nn.Module, state: State) -> None:
    """Put the averaged weights and the buffers of a training state into a model, in place.

    Args:
        model: Of the same plan as the trained one.
        state: From :func:`train`.

    Raises:
        IntensityError: A weight is NaN or infinite.
        ConfigError: The names or shapes do not fit the model.
    """
    values = {**_under(state, "model."), **_under(state, "mean.")}
    own = model.state_dict()
    if {k: v.shape for k, v in values.items()} != {k: v.shape for k, v in own.items()}:
        raise ConfigError(
            f"weights must fit the model's {len(own)} tensors by name and shape, got {len(values)}"
        )
    for name, value in values.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise IntensityError(f"weights must be finite, '{name}' has NaN or infinity")
    model.load_state_dict(values)
    model.eval()
