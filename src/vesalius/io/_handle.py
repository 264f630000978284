"""Handle: a volume in a file whose header has been read and whose samples have not."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, final

import numpy.typing as npt
from torch import Tensor

from vesalius.core import Grid, Image, Labels, Series
from vesalius.errors import FormatError, ShapeError
from vesalius.io._budget import DEFAULT, Budget
from vesalius.io._samples import to_tensor, whole_numbers, widened

Array = npt.NDArray[Any]
Severity = Literal["info", "warning", "error"]
Form = Literal["agree", "sform", "qform"]
Frames = Literal["time", "channels"]
Allow = Literal["tilt", "gaps", "duplicates", "unreadable", "localizer", "order", "preamble"]
Region = tuple[slice, slice, slice]


@final
@dataclass(frozen=True, slots=True)
class Finding:
    """Something noticed about a file.

    Attributes:
        severity: ``"info"``; ``"warning"`` (a number may be affected); ``"error"`` (the volume
            would be wrong: ``read`` refuses it).
        code: One hyphenated word to test for, such as ``"tilted"``.
        message: What was found and what was done about it.
        allow: The word that makes ``open(path, allow=(...,))`` accept an error, or empty where
            nothing does.
    """

    severity: Severity
    code: str
    message: str
    allow: str = ""


@final
@dataclass(frozen=True, slots=True)
class Rules:
    """How to read where a format leaves a choice; the keywords of ``open``."""

    form: Form = "agree"
    unit: str = ""
    frames: Frames = "time"
    patient: bool = False
    allow: tuple[Allow, ...] = ()
    budget: Budget = DEFAULT


@final
@dataclass(frozen=True, slots=True)
class Content:
    """What the samples are: everything of a handle but its place."""

    unit: str = "1"
    channels: tuple[str, ...] = ()
    names: Mapping[tuple[int, int], str] = field(default_factory=dict)
    frames: int = 1
    times_s: tuple[float, ...] = ()


@final
@dataclass(frozen=True, slots=True)
class Window:
    """The box of voxels to read.

    Attributes:
        start: Index (z, y, x) of its first voxel.
        shape: Number of voxels along (z, y, x).
        level: Level of the pyramid that the two speak of; 0 is the finest.
    """

    start: tuple[int, int, int]
    shape: tuple[int, int, int]
    level: int = 0

    @property
    def slices(self) -> Region:
        """The box as slices along (z, y, x)."""
        z, y, x = (slice(a, a + n) for a, n in zip(self.start, self.shape, strict=True))
        return z, y, x


Load = Callable[[Window], Array]
"""Reads the samples of a window: (t, c, *window.shape)."""


def whole(load: Callable[[], Array]) -> Load:
    """Make a loader of a format that is read whole: it reads all and gives the window.

    Args:
        load: Gives all samples, (t, c, z, y, x).

    Returns:
        A loader of windows.
    """

    def cut(window: Window) -> Array:
        array = load()
        part = array[(..., *window.slices)]
        return array if part.shape == array.shape else part.copy()

    return cut


def as_they_are(samples: Array) -> Array:
    """Take samples as labels; fractions in a DICOM SEG are compared with a threshold instead."""
    return samples


@final
@dataclass(frozen=True, slots=True, eq=False)
class Handle:
    """A volume in a file, opened but not read.

    Everything but the ``read`` calls was taken from the header: no attribute touches the disk.

    Attributes:
        name: Name of the file or folder, without the folders above it.
        grid: Where the samples are (LPS, mm).
        meta: What the header says (format, stored number type, acquisition); never a path, and
            nothing that identifies a patient unless that was asked for.
        findings: What was noticed, worst first. Where one is an error, ``read`` refuses.
        content: Unit, channel names, label names, number and times of frames.
        coarser: Grids of the further levels of a pyramid, finest first.
    """

    name: str
    grid: Grid
    meta: Mapping[str, object]
    findings: tuple[Finding, ...]
    content: Content
    _load: Load = field(repr=False)
    coarser: tuple[Grid, ...] = ()
    _to_labels: Callable[[Array], Array] = field(default=as_they_are, repr=False)

    def __post_init__(self) -> None:
        worst_first = ("error", "warning", "info")
        ordered = sorted(self.findings, key=lambda f: worst_first.index(f.severity))
        object.__setattr__(self, "findings", tuple(ordered))
        object.__setattr__(self, "meta", MappingProxyType(dict(self.meta)))

    @property
    def unit(self) -> str:
        """Unit of the samples, ``"1"`` where the file does not tell."""
        return self.content.unit

    @property
    def refusal(self) -> str:
        """Why ``read`` would refuse and what accepts it; empty where it would not."""
        wrong = [f for f in self.findings if f.severity == "error"]
        if not wrong:
            return ""
        said = "; ".join(f.message for f in wrong)
        words = list(dict.fromkeys(f.allow for f in wrong))
        listed = "".join(f'"{word}", ' for word in words).rstrip(" ")
        way = f"; to read it all the same: open it with allow=({listed})" if all(words) else ""
        return f"{self.name!r} must be a sound volume, it is not: {said}{way}"

    def read(self, region: Region | None = None, *, level: int = 0) -> Image:
        """Read the samples of a single volume.

        Args:
            region: Box of voxels as slices along (z, y, x), indices of that level; none reads all.
            level: Level of the pyramid; 0 is the finest.

        Returns:
            The image, in the number type of the file (unsigned 16 and 32 bits widened).

        Raises:
            FormatError: The file is damaged, a finding is an error, or it holds several frames.
            ShapeError: The region leaves the grid, is empty, or takes steps; no such level.
        """
        self._one_frame()
        data, grid = self._samples(region, level)
        return Image(data[0], grid, self.content.unit, self.content.channels)

    def read_labels(self, region: Region | None = None, *, level: int = 0) -> Labels:
        """Read the samples as labels; a float file is accepted if all values are whole numbers.

        Args:
            region: See ``read``.
            level: See ``read``.

        Returns:
            The labels, with the names that the file holds.

        Raises:
            FormatError: As ``read``; or the file holds values that are not whole.
            ShapeError: See ``read``.
        """
        self._one_frame()
        data, grid = self._samples(region, level)
        labels = to_tensor(self._to_labels(data[0].numpy()))
        return Labels(whole_numbers(labels, self.name), grid, dict(self.content.names))

    def read_series(self, region: Region | None = None, *, level: int = 0) -> Series:
        """Read all frames of a time series.

        Args:
            region: See ``read``.
            level: See ``read``.

        Returns:
            The series; a single volume gives one frame at 0 s.

        Raises:
            FormatError: As ``read``; or the file does not say when its frames were taken.
            ShapeError: See ``read``.
        """
        self._sound()
        content = self.content
        times = content.times_s or ((0.0,) if content.frames == 1 else ())
        if not times:
            raise FormatError(
                f"{self.name!r} must give the time of its {content.frames} frames, it has no time "
                'unit or step: open it with frames="channels" to have them as channels'
            )
        data, grid = self._samples(region, level)
        return Series(data, grid, times, content.unit)

    def _sound(self) -> None:
        if self.refusal:
            raise FormatError(self.refusal)

    def _one_frame(self) -> None:
        self._sound()
        if self.content.frames != 1:
            raise FormatError(
                f"{self.name!r} must hold one volume, it holds {self.content.frames} frames: "
                'call read_series(), or open it with frames="channels"'
            )

    def _samples(self, region: Region | None, level: int) -> tuple[Tensor, Grid]:
        """Read a region of a level, (t, c, z, y, x), with its grid."""
        grids = (self.grid, *self.coarser)
        if not 0 <= level < len(grids):
            raise ShapeError(
                f"level must be from 0 to {len(grids) - 1} in {self.name!r}, got {level}"
            )
        grid = grids[level]
        window = _window(self.name, grid, region, level)
        part = grid if window.shape == grid.shape else grid.crop(window.start, window.shape)
        return to_tensor(self._load(window)), part


def _window(name: str, grid: Grid, region: Region | None, level: int) -> Window:
    if region is None:
        return Window((0, 0, 0), grid.shape, level)
    box = [part.indices(n) for part, n in zip(region, grid.shape, strict=True)]
    inside = all(
        -n <= (part.start or 0) and (n if part.stop is None else part.stop) <= n
        for part, n in zip(region, grid.shape, strict=True)
    )
    if not inside or any(step != 1 or stop <= start for start, stop, step in box):
        raise ShapeError(
            f"region must be three slices of step 1 inside {grid.shape} of {name!r}, got {region}"
        )
    (z, p, _), (y, q, _), (x, r, _) = box
    return Window((z, y, x), (p - z, q - y, r - x), level)


def widening(stored: Any) -> list[Finding]:
    """Give the finding that a stored NumPy type is widened, or none."""
    text = widened(stored)
    return [Finding("info", "widened", text)] if text else []
