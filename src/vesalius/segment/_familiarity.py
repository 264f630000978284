"""Familiarity: whether an image looks like those a model was trained on."""
# SPDX-License-Identifier: Apache-2.0

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.errors import FormatError, RegionError
from vesalius.segment._prepare import percentiles

AT = (1.0, 5.0, 25.0, 50.0, 75.0, 95.0, 99.0)
"""Percentiles of the normalised values."""
SAMPLES = 1 << 20
"""Of an image, at most, that are looked at."""
LEAST_CASES = 8
"""Fewer training cases say nothing about what is usual."""
BEYOND = 1.25
"""Times the distance of the farthest training case from the others: unlike from here on."""
FLOORS = {"percentile": 0.02, "log extent": 0.1, "roughness": 0.02}
"""Least spread of a feature, so that training cases which are all alike do not forbid a change
that means nothing: part of the range of values, 10 % of length, part of the spread of values."""


@final
@dataclass(frozen=True, slots=True)
class Familiarity:
    """How an image compares with the training data.

    Attributes:
        distance: Mahalanobis distance of its appearance to the mean of the training cases.
        limit: Distance from which on it is unlike.
        remarks: What is unlike, in words; empty where nothing is.
    """

    distance: float
    limit: float
    remarks: tuple[str, ...]


def appearance(
    data: Float[Tensor, "c z y x"], spacing_mm: tuple[float, float, float]
) -> dict[str, float]:
    """Describe a prepared image by few numbers.

    Percentiles of the normalised values of each channel, mean difference of neighbours along each
    axis over the spread of the values (blur, noise, texture), and the extent along each axis.

    Args:
        data: As the network sees it.
        spacing_mm: Of its lattice, (z, y, x).

    Returns:
        Feature by name; an axis of one sample has no extent and no roughness.
    """
    found: dict[str, float] = {}
    for c, channel in enumerate(data):
        x = _thinned(channel)
        values = percentiles(x, AT)
        spread = max(values[-2] - values[1], 1e-6)
        for at, value in zip(AT, values, strict=True):
            found[f"percentile {at:g} of channel {c}"] = value
        for axis, name in enumerate("zyx"):
            if x.shape[axis] > 1:
                rough = float(_differences(channel, axis).abs().double().mean()) / spread
                found[f"roughness along {name} of channel {c}"] = rough
    for name, n, step in zip("zyx", data.shape[1:], spacing_mm, strict=True):
        if n > 1:
            found[f"log extent along {name}"] = math.log(n * step)
    return found


