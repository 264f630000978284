"""Settings: PyRadiomics' parameter files, read as they are."""
# SPDX-License-Identifier: Apache-2.0

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vesalius.errors import ConfigError
from vesalius.measure.compat._names import OWN, SAME

CLASSES: tuple[str, ...] = tuple(SAME)


class Settings(BaseModel):
    """The part of PyRadiomics' settings that decides values here.

    Attributes are PyRadiomics' own names; ``resampledPixelSpacing`` is in its order (x, y, z), mm.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    binWidth: float = Field(25.0, gt=0)
    binCount: int | None = Field(None, ge=1)
    label: int = 1
    distances: tuple[int, ...] = (1,)
    gldm_a: int = Field(0, ge=0)
    voxelArrayShift: float = 0.0
    force2D: bool = False
    force2Ddimension: Literal[0] = 0
    weightingNorm: Literal["no_weighting"] | None = None
    symmetricalGLCM: Literal[True] = True
    normalize: bool = False
    normalizeScale: float = 1.0
    removeOutliers: float | None = Field(None, gt=0)
    resampledPixelSpacing: tuple[float, float, float] | None = None
    interpolator: str | int | None = "sitkBSpline"
    padDistance: int = Field(5, ge=0)
    preCrop: bool = False
    resegmentRange: tuple[float, ...] | None = None
    resegmentMode: Literal["absolute", "relative", "sigma"] = "absolute"
    resegmentShape: bool = False
    minimumROIDimensions: int = Field(2, ge=1, le=3)
    minimumROISize: int | None = None
    geometryTolerance: float | None = None
    correctMask: bool = False
    additionalInfo: bool = True
    enableCExtensions: bool = True


class Parameters(BaseModel):
    """A whole parameter file.

    Attributes:
        settings: The section ``setting``.
        features: Features asked for by class; an empty tuple means all of the class.
    """

    model_config = ConfigDict(frozen=True)

    settings: Settings = Settings()
    features: dict[str, tuple[str, ...]] = Field(default_factory=lambda: _all_features())


def read_parameters(source: Path | Mapping[str, object]) -> Parameters:
    """Read a PyRadiomics parameter file, or the mapping it holds.

    Args:
        source: A YAML or JSON file with the sections ``setting``, ``featureClass``, ``imageType``;
            or such a mapping; or a flat mapping of settings.

    Returns:
        The validated parameters.

    Raises:
        ConfigError: The file cannot be read, a key is unknown, or something is asked for that is
            not carried over (filters, shape2D, weights by distance): the message says what to use.
    """
    raw = _load(source) if isinstance(source, Path) else dict(source)
    sections = {"setting", "featureClass", "imageType", "voxelSetting"}
    if raw and not set(raw) & sections:
        raw = {"setting": raw}
    unknown = set(raw) - sections
    if unknown:
        raise ConfigError(
            f"parameter file must have the sections {', '.join(sorted(sections))}, got "
            f"{', '.join(sorted(map(str, unknown)))} too"
        )
    _check_image_types(raw.get("imageType"))
    settings = read_settings(raw.get("setting") or {})
    return Parameters(settings=settings, features=_features(raw.get("featureClass")))


def read_settings(given: object) -> Settings:
    """Validate the section ``setting``.

    Raises:
        ConfigError: A key is unknown (the nearest one is named) or a value is not carried over.
    """
    try:
        return Settings.model_validate(given)
    except ValidationError as error:
        lines = []
        for item in error.errors():
            key = str(item["loc"][0]) if item["loc"] else "setting"
            if item["type"] == "extra_forbidden":
                near = difflib.get_close_matches(key, list(Settings.model_fields), n=1, cutoff=0.4)
                lines.append(
                    f"unknown key '{key}'" + (f", did you mean '{near[0]}'?" if near else "")
                )
            else:
                lines.append(f"'{key}': {item['msg']}, got {item['input']!r}")
        raise ConfigError("PyRadiomics setting is not valid: " + "; ".join(lines)) from error


def _all_features() -> dict[str, tuple[str, ...]]:
    return dict.fromkeys(CLASSES, ())


def _load(path: Path) -> dict[str, object]:
    import yaml

    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(
            f"parameter file must be readable YAML, {path.name} is not: {type(error).__name__}"
        ) from error
    if not isinstance(raw, dict | None):
        raise ConfigError(f"parameter file must be a mapping, {path.name} is {type(raw).__name__}")
    return raw or {}


def _check_image_types(given: object) -> None:
    if given is None or (isinstance(given, Mapping) and set(given) == {"Original"}):
        return
    raise ConfigError(
        f"imageType must be Original alone, got {given}: write the filters as 'filters:' of a "
        "vesalius configuration, where they follow IBSI-2 and are named"
    )


def _features(given: object) -> dict[str, tuple[str, ...]]:
    if not given:
        return _all_features()
    if not isinstance(given, Mapping):
        raise ConfigError(f"featureClass must be a mapping of classes, got {given!r}")
    chosen: dict[str, tuple[str, ...]] = {}
    for name, features in given.items():
        if name not in SAME:
            raise ConfigError(
                f"featureClass must be one of {', '.join(CLASSES)}, got '{name}': "
                "2-D shape is the family shape_2d of a vesalius configuration"
            )
        known = {**SAME[name], **OWN.get(name, {})}
        for feature in features or ():
            if feature not in known:
                near = difflib.get_close_matches(str(feature), list(known), n=1, cutoff=0.4)
                hint = f": did you mean '{near[0]}'?" if near else ""
                raise ConfigError(f"feature must be one of class {name}, got '{feature}'{hint}")
        chosen[name] = tuple(features or ())
    return chosen
