"""Job: what is to be segmented, and how, as the user said it."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vesalius.errors import ConfigError

Triple = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class HintFiles:
    """What a person knows beside the image: points in mm, and files on the grid of the image.

    Attributes:
        seeds_mm: World points (L, P, S) inside the object.
        outside_mm: World points outside it.
        marks: Scribbles by class.
        mask: Where to work.
        start: A first segmentation.
        contour: CSV of a first contour, in order.
        fixed: CSV of points that the contour must go through.
    """

    seeds_mm: tuple[Triple, ...] = ()
    outside_mm: tuple[Triple, ...] = ()
    marks: Path | None = None
    mask: Path | None = None
    start: Path | None = None
    contour: Path | None = None
    fixed: Path | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """How to segment: by a method or by a trained model.

    Attributes:
        method: A word of ``vesalius segment methods``; empty where a model is used.
        model: Name of a packaged model, or a folder; empty where a method is used.
        settings: Settings of the method, or of the model's inference, as text.
        channel: Channel that is used, counted from 0; -1 for all.

    Raises:
        ConfigError: Both or neither of method and model are given.
    """

    method: str = ""
    model: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)
    channel: int = -1

    def __post_init__(self) -> None:
        if bool(self.method) == bool(self.model):
            raise ConfigError(
                f"either a method or a model must be given, got method {self.method!r} and model "
                f"{self.model!r}: such as --method otsu, or --model nuclei"
            )

    def to_json(self) -> dict[str, object]:
        """Give the job as JSON types; a model's folder by its name alone."""
        return {
            "method": self.method,
            "model": Path(self.model).name if self.model else "",
            "settings": dict(self.settings),
            "channel": self.channel,
        }
