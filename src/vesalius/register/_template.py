"""Template: the mean image of a group, in the middle of its shapes."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from vesalius.core import Displacement, Image, Linear, Step, Transform, resample
from vesalius.errors import ConfigError, ShapeError

Bring = Callable[[Image, Image], Transform]


@dataclass(frozen=True, slots=True, eq=False)
class Template:
    """The mean image of a group and the way from it to each member.

    Attributes:
        image: The template.
        transforms: Template to each image, mm, of the last round; the last change of the template
            is in the image and in them.
        mean_shift_mm: Mean length of the mean displacement that each round took out, mm: falls
            to 0 as the template comes to the middle.
    """

    image: Image
    transforms: tuple[Transform, ...]
    mean_shift_mm: tuple[float, ...]


def build_template(
    images: Sequence[Image],
    *,
    bring: Bring,
    rounds: int = 4,
    on_step: Callable[[Step], None] | None = None,
) -> Template:
    """Average images in the space that lies in the middle of them.

    Each round registers the template to every image, averages what they look like from the
    template, and moves the average by the inverse of the mean displacement, so that the template
    leans towards none.

    Args:
        images: At least two, floating point, roughly aligned; the first one's grid is the
            template's. Intensities should be comparable.
        bring: ``bring(fixed, moving)`` gives the transform fixed to moving, such as
            ``lambda a, b: register(a, b, plan="smooth").transform``.
        rounds: How often.
        on_step: Told of each registration.

    Returns:
        The template.

    Raises:
        ShapeError: There are fewer than two images, or their channels differ.
        ConfigError: ``rounds`` is below 1.
        ConvergenceError: The mean displacement cannot be inverted.

    References:
        Guimond, Meunier and Thirion (2000), doi:10.1006/cviu.1999.0815.
    """
    _check(images, rounds)
    grid = images[0].grid
    template = _mean(images, [Linear.identity()] * len(images))
    shifts: list[float] = []
    transforms: list[Transform] = []
    for turn in range(rounds):
        transforms = []
        for number, image in enumerate(images):
            transforms.append(bring(template, image))
            if on_step is not None:
                done = turn * len(images) + number + 1
                on_step(Step(f"template: round {turn + 1}", done, rounds * len(images)))
        fields = torch.stack([transform.to_field(grid).data for transform in transforms])
        middle = Displacement(fields.mean(dim=0), grid)
        shifts.append(float(middle.data.norm(dim=0).mean()))
        back = middle.inverse()
        transforms = [transform @ back for transform in transforms]
        template = _mean(images, transforms)
    return Template(template, tuple(transforms), tuple(shifts))


def _mean(images: Sequence[Image], transforms: Sequence[Transform]) -> Image:
    """Average the images as seen through their transforms; each pulled once, not twice."""
    grid = images[0].grid
    seen = [resample(i, grid, transform=t).data for i, t in zip(images, transforms, strict=True)]
    return Image(torch.stack(seen).mean(dim=0), grid, images[0].unit, images[0].channels)


def _check(images: Sequence[Image], rounds: int) -> None:
    if len(images) < 2:
        raise ShapeError(f"a template needs at least two images, got {len(images)}")
    channels = {image.data.shape[0] for image in images}
    if len(channels) > 1:
        raise ShapeError(f"the images must have the same channels, got {sorted(channels)}")
    if rounds < 1:
        raise ConfigError(f"rounds must be at least 1, got {rounds}")
