"""Predict: a trained model on an image of any orientation, spacing and size, in bounded memory."""
# SPDX-License-Identifier: Apache-2.0

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import final

import numpy as np
import torch
from torch import Tensor

from vesalius.core import Image, Labels
from vesalius.errors import ConfigError
from vesalius.learn._sliding_window import Skip, Window, sliding_slabs
from vesalius.ops._winner import Painter, Wanted
from vesalius.segment._familiarity import appearance, familiarity
from vesalius.segment._hints import Hints
from vesalius.segment._inference import Inference, zoom_of
from vesalius.segment._members import members, probabilities_of
from vesalius.segment._memory import out_of_memory
from vesalius.segment._method import Method, OnStep
from vesalius.segment._model import Model
from vesalius.segment._prepare import Prepared, prepare
from vesalius.segment._segmentation import Segmentation
from vesalius.segment._tiles import empty_samples, windows
from vesalius.segment._volumes import volumes

STANDARD = Inference()


def predict(
    model: Model,
    image: Image,
    *,
    inference: Inference = STANDARD,
    on_step: OnStep | None = None,
) -> Segmentation:
    """Segment an image with a trained model.

    The image is brought to the model's lattice and scale of values; patches slide over it; their
    probabilities are averaged, resampled and decided in slabs, class by class, so that memory
    holds one layer of patches, whatever the number of slices. Where memory is short, patches are
    made smaller, and a remark says so.

    Args:
        model: Of classes or of objects.
        image: The channels of the model; any orientation, spacing and number type.
        inference: How the model is applied.
        on_step: Told of each batch of patches.

    Returns:
        Labels on the grid of the image; maps of probability, entropy and mutual information where
        wanted; volumes with intervals where the model was calibrated; remarks, the first of which
        says so where the image is unlike the training data; settings that make it again.

    Raises:
        ShapeError: The image has other channels or axes than the model.
        IntensityError: The image, or what the network gives, is not finite.
        ConfigError: A setting does not fit the model, or the memory is too small.
    """
    prepared = prepare(image, model.plan, zoom=zoom_of(inference, model.plan, image.grid))
    if model.plan.head == "classes":
        found = _classes(model, prepared, inference, on_step)
    else:
        from vesalius.segment._instances import predict_instances

        found = predict_instances(model, prepared, inference, on_step)
    return _compared(model, prepared, found)


@final
@dataclass(frozen=True, slots=True, eq=False)
class Trained(Method):
    """Labels from a trained network.

    Attributes:
        model: From ``load_model`` or ``train``.
        inference: How it is applied.
    """

    model: Model
    inference: Inference = STANDARD

    def apply(self, image: Image, hints: Hints, on_step: OnStep | None = None) -> Segmentation:
        """Segment one image; see :func:`predict`. Hints are not used beside the mask.

        Outside of a mask labels are 0, and what is counted is counted inside; an interval that was
        learned for whole labels does not hold for a part of them and is left out.
        """
        found = predict(self.model, image, inference=self.inference, on_step=on_step)
        return found if hints.mask is None else _inside(found, hints.mask, self.model)


def _inside(found: Segmentation, mask: Labels, model: Model) -> Segmentation:
    """Clear the labels outside of a mask, and count again."""
    where = (mask.data != 0).any(dim=0, keepdim=True).to(found.labels.device)
    labels = replace(found.labels, data=found.labels.data * where)
    quantities = volumes(labels, model.plan.names, {}) if found.quantities else ()
    counted = {"objects": float(len(labels.values))} if "objects" in found.values else {}
    values = {**found.values, **counted}
    return replace(found, labels=labels, quantities=quantities, values=values)


def _compared(model: Model, prepared: Prepared, found: Segmentation) -> Segmentation:
    """Say whether the image looks like those that the model was trained on."""
    usual = model.fingerprint.get("appearance")
    if not isinstance(usual, Mapping):
        return found
    told = familiarity(usual, appearance(prepared.data, prepared.grid.spacing_mm))
    values = {"distance from training data": told.distance, "training data reach": told.limit}
    return replace(
        found,  # of another kind altogether there is no distance, and JSON has no infinity
        values={**found.values, **{k: v for k, v in values.items() if math.isfinite(v)}},
        remarks=(*told.remarks, *found.remarks),
    )


