"""Pixel classifier: scribbles teach trees what the surroundings of each class look like."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import final

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vesalius.core import Image, Labels, Step
from vesalius.errors import ConfigError, FormatError, RegionError, ShapeError
from vesalius.io._weights import ModelCard, load_weights, save_weights
from vesalius.learn._boosted_trees import BoostedTrees, Boosting, grow_trees
from vesalius.ops._local_features import Feature, feature_names, local_features
from vesalius.segment._hints import Hints
from vesalius.segment._method import Method, OnStep
from vesalius.segment._one_channel import finest_mm, held_inside, marks_of
from vesalius.segment._segmentation import Curve, Segmentation
from vesalius.segment._voxels import region

_SLAB_BYTES = 400 << 20
"""Features held at once; larger images are described slab by slab."""

_REACH = 10.0
"""A feature looks so many of the largest sigma far, over all smoothings."""

_STEP = 64
"""Slabs begin at multiples of this, so that coarse lattices fall on the same samples."""


@final
@dataclass(frozen=True, slots=True)
class Pixels(Method):
    """Learn from scribbles what each class looks like, then label every voxel of this image.

    Each voxel is described by its surroundings at several scales, isotropic in the world: value,
    edge strength, curvature, texture. Boosted trees learn the marked ones.

    Attributes:
        sigmas_voxel: Of the Gaussians, in units of the finest spacing.
        features: Which descriptions are made.
        trees: How many.
        depth: Questions that each tree asks.
        most: Marked voxels that each tree draws at most.
    """

    sigmas_voxel: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
    features: tuple[Feature, ...] = ("value", "gradient", "hessian")
    trees: int = 20
    depth: int = 5
    most: int = 10_000

    def apply(self, image: Image, hints: Hints, on_step: OnStep | None = None) -> Segmentation:
        """Segment one image; see :class:`Method`."""
        if hints.marks is None:
            raise RegionError(
                "the pixel classifier needs marks: scribbles of two classes or more "
                "(Hints(marks=...)), got none"
            )
        inside = region(image, hints)
        marks = marks_of(hints.marks).to(image.device) * inside
        known = _known(image, inside)
        model = PixelClassifier(self).fit([known], [Labels(marks[None], image.grid)])
        if on_step is not None:
            on_step(Step("trees", 1, 2))
        share = model.predict_probability(known)
        labels = model.labels_of(share)
        if on_step is not None:
            on_step(Step("prediction", 2, 2))
        uses = model.importance()
        return Segmentation(
            Labels(labels.data * inside, image.grid),
            maps={"probability": Image(share.data * inside, image.grid)},
            curves=(
                Curve(
                    "How often each feature decides",
                    torch.arange(len(uses), dtype=torch.float64),
                    uses.double(),
                    "feature",
                    "share of the questions",
                ),
            ),
            values={"trees": float(len(model.trees_.feature)), "features": float(len(uses))},
            settings={"method": "Pixels", **asdict(self)},
        )


@final
class PixelClassifier:
    """A pixel classifier that learns from several images and can be kept.

    Attributes:
        settings: As they were given.
        trees_: Grown by ``fit``.
        classes_: Value of each class in the marks.
        channels_: Number of channels that it has learned from.
    """

    __slots__ = ("channels_", "classes_", "settings", "trees_")

    trees_: BoostedTrees
    classes_: tuple[int, ...]
    channels_: int

    def __init__(self, settings: Pixels | None = None) -> None:
        """Keep the settings.

        Args:
            settings: Features and forest; the usual ones where none are given.
        """
        self.settings = Pixels() if settings is None else settings

    def fit(self, images: Sequence[Image], marks: Sequence[Labels]) -> "PixelClassifier":
        """Learn from marked voxels.

        Args:
            images: With the same channels.
            marks: On the grid of each; every value that is not 0 marks a class.

        Returns:
            Itself.

        Raises:
            ShapeError: There are not as many marks as images, or channels differ.
            GeometryError: Marks lie on another grid.
            RegionError: Fewer than two classes are marked.
        """
        if not images or len(images) != len(marks):
            raise ShapeError(
                f"there must be one image or more and marks for each, got {len(images)} images "
                f"and {len(marks)} marks"
            )
        rows, values = [], []
        for image, drawn in zip(images, marks, strict=True):
            Hints(marks=drawn).check(image.grid)
            if image.data.shape[0] != images[0].data.shape[0]:
                raise ShapeError(
                    f"all images must have the same channels, got {images[0].data.shape[0]} and "
                    f"{image.data.shape[0]}"
                )
            known = marks_of(drawn)
            here = known != 0
            rows.append(_described(image, self.settings)[:, here].T)
            values.append(known[here])
        names, classes = torch.unique(torch.cat(values), return_inverse=True)
        self.trees_ = grow_trees(
            torch.cat(rows).contiguous(),
            classes,
            generator=torch.Generator().manual_seed(0),
            boosting=Boosting(self.settings.trees, self.settings.depth, most=self.settings.most),
        )
        self.classes_ = tuple(int(v) for v in names)
        self.channels_ = int(images[0].data.shape[0])
        return self

    def predict(self, image: Image) -> Labels:
        """Label every voxel by its likeliest class; see :meth:`predict_probability`."""
        return self.labels_of(self.predict_probability(image))

    def labels_of(self, share: Image) -> Labels:
        """Give the likeliest class of each voxel, by the values of the marks."""
        names = torch.tensor(self.classes_, dtype=torch.int32, device=share.device)
        return Labels(names[share.data.argmax(dim=0)][None], share.grid)

    def predict_probability(self, image: Image) -> Image:
        """Give the probability of each class at each voxel.

        Large images are worked on slab by slab; the result is the same.

        Args:
            image: With the channels of training.

        Returns:
            A channel per class, float32.

        Raises:
            ConfigError: It was not fitted.
            ShapeError: The channels are not those of training.
        """
        if not hasattr(self, "trees_"):
            raise ConfigError("the classifier must be fitted first: call fit(images, marks)")
        if image.data.shape[0] != self.channels_:
            raise ShapeError(
                f"image must have the {self.channels_} channels of training, "
                f"got {image.data.shape[0]}"
            )
        out = torch.empty(len(self.classes_), *image.grid.shape)
        axis = max(range(3), key=lambda a: image.grid.shape[a])
        for start, stop in _slabs(image, self.settings, axis):
            low, high = _widened(image, self.settings, axis, (start, stop))
            part = _part(image, axis, low, high - low)
            planes = _described(part, self.settings).narrow(axis + 1, start - low, stop - start)
            share = self.trees_.predict(planes.reshape(len(planes), -1))
            shape = tuple(planes.shape[1:])
            out.narrow(axis + 1, start, stop - start).copy_(share.T.reshape(-1, *shape))
        return Image(out.to(image.device), image.grid)

    def importance(self) -> Float[Tensor, " f"]:
        """Say how often each feature decides, as a share of all questions."""
        asked = self.trees_.feature.flatten()
        counts = torch.bincount(asked, minlength=self.trees_.features).float()
        return counts / counts.sum().clamp_min(1)

    def save(self, path: str | Path, card: ModelCard) -> None:
        """Keep the trees as safetensors with a model card in JSON.

        Args:
            path: Ending in ``.safetensors``.
            card: What must be known; settings and classes are written into its plan.

        Raises:
            ConfigError: It was not fitted, or the path ends otherwise.
        """
        if not hasattr(self, "trees_"):
            raise ConfigError("the classifier must be fitted before it is saved: call fit")
        tensors = {name: getattr(self.trees_, name) for name in _TENSORS}
        plan = {
            "settings": asdict(self.settings),
            "classes": list(self.classes_),
            "channels": self.channels_,
            "features": self.trees_.features,
        }
        kept = {f.name: getattr(card, f.name) for f in fields(card)}
        save_weights(path, tensors, ModelCard(**{**kept, "plan": plan}))


_TENSORS = ("feature", "threshold", "value", "prior")


def load_pixels(path: str | Path) -> PixelClassifier:
    """Read a pixel classifier that was saved.

    Args:
        path: Ending in ``.safetensors``; the card lies beside it.

    Returns:
        The classifier, fitted.

    Raises:
        FormatError: A file is absent or damaged, or is not a pixel classifier.
    """
    found = load_weights(path)
    plan = found.card.plan
    try:
        said = plan["settings"]
        settings = Pixels(
            tuple(float(v) for v in said["sigmas_voxel"]),
            tuple(said["features"]),
            int(said["trees"]),
            int(said["depth"]),
            int(said["most"]),
        )
        model = PixelClassifier(settings)
        feature, threshold, value, prior = (found.tensors[name] for name in _TENSORS)
        model.trees_ = BoostedTrees(feature, threshold, value, prior, int(plan["features"]))
        model.classes_ = tuple(int(v) for v in plan["classes"])
        model.channels_ = int(plan["channels"])
    except (KeyError, TypeError, ValueError) as error:
        raise FormatError(
            f"{Path(path).name!r} must be a pixel classifier, {error!r}: save one with "
            "PixelClassifier.save"
        ) from error
    return model


def _known(image: Image, inside: Bool[Tensor, "z y x"]) -> Image:
    """Replace what lies outside the mask, so that no feature of a voxel inside looks there."""
    if bool(inside.all()):
        return image
    held = held_inside(image.data.cpu().float(), inside, image.grid.spacing_mm)
    return Image(held.to(image.device), image.grid, image.unit, image.channels)


def _described(image: Image, settings: Pixels) -> Float[Tensor, "f z y x"]:
    unit = finest_mm(image.grid)
    found = [
        local_features(
            channel.float(),
            spacing=image.grid.spacing_mm,
            sigmas=tuple(sigma * unit for sigma in settings.sigmas_voxel),
            features=settings.features,
        )
        for channel in image.data.cpu()
    ]
    return found[0] if len(found) == 1 else torch.cat(found)


def _part(image: Image, axis: int, start: int, length: int) -> Image:
    first, shape = [0, 0, 0], list(image.grid.shape)
    first[axis], shape[axis] = start, length
    return image.crop((first[0], first[1], first[2]), (shape[0], shape[1], shape[2]))


def _slabs(image: Image, settings: Pixels, axis: int) -> list[tuple[int, int]]:
    """Split the longest axis so that the features of a slab fit."""
    dims = sum(n > 1 for n in image.grid.shape)
    names = feature_names(settings.features, settings.sigmas_voxel, dims=dims)
    n = image.grid.shape[axis]
    row = 4 * len(names) * image.data.numel() // n
    length = max(_STEP, _SLAB_BYTES // max(row, 1) // _STEP * _STEP)
    return [(start, min(n, start + length)) for start in range(0, n, length)]


def _widened(image: Image, settings: Pixels, axis: int, span: tuple[int, int]) -> tuple[int, int]:
    """Add what the features of a slab look at beyond it; begin at a multiple of the step."""
    ratio = finest_mm(image.grid) / image.grid.spacing_mm[axis]
    margin = -(-int(_REACH * max(settings.sigmas_voxel) * ratio) // _STEP) * _STEP
    return max(0, span[0] - margin), min(image.grid.shape[axis], span[1] + margin)
