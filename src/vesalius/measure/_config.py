"""Config: everything that decides a measured value, validated, in one frozen object."""
# SPDX-License-Identifier: Apache-2.0

import difflib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from vesalius.core import hash_json
from vesalius.enhance import Filter, filter_name
from vesalius.errors import ConfigError
from vesalius.measure._feature import DIRECTIONAL, ZONAL, Aggregation, Family

if TYPE_CHECKING:
    import yaml

IBSI_FAMILIES: tuple[Family, ...] = (
    "morphology",
    "local_intensity",
    "statistics",
    "histogram",
    "ivh",
    "glcm",
    "glrlm",
    "glszm",
    "gldzm",
    "ngtdm",
    "ngldm",
)

Positive = Annotated[float, Field(gt=0)]


class Section(BaseModel):
    """A part of the configuration: frozen, numbers finite, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _no_switch_for_a_number(cls, given: object) -> object:
        for name, value in given.items() if isinstance(given, dict) else ():
            is_switch = name in cls.model_fields and cls.model_fields[name].annotation is bool
            parts = value if isinstance(value, list | tuple) else (value,)
            if not is_switch and any(isinstance(part, bool) for part in parts):
                raise ValueError(
                    f"{name} must be a number or a word, got a switch: write its value instead of "
                    "true, false, yes, no, on or off"
                )
        return given


class Resample(Section):
    """Interpolation to a common voxel size (IBSI chapter 2.4).

    The new grid is centred on the old one and has ceil(n s / s') voxels along each axis.
    """

    spacing_mm: tuple[Positive, Positive, Positive] | None = Field(
        None, description="New voxel size (z, y, x), mm; null keeps the image as it is."
    )
    in_plane: bool = Field(False, description="Interpolate y and x only; z keeps its spacing.")
    image: Literal["linear", "cubic", "nearest"] = "linear"
    mask: Literal["linear", "nearest"] = "linear"
    mask_threshold: float = Field(0.5, gt=0, lt=1, description="Partial volume that counts as in.")
    rounding: Literal["integer", "none"] = Field(
        "none", description="Round after interpolation; the CT profile sets integer."
    )


class Resegment(Section):
    """Which voxels of the mask are measured (IBSI chapter 2.5); the drawn shape is kept apart."""

    range: tuple[float | None, float | None] = Field(
        (None, None), description="Closed interval of intensities kept; null leaves a side open."
    )
    outlier_sigma: Positive | None = Field(
        None, description="Keep mean +- this many standard deviations (population); null keeps all."
    )

    @model_validator(mode="after")
    def _ordered(self) -> "Resegment":
        low, high = self.range
        if low is not None and high is not None and low >= high:
            raise ValueError(f"range must be increasing, got [{low}, {high}]: swap the ends")
        return self


class Normalise(Section):
    """Intensity normalisation of the whole image before anything is measured (for MR)."""

    method: Literal["none", "zscore", "zscore_mask", "percentile", "nyul", "white_stripe"] = "none"
    percentiles: tuple[float, float] = Field((1.0, 99.0), description="Ends used by percentile.")
    scale: Positive = Field(1.0, description="Multiplies the normalised value.")
    landmarks: tuple[float, ...] = Field(
        (), description="Standard-scale landmarks learnt by fit_nyul; needed by nyul."
    )

    @model_validator(mode="after")
    def _usable(self) -> "Normalise":
        low, high = self.percentiles
        if not 0 <= low < high <= 100:
            raise ValueError(f"percentiles must increase within 0 to 100, got [{low:g}, {high:g}]")
        if self.method == "nyul" and not self.landmarks:
            raise ValueError("nyul needs landmarks, got none: learn them with enhance.fit_nyul")
        return self


class Discretise(Section):
    """Grey levels for histogram and texture (IBSI chapter 2.7).

    ``none`` takes whole intensities from 1 up as the levels.
    """

    method: Literal["bin_width", "bin_count", "none"] = "bin_width"
    bin_width: Positive = Field(25.0, description="Width of a bin, unit of the image.")
    bin_count: int = Field(32, ge=2, le=65535)
    origin: Literal["bound", "multiple"] = Field(
        "bound",
        description="Where bins of fixed width start: at the lower re-segmentation bound, else the "
        "smallest intensity (IBSI); or at a multiple of the width below it (PyRadiomics).",
    )


class Ivh(Section):
    """Discretisation of the intensity-volume histogram (IBSI chapter 3.5)."""

    method: Literal["none", "bin_width", "bin_count"] = "none"
    bin_width: Positive = 2.5
    bin_count: int = Field(1000, ge=2)


class Features(Section):
    """What is measured."""

    families: tuple[Family, ...] = IBSI_FAMILIES
    aggregations: tuple[Aggregation, ...] = Field(
        ("3D_avg", "3D_comb", "3D"), description="Of texture matrices; all that apply are given."
    )
    distance: int = Field(1, ge=1, le=10, description="Chebyshev distance of neighbours, voxels.")
    ngldm_coarseness: int = Field(0, ge=0, description="Largest level difference of a dependence.")
    spatial_autocorrelation: bool = Field(
        True, description="Moran's I and Geary's C: the two costly features of morphology."
    )

    @model_validator(mode="after")
    def _each_once(self) -> "Features":
        if not self.families or len(set(self.families)) < len(self.families):
            given = ", ".join(self.families) or "none"
            raise ValueError(f"families must name at least one, each once, got {given}")
        return self


class Pet(Section):
    """The threshold that makes a tumour out of a generously drawn region (family ``pet``)."""

    method: Literal["relative", "fixed"] = "relative"
    threshold: Positive = Field(0.41, description="Share of SUVmax (relative) or SUV (fixed).")


class Perturb(Section):
    """Perturbations that give every number its error bar; all that are on act together."""

    count: int = Field(32, ge=4, description="Largest number of perturbed measurements.")
    seed: int = Field(20260101, ge=0)
    shift_voxels: float = Field(0.5, ge=0, le=2, description="Largest shift along each axis.")
    rotation_deg: float = Field(2.0, ge=0, le=15, description="Largest rotation about the centre.")
    noise: bool = Field(True, description="Add noise at the image's own estimated level.")
    contour: bool = Field(True, description="Randomise the contour by supervoxels.")
    volume_fraction: float = Field(
        0.05, ge=0, le=0.5, description="Largest relative volume change by growing or shrinking."
    )
    resampling: float = Field(
        0.0, ge=0, le=0.5, description="Largest relative change of the voxel size."
    )
    blur_mm: float = Field(0.0, ge=0, description="Largest sigma of an added Gaussian PSF, mm.")
    drift: float = Field(
        0.0,
        ge=0,
        le=0.2,
        description="Sd of the relative calibration drift (HU: mu; SUV: gain).",
    )
    autocorrelation_count: int = Field(
        16, ge=4, description="Perturbations that also measure Moran's I and Geary's C (costly)."
    )
    stop_tolerance: float = Field(
        0.0, ge=0, lt=1, description="Stop early when every sd is known this well; 0 never stops."
    )


class Maps(Section):
    """Voxel-wise feature maps of statistics, histogram and texture."""

    features: tuple[str, ...] = Field(
        (), description="IBSI tags, alone or with an aggregation, such as cm_contrast_3D_avg."
    )
    radius: int = Field(2, ge=1, le=10, description="Of the cube around a voxel, voxels.")


class Compute(Section):
    """How the work is done; never changes a value."""

    threads: int = Field(1, ge=1, description="Threads for perturbations and regions.")
    device: Literal["cpu", "cuda"] = "cpu"


class Output(Section):
    """What is written."""

    csv: bool = True
    parquet: bool = True
    report: bool = True
    wide: bool = Field(False, description="Also write one row per region, names [A-Za-z0-9_].")


class Config(Section):
    """A whole measurement, as it is written in YAML or JSON."""

    modality: Literal["CT", "MR", "PET", "other"] = "other"
    profile: Literal["ibsi", "pyradiomics"] = "ibsi"
    resample: Resample = Resample()
    resegment: Resegment = Resegment()
    normalise: Normalise = Normalise()
    discretise: Discretise = Discretise()
    ivh: Ivh = Ivh()
    filters: tuple[Filter, ...] = Field(
        (), description="Each gives its own rows; the unfiltered image is always measured."
    )
    pet: Pet = Pet()
    features: Features = Features()
    perturb: Perturb = Perturb()
    maps: Maps = Maps()
    compute: Compute = Compute()
    output: Output = Output()

    @model_validator(mode="before")
    @classmethod
    def _expand(cls, given: object) -> object:
        """Fill what was not given from the profile and the modality."""
        if not isinstance(given, dict):
            return given
        plain = {
            key: value.model_dump(exclude_unset=True) if isinstance(value, Section) else value
            for key, value in given.items()
        }
        return _merge(profile_defaults(plain.get("profile"), plain.get("modality")), plain)

    @model_validator(mode="after")
    def _each_filter_once(self) -> "Config":
        names = [filter_name(spec) for spec in self.filters]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(
                f"filters must differ, so that their rows do, {', '.join(twice)} comes more than "
                "once: remove the repeated one"
            )
        return self

    @model_validator(mode="after")
    def _mappable(self) -> "Config":
        if self.maps.features:
            from vesalius.measure._map_names import resolve_maps

            resolve_maps(self.maps.features, self.features.aggregations)
        return self

    @property
    def digest(self) -> str:
        """Hash of everything that decides a value (compute and output left out), 16 hex digits."""
        return hash_json(self.model_dump(mode="json", exclude={"compute", "output"}))


def profile_defaults(profile: object, modality: object) -> dict[str, object]:
    """Give what a profile and a modality set, where it differs from the plain defaults.

    Args:
        profile: ``"ibsi"`` or ``"pyradiomics"``; anything else gives nothing here and is refused
            by the validation.
        modality: ``"CT"``, ``"MR"``, ``"PET"`` or ``"other"``.

    Returns:
        A nested mapping, as it would be written in YAML.
    """
    if profile == "pyradiomics":
        return {
            "resample": {"image": "cubic", "mask": "nearest"},
            "discretise": {"method": "bin_width", "bin_width": 25.0, "origin": "multiple"},
        }
    if modality == "CT":
        return {
            "resample": {"rounding": "integer"},
            "discretise": {"method": "bin_width", "bin_width": 25.0},
        }
    if modality == "PET":
        return {
            "resegment": {"range": [0.0, None]},
            "discretise": {"method": "bin_width", "bin_width": 0.25},
            "ivh": {"method": "bin_width", "bin_width": 0.1},
        }
    if modality == "MR":
        return {"discretise": {"method": "bin_count"}, "ivh": {"method": "bin_count"}}
    return {"discretise": {"method": "bin_count"}}


def _merge(base: dict[str, object], over: dict[str, object]) -> dict[str, object]:
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        both = isinstance(below, dict) and isinstance(value, dict)
        merged[key] = _merge(below, value) if both else value  # type: ignore[arg-type]
    return merged


def parse_config(text: str) -> Config:
    """Read a configuration from YAML or JSON text.

    Args:
        text: A mapping in YAML or JSON; the empty text gives the defaults. A parameter file of
            PyRadiomics is read as the ``pyradiomics`` profile.

    Returns:
        The validated configuration.

    Raises:
        ConfigError: The text is not a mapping, a key is unknown (the nearest valid one is named)
            or comes twice, or a value is out of range.
    """
    import yaml

    try:
        twice = repeated_keys(yaml.compose(text, Loader=yaml.SafeLoader))
        raw = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"config must be YAML or JSON, it does not parse: {error}") from error
    if twice:
        raise ConfigError(
            f"config must have every key once, got again: {'; '.join(twice)}: only the last would "
            "count, so join them"
        )
    raw = {} if raw is None else raw
    if not isinstance(raw, dict):
        raise ConfigError(
            f"config must be a mapping of keys, got {type(raw).__name__}: "
            "see 'vesalius config show'"
        )
    if set(raw) & {"setting", "featureClass", "imageType"}:
        from vesalius.measure.compat._profile import as_profile

        raw = as_profile(raw)
    try:
        return Config.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(_explain(error)) from error


def load_config(path: Path) -> Config:
    """Read a configuration file (YAML or JSON); see ``parse_config``.

    Raises:
        ConfigError: The file cannot be read or is not valid.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"config file must be readable text, {path.name} is not: {error.__class__.__name__}"
        ) from error
    return parse_config(text)