def _classes(
    model: Model, prepared: Prepared, inference: Inference, on_step: OnStep | None
) -> Segmentation:
    plan, several = model.plan, members(model, inference) > 1
    spread = inference.uncertainty and several
    network = probabilities_of(model, inference, spread=spread)
    wanted = _arrays(model, prepared, inference, spread=spread)
    fill = torch.zeros(plan.network.outputs + spread)
    fill[0] = 1.0
    skip = Skip(empty_samples(prepared, plan), fill) if inference.skip_empty else None
    tried = windows(inference, plan, prepared, plan.network.outputs + spread)
    used = streamed(network, prepared, Stream(tried, skip, wanted), on_step)
    first = inference.patch or plan.patch
    patch = ((1,) if plan.dims == 2 else ()) + used.patch
    remarks = []
    if patch != tuple(first):
        remarks.append(
            f"memory was short: patches of {patch} samples were used instead of {tuple(first)}; "
            "the labels may differ a little from those of larger patches"
        )
    if inference.uncertainty and not several:
        remarks.append(
            "mutual information needs several members, the model has one network: ask for "
            "mirrors, or train with folds"
        )
    device = prepared.data.device
    names = {(0, value): name for value, name in plan.names.items()}
    labels = Labels(torch.from_numpy(wanted.labels)[None].to(device), prepared.source, names)
    settings = {
        "model": model.card.name,
        "members": members(model, inference),
        **{k: list(v) if isinstance(v, tuple) else v for k, v in asdict(inference).items()},
        "patch": list(patch),
        "lattice_mm": list(prepared.grid.spacing_mm),
        "temperature": 1.0 / wanted.power,
    }
    return Segmentation(
        labels,
        _maps(wanted, prepared, ("background", *(n for _, n in sorted(plan.names.items())))),
        quantities=volumes(labels, plan.names, model.calibration),
        remarks=tuple(remarks),
        settings=settings,
    )


@final
@dataclass(frozen=True, slots=True, eq=False)
class Stream:
    """What is streamed: the patches to try, what they may leave out, and where it goes."""

    windows: Iterator[Window]
    skip: Skip | None
    wanted: Wanted


def streamed(
    network: Callable[[Tensor], Tensor],
    prepared: Prepared,
    stream: Stream,
    on_step: OnStep | None = None,
) -> Window:
    """Paint what a network says of an image onto the image's own grid, slab by slab.

    Args:
        network: From patches to probabilities.
        prepared: The image on the lattice of the network.
        stream: Patches to try, until one does not run out of memory.
        on_step: Told of each batch of patches.

    Returns:
        The patches that were used.

    Raises:
        ConfigError: The memory did not suffice even for the smallest patches.
    """
    matrix = torch.linalg.inv(prepared.grid.affine) @ prepared.source.affine
    told = ""
    for window in stream.windows:
        painter = Painter(matrix, prepared.grid.shape, stream.wanted)
        try:
            slabs = sliding_slabs(network, prepared.data, window, skip=stream.skip, on_step=on_step)
            for slab in slabs:
                painter.add(slab.start, slab.values)
            return window
        except (MemoryError, RuntimeError) as error:
            told = str(error)
            if not out_of_memory(error):
                raise
    raise ConfigError(
        f"a prediction must fit in memory, patches of every size ran out of it ({told[:200]}): "
        "close other programs, or crop the image"
    )


def _arrays(model: Model, prepared: Prepared, inference: Inference, *, spread: bool) -> Wanted:
    """Make the arrays of the results, on the grid of the image."""
    values = (0, *sorted(model.plan.names))
    shape, nothing = prepared.source.shape, (0, 0, 0)
    kind = np.uint8 if values[-1] < 1 << 8 else np.int16 if values[-1] < 1 << 15 else np.int32
    return Wanted(
        np.array(values, dtype=kind),
        1.0 / _temperature(model),
        np.zeros(shape, kind),
        np.zeros((len(values) if inference.probabilities else 0, *shape), np.float32),
        np.zeros(shape if inference.uncertainty else nothing, np.float32),
        np.zeros(shape if spread else nothing, np.float32),
    )


def _temperature(model: Model) -> float:
    value = model.calibration.get("temperature", 1.0)
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise ConfigError(
            f"the temperature of a model must be a positive number, got {value!r}: calibrate again"
        )
    return float(value)


def _maps(wanted: Wanted, prepared: Prepared, classes: tuple[str, ...]) -> dict[str, Image]:
    maps = {}
    grid, device = prepared.source, prepared.data.device
    if wanted.probability.size:
        data = torch.from_numpy(wanted.probability).to(device)
        maps["probability"] = Image(data, grid, channels=classes)
    for name, volume in (
        ("entropy", wanted.entropy),
        ("mutual information", wanted.information),
    ):
        if volume.size:
            maps[name] = Image(torch.from_numpy(volume)[None].to(device), grid, "nat")
    return maps
