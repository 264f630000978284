"""Sliding window: a network of small patches over a volume of any size, in bounded memory."""
# SPDX-License-Identifier: Apache-2.0

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vesalius.core import Step
from vesalius.errors import ConfigError, IntensityError, ShapeError

Network = Callable[[Tensor], Tensor]
Size = tuple[int, int, int]
Volume = Float[Tensor, "c z y x"]

LEAST = 1e-3
"""Smallest weight inside a patch, so that a corner that only one patch sees is well defined."""

PIECE = 1 << 20
"""Values in one piece that is handed out (4 MB)."""


@final
@dataclass(frozen=True, slots=True)
class Window:
    """How patches are laid over a volume.

    Attributes:
        patch: Samples along each spatial axis of the network: three, or two (y, x) for a 2-D
            network, which then sees one slice after the other.
        overlap: Share of a patch that its neighbour covers again, at least; 0 to below 1.
        batch: Patches that go through the network together.
        sigma: Of the Gaussian weight of a patch, in patch sizes (nnU-Net's 1/8).
        half: Sum in float16: half the memory, three digits; for outputs below 1000.

    Raises:
        ConfigError: A number is out of range.
    """

    patch: tuple[int, ...]
    overlap: float = 0.5
    batch: int = 1
    sigma: float = 0.125
    half: bool = False

    def __post_init__(self) -> None:
        if len(self.patch) not in {2, 3} or min(self.patch) < 1:
            raise ConfigError(
                f"patch must be two or three sizes of at least 1, got {self.patch}: one for each "
                "spatial axis of the network"
            )
        if not 0 <= self.overlap < 1 or self.batch < 1 or not self.sigma > 0:
            raise ConfigError(
                f"overlap must lie in [0, 1), batch be at least 1 and sigma positive, got "
                f"{self.overlap}, {self.batch} and {self.sigma}"
            )

    @property
    def size(self) -> Size:
        """Samples along (z, y, x); z is 1 for a 2-D network."""
        z, y, x = (1, *self.patch) if len(self.patch) == 2 else self.patch
        return (z, y, x)


@final
@dataclass(frozen=True, slots=True, eq=False)
class Skip:
    """Where nothing has to be looked at.

    Attributes:
        empty: Samples that say nothing (air); a patch of only such samples is left out.
        fill: Output where no patch was looked at, one value for each channel.
    """

    empty: Bool[Tensor, "z y x"]
    fill: Float[Tensor, " k"]


@final
@dataclass(frozen=True, slots=True, eq=False)
class Slab:
    """Finished slices of the output.

    Attributes:
        start: Index of the first slice.
        values: Float32, on the device of the image.
    """

    start: int
    values: Float[Tensor, "k dz y x"]


def sliding_slabs(
    network: Network,
    image: Volume,
    window: Window,
    *,
    skip: Skip | None = None,
    on_step: Callable[[Step], None] | None = None,
) -> Iterator[Slab]:
    """Run a network over a volume and hand out finished slices in order, first slice first.

    Patches are spread evenly from border to border, weighted by a Gaussian about their centre and
    averaged. Slices are handed out once no patch can change them any more, so that at most one
    layer of patches is held: k * patch_z * y * x values, whatever the number of slices. Volumes
    smaller than a patch are padded with zeros on both sides. No gradient is recorded.

    Args:
        network: From (batch, c, *patch) to (batch, k, *patch), in evaluation mode.
        image: (c, z, y, x), as the network wants it: normalised, on its lattice and device.
        window: How patches are laid.
        skip: Where nothing has to be looked at; None looks everywhere.
        on_step: Told of each batch of patches.

    Yields:
        All slices once, in pieces of at most 4 MB (or one slice).

    Raises:
        ShapeError: The volume is empty, ``skip`` does not fit, or the network changes the size.
        IntensityError: The network gave NaN or infinity.

    References:
        Isensee et al. (2021), doi:10.1038/s41592-020-01008-z (Gaussian weight, half overlap).
        Differs from it in: weights below 1e-3 of the centre's are raised to that (as MONAI does).
    """
    layout = _Layout.of(image, window, skip)
    rows = layout.rows(skip)
    total, done = sum(len(corners) for _, corners in rows), 0
    held = _Held(layout, skip, image.device)
    for (start, corners), after in zip(rows, [*layout.starts[0][1:], layout.shape[0]], strict=True):
        held.base = max(start, 0)
        for first in range(0, len(corners), window.batch):
            some = [(start, y, x) for y, x in corners[first : first + window.batch]]
            held.add(_outputs(network, image, some, layout), some)
            done += len(some)
            if on_step is not None:
                on_step(Step("sliding window", done, total))
        yield from held.finished(after - held.base)


