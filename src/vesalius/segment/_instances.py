"""Instances: objects from a network of flows or stars, in tiles, numbered once for the image."""
# SPDX-License-Identifier: Apache-2.0

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.core import Grid, Image, Labels, centred_grid, resample
from vesalius.errors import ConfigError
from vesalius.learn._sliding_window import Window, sliding_slabs
from vesalius.ops._object_boxes import equivalent_diameters, object_boxes
from vesalius.segment._flow_field import FlowField
from vesalius.segment._flow_head import FlowHead
from vesalius.segment._found_objects import FoundObjects
from vesalius.segment._heads import make_head
from vesalius.segment._inference import Inference
from vesalius.segment._members import chosen, half, mirrors_of
from vesalius.segment._memory import out_of_memory
from vesalius.segment._method import OnStep
from vesalius.segment._model import Model
from vesalius.segment._plan import Size
from vesalius.segment._prepare import Prepared, upright
from vesalius.segment._segmentation import Curve, Segmentation
from vesalius.segment._star_field import StarField
from vesalius.segment._star_head import StarHead
from vesalius.segment._tiles import windows

TILE = 1 << 19
"""Samples of a tile: larger than the patches of the training, as less of it is seen twice."""
LOOK = 1 << 19
"""Samples of the first look at an image, from which the diameter of its objects is taken."""
FEW = 3
"""Objects that a diameter is taken from, at least."""
ALIKE = (0.75, 1.35)
"""Objects within these factors of the trained diameter are found as they are."""


def predict_instances(
    model: Model, prepared: Prepared, inference: Inference, on_step: OnStep | None = None
) -> Segmentation:
    """Find the objects of an image with a network of flows or of stars.

    Tiles slide over the image; their outputs are averaged row by row. Flows are brought to the
    image's own lattice and kept in three bytes a sample; of stars, only the candidates are kept.
    Objects are then made once, from the whole image: sinks and centres are places in the image, so
    there is nothing to stitch and one numbering throughout.

    Where no diameter is given, a first look at the part with the most signal measures it; objects
    that are much larger or smaller than those of the training are brought to their size.

    Args:
        model: With a head of flows or of stars.
        prepared: The image on the lattice of the plan, brought to the given diameter.
        inference: How the model is applied; ``overlap`` is the share of a patch of the plan that
            neighbouring tiles, which are larger, see both.
        on_step: Told of each tile.

    Returns:
        Objects from 1 on, on the grid of the image; ``values`` with their number, median diameter
        (samples of the image), and flow error or probability; a curve of their sizes.

    Raises:
        ConfigError: The model is one of classes, or the memory is too small.
        IntensityError: What the network gives is not finite.
    """
    head = make_head(model.plan)
    if not isinstance(head, FlowHead | StarHead):
        raise ConfigError(
            f"objects are found by a model of flows or stars, got one of {model.plan.head!r}: use "
            "its own prediction"
        )
    job = _Job(model, head, inference, on_step)
    zoom = 1.0
    if not inference.diameter and model.plan.diameter > 0:
        zoom = _zoom(job, prepared)
    found, field = _objects(job, _zoomed(prepared, zoom))
    return _told(job, prepared, found, field)


@final
@dataclass(frozen=True, slots=True, eq=False)
class _Job:
    """What stays the same from the first look to the last tile."""

    model: Model
    head: FlowHead | StarHead
    inference: Inference
    on_step: OnStep | None


def _zoom(job: _Job, prepared: Prepared) -> float:
    """Say by how much the lattice must be finer for objects to have the trained diameter."""
    first = _brightest(prepared)
    quiet = replace(job, on_step=None)
    zoom, wanted = 1.0, job.model.plan.diameter
    for trial in (1.0, 0.5, 2.0):
        own = _diameter(quiet, _zoomed(first, trial))
        if own > 0:
            zoom = wanted / own
            break
    else:
        return 1.0
    if ALIKE[0] <= zoom <= ALIKE[1]:
        return 1.0
    zoom = min(max(zoom, 0.2), 5.0)
    again = _diameter(quiet, _zoomed(first, zoom))  # better seen at their size
    return min(max(wanted / again, 0.2), 5.0) if again > 0 else zoom


