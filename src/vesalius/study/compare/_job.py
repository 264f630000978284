"""Job: what is to be scored, as the user said it."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import asdict, dataclass

from vesalius.errors import ConfigError
from vesalius.measure._compare import USUAL, Group

DETAILED: tuple[Group, ...] = (*USUAL, "area", "centreline", "boundary")


@dataclass(frozen=True, slots=True)
class Job:
    """How labels are to be compared.

    Attributes:
        objects: Whether each value is an object, to be matched; else it is a class.
        tau_mm: Tolerance of the surface Dice.
        rim_mm: Width of the rim of the boundary IoU.
        detailed: Whether surface Dice by area, centreline Dice and boundary IoU are wanted too.
        spacing_mm: Of files that hold none, (z, y, x); empty leaves them at what their format
            assumes.
        seed: Of the bootstrap.

    Raises:
        ConfigError: A length is not one.
    """

    objects: bool = False
    tau_mm: float = 1.0
    rim_mm: float = 2.0
    detailed: bool = False
    spacing_mm: tuple[float, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        lengths = (self.tau_mm, self.rim_mm, *self.spacing_mm)
        if not all(math.isfinite(x) and x > 0 for x in lengths) or len(self.spacing_mm) not in (
            0,
            3,
        ):
            raise ConfigError(
                "tolerance, rim and spacing must be lengths above 0 mm, spacing along z, y and x; "
                f"got {self.tau_mm}, {self.rim_mm} and {self.spacing_mm}"
            )

    @property
    def groups(self) -> tuple[Group, ...]:
        """Groups of scores."""
        return DETAILED if self.detailed else USUAL

    def to_json(self) -> dict[str, object]:
        """Give the settings as JSON types."""
        return asdict(self)
