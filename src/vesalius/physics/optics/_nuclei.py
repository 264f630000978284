"""Nuclei: crowded, touching bodies in a volume with known truth, as a microscope shows them."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import NamedTuple, final

import torch
from jaxtyping import Float, Int32
from torch import Tensor

from vesalius.core import Grid, Image, Labels
from vesalius.errors import ConfigError
from vesalius.ops import gaussian

Pair = tuple[float, float]


@final
@dataclass(frozen=True, slots=True)
class NucleiLook:
    """What the nuclei of one volume are like; pairs are least and most, drawn evenly.

    Attributes:
        diameter: Mean diameter in the plane, samples.
        across: Slice distance by that of the samples in the plane: bodies are as much flatter.
        spread: Standard deviation of the diameters, as a share.
        longest: Longest semi-axis by the shortest, at most.
        crowding: Volume of all bodies by that of the volume; above .4 most of them touch.
        bumps: Standard deviation of the surface, as a share of the radius.
        contrast: Brightness of a nucleus, drawn for each; the background is 0.
        texture: Standard deviation of the brightness within a nucleus, as a share.
        blur: Standard deviation of the microscope's blur in the plane, samples; it is 1 to 2.5
            times as long in the world along z.
        noise: Standard deviation of the noise, as a share of a brightness of 1.

    Raises:
        ConfigError: A number is out of range.
    """

    diameter: Pair = (10.0, 18.0)
    across: Pair = (1.0, 2.5)
    spread: float = 0.15
    longest: float = 1.7
    crowding: Pair = (0.15, 0.7)
    bumps: float = 0.08
    contrast: Pair = (0.35, 1.0)
    texture: Pair = (0.05, 0.3)
    blur: Pair = (0.5, 1.5)
    noise: Pair = (0.02, 0.2)

    def __post_init__(self) -> None:
        pairs = (self.diameter, self.across, self.crowding, self.contrast, self.texture)
        wrong = [p for p in (*pairs, self.blur, self.noise) if not 0 <= p[0] <= p[1]]
        if wrong or min(self.diameter[0], self.across[0]) < 1 or self.longest < 1:
            raise ConfigError(
                "the looks of nuclei must be rising pairs of numbers from 0 on, with diameter, "
                f"across and longest at least 1, got {self}"
            )
        if min(self.spread, self.bumps) < 0:
            raise ConfigError(
                f"spread and bumps must not be negative, got {self.spread} and {self.bumps}"
            )


class NucleiVolume(NamedTuple):
    """A volume of nuclei.

    Attributes:
        image: As a microscope shows it; one channel, unit "1".
        labels: A number for each nucleus.
        across: Slice distance by that of the samples in the plane; the grid does not tell it, as
            most files of microscopes do not.
    """

    image: Image
    labels: Labels
    across: float


def nuclei(
    shape: tuple[int, int, int],
    *,
    look: NucleiLook = NucleiLook(),
    generator: torch.Generator,
) -> NucleiVolume:
    """Make a volume of nuclei that touch but do not overlap.

    Bodies are ellipsoids with bumps, thrown at random; a sample belongs to the body that it lies
    deepest in, so that neighbours press each other flat. Some are cut by the border.

    Args:
        shape: (z, y, x).
        look: What they are like.
        generator: Source of every choice.

    Returns:
        Image (float32) and truth, spacing 1.
    """
    drawn = _Drawn.of(look, generator)
    bodies = _bodies(shape, look, drawn, generator)
    labels = _numbered(shape, bodies, look, generator)
    data = _seen(labels, look, drawn, generator)
    grid = Grid.from_spacing(shape)
    names = dict.fromkeys(((0, k) for k in range(1, 1 + int(labels.max()))), "nucleus")
    return NucleiVolume(Image(data[None], grid), Labels(labels[None], grid, names), drawn.across)


class _Drawn(NamedTuple):
    """What is the same throughout one volume."""

    diameter: float
    across: float
    crowding: float
    texture: float
    blur: float
    long_blur: float
    noise: float

    @staticmethod
    def of(look: NucleiLook, generator: torch.Generator) -> "_Drawn":
        pairs = (look.diameter, look.across, look.crowding, look.texture, look.blur)
        values = [_between(pair, generator) for pair in (*pairs, (1.0, 2.5), look.noise)]
        return _Drawn(*values)


class _Body(NamedTuple):
    """An ellipsoid: centre in samples, and the map from samples to its unit ball."""

    centre: Float[Tensor, "3"]
    matrix: Float[Tensor, "3 3"]
    reach: Float[Tensor, "3"]


def _between(pair: Pair, generator: torch.Generator) -> float:
    return pair[0] + (pair[1] - pair[0]) * float(torch.rand((), generator=generator))


def _bodies(
    shape: tuple[int, int, int], look: NucleiLook, drawn: _Drawn, generator: torch.Generator
) -> list[_Body]:
    """Throw bodies until the volume is as crowded as it should be; centres keep a distance."""
    size = torch.tensor(shape, dtype=torch.float64)
    stretch = torch.tensor([drawn.across, 1.0, 1.0], dtype=torch.float64)
    volume = float(size.prod()) * drawn.across
    found: list[_Body] = []
    filled = 0.0
    for _ in range(20_000):
        if filled >= drawn.crowding * volume:
            break
        centre = torch.rand(3, generator=generator, dtype=torch.float64) * (size + 2) - 1.5
        radius = drawn.diameter / 2
        radius *= max(0.5, 1 + look.spread * float(torch.randn((), generator=generator)))
        far = [float(((centre - b.centre) * stretch).norm()) for b in found]
        if far and min(far) < 1.5 * radius:
            continue
        ratio = _between((1.0, look.longest), generator)
        semi = radius * torch.tensor([1.0, ratio, 1.0], dtype=torch.float64) / ratio ** (1 / 3)
        turn, _ = torch.linalg.qr(torch.randn(3, 3, generator=generator, dtype=torch.float64))
        matrix = (turn / semi).T * stretch
        found.append(_Body(centre, matrix, 1.4 * semi.max() / stretch))
        filled += 4.19 * float(semi.prod())
    return found


def _numbered(
    shape: tuple[int, int, int], bodies: list[_Body], look: NucleiLook, generator: torch.Generator
) -> Int32[Tensor, "z y x"]:
    """Give each sample the number of the body that it lies deepest in."""
    rough = torch.randn(shape, generator=generator)
    rough = gaussian(rough[None], (1.5, 2.5, 2.5))[0]
    rough = (look.bumps * rough / rough.std()).double()
    best = torch.ones(shape, dtype=torch.float64)
    labels = torch.zeros(shape, dtype=torch.int32)
    for number, body in enumerate(bodies, start=1):
        low = (body.centre - body.reach).floor().long().clamp_min(0).tolist()
        high = (body.centre + body.reach).ceil().long() + 1
        ends = torch.minimum(high, torch.tensor(shape)).tolist()
        if any(a >= b for a, b in zip(low, ends, strict=True)):
            continue
        box = tuple(slice(a, b) for a, b in zip(low, ends, strict=True))
        axes = [torch.arange(a, b, dtype=torch.float64) for a, b in zip(low, ends, strict=True)]
        place = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1) - body.centre
        deep = (place @ body.matrix.T).norm(dim=-1) + rough[box]
        inside = deep < best[box]
        best[box] = torch.where(inside, deep, best[box])
        labels[box] = torch.where(inside, number, labels[box])
    return _compact(labels)


def _compact(labels: Int32[Tensor, "z y x"]) -> Int32[Tensor, "z y x"]:
    """Drop slivers and number anew."""
    sizes = torch.bincount(labels.flatten())
    kept = (sizes >= 8) & (torch.arange(len(sizes)) > 0)
    table = torch.cumsum(kept, dim=0) * kept
    return table[labels.long()].to(torch.int32)


def _seen(
    labels: Int32[Tensor, "z y x"], look: NucleiLook, drawn: _Drawn, generator: torch.Generator
) -> Float[Tensor, "z y x"]:
    """Stain, blur and add noise."""
    count = int(labels.max())
    low, high = look.contrast
    stain = low + (high - low) * torch.rand(count + 1, generator=generator)
    stain[0] = 0
    grain = gaussian(torch.randn(labels.shape, generator=generator)[None], (0.7, 1.2, 1.2))[0]
    clean = stain[labels.long()] * (1 + drawn.texture * grain / grain.std()).clamp_min(0.1)
    haze = gaussian(clean[None], (6.0 / drawn.across, 12.0, 12.0))[0]
    clean = clean + _between((0.0, 0.4), generator) * haze
    sigma = (drawn.blur * drawn.long_blur / drawn.across, drawn.blur, drawn.blur)
    seen = gaussian(clean[None], sigma)[0].clamp_min(0)
    shot = torch.randn(labels.shape, generator=generator) * (seen + 0.05).sqrt()
    noisy = seen + drawn.noise * shot
    if float(torch.rand((), generator=generator)) < 0.5:  # a camera's noise is not always white
        noisy = gaussian(noisy[None], (0.0, 0.5, 0.5))[0]
    return noisy.to(torch.float32)
