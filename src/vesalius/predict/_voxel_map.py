"""Voxel map: which voxels of the picture move the prediction of a case."""
# SPDX-License-Identifier: Apache-2.0

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, final

import numpy as np
import torch
from torch import Tensor

from vesalius.core import Image, Labels, Step
from vesalius.errors import ConfigError, RegionError, VesaliusError
from vesalius.graph import slic
from vesalius.measure import Config, wide
from vesalius.measure._measurement import Inputs, Order, Target, hashed, measure_target, targets
from vesalius.measure._prepare import bounding_box
from vesalius.predict._model import Model
from vesalius.predict._partial_dependence import output_of
from vesalius.predict._table import NOT_GIVEN, Floats, Table
from vesalius.predict._what_if import WhatIf, what_if

if TYPE_CHECKING:
    import pandas as pd

Way = Literal["mean", "removed"]
_TOL = 1e-6
_TOLD = 3


@final
@dataclass(frozen=True, slots=True)
class Pieces:
    """How a region is cut, and what becomes of a piece.

    Attributes:
        count: Pieces, about.
        way: ``mean`` gives a piece the mean of the rest of the region, so that the shape stays;
            ``removed`` takes it out of the region, so that the shape changes, too.
        rounds: Of k-means that lets pieces follow edges.
        outcome_class: Class whose probability is followed; empty takes the last.
        region: Name or number of the region; empty where there is one.

    Raises:
        ConfigError: Fewer than two pieces.
    """

    count: int = 40
    way: Way = "mean"
    rounds: int = 5
    outcome_class: str = ""
    region: str = ""

    def __post_init__(self) -> None:
        if self.count < 2:
            raise ConfigError(f"a region must be cut into at least 2 pieces, got {self.count}")


@final
@dataclass(frozen=True, slots=True, eq=False)
class VoxelMap:
    """What each piece of a region does to a prediction.

    Attributes:
        image: (1, Z, Y, X) prediction less the prediction without the piece, NaN outside of the
            region: positive where the piece drives the prediction up.
        pieces: Number of the piece of each voxel, 0 outside.
        changes: (pieces,) the same by number, NaN where the rest could not be measured.
        features: By name, (pieces,) feature less the feature without the piece.
        before: The prediction of the region as it was measured here.
        output: What is predicted.
        remarks: What must be known first.
    """

    image: Image
    pieces: Labels
    changes: Floats = field(repr=False)
    features: Mapping[str, Floats] = field(repr=False)
    before: float
    output: str
    remarks: tuple[str, ...] = ()

    def feature_image(self, name: str) -> Image:
        """Give a map like ``image`` of one feature.

        Raises:
            ConfigError: The model does not look at it.
        """
        if name not in self.features:
            near = ", ".join(list(self.features)[:5])
            raise ConfigError(
                f"the feature must be one that moves the prediction, {name!r} is not: take one of "
                f"{near}"
            )
        return _painted(self.pieces, self.features[name], self.image)


