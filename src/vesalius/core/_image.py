"""Image, Labels and Series: samples that know where and what they are."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Bool, Shaped
from torch import Tensor

from vesalius.core._grid import Grid
from vesalius.errors import GeometryError, RegionError, ShapeError, UnitError

Samples = Shaped[Tensor, "c z y x"]


def _check_shape(data: Tensor, grid: Grid, name: str) -> None:
    if data.ndim != 4 or tuple(data.shape[1:]) != grid.shape:
        z, y, x = grid.shape
        raise ShapeError(
            f"{name} must have shape (C, {z}, {y}, {x}) to fit its grid, got {tuple(data.shape)}: "
            "add the channel axis with data[None], and a z axis of 1 for 2-D"
        )


@dataclass(frozen=True, slots=True, eq=False)
class Image:
    """Samples on a grid, with a unit. Never rescaled, cast or clipped silently.

    Attributes:
        data: (C, Z, Y, X), real, any dtype, any device.
        grid: Where the samples are.
        unit: ``"HU"``, ``"SUV"``, ``"1/mm"``, ``"1"`` (no unit), ...
        channels: One name for each channel, or empty.

    Raises:
        ShapeError: ``data`` does not fit the grid, or the names do not fit the channels.
        UnitError: ``data`` is boolean or complex.
    """

    data: Tensor
    grid: Grid
    unit: str = "1"
    channels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_shape(self.data, self.grid, "data")
        if self.data.dtype == torch.bool or self.data.is_complex():
            raise UnitError(
                f"data must be real numbers, got {self.data.dtype}: "
                "use Labels for masks, abs() for complex samples"
            )
        if self.channels and len(self.channels) != self.data.shape[0]:
            raise ShapeError(
                f"channels must name all {self.data.shape[0]} channels or none, "
                f"got {len(self.channels)} names: {self.channels}"
            )

    @property
    def device(self) -> torch.device:
        """Where the samples are kept."""
        return self.data.device

    @property
    def dtype(self) -> torch.dtype:
        """Number type of the samples."""
        return self.data.dtype

    def map(self, function: Callable[[Tensor], Tensor]) -> "Image":
        """Apply a function to the samples; grid, unit and names stay.

        Args:
            function: From (C, Z, Y, X) to (C, Z, Y, X).

        Returns:
            A new image.
        """
        return Image(function(self.data), self.grid, self.unit, self.channels)

    def to(self, device: torch.device | str) -> "Image":
        """Copy the samples to a device."""
        return Image(self.data.to(device), self.grid, self.unit, self.channels)

    def crop(self, start: tuple[int, int, int], shape: tuple[int, int, int]) -> "Image":
        """Take a box of voxels inside the image (a view, not a copy).

        Args:
            start: Index (z, y, x) of the first voxel.
            shape: Number of voxels along (z, y, x).

        Returns:
            The part, with its grid.

        Raises:
            GeometryError: The box leaves the image.
        """
        data = _crop(self.data, self.grid, start, shape)
        return Image(data, self.grid.crop(start, shape), self.unit, self.channels)

    def _repr_html_(self) -> str:
        from vesalius.core._show import image_html

        return image_html(self.data, self.grid, self.unit)

    def __repr__(self) -> str:
        c = self.data.shape[0]
        kind = str(self.data.dtype).removeprefix("torch.")
        return f"Image({c} channel{'s' * (c != 1)}, {kind}, unit {self.unit}, {self.grid})"


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """Integer labels on a grid. Interpolated by nearest neighbour or one-hot, never averaged.

    Attributes:
        data: (C, Z, Y, X), integer; C > 1 only where layers overlap.
        grid: Where the samples are.
        names: Name of each region, keyed by (layer, value).

    Raises:
        ShapeError: ``data`` does not fit the grid.
        UnitError: ``data`` is not integer.
    """

    data: Tensor
    grid: Grid
    names: Mapping[tuple[int, int], str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_shape(self.data, self.grid, "data")
        if self.data.dtype == torch.bool:
            object.__setattr__(self, "data", self.data.to(torch.uint8))
        if self.data.is_floating_point() or self.data.is_complex():
            raise UnitError(
                f"labels must be integers, got {self.data.dtype}: "
                "threshold first, such as Labels((x >= 0.5).to(torch.uint8), grid)"
            )

    @property
    def device(self) -> torch.device:
        """Where the samples are kept."""
        return self.data.device

    @property
    def values(self) -> tuple[tuple[int, int], ...]:
        """All (layer, value) pairs that occur, 0 left out, sorted."""
        return tuple(
            (layer, value) for layer, part in enumerate(self.data) for value in _present(part)
        )

    def mask(self, value: int, layer: int = 0) -> Bool[Tensor, "z y x"]:
        """Pick one region.

        Args:
            value: The label.
            layer: The layer it lies in.

        Returns:
            True inside the region; (Z, Y, X).

        Raises:
            RegionError: The layer or the label does not occur.
        """
        if not 0 <= layer < self.data.shape[0]:
            raise RegionError(
                f"layer must be below {self.data.shape[0]}, got {layer}: "
                "Labels.values lists what is there"
            )
        found: Tensor = self.data[layer] == value
        if not bool(found.any()):
            there = ", ".join(str(v) for k, v in self.values if k == layer) or "none"
            raise RegionError(
                f"label {value} must occur in layer {layer}, it does not; labels there: {there}"
            )
        return found

    def name(self, value: int, layer: int = 0) -> str:
        """Give the name of a region, or ``"label <value>"`` where it has none."""
        return self.names.get((layer, value), f"label {value}")

    def to(self, device: torch.device | str) -> "Labels":
        """Copy the samples to a device."""
        return Labels(self.data.to(device), self.grid, self.names)

    def crop(self, start: tuple[int, int, int], shape: tuple[int, int, int]) -> "Labels":
        """Take a box of voxels inside the labels; see ``Image.crop``."""
        data = _crop(self.data, self.grid, start, shape)
        return Labels(data, self.grid.crop(start, shape), self.names)

    def __repr__(self) -> str:
        c = self.data.shape[0]
        return f"Labels({c} layer{'s' * (c != 1)}, {len(self.names)} names, {self.grid})"


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """Images of one grid at several times: cine, fMRI, time-lapse.

    Attributes:
        data: (T, C, Z, Y, X).
        grid: Where the samples are, the same at every time.
        times_s: Time of each frame, seconds, increasing.
        unit: Unit of the samples.

    Raises:
        ShapeError: The sizes do not fit, or the times do not increase.
    """

    data: Tensor
    grid: Grid
    times_s: tuple[float, ...]
    unit: str = "1"

    def __post_init__(self) -> None:
        if self.data.ndim != 5 or tuple(self.data.shape[2:]) != self.grid.shape:
            raise ShapeError(
                f"data must have shape (T, C, *{self.grid.shape}) to fit its grid, "
                f"got {tuple(self.data.shape)}"
            )
        if len(self.times_s) != self.data.shape[0]:
            raise ShapeError(
                f"times_s must give one time for each of {self.data.shape[0]} frames, "
                f"got {len(self.times_s)}"
            )
        if any(b <= a for a, b in zip(self.times_s, self.times_s[1:], strict=False)):
            raise ShapeError(f"times_s must increase, got {self.times_s}: sort the frames by time")

    def __len__(self) -> int:
        return int(self.data.shape[0])

    def __getitem__(self, frame: int) -> Image:
        return Image(self.data[frame], self.grid, self.unit)


_DENSE = 1 << 16
"""Labels up to this are found by counting, larger or negative ones by sorting (slow)."""


def _present(part: Tensor) -> list[int]:
    samples = part.cpu().numpy()  # torch itself cannot count uint16, uint32 and uint64
    low, high = int(samples.min()), int(samples.max())
    if low < 0 or high >= _DENSE:
        return [int(v) for v in np.unique(samples) if v != 0]
    counts = np.zeros(high + 1, dtype=np.int64)
    for plane in samples:
        counts += np.bincount(plane.ravel(), minlength=high + 1)
    return [int(v) for v in np.flatnonzero(counts) if v != 0]


def _crop(
    data: Tensor, grid: Grid, start: tuple[int, int, int], shape: tuple[int, int, int]
) -> Tensor:
    stop = tuple(a + n for a, n in zip(start, shape, strict=True))
    if min(start) < 0 or any(b > n for b, n in zip(stop, grid.shape, strict=True)):
        raise GeometryError(
            f"box must lie inside the grid {grid.shape}, got {start} to {stop}: "
            "use core.resample(image, like=grid.crop(...)) to pad"
        )
    z, y, x = (slice(a, b) for a, b in zip(start, stop, strict=True))
    return data[:, z, y, x]