def sliding_window(
    network: Network,
    image: Volume,
    window: Window,
    *,
    skip: Skip | None = None,
    on_step: Callable[[Step], None] | None = None,
) -> Float[Tensor, "k z y x"]:
    """Run a network over a volume and keep the whole output; see :func:`sliding_slabs`.

    Args:
        network: From (batch, c, *patch) to (batch, k, *patch), in evaluation mode.
        image: (c, z, y, x), as the network wants it.
        window: How patches are laid.
        skip: Where nothing has to be looked at; None looks everywhere.
        on_step: Told of each batch of patches.

    Returns:
        (k, z, y, x), float32.

    Raises:
        ShapeError: The volume is empty, ``skip`` does not fit, or the network changes the size.
        IntensityError: The network gave NaN or infinity.

    Example:
        >>> sliding_window(lambda x: 2 * x, torch.ones(1, 5, 9, 9), Window((4, 4, 4))).shape
        torch.Size([1, 5, 9, 9])
    """
    out = torch.empty(0)
    for slab in sliding_slabs(network, image, window, skip=skip, on_step=on_step):
        if slab.start == 0:
            out = slab.values.new_empty(len(slab.values), *image.shape[1:])
        out[:, slab.start : slab.start + slab.values.shape[1]] = slab.values
    return out


def importance(size: Size, sigma: float) -> Float[Tensor, "z y x"]:
    """Weight of each sample of a patch: a Gaussian about its centre, at least ``LEAST``.

    Args:
        size: Samples along (z, y, x).
        sigma: Standard deviation, in patch sizes.

    Returns:
        Float32, largest 1 or a little less where the centre lies between samples.
    """
    lines = []
    for n in size:
        at = torch.arange(n, dtype=torch.float32) - (n - 1) / 2
        lines.append(torch.exp(-0.5 * (at / (sigma * n)) ** 2))
    z, y, x = lines
    return (z[:, None, None] * y[:, None] * x).clamp_min(LEAST)


