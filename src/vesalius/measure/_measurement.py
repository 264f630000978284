"""Measurement: the table of everything measured on one image, and how it came to be."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from jaxtyping import Bool
from torch import Tensor

from vesalius._version import __version__
from vesalius.core import Image, Labels, Provenance, Step, differences, hash_json, hash_samples
from vesalius.enhance import filter_name, normalise, response_unit
from vesalius.errors import GeometryError, RegionError, ShapeError, VesaliusError
from vesalius.measure._catalogue import by_tag
from vesalius.measure._config import Config
from vesalius.measure._engine import TEXTURE, measure_region
from vesalius.measure._feature import Family, Value
from vesalius.measure._prepare import bounding_box, prepare, target_grid
from vesalius.measure._uncertainty import Repeatability, Spread, repeatability

if TYPE_CHECKING:
    import pandas as pd


COLUMNS: tuple[str, ...] = (
    "subject",
    "label",
    "filter",
    "family",
    "feature",
    "aggregation",
    "discretisation",
    "value",
    "unit",
    "perturb_sd",
    "perturb_p2_5",
    "perturb_p97_5",
    "mdc95",
    "icc",
    "icc_low",
    "grade",
    "ibsi_code",
    "reason",
    "config_hash",
    "image_hash",
    "mask_hash",
    "version",
    "normalisation",
)
"""Columns of the long table, the canonical form of every result."""

_ANISOTROPIC = 2.0
"""Texture in space on voxels longer than this many widths deserves a word."""

OnStep = Callable[[Step], None]


@dataclass(frozen=True, slots=True, eq=False)
class Measurement:
    """Everything measured on one image.

    Attributes:
        table: The long table: one row for each value, columns ``COLUMNS``. ``value`` is missing
            only where ``reason`` says why; the error-bar columns are missing where none were asked
            for; ``icc``, ``icc_low`` and ``grade`` need a cohort and stay missing for one case.
        config: The configuration, every default spelt out.
        provenance: Hashes of the inputs, parameters, version.
        findings: What a reader should know before trusting the numbers, in sentences.
        failures: Error text of each region that could not be measured, by its name.
        perturbations: Number of perturbed measurements that were made, by name of the region.
        repeats: The perturbed measurements themselves, by name of the region; what
            ``cohort_table`` needs.
    """

    table: "pd.DataFrame"
    config: Config
    provenance: Provenance
    findings: tuple[str, ...] = ()
    failures: Mapping[str, str] = field(default_factory=dict)
    perturbations: Mapping[str, int] = field(default_factory=dict)
    repeats: Mapping[str, Repeatability] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Target:
    """One region to be measured.

    Attributes:
        name: Its name in the table, unlike that of any other.
        value: Its label.
        layer: Its layer.
    """

    name: str
    value: int
    layer: int = 0


@dataclass(frozen=True, slots=True)
class Order:
    """What is wanted of every region.

    Attributes:
        config: What to measure and how.
        uncertainty: Whether every value gets an error bar.
        subject: Name of the case in the table; no patient name belongs there.
    """

    config: Config
    uncertainty: bool = False
    subject: str = ""

    @property
    def pieces(self) -> int:
        """How many pieces of work a region is, for whoever watches."""
        return 1 + (self.config.perturb.count if self.uncertainty else 0)


@dataclass(frozen=True, slots=True, eq=False)
class Inputs:
    """An image and its labels, found fit to be measured together; the image is hashed once.

    Attributes:
        image: One channel.
        labels: On the image's grid.
        image_hash: Hash of samples and place.
    """

    image: Image
    labels: Labels
    image_hash: str


@dataclass(frozen=True, slots=True)
class _Case:
    """What all rows of one region share."""

    subject: str
    label: str
    config: Config
    unit: str
    units: Mapping[str, str]
    config_hash: str
    image_hash: str
    mask_hash: str
    normalisation: str


def extract(
    image: Image,
    labels: Labels,
    *,
    config: Config | None = None,
    regions: tuple[int, ...] = (),
    uncertainty: bool = False,
    subject: str = "",
    on_step: OnStep | None = None,
) -> Measurement:
    """Measure the regions of an image.

    Args:
        image: One channel, any real dtype.
        labels: Regions on the same grid.
        config: What to measure and how; none is the plain ``Config()``.
        regions: Labels to measure, in any layer; empty measures all.
        uncertainty: Give every value an error bar by repeated perturbed measurements.
        subject: Name of the case in the table; no patient name belongs there.
        on_step: Called after every batch of perturbations and after each region.

    Returns:
        The table and how it came to be. A region that cannot be measured is listed in
        ``failures`` and stops no other.

    Raises:
        GeometryError: Image and labels are on different grids.
        ShapeError: The image has several channels.
        RegionError: A label in ``regions`` does not occur, or there is no label at all.

    Example:
        >>> import torch
        >>> from vesalius.core import Grid, Image, Labels
        >>> grid = Grid.from_spacing((8, 8, 8), (1.0, 1.0, 1.0))
        >>> values = torch.arange(512.0).reshape(1, 8, 8, 8)
        >>> ball = torch.zeros(1, 8, 8, 8, dtype=torch.uint8)
        >>> ball[0, 2:6, 2:6, 2:6] = 1
        >>> table = extract(Image(values, grid, "HU"), Labels(ball, grid)).table
        >>> float(table.loc[table.feature == "stat_mean", "value"].iloc[0])
        255.5

    References:
        IBSI reference manual, doi:10.48550/arXiv.1612.07003; Zwanenburg et al. (2020),
        doi:10.1148/radiol.2020191145.
    """
    order = Order(Config() if config is None else config, uncertainty, subject)
    inputs = hashed(image, labels)
    wanted = targets(labels, regions)
    found: list[Measurement] = []
    failures: dict[str, str] = {}
    for done, target in enumerate(wanted):
        begun, total = done * order.pieces, len(wanted) * order.pieces
        what = f"measure: {target.name}"
        try:
            inner = inside(on_step, what, begun=begun, total=total)
            found.append(measure_target(inputs, target, order, on_step=inner))
        except VesaliusError as error:
            failures[target.name] = f"{type(error).__name__}: {error}"
        if on_step is not None:
            on_step(Step(what, begun + order.pieces, total))
    return _collected(inputs, order, found, failures)


def hashed(image: Image, labels: Labels) -> Inputs:
    """Check an image and its labels, and hash the image: once, however many regions there are.

    Args:
        image: One channel.
        labels: Regions on the same grid.

    Returns:
        Both, ready for ``measure_target``.

    Raises:
        GeometryError: They are on different grids.
        ShapeError: The image has several channels.
    """
    check_pair(image, labels)
    return Inputs(image, labels, hash_samples(image.data, image.grid.affine))


def targets(labels: Labels, regions: tuple[int, ...] = ()) -> tuple[Target, ...]:
    """List the regions to be measured; names that several have get layer and label behind.

    Args:
        labels: The labels.
        regions: Labels to measure, in any layer; empty takes all.

    Returns:
        One for each region.

    Raises:
        RegionError: A label does not occur, or there is none at all.
    """
    there = labels.values
    if not there:
        raise RegionError("labels must hold at least one region, every voxel is 0: check the file")
    missing = sorted(set(regions) - {value for _, value in there})
    if missing:
        present = ", ".join(str(value) for _, value in there[:50])
        asked = ", ".join(map(str, missing))
        raise RegionError(
            f"label {asked} must occur in the labels, it does not; labels there: {present}: "
            "choose among them with regions, or with --label on the command line"
        )
    wanted = [(layer, value) for layer, value in there if not regions or value in regions]
    names = [labels.name(value, layer) for layer, value in wanted]
    return tuple(
        Target(name if names.count(name) == 1 else f"{name} ({layer}:{value})", value, layer)
        for (layer, value), name in zip(wanted, names, strict=True)
    )


def measure_target(
    inputs: Inputs, target: Target, order: Order, *, on_step: OnStep | None = None
) -> Measurement:
    """Measure one region.

    Args:
        inputs: Image and labels.
        target: The region.
        order: What is wanted.
        on_step: Called after every batch of perturbations.

    Returns:
        The measurement of this region alone.

    Raises:
        RegionError: Nothing is left of the region.
        IntensityError: NaN or infinity inside the region.
    """
    mask = inputs.labels.mask(target.value, target.layer)
    hashes = {"image": inputs.image_hash, f"mask: {target.name}": hash_mask(mask, inputs.labels)}
    ready, fitted = normalised(inputs.image, mask, order.config)
    case = _case(order, target.name, ready.unit, hashes, fitted)
    values, repeats = _measure_one(ready, mask, order, on_step)
    spreads = {} if repeats is None else repeats.spreads
    rows = [_row(value, case, spreads.get(value.key)) for value in values]
    findings = (*_image_findings(inputs.image, order.config), *_mask_findings(target.name, mask))
    record = _record(order, hashes)
    table = as_table(rows)
    if repeats is None:
        return Measurement(table, order.config, record, findings)
    counts, kept = {target.name: repeats.count}, {target.name: repeats}
    return Measurement(table, order.config, record, findings, {}, counts, kept)


def hash_mask(mask: Bool[Tensor, "z y x"], labels: Labels) -> str:
    """Hash one region: the box around it, where that lies, and shape and place of the whole.

    Args:
        mask: The region.
        labels: What it was taken from.

    Returns:
        16 hex digits; the same for the same region, whatever file and label it had.
    """
    start, shape = bounding_box(mask) if bool(mask.any()) else ((0, 0, 0), (0, 0, 0))
    box = mask[tuple(slice(a, a + n) for a, n in zip(start, shape, strict=True))]
    samples = hash_samples(box, labels.grid.affine)
    return hash_json({"box": samples, "start": list(start), "of": list(mask.shape)})


def inside(on_step: OnStep | None, what: str, *, begun: int, total: int) -> OnStep | None:
    """Tell of the perturbations of one region as pieces of the whole.

    Args:
        on_step: Who watches the whole; nobody gives nobody.
        what: The piece.
        begun: Pieces done when it begins.
        total: Pieces in all.

    Returns:
        What to call with the steps inside the piece.
    """
    if on_step is None:
        return None

    def tell(step: Step) -> None:
        text = f"{what}, {step.done} of {step.total} perturbed"
        on_step(Step(text, begun + step.done, total))

    return tell


def _collected(
    inputs: Inputs, order: Order, found: list[Measurement], failures: Mapping[str, str]
) -> Measurement:
    import pandas as pd

    tables = [one.table for one in found]
    table = pd.concat(tables, ignore_index=True) if tables else as_table([])
    hashes = {"image": inputs.image_hash}
    counts: dict[str, int] = {}
    repeats: dict[str, Repeatability] = {}
    for one in found:
        hashes |= one.provenance.inputs
        counts |= one.perturbations
        repeats |= one.repeats
    findings = tuple(dict.fromkeys(text for one in found for text in one.findings))
    record = _record(order, hashes)
    return Measurement(table, order.config, record, findings, failures, counts, repeats)


def _record(order: Order, hashes: Mapping[str, str]) -> Provenance:
    parameters = order.config.model_dump(mode="json", exclude={"compute", "output"})
    return Provenance("measure", parameters, hashes)


def normalised(image: Image, mask: Bool[Tensor, "z y x"], config: Config) -> tuple[Image, str]:
    """Normalise the intensities as the configuration asks.

    Args:
        image: One channel.
        mask: The region, for the methods that fit on it.
        config: ``normalise`` is used.

    Returns:
        The image (the same where nothing is asked for), and the fitted parameters in one line.
    """
    settings = config.normalise
    if settings.method == "none":
        return image, ""
    result = normalise(
        image.map(lambda x: x.double()),
        mask if settings.method == "zscore_mask" else None,
        method=settings.method,
        percentiles=settings.percentiles,
        scale=settings.scale,
        landmarks=settings.landmarks,
    )
    fitted = "; ".join(f"{name}={value:.9g}" for name, value in result.parameters)
    return result.image, f"{settings.method}: {fitted}"


def check_pair(image: Image, labels: Labels) -> None:
    """Check that an image and its labels can be measured together.

    Raises:
        GeometryError: They are on different grids; says in what and by how much.
        ShapeError: The image has several channels.
    """
    found = differences(image.grid, labels.grid)
    if found:
        raise GeometryError(
            "image and labels must be on one grid; " + "; ".join(found) + ": resample the labels "
            "with core.resample_labels(labels, like=image.grid), or with --on-mismatch resample on "
            "the command line"
        )
    if image.data.shape[0] != 1:
        raise ShapeError(
            f"image must have one channel to be measured, got {image.data.shape[0]}: "
            "pick one with Image(image.data[k:k+1], image.grid, image.unit)"
        )


def as_table(rows: list[dict[str, object]]) -> "pd.DataFrame":
    """Put rows into the long table, columns in canonical order and type."""
    import pandas as pd

    numbers = {"value", "perturb_sd", "perturb_p2_5", "perturb_p97_5", "mdc95", "icc", "icc_low"}
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    kinds = {name: "float64" if name in numbers else "object" for name in COLUMNS}
    return table.astype(kinds)


def wide_names(table: "pd.DataFrame") -> "pd.Series":
    """Give the column of the wide table that each row of the long table goes to."""
    import re

    keys = ["filter", "feature", "aggregation", "discretisation"]
    parts = table[keys].replace({"filter": {"original": ""}})
    names = parts.apply(lambda row: "_".join(str(v) for v in row if v), axis=1)
    return names.map(lambda name: re.sub(r"[^A-Za-z0-9_]+", "_", name).strip("_"))


def wide(table: "pd.DataFrame") -> "pd.DataFrame":
    """Turn the long table into one row for each subject and region.

    Args:
        table: The long table.

    Returns:
        Columns ``subject``, ``label``, then one for each value, named
        ``<filter>_<feature>_<aggregation>_<discretisation>`` with only ``[A-Za-z0-9_]``; the
        filter is left out for the original image, empty parts are left out.
    """
    clean = wide_names(table)
    order = list(dict.fromkeys(clean))
    by = table.assign(column=clean).pivot(
        index=["subject", "label"], columns="column", values="value"
    )
    result = by[order].reset_index()
    result.columns.name = None
    return result


def _case(
    order: Order, name: str, unit: str, hashes: Mapping[str, str], normalisation: str
) -> _Case:
    config = order.config
    units = {filter_name(spec): response_unit(spec, unit) for spec in config.filters}
    return _Case(
        order.subject,
        name,
        config,
        unit,
        units,
        config.digest,
        hashes["image"],
        hashes[f"mask: {name}"],
        normalisation,
    )


def _measure_one(
    image: Image, mask: Bool[Tensor, "z y x"], order: Order, on_step: OnStep | None
) -> tuple[list[Value], Repeatability | None]:
    values = measure_region(prepare(image, mask, order.config), order.config)
    if not order.uncertainty:
        return values, None
    return values, repeatability(image, mask, order.config, on_step=on_step)


def _row(value: Value, case: _Case, spread: Spread | None) -> dict[str, object]:
    feature = by_tag()[value.tag]
    row: dict[str, object] = {
        "subject": case.subject,
        "label": case.label,
        "filter": value.filtered or "original",
        "family": feature.family,
        "feature": value.tag,
        "aggregation": value.aggregation,
        "discretisation": _discretisation(feature.family, case.config),
        "value": value.value,
        "unit": _unit(feature.unit, case.units.get(value.filtered, case.unit)),
        "grade": "",
        "ibsi_code": feature.code,
        "reason": value.reason,
        "config_hash": case.config_hash,
        "image_hash": case.image_hash,
        "mask_hash": case.mask_hash,
        "version": __version__,
        "normalisation": case.normalisation,
    }
    if spread is not None:
        row |= {
            "perturb_sd": spread.sd,
            "perturb_p2_5": spread.p2_5,
            "perturb_p97_5": spread.p97_5,
            "mdc95": spread.mdc95,
        }
        row["reason"] = value.reason or (f"error bar: {spread.reason}" if spread.reason else "")
    return row


def _discretisation(family: Family, config: Config) -> str:
    if family in ("histogram", "glcm", "glrlm", "glszm", "gldzm", "ngtdm", "ngldm"):
        settings = config.discretise
    elif family == "ivh":
        settings = config.ivh  # type: ignore[assignment]
    else:
        return ""
    if settings.method == "bin_width":
        return f"bin_width_{settings.bin_width:g}"
    if settings.method == "bin_count":
        return f"bin_count_{settings.bin_count}"
    return ""


def _unit(pattern: str, unit: str) -> str:
    if "{unit}" not in pattern:
        return pattern
    if unit == "1":
        return "1"
    compound = "^" in pattern and ("/" in unit or "^" in unit)
    return pattern.replace("{unit}", f"({unit})" if compound else unit)


def _image_findings(image: Image, config: Config) -> list[str]:
    found = []
    if config.modality == "PET" and image.unit != "SUV":
        found.append(
            f"The modality is PET and the unit of the image is {image.unit!r}, not SUV: widths and "
            "ranges are taken in that unit. State it if it is SUV (--unit SUV)."
        )
    if config.modality == "CT" and image.unit != "HU":
        found.append(
            f"The modality is CT and the unit of the image is {image.unit!r}, not HU: ranges and "
            "widths are taken in that unit. State it if it is HU: --unit HU, open(..., unit='HU')."
        )
    if config.modality == "MR" and config.normalise.method == "none":
        found.append(
            "The modality is MR and nothing normalises the intensities: compare their values "
            "between scans only if the scanner's scale was the same (see normalise)."
        )
    found += _anisotropy(image, config)
    if image.grid.shape[0] == 1:
        found.append(
            "The image is one slice: volumes are those of a slab as thick as the slice spacing, "
            "and 3-D texture is 2-D texture."
        )
    return found


def _anisotropy(image: Image, config: Config) -> list[str]:
    grid = target_grid(image.grid, config) or image.grid
    if grid.shape[0] == 1 or not TEXTURE & set(config.features.families):
        return []
    spatial = any(name.startswith("3D") for name in config.features.aggregations)
    ratio = max(grid.spacing_mm) / min(grid.spacing_mm)
    if not spatial or ratio < _ANISOTROPIC:
        return []
    return [
        f"Voxels are {ratio:.2g} times as long as wide: 3-D texture counts their neighbours as "
        "equally far. Resample (resample.spacing_mm), or take the 2-D and 2.5-D aggregations."
    ]


def _mask_findings(name: str, mask: Bool[Tensor, "z y x"]) -> list[str]:
    found = []
    count = int(mask.sum())
    if count < 64:
        number = "1 voxel" if count == 1 else f"{count} voxels"
        found.append(f"{name}: only {number}; texture and shape of so few mean little.")
    start, shape = bounding_box(mask)
    size = tuple(mask.shape)
    if shape[0] == 1 < size[0]:
        found.append(f"{name}: lies in one slice; its 3-D texture is 2-D texture.")
    edges = [
        a for a in range(3) if size[a] > 1 and (start[a] == 0 or start[a] + shape[a] == size[a])
    ]
    if edges:
        axes = ", ".join("zyx"[a] for a in edges)
        found.append(f"{name}: touches the border of the image along {axes}; it may be cut off.")
    return found
