"""The schema of a geometry file: its keys, their units and ranges."""
# SPDX-License-Identifier: Apache-2.0

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1, le=1 << 24)]
Pair = tuple[float, float]
Triple = tuple[float, float, float]
FROM_RAW = "from the raw file"


class Section(BaseModel):
    """A part of the file: frozen, numbers finite and never a switch; an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _no_switch_for_a_number(cls, given: object) -> object:
        for name, value in given.items() if isinstance(given, dict) else ():
            field = cls.model_fields.get(name)
            parts = value if isinstance(value, list) else [value]
            if field and field.annotation is not bool and any(isinstance(p, bool) for p in parts):
                raise ValueError(f"{name} must be a number or a word, got a switch")
        return given


class Steps(Section):
    """Angles in equal steps from ``start``; ``stop`` itself is left out."""

    start: float = 0.0
    stop: float
    count: Count


Angles = Steps | Annotated[tuple[float, ...], Field(min_length=1)] | Literal["from the raw file"]


class Detector(Section):
    """The detector: elements (rows, columns) and the distance between them."""

    shape: tuple[Count, Count]
    pitch_mm: tuple[Positive, Positive] = (1.0, 1.0)
    offset_mm: Pair = (0.0, 0.0)


class Curved(Detector):
    """A detector that may lie on a circle about the source."""

    arc: bool = False


class Still(Section):
    """A detector that does not move."""

    shape: tuple[Count, Count]
    pitch_mm: tuple[Positive, Positive] = (1.0, 1.0)


class Turning(Section):
    """What every kind but vectors has: angles of the source."""

    angles_deg: Angles = "from the raw file"

    @field_validator("angles_deg", mode="before")
    @classmethod
    def _a_known_form(cls, given: object) -> object:
        if isinstance(given, str) and given != FROM_RAW:
            raise ValueError(
                f"angles_deg must be a list, start/stop/count, or '{FROM_RAW}', got the word "
                f"{given!r}"
            )
        return given


class Parallel(Turning):
    """Parallel rays."""

    kind: Literal["parallel"]
    detector: Detector


class Divergent(Turning):
    """What fan and cone share: distances from the source."""

    detector: Curved
    source_mm: Positive
    detector_mm: Positive


class Fan(Divergent):
    """One fan for each detector row."""

    kind: Literal["fan"]


class Cone(Divergent):
    """A cone beam on a circle."""

    kind: Literal["cone"]


class Helical(Divergent):
    """A cone beam on a helix."""

    kind: Literal["helical"]
    pitch_mm_per_turn: float


class Tomosynthesis(Turning):
    """A source that swings over a detector at rest."""

    kind: Literal["tomosynthesis"]
    detector: Still
    source_mm: Positive
    detector_mm: Positive


class Vectors(Section):
    """Every view by its own vectors: (L, P, S), mm; see ``physics.ct.Geometry``."""

    kind: Literal["vectors"]
    beam: Literal["parallel", "fan", "cone"]
    source: tuple[Triple, ...]
    centre: tuple[Triple, ...]
    u: tuple[Triple, ...]
    v: tuple[Triple, ...]
    shape: tuple[Count, Count]
    middle: Pair
    angles_deg: tuple[float, ...]
    arc_mm: Annotated[float, Field(ge=0)] = 0.0
    isocentre_mm: Triple = (0.0, 0.0, 0.0)
    axis: Triple = (0.0, 0.0, 1.0)


class Lattice(Section):
    """Where the image is wanted; without a place it is centred on the isocentre."""

    shape: tuple[Count, Count, Count]
    spacing_mm: tuple[Positive, Positive, Positive] = (1.0, 1.0, 1.0)
    centre_mm: Triple | None = None
    origin_mm: Triple | None = None

    @model_validator(mode="after")
    def _one_place(self) -> "Lattice":
        if self.centre_mm is not None and self.origin_mm is not None:
            raise ValueError("give centre_mm or origin_mm, not both")
        return self


class Oblique(Section):
    """Where the image is wanted, by its affine: (z, y, x, 1) to (L, P, S, 1), mm."""

    shape: tuple[Count, Count, Count]
    affine: tuple[
        tuple[float, float, float, float],
        tuple[float, float, float, float],
        tuple[float, float, float, float],
        tuple[float, float, float, float],
    ]


KINDS: dict[str, type[Section]] = {
    "parallel": Parallel,
    "fan": Fan,
    "cone": Cone,
    "helical": Helical,
    "tomosynthesis": Tomosynthesis,
    "vectors": Vectors,
}
