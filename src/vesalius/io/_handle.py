"""Handle: a volume in a file whose header has been read and whose samples have not."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, final

import numpy.typing as npt
from torch import Tensor

from vesalius.core import Grid, Image, Labels, Series
from vesalius.errors import FormatError
from vesalius.io._samples import to_tensor, whole_numbers, widened

Array = npt.NDArray[Any]
Severity = Literal["info", "warning", "error"]
Form = Literal["agree", "sform", "qform"]
Frames = Literal["time", "channels"]


@final
@dataclass(frozen=True, slots=True)
class Finding:
    """Something noticed about a file that did not stop it from being read.

    Attributes:
        severity: ``"info"``, ``"warning"`` (a number may be affected) or ``"error"``.
        code: One hyphenated word to test for, such as ``"tilted"``.
        message: What was found and what was done about it.
    """

    severity: Severity
    code: str
    message: str


@final
@dataclass(frozen=True, slots=True)
class Rules:
    """How to read where a format leaves a choice; the keywords of ``open``."""

    form: Form = "agree"
    unit: str = ""
    frames: Frames = "time"
    patient: bool = False
    max_bytes: int = 1 << 34


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
@dataclass(frozen=True, slots=True, eq=False)
class Handle:
    """A volume in a file, opened but not read.

    Everything but the ``read`` calls was taken from the header: no attribute touches the disk.

    Attributes:
        name: Name of the file or folder, without the folders above it.
        grid: Where the samples are (LPS, mm).
        meta: What the header says (format, stored number type, acquisition); never a path, and
            nothing that identifies a patient unless that was asked for.
        findings: What was noticed, worst first.
        content: Unit, channel names, label names, number and times of frames.
    """

    name: str
    grid: Grid
    meta: Mapping[str, object]
    findings: tuple[Finding, ...]
    content: Content
    _load: Callable[[], Array] = field(repr=False)

    def __post_init__(self) -> None:
        worst_first = ("error", "warning", "info")
        ordered = sorted(self.findings, key=lambda f: worst_first.index(f.severity))
        object.__setattr__(self, "findings", tuple(ordered))
        object.__setattr__(self, "meta", MappingProxyType(dict(self.meta)))

    @property
    def unit(self) -> str:
        """Unit of the samples, ``"1"`` where the file does not tell."""
        return self.content.unit

    def read(self) -> Image:
        """Read the samples of a single volume.

        Returns:
            The image, in the number type of the file (unsigned 16 and 32 bits widened).

        Raises:
            FormatError: The file is damaged, or holds several frames.
        """
        data = self._single()
        return Image(data, self.grid, self.content.unit, self.content.channels)

    def read_labels(self) -> Labels:
        """Read the samples as labels; a float file is accepted if all values are whole numbers.

        Returns:
            The labels, with the names that the file holds.

        Raises:
            FormatError: The file is damaged, holds several frames, or values that are not whole.
        """
        data = whole_numbers(self._single(), self.name)
        return Labels(data, self.grid, dict(self.content.names))

    def read_series(self) -> Series:
        """Read all frames of a time series.

        Returns:
            The series; a single volume gives one frame at 0 s.

        Raises:
            FormatError: The file is damaged, or does not say when its frames were taken.
        """
        content = self.content
        times = content.times_s or ((0.0,) if content.frames == 1 else ())
        if not times:
            raise FormatError(
                f"{self.name!r} must give the time of its {content.frames} frames, it has no time "
                'unit or step: open it with frames="channels" to have them as channels'
            )
        return Series(to_tensor(self._load()), self.grid, times, content.unit)

    def _single(self) -> Tensor:
        if self.content.frames != 1:
            raise FormatError(
                f"{self.name!r} must hold one volume, it holds {self.content.frames} frames: "
                'call read_series(), or open it with frames="channels"'
            )
        return to_tensor(self._load())[0]


def widening(stored: Any) -> list[Finding]:
    """Give the finding that a stored NumPy type is widened, or none."""
    text = widened(stored)
    return [Finding("info", "widened", text)] if text else []
