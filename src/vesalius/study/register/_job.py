"""Job: what is to be registered, and how, as the user said it."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from vesalius.errors import ConfigError
from vesalius.register import Init, Modality, Preset

Both = tuple[Path, Path]
STARTS: tuple[str, ...] = (*get_args(Init), "landmarks")


@dataclass(frozen=True, slots=True)
class Inputs:
    """The files of a registration; of two that belong together the fixed one comes first.

    Attributes:
        fixed: Image that stays.
        moving: Image that is laid on it.
        labels: The same structures in both.
        points: The same landmarks in both, as CSV.
        masks: Where each image counts; None for everywhere.
        pairs: Further channels, each with its weight; the first pair weighs 1.
    """

    fixed: Path
    moving: Path
    labels: Both | None = None
    points: Both | None = None
    masks: tuple[Path | None, Path | None] = (None, None)
    pairs: tuple[tuple[Path, Path, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Job:
    """How a registration is to be done.

    Attributes:
        preset: What is searched for.
        modality: Whether both images come from one kind of scanner and contrast.
        init: A word of ``STARTS``, or transform files of which the last acts first.
        guide: Whether labels and landmarks pull, or only judge.
        smoothing: Of the spline of the preset landmarks; 0 goes through every point.

    Raises:
        ConfigError: Words and files are mixed, or there is neither.
    """

    preset: Preset = "accurate"
    modality: Modality = "same"
    init: tuple[str, ...] = ("header",)
    guide: bool = False
    smoothing: float = 0.0

    def __post_init__(self) -> None:
        words = [word for word in self.init if word in STARTS]
        unknown = [text for text in self.init if text not in STARTS and not Path(text).suffix]
        if not self.init or unknown or (words and len(self.init) > 1):
            raise ConfigError(
                f"init must be one of {', '.join(STARTS)}, or transform files, got {self.init}"
            )

    @property
    def start(self) -> str | tuple[Path, ...]:
        """The word, or the files."""
        if self.init[0] in STARTS:
            return self.init[0]
        return tuple(Path(text) for text in self.init)

    def to_json(self) -> dict[str, object]:
        """Give the job as JSON types; files by name alone."""
        start = self.start
        said = start if isinstance(start, str) else [path.name for path in start]
        return {
            "preset": self.preset,
            "modality": self.modality,
            "init": said,
            "guide": self.guide,
            "smoothing": self.smoothing,
        }
