"""Store: a model as a folder of weights and cards; a plan as JSON."""
# SPDX-License-Identifier: Apache-2.0

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import torch

from vesalius.errors import ConfigError, FormatError
from vesalius.io._atomic import atomic_write
from vesalius.io._weights import ModelCard, Weights, check_shapes, load_weights, save_weights
from vesalius.learn import UNet, UNetPlan
from vesalius.segment._model import Model
from vesalius.segment._plan import Normalisation, Plan

MOST_BYTES = 1 << 30
_MOST_FOLDS = 100


def plan_to_json(plan: Plan) -> dict[str, Any]:
    """Give a plan as JSON types.

    Args:
        plan: Any.
    """
    text = asdict(plan)
    text["names"] = {str(value): name for value, name in plan.names.items()}
    return dict(json.loads(json.dumps(text)))


def plan_from_json(text: Mapping[str, Any]) -> Plan:
    """Make a plan from JSON types.

    Args:
        text: From :func:`plan_to_json`, by this version or an earlier one.

    Returns:
        The plan; settings that an earlier version did not have are those of today.

    Raises:
        FormatError: A field is unknown, missing, or of another type.
    """
    known = {f.name for f in fields(Plan)}
    unknown = sorted(set(text) - known)
    if unknown:
        raise FormatError(f"a plan must have the fields {sorted(known)}, got {unknown} too")
    try:
        whole = dict(text)
        whole["names"] = {int(value): str(name) for value, name in text["names"].items()}
        whole["network"] = UNetPlan(**_read(UNetPlan, text["network"]))
        parts = [_read(Normalisation, part) for part in text["normalisation"]]
        whole["normalisation"] = tuple(Normalisation(**part) for part in parts)
        plan = Plan(**_read(Plan, whole))
        _check_numbers(plan)
        return plan
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise FormatError(f"a plan must be as vesalius train writes it, got {error}") from error


def _read(kind: type, text: Mapping[str, Any]) -> dict[str, Any]:
    """Give the fields of a dataclass from JSON types: tuples for lists, each of its own type."""
    hints = get_type_hints(kind)
    read = {key: _tuple(value) for key, value in text.items()}
    for key, value in read.items():
        if key in hints and not _fits(value, hints[key]):
            raise ValueError(f"{key} = {value!r}")
    return read


def _tuple(value: Any) -> Any:
    return tuple(_tuple(v) for v in value) if isinstance(value, list | tuple) else value


def _fits(value: Any, kind: Any) -> bool:
    """Whether a value is of the type of its field; numbers must be finite."""
    inner = get_args(kind)
    if get_origin(kind) is Literal:
        return value in inner
    if get_origin(kind) is tuple:
        every = inner[:1] * len(value) if Ellipsis in inner else inner
        return (
            isinstance(value, tuple)
            and len(value) == len(every)
            and all(_fits(v, k) for v, k in zip(value, every, strict=True))
        )
    if get_origin(kind) is Mapping:
        return isinstance(value, Mapping) and all(_fits(v, inner[1]) for v in value.values())
    if kind is float:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and math.isfinite(value)
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


def _check_numbers(plan: Plan) -> None:
    """Refuse a plan whose parts contradict each other."""
    wrong = [
        text
        for ok, text in (
            (plan.dims in {2, 3}, f"a network of {plan.dims} axes"),
            (plan.network.inputs == len(plan.channels), f"{plan.network.inputs} inputs"),
            (len(plan.normalisation) == len(plan.channels), "normalisation of other channels"),
            (min(plan.patch) >= 1, f"patches of {plan.patch}"),
            (plan.dims == 3 or plan.patch[0] == 1, f"patches of {plan.patch} in 2-D"),
            (min(plan.spacing_mm) >= 0, f"a spacing of {plan.spacing_mm}"),
            (min(plan.batch, plan.steps) >= 1, f"{plan.steps} steps of {plan.batch} patches"),
        )
        if not ok
    ]
    if wrong:
        raise ValueError(f"{', '.join(wrong)} for {len(plan.channels)} channels")