def starts_along(n: int, patch: int, overlap: float) -> tuple[int, ...]:
    """First samples of the patches along one axis, evenly from border to border.

    Args:
        n: Samples of the axis.
        patch: Samples of a patch.
        overlap: Share of a patch that the next one covers again, at least.

    Returns:
        Increasing; one negative start where the axis is shorter than a patch.
    """
    if n <= patch:
        return (-((patch - n) // 2),)
    step = max(1, int(patch * (1 - overlap)))
    count = math.ceil((n - patch) / step)
    return tuple(round(i * (n - patch) / count) for i in range(count + 1))


@final
@dataclass(frozen=True, slots=True)
class _Layout:
    """Where the patches lie: shape of the volume, size of a patch, starts along each axis."""

    shape: Size
    window: Window
    starts: tuple[tuple[int, ...], ...]

    @staticmethod
    def of(image: Tensor, window: Window, skip: Skip | None) -> "_Layout":
        if min(image.shape) < 1:
            raise ShapeError(f"a volume must have samples, got shape {tuple(image.shape)}")
        if skip is not None and skip.empty.shape != image.shape[1:]:
            raise ShapeError(
                f"empty must have the shape {tuple(image.shape[1:])} of the volume, got "
                f"{tuple(skip.empty.shape)}"
            )
        z, y, x = (int(n) for n in image.shape[1:])
        starts = tuple(
            starts_along(n, p, window.overlap) for n, p in zip((z, y, x), window.size, strict=True)
        )
        return _Layout((z, y, x), window, starts)

    def rows(self, skip: Skip | None) -> list[tuple[int, list[tuple[int, int]]]]:
        """Layers of patches by their first slice, with the corners that must be looked at."""
        found = []
        _, dy, dx = self.window.size
        for start in self.starts[0]:
            corners = [(y, x) for y in self.starts[1] for x in self.starts[2]]
            if skip is not None:
                low, high = self.inside(0, start)
                full = (~skip.empty[low:high]).any(dim=0).cpu()
                corners = [
                    (y, x)
                    for y, x in corners
                    if bool(full[max(y, 0) : y + dy, max(x, 0) : x + dx].any())
                ]
            found.append((start, corners))
        return found

    def inside(self, axis: int, start: int) -> tuple[int, int]:
        """Part of a patch that lies in the volume, as indices of the volume."""
        return max(start, 0), min(start + self.window.size[axis], self.shape[axis])


def _outputs(network: Network, image: Tensor, corners: list[Size], layout: _Layout) -> Tensor:
    """Cut patches, run the network, give (batch, k, *patch) with three spatial axes."""
    patches = torch.stack([_cut(image, corner, layout) for corner in corners])
    flat = len(layout.window.patch) == 2
    with torch.inference_mode():
        out = network(patches.squeeze(2) if flat else patches)
    out = out.unsqueeze(2) if flat and out.ndim == 4 else out
    if out.ndim != 5 or out.shape[0] != len(corners) or out.shape[2:] != layout.window.size:
        raise ShapeError(
            f"the network must give ({len(corners)}, k, {layout.window.patch}) for patches of that "
            f"size, got {tuple(out.shape)}: sliding windows are for networks that keep the size"
        )
    return out.float()


def _cut(image: Tensor, corner: Size, layout: _Layout) -> Tensor:
    """One patch, with zeros where it leaves the volume."""
    bounds = [layout.inside(axis, start) for axis, start in enumerate(corner)]
    z, y, x = (slice(a, b) for a, b in bounds)
    part = image[:, z, y, x]
    if tuple(part.shape[1:]) == layout.window.size:
        return part
    sides = [
        (a - start, start + n - b)
        for (a, b), start, n in zip(bounds, corner, layout.window.size, strict=True)
    ]
    return torch.nn.functional.pad(part, [n for pair in reversed(sides) for n in pair])


@final
class _Held:
    """The layer of sums that patches can still change; slice ``base`` of the volume is first."""

    def __init__(self, layout: _Layout, skip: Skip | None, device: torch.device) -> None:
        self.base = 0
        self._layout, self._skip, self._device = layout, skip, device
        self._importance = importance(layout.window.size, layout.window.sigma).to(device)
        depth = min(layout.window.size[0], layout.shape[0])
        self._weight = torch.zeros((depth, *layout.shape[1:]), device=device)
        self._sums = torch.empty(0)

    def add(self, outputs: Tensor, corners: list[Size]) -> None:
        """Add patches with their weights."""
        sums = self._ready(outputs.shape[1])
        for out, corner in zip(outputs, corners, strict=True):
            there, part = [], []
            for axis, start in enumerate(corner):
                low, high = self._layout.inside(axis, start)
                base = self.base if axis == 0 else 0
                there.append(slice(low - base, high - base))
                part.append(slice(low - start, high - start))
            weight = self._importance[part[0], part[1], part[2]]
            self._weight[there[0], there[1], there[2]] += weight
            place, part_of = sums[:, there[0], there[1], there[2]], out[:, *part]
            place.addcmul_(part_of.to(place.dtype), weight.to(place.dtype))

    def finished(self, count: int) -> Iterator[Slab]:
        """Hand out the first ``count`` slices and move up the others."""
        skip, depth = self._skip, len(self._weight)
        sums = self._ready(len(self._sums) if skip is None else len(skip.fill))
        each = max(1, PIECE // max(1, len(sums) * self._weight[0].numel()))
        for low in range(0, count, each):
            part = slice(low, min(low + each, count))
            values = sums[:, part].float().div(self._weight[part])
            if skip is not None:
                fill = skip.fill.to(values)[:, None, None, None]
                values = torch.where(self._weight[part] > 0, values, fill)
            # one sum tells; only a suspicion is looked at sample by sample
            if not math.isfinite(float(values.sum())) and not bool(torch.isfinite(values).all()):
                raise IntensityError(
                    f"the network must give finite values, slices {self.base + low} and after have "
                    "NaN or infinity: check the input for extreme samples, or run in float32"
                )
            yield Slab(self.base + low, values)
        for i in range(depth - count):  # slice by slice: old and new places overlap
            sums[:, i] = sums[:, i + count]
            self._weight[i] = self._weight[i + count]
        sums[:, depth - count :] = 0
        self._weight[depth - count :] = 0

    def _ready(self, channels: int) -> Tensor:
        """The sums, made when the number of channels is first known."""
        expected = channels if self._skip is None else len(self._skip.fill)
        if channels != expected:
            raise ShapeError(
                f"fill must have one value for each of the {channels} outputs of the network, got "
                f"{expected}"
            )
        if self._sums.numel() == 0:
            kind = torch.float16 if self._layout.window.half else torch.float32
            shape = (channels, *self._weight.shape)
            self._sums = torch.zeros(shape, dtype=kind, device=self._device)
        return self._sums
