"""Augmentation of values: noise, blur, resolution, brightness, contrast, gamma, inversion."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor, nn

from vesalius.errors import ConfigError, ShapeError
from vesalius.ops import gaussian

Pair = tuple[float, float]


@final
@dataclass(frozen=True, slots=True)
class Appearance:
    """How far the values of standardised images may change, and how often.

    Attributes:
        noise_sd: Largest standard deviation of the added noise, in those of the image.
        blur: Smallest and largest width of the Gaussian, samples.
        zoom: Smallest and largest resolution that is simulated, as a share of the own one.
        gain: Smallest and largest factor of a channel.
        contrast: Smallest and largest factor of the distance to the mean of a channel.
        offset: Largest shift of a channel, in standard deviations.
        gamma: Smallest and largest power of the values brought to 0 to 1; mean and deviation are
            kept.
        share_noise: Probability of noise.
        share_blur: Probability of blur.
        share_zoom: Probability of lower resolution.
        share_gain: Probability of each of gain and offset.
        share_contrast: Probability of contrast.
        share_gamma: Probability of gamma.
        share_inverted: Probability that dark and bright are exchanged (for microscopy).

    Raises:
        ConfigError: A number is out of range.

    References:
        The kinds and default ranges of Isensee (2021), doi:10.1038/s41592-020-01008-z,
        supplementary note 4. Differs from it in: gamma never inverts.
    """

    noise_sd: float = 0.3
    blur: Pair = (0.5, 1.0)
    zoom: Pair = (0.5, 1.0)
    gain: Pair = (0.75, 1.25)
    contrast: Pair = (0.75, 1.25)
    offset: float = 0.0
    gamma: Pair = (0.7, 1.5)
    share_noise: float = 0.1
    share_blur: float = 0.1
    share_zoom: float = 0.125
    share_gain: float = 0.15
    share_contrast: float = 0.15
    share_gamma: float = 0.3
    share_inverted: float = 0.0

    def __post_init__(self) -> None:
        for name in ("blur", "zoom", "gain", "contrast", "gamma"):
            low, high = getattr(self, name)
            if not 0 < low <= high:
                raise ConfigError(f"{name} must be two rising positive numbers, got {low}, {high}")
        if min(self.noise_sd, self.offset) < 0 or self.zoom[1] > 1:
            raise ConfigError(
                "noise_sd and offset must not be negative and zoom at most 1, got "
                f"{self.noise_sd}, {self.offset} and {self.zoom}"
            )
        for name in ("noise", "blur", "zoom", "gain", "contrast", "gamma", "inverted"):
            share = getattr(self, f"share_{name}")
            if not 0 <= share <= 1:
                raise ConfigError(f"share_{name} must be from 0 to 1, got {share}")


@final
@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """How the values of each member change; 1, 0 or False where they do not.

    Attributes:
        noise: (batch,) standard deviation.
        seed: (batch,) of the noise.
        blur: (batch,) width, samples.
        zoom: (batch,) resolution, as a share.
        gain: (batch, c).
        contrast: (batch, c).
        offset: (batch, c).
        gamma: (batch,).
        inverted: (batch,).
    """

    noise: Float[Tensor, " batch"]
    seed: Integer[Tensor, " batch"]
    blur: Float[Tensor, " batch"]
    zoom: Float[Tensor, " batch"]
    gain: Float[Tensor, "batch c"]
    contrast: Float[Tensor, "batch c"]
    offset: Float[Tensor, "batch c"]
    gamma: Float[Tensor, " batch"]
    inverted: Bool[Tensor, " batch"]


def draw_change(
    appearance: Appearance, *, batch: int, channels: int, generator: torch.Generator
) -> Change:
    """Draw how the values of each member change.

    Args:
        appearance: The ranges.
        batch: Members.
        channels: Of each member.
        generator: All the chance, on the CPU.

    Returns:
        The changes; the same generator state gives the same ones.
    """
    a = appearance

    def draw(share: float, span: Pair, rest: float, c: int = 1) -> Tensor:
        chosen = torch.rand(batch, 1, generator=generator) < share
        value = span[0] + (span[1] - span[0]) * torch.rand(batch, c, generator=generator)
        return torch.where(chosen, value, rest)

    return Change(
        noise=draw(a.share_noise, (0.0, a.noise_sd), 0.0)[:, 0],
        seed=torch.randint(1 << 62, (batch,), generator=generator),
        blur=draw(a.share_blur, a.blur, 0.0)[:, 0],
        zoom=draw(a.share_zoom, a.zoom, 1.0)[:, 0],
        gain=draw(a.share_gain, a.gain, 1.0, channels),
        contrast=draw(a.share_contrast, a.contrast, 1.0, channels),
        offset=draw(a.share_gain, (-a.offset, a.offset), 0.0, channels),
        gamma=draw(a.share_gamma, a.gamma, 1.0)[:, 0],
        inverted=draw(a.share_inverted, (1.0, 1.0), 0.0)[:, 0] > 0,
    )


def changed(x: Float[Tensor, "batch c *space"], change: Change) -> Float[Tensor, "batch c *space"]:
    """Change the values of each member; those that do not change are passed on as they are.

    Args:
        x: (batch, c, *space), standardised or so; 2 or 3 spatial axes.
        change: One for each member.

    Returns:
        Same shape and dtype, a new tensor.

    Raises:
        ShapeError: Batch or channels do not fit the changes.
    """
    if x.shape[:2] != change.gain.shape or x.ndim not in {4, 5}:
        raise ShapeError(
            f"samples must have shape ({change.gain.shape[0]}, {change.gain.shape[1]}, and 2 or 3 "
            f"spatial axes) to fit the changes, got {tuple(x.shape)}"
        )
    return torch.stack([_one(member, change, i) for i, member in enumerate(x)])


def _one(x: Tensor, change: Change, i: int) -> Tensor:
    noise, width, zoom = float(change.noise[i]), float(change.blur[i]), float(change.zoom[i])
    if noise > 0:
        chance = torch.Generator().manual_seed(int(change.seed[i]))
        x = x + noise * torch.randn(x.shape, generator=chance, dtype=x.dtype).to(x.device)
    if width > 0:
        volume = x if x.ndim == 4 else x[:, None]
        x = gaussian(volume, (width, width, width)).reshape(x.shape)
    x = _levels(x, change, i)
    if zoom < 1:
        x = _coarse(x, zoom)
    power = float(change.gamma[i])
    if power != 1:
        x = _powered(x, power)
    if bool(change.inverted[i]):
        x = _least(x) + _most(x) - x
    return x


def _levels(x: Tensor, change: Change, i: int) -> Tensor:
    """Gain, contrast about the mean, and offset of each channel."""
    gain, contrast, offset = (
        v[i].to(x).view(-1, *[1] * (x.ndim - 1))
        for v in (change.gain, change.contrast, change.offset)
    )
    if bool((gain != 1).any()):
        x = x * gain
    if bool((contrast != 1).any()):
        mean = x.mean(tuple(range(1, x.ndim)), keepdim=True)
        # the range is kept, as a camera or a window would keep it
        x = ((x - mean) * contrast + mean).clamp(_least(x), _most(x))
    return x + offset if bool((offset != 0).any()) else x


def _coarse(x: Tensor, zoom: float) -> Tensor:
    """Take fewer samples, and interpolate back."""
    size = [max(1, round(n * zoom)) for n in x.shape[1:]]
    mode = "trilinear" if x.ndim == 4 else "bilinear"
    # linear on the way down, too: the nearest sample would shift the image by half a sample
    few = nn.functional.interpolate(x[None], size=size, mode=mode)
    return nn.functional.interpolate(few, size=x.shape[1:], mode=mode)[0]


def _powered(x: Tensor, power: float) -> Tensor:
    """Bend the scale of each channel; its mean and standard deviation stay."""
    over = tuple(range(1, x.ndim))
    low = _least(x)
    span = (_most(x) - low).clamp_min(torch.finfo(x.dtype).eps)
    bent = ((x - low) / span).pow(power)
    sd, mean = torch.std_mean(x, dim=over, correction=0, keepdim=True)
    sd2, mean2 = torch.std_mean(bent, dim=over, correction=0, keepdim=True)
    return (bent - mean2) * (sd / sd2.clamp_min(torch.finfo(x.dtype).eps)) + mean


def _least(x: Tensor) -> Tensor:
    """Smallest value of each channel, kept as (c, 1, ...)."""
    return x.flatten(1).amin(1).view(-1, *[1] * (x.ndim - 1))


def _most(x: Tensor) -> Tensor:
    return x.flatten(1).amax(1).view(-1, *[1] * (x.ndim - 1))
