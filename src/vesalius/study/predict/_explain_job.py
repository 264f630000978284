"""Job of an explanation: which case, which picture, how much of it."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from pathlib import Path
from typing import final

from vesalius.errors import ConfigError


@final
@dataclass(frozen=True, slots=True)
class Picture:
    """The image of a case, and how its features were measured.

    Attributes:
        image: File of the image.
        labels: File of its regions.
        config: Configuration of the measurement.
        unit: Of the image; empty as the file says.
        region: Name or number of the region that the features are of; empty where there is one.
        pieces: Pieces that the region is cut into, about.
    """

    image: Path
    labels: Path
    config: Path | None = None
    unit: str = ""
    region: str = ""
    pieces: int = 40


@final
@dataclass(frozen=True, slots=True)
class ExplainJob:
    """What is asked of an explanation.

    Attributes:
        case: Whose prediction is explained; empty explains the model alone.
        picture: Of that case; none draws no map.
        outcome_class: Class whose probability is explained; empty takes the last.
        features: How many of the first features are looked at closely.
        repeats: Shuffles of each feature.
        together: |Spearman's rho| above which features are shuffled as one.
        other_parameters: Whether features of other parameters are accepted.
        seed: Of everything that is drawn.

    Raises:
        ConfigError: A picture without a case, or less than one feature.
    """

    case: str = ""
    picture: Picture | None = None
    outcome_class: str = ""
    features: int = 6
    repeats: int = 10
    together: float = 0.7
    other_parameters: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.picture is not None and not self.case:
            raise ConfigError(
                "a picture must be of a case of the table, got none: name it with --case"
            )
        if self.features < 1:
            raise ConfigError(
                f"at least one feature must be looked at, got {self.features}: 6 is usual"
            )