def save_model(folder: str | Path, model: Model, *, half: bool = False) -> None:
    """Write a model as a folder.

    ``model.json`` (card, fingerprint, calibration, number of networks) and, for each network,
    ``fold_N.safetensors`` with a card of its own, ``fold_N.json``, beside it.

    Args:
        folder: Made where absent; networks of an earlier model are replaced.
        model: In evaluation mode.
        half: Store the weights as float16, which halves the files and loses three digits.

    Raises:
        IntensityError: A weight is NaN or infinite.
        OutputError: The folder is not writable, or the disk is full.
    """
    root = Path(folder)
    root.mkdir(parents=True, exist_ok=True)
    card = replace(model.card, plan=plan_to_json(model.plan))
    for i, network in enumerate(model.networks):
        tensors = dict(network.state_dict())
        if half:
            tensors = {k: v.half() if v.is_floating_point() else v for k, v in tensors.items()}
        save_weights(_weights(root, i), tensors, card)
    text = {
        **asdict(card),
        "networks": len(model.networks),
        "fingerprint": dict(model.fingerprint),
        "calibration": dict(model.calibration),
    }
    with atomic_write(root / "model.json") as file:
        file.write((json.dumps(text, indent=2, sort_keys=True) + "\n").encode())
    for i in range(len(model.networks), _MOST_FOLDS):
        for old in root.glob(f"fold_{i}.*"):
            old.unlink()


def model_hash(model: Model) -> str:
    """Name a model by its content: plan, weights and calibration.

    Args:
        model: Any.

    Returns:
        SHA-256, first 16 hex digits; the same for the same model in another folder.
    """
    digest = hashlib.sha256()
    said = {"plan": plan_to_json(model.plan), "calibration": dict(model.calibration)}
    digest.update(json.dumps(said, sort_keys=True).encode())
    for network in model.networks:
        for name, value in sorted(network.state_dict().items()):
            digest.update(name.encode())
            digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def load_model(folder: str | Path) -> Model:
    """Read a model.

    Args:
        folder: From :func:`save_model`.

    Returns:
        The model, on the CPU, in evaluation mode, float32.

    Raises:
        FormatError: A file is absent or damaged, weights do not fit the plan, or the files come
            from several trainings.
        ConfigError: The card says too little, or there are no or too many networks.
        IntensityError: A weight is NaN or infinite.
    """
    root = Path(folder)
    try:
        text = json.loads((root / "model.json").read_text(encoding="utf-8"))
        count, fingerprint = int(text["networks"]), dict(text["fingerprint"])
        calibration = dict(text["calibration"])
    except OSError as error:
        raise FormatError(
            f"a model must be a folder with model.json, {root.name!r} has none that can be read: "
            "give the folder that vesalius train run wrote"
        ) from error
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise FormatError(
            f"model.json of {root.name!r} must be as vesalius train wrote it, reading it failed: "
            f"{error}"
        ) from error
    if not 1 <= count <= _MOST_FOLDS:
        raise ConfigError(f"a model must have 1 to {_MOST_FOLDS} networks, got {count}")
    loaded = [load_weights(_weights(root, i), most_bytes=MOST_BYTES) for i in range(count)]
    _check_together(loaded, text)
    card = loaded[0].card
    plan = plan_from_json(card.plan)
    networks = tuple(_network(plan, one) for one in loaded)
    return Model(plan, networks, _known(card, text), fingerprint, calibration)


def _check_together(loaded: list[Weights], text: Mapping[str, Any]) -> None:
    """Refuse networks that do not come from one training, as where one was killed while saving."""
    for i, one in enumerate(loaded):
        unlike = [k for k in ("plan", "training") if getattr(one.card, k) != text.get(k)]
        if unlike:
            raise FormatError(
                f"all networks of a model must come from one training, fold_{i}.json and "
                f"model.json differ in {' and '.join(unlike)}: resume the training, or copy the "
                "whole folder again"
            )


def _known(card: ModelCard, text: Mapping[str, Any]) -> ModelCard:
    """The card of the folder, which may say more (metrics) than that beside the weights."""
    try:
        return replace(card, metrics=dict(text["metrics"]))
    except (KeyError, TypeError) as error:
        raise FormatError(f"model.json must have the metrics of the model, got {error}") from error


def _weights(root: Path, fold: int) -> Path:
    return root / f"fold_{fold}.safetensors"


def _network(plan: Plan, weights: Weights) -> UNet:
    network = UNet(plan.network, generator=torch.Generator().manual_seed(0))
    tensors = {k: v.float() if v.is_floating_point() else v for k, v in weights.tensors.items()}
    check_shapes(tensors, network.state_dict())
    network.load_state_dict(tensors)
    network.eval()
    return network
