"""Augmentation of a batch: draw how it moves and changes, then do it, image and truth together."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass, field
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.learn._augment_space import Motion, Outside, Sampling, draw_move, lattice, moved
from vesalius.learn._augment_values import Appearance, changed, draw_change


@final
@dataclass(frozen=True, slots=True)
class Augmentation:
    """What may happen to a batch; JSON types, so that a plan can hold it.

    Attributes:
        motion: In space.
        appearance: Of the values.
    """

    motion: Motion = field(default_factory=Motion)
    appearance: Appearance = field(default_factory=Appearance)


VOLUME = Augmentation(
    Motion(rotation_deg=20.0, scale=(0.8, 1.25), share_rotated=0.5, share_scaled=0.5)
)
"""For CT, MR and volumes: turned by up to 20 degrees, scaled, noisy, never mirrored."""

MICROSCOPY = Augmentation(
    Motion(
        rotation_deg=180.0,
        scale=(0.7, 1.4),
        flips=(True, True, True),
        share_rotated=0.5,
        share_scaled=0.5,
    ),
    Appearance(gain=(0.6, 1.5), share_gain=0.3, offset=0.2),
)
"""For microscopy: no direction is special."""

NONE = Augmentation(
    Motion(share_rotated=0.0, share_scaled=0.0, share_bent=0.0),
    Appearance(
        share_noise=0.0,
        share_blur=0.0,
        share_zoom=0.0,
        share_gain=0.0,
        share_contrast=0.0,
        share_gamma=0.0,
    ),
)
"""Nothing moves or changes; blocks are still cut to size."""


@final
@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """What is known about a batch.

    Attributes:
        targets: (batch, t, *space).
        weight: (batch, 1, *space), 0 where the truth is not known.
        sampling: How the targets are interpolated.
        outside: What the targets are beyond the old block.
    """

    targets: Float[Tensor, "batch t *space"]
    weight: Float[Tensor, "batch 1 *space"]
    sampling: Sampling = "classes"
    outside: Outside = "edge"


@final
@dataclass(frozen=True, slots=True, eq=False)
class Augmented:
    """What :func:`augment` gives.

    Attributes:
        image: (batch, c, *size).
        targets: (batch, t, *size).
        weight: (batch, 1, *size); 0 beyond the old block.
        matrix: (batch, d, d), new to old position along the spatial axes in array order: what a
            vector target is corrected by.
    """

    image: Float[Tensor, "batch c *size"]
    targets: Float[Tensor, "batch t *size"]
    weight: Float[Tensor, "batch 1 *size"]
    matrix: Float[Tensor, "batch d d"]


def augment(
    image: Float[Tensor, "batch c *space"],
    truth: Truth,
    *,
    size: tuple[int, ...],
    spacing: tuple[float, ...],
    augmentation: Augmentation,
    generator: torch.Generator,
) -> Augmented:
    """Move image, targets and weight together, then change the values of the image.

    Args:
        image: (batch, c, *space), standardised or so, 2 or 3 spatial axes.
        truth: On the same lattice.
        size: Samples to give, about the centre; give larger blocks than this where there is more
            image, so that turned corners are filled.
        spacing: Of the samples along the spatial axes, any common unit.
        augmentation: What may happen.
        generator: All the chance, on the CPU.

    Returns:
        New tensors; the same generator state gives the same ones.

    Raises:
        ShapeError: Image and truth, or ``size``, do not fit each other.
        ConfigError: There are not 2 or 3 spatial axes.
    """
    move = draw_move(
        augmentation.motion,
        batch=image.shape[0],
        size=size,
        spacing=spacing,
        generator=generator,
    )
    change = draw_change(
        augmentation.appearance,
        batch=image.shape[0],
        channels=image.shape[1],
        generator=generator,
    )
    places = lattice(move, old=tuple(image.shape[2:]), size=size)
    return Augmented(
        image=changed(moved(image, places, sampling="linear"), change),
        targets=moved(truth.targets, places, sampling=truth.sampling, outside=truth.outside),
        weight=moved(truth.weight, places, sampling="nearest", outside="zero"),
        matrix=move.matrix.to(image.device),
    )