def _diameter(job: _Job, prepared: Prepared) -> float:
    """Median diameter of the objects, in samples of the image; 0 where too few are found."""
    found, _ = _objects(job, prepared)
    sizes = object_boxes(found.labels).sizes
    if len(sizes) < FEW:
        return 0.0
    return float(np.median(equivalent_diameters(sizes, job.head.dims)))


def _brightest(prepared: Prepared) -> Prepared:
    """Cut out the part of at most ``LOOK`` samples with the largest mean."""
    shape = prepared.grid.shape
    if math.prod(shape) <= LOOK:
        return Prepared(prepared.data, prepared.grid, prepared.grid)
    felt = [n for n in shape if n > 1]
    shrink = (LOOK / math.prod(shape)) ** (1 / len(felt))
    z, y, x = (max(1, int(n * shrink)) if n > 1 else 1 for n in shape)
    means = prepared.data.mean(dim=0, keepdim=True)[None]
    step = (max(1, z // 2), max(1, y // 2), max(1, x // 2))
    pooled = torch.nn.functional.avg_pool3d(means, (z, y, x), step)[0, 0]
    best = np.unravel_index(int(pooled.argmax()), tuple(pooled.shape))
    start = (int(best[0]) * step[0], int(best[1]) * step[1], int(best[2]) * step[2])
    part = Image(prepared.data, prepared.grid).crop(start, (z, y, x))
    return Prepared(part.data.contiguous(), part.grid, part.grid)


def _zoomed(prepared: Prepared, zoom: float) -> Prepared:
    """Make the lattice finer; the grid that results go to stays."""
    if abs(zoom - 1) < 0.01:
        return prepared
    z, y, x = prepared.grid.spacing_mm
    flat = prepared.grid.shape[0] == 1
    grid = centred_grid(prepared.grid, (z if flat else z / zoom, y / zoom, x / zoom))
    image = resample(Image(prepared.data, prepared.grid), grid)
    return Prepared(image.data.contiguous(), grid, prepared.source)


def _objects(job: _Job, prepared: Prepared) -> tuple[FoundObjects, FlowField | StarField]:
    """Look at all tiles, then make the objects, on the upright lattice of the image."""
    plan, head = job.model.plan, job.head
    # the axes of the image, in the order of the lattice
    nothing = torch.zeros((1, 1, 1, 1), dtype=torch.uint8).expand(1, *prepared.source.shape)
    axes = upright(Image(nothing, prepared.source))
    field: FlowField | StarField
    if isinstance(head, FlowHead):
        field = FlowField(axes.grid, prepared.grid, head)
    else:
        field = StarField(axes.grid, prepared.grid, head)
    network = _rows_of(job)
    data = prepared.data.movedim(1, 2) if plan.dims == 2 else prepared.data
    told = ""
    for window in windows(
        _tiled(job.inference, plan.patch, prepared), plan, prepared, head.outputs
    ):
        patch = (window.patch[0], 1, window.patch[1]) if plan.dims == 2 else window.patch
        field.clear()
        try:
            tiles = Window(patch, window.overlap, window.batch)
            for slab in sliding_slabs(network, data, tiles, on_step=job.on_step):
                rows = slab.values.movedim(2, 1) if plan.dims == 2 else slab.values
                field.add(slab.start, rows)
        except (MemoryError, RuntimeError) as error:
            told = str(error)
            if not out_of_memory(error):
                raise
            continue
        return field.objects(), field
    raise ConfigError(
        f"a prediction must fit in memory, tiles of every size ran out of it ({told[:200]}): close "
        "other programs, or crop the image"
    )


def _tiled(inference: Inference, patch: Size, prepared: Prepared) -> Inference:
    """Ask for tiles as large as they may be, which share as many samples as patches would."""
    first = inference.patch or patch
    felt = sum(n > 1 for n in first)
    most = 1.0 if inference.patch else (TILE / math.prod(first)) ** (1 / max(1, felt))
    grown = max(1.0, most)
    sides = [
        min(max(1, int(p * grown)), n) if p > 1 else 1
        for p, n in zip(first, prepared.grid.shape, strict=True)
    ]
    return replace(
        inference, patch=(sides[0], sides[1], sides[2]), overlap=inference.overlap / grown
    )


def _rows_of(job: _Job) -> Callable[[Tensor], Tensor]:
    """Make the function that gives the mean outputs of all members, mirrors turned back."""
    model, inference, head = job.model, job.inference, job.head
    networks, dims = chosen(model, inference), model.plan.dims
    flips = mirrors_of(dims, wanted=inference.mirrors)
    low = half(model, inference)
    device = next(networks[0].parameters()).device

    def mean(patches: Float[Tensor, "batch c z y x"]) -> Float[Tensor, "batch k z y x"]:
        x = patches.squeeze(3) if dims == 2 else patches
        total: Tensor | None = None
        with torch.autocast(device.type, torch.bfloat16, enabled=low):
            for network in networks:
                for axes in flips:
                    out = network(x.flip(axes).to(device)).float().flip(axes)
                    out = head.mirrored(out, [a - 2 for a in axes])
                    total = out if total is None else total.add_(out)
        assert total is not None
        total = total.div_(len(networks) * len(flips)).to(patches.device)
        return total.unsqueeze(3) if dims == 2 else total

    return mean


def _told(
    job: _Job, prepared: Prepared, found: FoundObjects, field: FlowField | StarField
) -> Segmentation:
    """Bring the objects to the axes of the image and say what they are."""
    model, source = job.model, prepared.source
    labels = _back(found.labels, field.grid, source)
    diameters = equivalent_diameters(object_boxes(found.labels).sizes, job.head.dims)
    names = dict.fromkeys(((0, k) for k in range(1, 1 + len(diameters))), _name(model))
    values = {
        "objects": float(len(diameters)),
        "refused objects": float(found.refused),
        **found.values,
    }
    remarks = []
    curves: tuple[Curve, ...] = ()
    if len(diameters):
        values["median diameter"] = float(np.median(diameters))
        sizes = torch.from_numpy(np.sort(diameters))
        share = torch.arange(1, len(sizes) + 1, dtype=sizes.dtype) / len(sizes)
        middle = (values["median diameter"],)
        curves = (
            Curve("Diameters", sizes, share, "diameter (samples)", "share of objects", middle),
        )
    else:
        remarks.append("no object was found: give --diameter, or a model for such images")
    if found.refused:
        remarks.append(
            f"left out because the flow inside contradicts them: {found.refused} "
            f"object{'s' * (found.refused != 1)}"
        )
    settings = {
        "model": model.card.name,
        **{k: list(v) if isinstance(v, tuple) else v for k, v in asdict(job.inference).items()},
        "zoom": 1.0 / field.zoom,
        "lattice_mm": list(field.lattice.spacing_mm),
    }
    return Segmentation(
        Labels(labels[None].to(prepared.data.device), source, names),
        curves=curves,
        values=values,
        remarks=tuple(remarks),
        settings=settings,
    )


def _name(model: Model) -> str:
    names = [model.plan.names[value] for value in sorted(model.plan.names)]
    return names[0] if names else "object"


def _back(labels: Tensor, grid: Grid, source: Grid) -> Tensor:
    """Turn labels from upright axes to those of the image."""
    if tuple(grid.shape) == tuple(source.shape) and bool(torch.equal(grid.affine, source.affine)):
        return labels
    index = torch.linalg.inv(grid.affine) @ source.affine
    order = [int(index[:3, a].abs().argmax()) for a in range(3)]
    flips = [a for a in range(3) if float(index[order[a], a]) < 0]
    return labels.permute(order).flip(flips).contiguous()