def reference(appearances: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """Learn what is usual from the appearance of each training case.

    Args:
        appearances: One for each case, all with the same features.

    Returns:
        JSON types, for the fingerprint of a model: mean, precision matrix (shrunk towards its
        diagonal), range of each feature, and the largest distance of a case from the others.

    Raises:
        RegionError: There are fewer than eight cases, or their features differ.

    References:
        Lee et al. (2018), arXiv:1807.03888 (Mahalanobis distance to the training data). Differs
        from it in: features of the image, not of the network, so that it holds for every head.
    """
    names = sorted(appearances[0]) if appearances else []
    if len(appearances) < LEAST_CASES or any(sorted(a) != names for a in appearances):
        raise RegionError(
            f"what is usual is learned from at least {LEAST_CASES} cases with the same axes and "
            f"channels, got {len(appearances)}"
        )
    rows = np.array([[a[name] for name in names] for a in appearances])
    floors = np.array([_floor(name, rows, names) for name in names])
    farthest = 0.0
    for part in np.array_split(np.arange(len(rows)), min(len(rows), 20)):
        mean, precision = _usual(np.delete(rows, part, axis=0), floors)
        farthest = max(farthest, *(_distance(row, mean, precision) for row in rows[part]))
    mean, precision = _usual(rows, floors)
    return {
        "features": names,
        "mean": mean.tolist(),
        "precision": precision.tolist(),
        "sd": np.maximum(rows.std(axis=0), floors).tolist(),
        "low": rows.min(axis=0).tolist(),
        "high": rows.max(axis=0).tolist(),
        "farthest": farthest,
        "cases": len(rows),
    }


def reference_or_none(appearances: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """Learn what is usual where there are enough cases of the commonest kind; else nothing.

    Args:
        appearances: One for each training case; images and stacks may be mixed.

    Returns:
        As :func:`reference`; empty where nothing can be said.
    """
    kinds = [tuple(sorted(a)) for a in appearances]
    common = max(set(kinds), key=kinds.count, default=())
    same = [a for a, kind in zip(appearances, kinds, strict=True) if kind == common]
    return reference(same) if len(same) >= LEAST_CASES else {}


def familiarity(usual: Mapping[str, Any], found: Mapping[str, float]) -> Familiarity:
    """Compare an image with the training data of a model.

    Args:
        usual: From :func:`reference`.
        found: From :func:`appearance`.

    Returns:
        Distance, limit, and what is unlike.

    Raises:
        FormatError: ``usual`` is not what :func:`reference` gives.
    """
    try:
        names = [str(name) for name in usual["features"]]
        mean, sd = np.array(usual["mean"], float), np.array(usual["sd"], float)
        precision, farthest = np.array(usual["precision"], float), float(usual["farthest"])
        low, high = np.array(usual["low"], float), np.array(usual["high"], float)
        ok = precision.shape == (len(names),) * 2 and len(mean) == len(sd) == len(names)
    except (KeyError, TypeError, ValueError):
        ok = False
    if not ok:
        raise FormatError(
            "the appearance of the training data must have features, mean, precision, sd, low, "
            f"high and farthest that fit together, got {sorted(usual)}: train again"
        )
    if sorted(found) != names:
        return Familiarity(math.inf, BEYOND * farthest, (_other_kind(names, found),))
    row = np.array([found[name] for name in names])
    distance, limit = _distance(row, mean, precision), BEYOND * farthest
    if distance <= limit:
        return Familiarity(distance, limit, ())
    worst = np.argsort(-np.abs(row - mean) / sd)[:2]
    parts = "; ".join(_told(names[i], row[i], low[i], high[i]) for i in worst)
    text = (
        f"the image is unlike the training data, the labels may be wrong: distance {distance:.1f}, "
        f"training cases reach {farthest:.1f}; {parts}"
    )
    return Familiarity(distance, limit, (text,))


def _other_kind(names: Sequence[str], found: Mapping[str, float]) -> str:
    """Say that an image has other axes or channels than all training cases."""
    lost, more = sorted(set(names) - set(found)), sorted(set(found) - set(names))
    what = f"it has no {lost[0]}" if lost else f"it has a {more[0]}, which none of them has"
    return f"the image is unlike the training data, the labels may be wrong: {what}"


def _thinned(x: Tensor) -> Tensor:
    """Take every n-th sample along each axis, so that at most ``SAMPLES`` are left."""
    axes = sum(n > 1 for n in x.shape) or 1
    step = max(1, math.ceil((x.numel() / SAMPLES) ** (1 / axes)))
    return x[tuple(slice(None, None, step if n > 1 else 1) for n in x.shape)]


def _differences(x: Tensor, axis: int) -> Tensor:
    """Of neighbours along one axis, on some of the lines."""
    others = [a for a in range(3) if a != axis and x.shape[a] > 1]
    step = max(1, math.ceil((x.numel() / SAMPLES) ** (1 / max(1, len(others)))))
    lines = x[tuple(slice(None, None, step if a in others else 1) for a in range(3))]
    return torch.diff(lines, dim=axis)


def _floor(name: str, rows: Any, names: list[str]) -> float:
    kind = next(k for k in FLOORS if name.startswith(k))
    if kind != "percentile":
        return FLOORS[kind]
    channel = name.rpartition(" of ")[2]
    mine = [i for i, n in enumerate(names) if n.startswith(kind) and n.endswith(channel)]
    spread = float((rows[:, mine].max(axis=1) - rows[:, mine].min(axis=1)).mean())
    return FLOORS[kind] * max(spread, 1e-6)


def _usual(rows: Any, floors: Any) -> tuple[Any, Any]:
    """Mean and precision; the fewer the cases, the less is made of how features go together."""
    n, d = rows.shape
    mean = rows.mean(axis=0)
    covariance = (rows - mean).T @ (rows - mean) / max(1, n - 1)
    share = d / (d + n)
    shrunk = (1 - share) * covariance + share * np.diag(np.diag(covariance))
    return mean, np.linalg.inv(shrunk + np.diag(floors**2))


def _distance(row: Any, mean: Any, precision: Any) -> float:
    away = row - mean
    return math.sqrt(max(float(away @ precision @ away), 0.0))


def _told(name: str, value: float, low: float, high: float) -> str:
    if name.startswith("log "):
        name, value, low, high = name[4:] + ", mm", *(math.exp(v) for v in (value, low, high))
    return f"{name} is {value:.3g}, in training {low:.3g} to {high:.3g}"