def voxel_map(
    image: Image,
    labels: Labels,
    model: Model,
    case: Table,
    *,
    config: Config,
    pieces: Pieces = Pieces(),
    on_step: Callable[[Step], None] | None = None,
) -> VoxelMap:
    """Find the voxels that move a prediction: change a piece, measure again, predict again.

    Only the families and filters of features that move the prediction are measured again. A piece
    that matters in company only (two bright spots, of which either is enough) shows nothing.

    Args:
        image: One channel.
        labels: Regions on its grid.
        model: Fitted or loaded, on features that this configuration measures.
        case: The row of this case; its batch and what the picture does not tell are kept.
        config: Of the measurement.
        pieces: Of which region, how it is cut, and what becomes of a piece.
        on_step: Told of each piece.

    Returns:
        The map.

    Raises:
        ConfigError: There is not one row, or no feature of the model is measured.
        RegionError: The region is unknown or cannot be measured.
        GeometryError: Image and labels are on different grids.

    References:
        Zeiler & Fergus (2014), arXiv:1311.2901, section 4.2, for occlusion; Ribeiro et al. (2016),
        arXiv:1602.04938, for pieces that follow edges.
    """
    if len(case.cases) != 1:
        raise ConfigError(f"the case must be one row, got {len(case.cases)}: take table.rows([i])")
    inputs, target = hashed(image, labels), _target(labels, pieces.region)
    asked, _ = what_if(model, case, other_parameters=True)
    column, output = output_of(model, pieces.outcome_class)
    scene = _scene(asked, inputs, target, config)
    mask = labels.mask(target.value, target.layer)
    number = _cut(image, mask, pieces)
    count = int(number.max())
    rows, failures = [], 0
    for k in range(1, count + 1):
        try:
            rows.append(scene.measured(_without(inputs, target, number == k, pieces.way)))
        except VesaliusError:
            rows.append(np.full(len(scene.places), np.nan))
            failures += 1
        if on_step is not None:
            on_step(Step("pieces", k, count))
    known = np.stack(rows)
    lost = np.isnan(known).all(axis=1)
    said = scene.said(known)[:, column]
    before = float(scene.said(scene.own[None])[0, column])
    changes = np.where(lost, np.nan, before - said)
    numbers = Labels(number[None].to(torch.int32), image.grid)
    names = [case.select(model.fitted.wanted).features[j] for j in scene.places]
    return VoxelMap(
        _painted(numbers, changes, image),
        numbers,
        changes,
        {name: scene.own[k] - known[:, k] for k, name in enumerate(names)},
        before,
        output,
        (*scene.remarks, *_lost(failures, count)),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Scene:
    """What is measured again, and what it was."""

    asked: WhatIf
    target: Target
    config: Config
    places: tuple[int, ...]
    own: Floats
    remarks: tuple[str, ...]

    def measured(self, inputs: Inputs) -> Floats:
        """Measure the features that matter."""
        values = _measured(inputs, self.target, self.config)
        names = self.asked.table.features
        return np.array([values.get(names[j], math.nan) for j in self.places])

    def said(self, rows: Floats) -> Floats:
        """Give (rows, outputs) what the model says of new values of these features."""
        values = np.repeat(self.asked.table.values[None], len(rows), axis=0)
        values[:, 0, list(self.places)] = rows
        # what cannot be measured stays as the case has it
        values = np.where(np.isnan(values), self.asked.table.values, values)
        return self.asked.predict(values)[:, 0]


def _scene(asked: WhatIf, inputs: Inputs, target: Target, config: Config) -> _Scene:
    table = _long(inputs, target, config)
    found = _wide(table)
    names = asked.table.features
    there = [j for j, name in enumerate(names) if name in found]
    if not there:
        raise ConfigError(
            "the configuration must measure features of the model, it measures none of "
            f"{', '.join(names[:3])}, ...: give the configuration that the table was made with"
        )
    moving = set(_moving(asked)) & set(there)
    places = tuple(sorted(moving)) or tuple(there)
    smaller = _restricted(config, table, [names[j] for j in places])
    own = np.array([found[names[j]] for j in places])
    base = asked.table.values.copy()
    base[0, list(places)] = own
    told = _differences(asked, places, own, there=len(there), digest=config.digest)
    known = replace(asked, table=_with(asked.table, base))
    return _Scene(known, target, smaller, places, own, told)


def _moving(asked: WhatIf) -> tuple[int, ...]:
    """Find features that move the prediction, by a step of the training range up and down."""
    training, names = asked.model.training, asked.table.features
    width = np.array([training.high.get(n, np.nan) - training.low.get(n, np.nan) for n in names])
    width = np.where(np.isfinite(width) & (width > 0), width, 1.0)
    found: set[int] = set()
    for step in (-1.0, -0.3, 0.3, 1.0):
        found |= set(asked.moving_to(asked.table.values + step * width))
    return tuple(sorted(found))


def _differences(
    asked: WhatIf, places: tuple[int, ...], own: Floats, *, there: int, digest: str
) -> tuple[str, ...]:
    names, values = asked.table.features, asked.table.values[0]
    told = []
    if asked.model.parameters and asked.model.parameters != digest:
        told.append(
            f"The model's features were measured with the parameters {asked.model.parameters}, "
            f"these with {digest}: give the configuration that the table was made with."
        )
    if there < len(names):
        told.append(
            f"{len(names) - there} of the {len(names)} features of the model are not measured by "
            "this configuration: they stay as the case has them."
        )
    away = [
        (names[j], float(values[j]), float(new))
        for j, new in zip(places, own, strict=True)
        if abs(values[j] - new) > _TOL * max(abs(values[j]), abs(new), 1e-12)
    ]
    if away:
        first = "; ".join(f"{n} {a:.6g} and {b:.6g}" for n, a, b in away[:_TOLD])
        told.append(
            f"{len(away)} of {len(places)} features measured on this picture are not those of the "
            f"case in the table (table and picture: {first}): another picture, region or "
            "configuration. The map is of what was measured here."
        )
    return tuple(told)


def _restricted(config: Config, table: "pd.DataFrame", names: list[str]) -> Config:
    """Measure only families and filters that the named features are of."""
    columns = _columns(table)
    needed = table[columns.isin(names).to_numpy()]
    families = tuple(f for f in config.features.families if f in set(needed["family"]))
    filters = tuple(spec for spec in config.filters if _filter_word(spec) in set(needed["filter"]))
    features = config.features.model_copy(update={"families": families})
    return config.model_copy(update={"features": features, "filters": filters})


def _filter_word(spec: object) -> str:
    from vesalius.enhance import filter_name

    return filter_name(spec)  # type: ignore[arg-type]


def _columns(table: "pd.DataFrame") -> "pd.Series":
    from vesalius.measure._measurement import wide_names

    return wide_names(table)


def _long(inputs: Inputs, target: Target, config: Config) -> "pd.DataFrame":
    return measure_target(inputs, target, Order(config)).table


def _wide(table: "pd.DataFrame") -> dict[str, float]:
    row = wide(table).iloc[0]
    return {str(n): float(row[n]) for n in row.index if n not in ("subject", "label")}


def _measured(inputs: Inputs, target: Target, config: Config) -> dict[str, float]:
    return _wide(_long(inputs, target, config))


def _target(labels: Labels, region: str) -> Target:
    every = targets(labels)
    if not region and len(every) == 1:
        return every[0]
    chosen = [one for one in every if region in (one.name, str(one.value))]
    if len(chosen) != 1:
        near = ", ".join(f"{one.name} ({one.value})" for one in every[:8])
        raise RegionError(
            f"the region must be named, got {region!r}; there are {near}: name one of them"
        )
    return chosen[0]


def _cut(image: Image, mask: Tensor, pieces: Pieces) -> Tensor:
    """Cut a region into pieces of about one size that follow its edges."""
    spacing = image.grid.spacing_mm
    flat = [n > 1 for n in mask.shape]
    voxel = math.prod(s for s, wide_axis in zip(spacing, flat, strict=True) if wide_axis)
    axes = max(sum(flat), 1)
    size = (voxel * int(mask.sum()) / pieces.count) ** (1 / axes)
    inside = image.data[0][mask].double()
    spread = float(inside.std()) if inside.numel() > 1 else 0.0
    start, shape = bounding_box(mask)
    box = tuple(slice(a, a + n) for a, n in zip(start, shape, strict=True))
    values = torch.where(mask, image.data[0].double(), inside.mean())[box]
    found = torch.zeros(mask.shape, dtype=torch.int32)
    found[box] = slic(
        values[None].float(),
        spacing=spacing,
        size=size,
        compactness=2 * spread or 1.0,
        steps=pieces.rounds,
        mask=mask[box],
    )
    return found


def _without(inputs: Inputs, target: Target, piece: Tensor, way: Way) -> Inputs:
    """Change a piece; the hash of the image is not of use here and stays."""
    image, labels = inputs.image, inputs.labels
    if way == "removed":
        data = labels.data.clone()
        data[target.layer][piece] = 0
        return replace(inputs, labels=replace(labels, data=data))
    rest = labels.mask(target.value, target.layer) & ~piece
    if not bool(rest.any()):
        raise RegionError("a piece must leave something of its region, it is all of it")
    samples = image.data.clone().double()
    samples[0][piece] = samples[0][rest].mean()
    return replace(inputs, image=image.map(lambda _: samples))


def _painted(pieces: Labels, values: Floats, like: Image) -> Image:
    table = torch.tensor(np.concatenate([[np.nan], values]), dtype=torch.float64)
    painted = table[pieces.data.long().cpu()].float()
    return Image(painted, like.grid, "1")


def _with(table: Table, values: Floats) -> Table:
    reasons = {
        (table.cases[0], table.features[j]): NOT_GIVEN for j in np.flatnonzero(np.isnan(values[0]))
    }
    return replace(table, values=values, reasons=reasons)


def _lost(failures: int, count: int) -> tuple[str, ...]:
    if not failures:
        return ()
    return (f"Without {failures} of {count} pieces the region cannot be measured: they are empty.",)