def config_schema() -> dict[str, object]:
    """Give the JSON schema of the configuration."""
    schema: dict[str, object] = Config.model_json_schema()
    return schema


def dump_config(config: Config) -> str:
    """Write a configuration as YAML text, every key spelt out."""
    import yaml

    text: str = yaml.safe_dump(json.loads(config.model_dump_json()), sort_keys=False)
    return text


def repeated_keys(root: "yaml.Node | None") -> list[str]:
    """Name each key that a mapping has twice, with its line; YAML itself would take the last."""
    found: list[str] = []
    seen: set[int] = set()
    waiting = [root] if root is not None else []
    while waiting:
        node = waiting.pop()
        if id(node) in seen or not isinstance(node.value, list):
            continue
        seen.add(id(node))
        keys: set[str] = set()
        for part in node.value:
            if not isinstance(part, tuple):
                waiting.append(part)
                continue
            key, below = part
            waiting.append(below)
            if isinstance(key.value, str) and key.value in keys:
                found.append(f"'{key.value}' in line {key.start_mark.line + 1}")
            keys.add(str(key.value))
    return found


def _explain(error: ValidationError) -> str:
    lines = []
    for item in error.errors():
        where = ".".join(str(part) for part in item["loc"])
        if item["type"] == "extra_forbidden":
            lines.append(f"unknown key '{where}': {_nearest(item['loc'])}")
        else:
            came = "" if isinstance(item["input"], dict) else f", got {item['input']!r}"
            said = item["msg"].removeprefix("Value error, ")
            lines.append(f"'{where}': {said}{came}" if where else said)
    return "config is not valid: " + "; ".join(lines)


def _nearest(loc: tuple[int | str, ...]) -> str:
    model: object = Config
    for part in loc[:-1]:
        fields = getattr(model, "model_fields", {})
        model = fields[part].annotation if part in fields else FILTER_KINDS.get(part, model)
    keys = list(getattr(model, "model_fields", {}))
    close = difflib.get_close_matches(str(loc[-1]), keys, n=1, cutoff=0.4)
    return f"did you mean '{close[0]}'?" if close else f"valid keys are {', '.join(keys)}"


FILTER_KINDS: dict[int | str, object] = {
    spec.model_fields["kind"].default: spec for spec in get_args(get_args(Filter)[0])
}
ALL_AGGREGATIONS: tuple[Aggregation, ...] = (*DIRECTIONAL, *ZONAL)
assert set(ALL_AGGREGATIONS) | {""} == set(get_args(Aggregation))
