"""Weights of a learned method: safetensors beside a JSON model card; checked, never pickled."""
# SPDX-License-Identifier: Apache-2.0

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor

from vesalius.errors import ConfigError, FormatError, IntensityError
from vesalius.io._atomic import staged

CARD_BYTES = 1 << 20
"""Longest model card that is read."""


@final
@dataclass(frozen=True, slots=True)
class ModelCard:
    """What a reader must know before using learned weights (Mitchell 2019, arXiv:1810.03993).

    Attributes:
        name: Of the model.
        purpose: What it is for.
        data: What it learned from.
        training: How, with the number of steps and the time.
        limits: What it must not be used for, and where it fails.
        licence: SPDX identifier of the weights.
        plan: What the network is made from, JSON types.
        metrics: Figures reached on held-out data; the name says figure and data.

    Raises:
        ConfigError: A text is empty, or a metric is not finite.
    """

    name: str
    purpose: str
    data: str
    training: str
    limits: str
    licence: str
    plan: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for word in ("name", "purpose", "data", "training", "limits", "licence"):
            text = getattr(self, word)
            if not isinstance(text, str) or not text.strip():
                raise ConfigError(f"a model card must say its {word} in words, got {text!r}")
        for word, value in self.metrics.items():
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise ConfigError(f"metric {word!r} of a model card must be a number: {value!r}")
            if not math.isfinite(value):
                raise ConfigError(f"metric {word!r} of a model card must be finite, got {value}")


@final
@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """What :func:`load_weights` gives.

    Attributes:
        tensors: By name.
        card: What must be known about them.
    """

    tensors: Mapping[str, Tensor]
    card: ModelCard


def save_weights(path: str | Path, tensors: Mapping[str, Tensor], card: ModelCard) -> None:
    """Write weights and their card, both or neither.

    The card is written beside the weights, with the suffix ``.json``; it holds the SHA-256 of the
    weights, so that a card cannot be taken for another model's.

    Args:
        path: Of the weights, ending in ``.safetensors``.
        tensors: By name; copied to the CPU.
        card: What must be known about them.

    Raises:
        ConfigError: ``path`` ends otherwise, or there is no tensor.
        IntensityError: A weight is NaN or infinite.
        OutputError: The folder is not writable.
    """
    from safetensors.torch import save

    target = _weights_path(path)
    if not tensors:
        raise ConfigError("weights must have at least one tensor, got none: fit the model first")
    _check_finite(tensors)
    blob = save({k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()})
    text = {**asdict(card), "sha256": hashlib.sha256(blob).hexdigest()}
    with staged(target) as stage:
        stage.write_bytes(blob)
        stage.with_suffix(".json").write_text(json.dumps(text, indent=2) + "\n", encoding="utf-8")


def load_weights(path: str | Path, *, most_bytes: int = 1 << 30) -> Weights:
    """Read weights and their card.

    Args:
        path: Of the weights, ending in ``.safetensors``; the card lies beside it.
        most_bytes: Longest file that is read.

    Returns:
        Tensors on the CPU, all finite, and the card.

    Raises:
        FormatError: A file is absent, too long, damaged, or the two do not belong together.
        ConfigError: ``path`` ends otherwise, or the card says too little.
        IntensityError: A weight is NaN or infinite.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    source = _weights_path(path)
    blob = _bytes(source, most_bytes)
    text = _card(source.with_suffix(".json"))
    if text.pop("sha256", None) != hashlib.sha256(blob).hexdigest():
        raise FormatError(
            f"the card of {source.name!r} must hold the SHA-256 of these weights, it holds "
            "another or none: take card and weights from the same release"
        )
    try:
        tensors = load(blob)
    except (SafetensorError, ValueError, KeyError) as error:
        raise FormatError(
            f"{source.name!r} must be a safetensors file, reading it failed: {error}"
        ) from error
    _check_finite(tensors)
    return Weights(tensors, ModelCard(**text))


def check_shapes(tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Refuse weights that do not fit a model, by name, shape and dtype, naming the first misfit.

    Args:
        tensors: What was read.
        expected: The model's ``state_dict``.

    Raises:
        FormatError: A tensor is missing, left over, or of another shape or dtype.
    """
    for name in sorted(set(tensors) ^ set(expected)):
        raise FormatError(
            f"weights must have the {len(expected)} tensors of the model, {name!r} is "
            f"{'missing' if name in expected else 'left over'}: load them with their own plan"
        )
    for name, own in expected.items():
        got = tensors[name]
        if got.shape != own.shape or got.dtype != own.dtype:
            raise FormatError(
                f"weight {name!r} must be {own.dtype} of shape {tuple(own.shape)}, got "
                f"{got.dtype} of shape {tuple(got.shape)}: load it with its own plan"
            )


def _weights_path(path: str | Path) -> Path:
    found = Path(path)
    if found.suffix != ".safetensors":
        raise ConfigError(
            f"the path of weights must end in .safetensors, got {found.name!r}: nothing else is "
            "written or read"
        )
    return found


def _bytes(path: Path, most: int) -> bytes:
    try:
        size = path.stat().st_size
        if size > most:
            raise FormatError(
                f"{path.name!r} must have at most {most} bytes, got {size}: raise most_bytes if "
                "the model is that large"
            )
        return path.read_bytes()
    except OSError as error:
        raise FormatError(
            f"{path.name!r} must be a readable file, the system says: "
            f"{error.strerror or type(error).__name__}: weights and card lie side by side"
        ) from error


def _card(path: Path) -> dict[str, Any]:
    blob = _bytes(path, CARD_BYTES)
    try:
        text = json.loads(blob)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path.name!r} must be JSON, reading it failed: {error}") from error
    known = {f.name for f in fields(ModelCard)} | {"sha256"}
    wanted = known - {"plan", "metrics", "sha256"}
    nested = isinstance(text, dict) and all(
        isinstance(text.get(k, {}), dict) for k in ("plan", "metrics")
    )
    if not nested or not wanted <= set(text) <= known:
        found = sorted(text) if isinstance(text, dict) else type(text).__name__
        raise FormatError(
            f"{path.name!r} must be a model card with {sorted(wanted)}, plan and metrics, "
            f"got {found}"
        )
    return dict(text)


def _check_finite(tensors: Mapping[str, Tensor]) -> None:
    for name, value in tensors.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise IntensityError(
                f"every weight must be finite, {name!r} has NaN or infinity: train again with a "
                "lower learning rate"
            )
