"""Content: what a report says, chosen from the long table, before anything is drawn."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

from vesalius.core import Image
from vesalius.measure._catalogue import by_tag
from vesalius.study._part import Part
from vesalius.study._views import Outline

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True, slots=True)
class KeyQuantity:
    """A quantity that stands on the first page.

    Attributes:
        title: Heading.
        tag: The feature that it comes from.
        power: ``"sqrt"`` turns a variance into an SD.
        bars: Whether error bars are drawn in percent of the value, or in its unit (where 0 is
            no natural zero).
    """

    title: str
    tag: str
    power: Literal["1", "sqrt"] = "1"
    bars: Literal["relative", "absolute"] = "relative"


KEYS = (
    KeyQuantity("Volume", "morph_volume"),
    KeyQuantity("Mean", "stat_mean", bars="absolute"),
    KeyQuantity("SD", "stat_var", "sqrt", bars="absolute"),
    KeyQuantity("Sphericity", "morph_sphericity"),
    KeyQuantity("Max. diameter", "morph_diam"),
)


_LONG = 60
"""Characters; a longer reason is shortened where it is listed."""

_FRIENDLY = {
    "ellipsoid must be within": "the enclosing ellipsoid did not converge",
    "points must span": "the region is flat, so that nothing can be fitted around it",
}
"""Beginnings of reasons that are written for a programmer, and the same for a reader."""

_ACRONYMS = ("ivh", "glcm", "glrlm", "glszm", "gldzm", "ngtdm", "ngldm", "pet")


@dataclass(frozen=True, slots=True)
class Truth:
    """A value that is known, to be compared with what was measured.

    Attributes:
        label: Name of the region.
        tag: The feature.
        title: The quantity in words.
        value: The known value, in the unit of the feature.
        source: Where it is known from.
    """

    label: str
    tag: str
    title: str
    value: float
    source: str


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number with its error bar, as a reader sees it.

    Attributes:
        value: The number; None where there is none.
        sd: Standard deviation under perturbation; None where it was not asked for.
        mdc95: Smallest change that could be shown; None as ``sd``.
        unit: Unit after scaling for display.
        reason: Why there is no number.
        grade: Repeatability grade, or empty.
    """

    value: float | None
    sd: float | None
    mdc95: float | None
    unit: str
    reason: str = ""
    grade: str = ""

    @property
    def text(self) -> str:
        """The number, rounded to what its error bar supports."""
        return "–" if self.value is None else rounded(self.value, self.sd)

    @property
    def half_text(self) -> str:
        """Half the length of the error bar (1.96 sd), two digits."""
        return "" if self.sd is None else rounded(1.96 * self.sd, 1.96 * self.sd)

    @property
    def sd_text(self) -> str:
        """The standard deviation, two digits."""
        return "" if self.sd is None else rounded(self.sd, self.sd)

    @property
    def mdc_text(self) -> str:
        """The smallest change that could be shown, two digits."""
        return "" if self.mdc95 is None else rounded(self.mdc95, self.mdc95)

    @property
    def half(self) -> float:
        """Half the length of the error bar; 0 without one."""
        return 0.0 if self.sd is None else 1.96 * self.sd

    def reach(self, bars: Literal["relative", "absolute"]) -> float:
        """Give half the length of the error bar, in percent of the value or in its unit."""
        if bars == "absolute":
            return self.half
        return 100 * self.half / abs(self.value) if self.value else 0.0


@dataclass(frozen=True, slots=True)
class KeyRow:
    """One region on the first page."""

    label: str
    colour: str
    cells: tuple[Quantity, ...]


@dataclass(frozen=True, slots=True)
class TruthRow:
    """A measured quantity beside its known value.

    ``inside`` says whether the known value lies within the error bar; None without error bar.
    """

    label: str
    title: str
    truth: float
    truth_text: str
    measured: Quantity
    inside: bool | None
    source: str

    @property
    def error(self) -> float | None:
        """Measured less known; None where nothing was measured."""
        return None if self.measured.value is None else self.measured.value - self.truth

    @property
    def error_text(self) -> str:
        """The difference in words: in percent, or in HU, which have no natural zero."""
        if self.error is None:
            return "–"
        if self.measured.unit == "HU" or not self.truth:
            text = f"{self.error:+.1f} {self.measured.unit}".strip()
        else:
            text = f"{100 * self.error / abs(self.truth):+.2f}%"
        return text.replace("-", "−")

    @property
    def span(self) -> float:
        """Largest distance from the known value that is drawn."""
        return 1.1 * max(abs(self.error or 0.0) + self.measured.half, 1e-12)


@dataclass(frozen=True, slots=True)
class Histogram:
    """Intensities of a region: share of voxels per bin, the largest bin is 1."""

    label: str
    colour: str
    low: float
    high: float
    unit: str
    heights: tuple[float, ...]
    voxels: int


@dataclass(frozen=True, slots=True)
class FeatureRow:
    """One feature for all regions of a part."""

    tag: str
    name: str
    aggregation: str
    code: str
    unit: str
    cells: tuple[Quantity, ...]


@dataclass(frozen=True, slots=True)
class FamilyTable:
    """All features of one family in one part."""

    part: str
    family: str
    labels: tuple[str, ...]
    rows: tuple[FeatureRow, ...]

    @property
    def title(self) -> str:
        """The family in words."""
        name = self.family.replace("_", " ")
        return name.upper() if self.family in _ACRONYMS else name.capitalize()


def key_rows(parts: tuple[Part, ...], colours: dict[str, str]) -> tuple[KeyRow, ...]:
    """Pick the quantities of the first page for each region.

    Args:
        parts: Measurements.
        colours: Colour of each region by name.

    Returns:
        One row for each region, in the order of measurement.
    """
    rows = []
    for part in parts:
        for label, table in part.table.groupby("label", sort=False):
            cells = tuple(_key(table, key) for key in KEYS)
            rows.append(KeyRow(str(label), colours.get(str(label), "#888888"), cells))
    return tuple(rows)


def truth_rows(parts: tuple[Part, ...], truths: tuple[Truth, ...]) -> tuple[TruthRow, ...]:
    """Set what was measured beside what is known.

    Args:
        parts: Measurements.
        truths: Known values; those of regions that were not measured are left out.

    Returns:
        One row for each known value that was measured.
    """
    rows = []
    for truth in truths:
        for part in parts:
            table = part.table[part.table["label"] == truth.label]
            found = table[table["feature"] == truth.tag]
            if len(found):
                rows.append(_truth_row(truth, _quantity(_first(found))))
    return tuple(rows)


def histograms(
    image: Image, outlines: tuple[Outline, ...], *, bins: int = 60
) -> tuple[Histogram, ...]:
    """Count the intensities of each region, on the image as it came.

    Args:
        image: The first channel is used.
        outlines: Regions on its grid; an empty one is left out.
        bins: Number of bins between the 0.5th and the 99.5th percentile.

    Returns:
        One histogram for each region.
    """
    found = (_histogram(image, outline, bins) for outline in outlines)
    return tuple(h for h in found if h is not None)


def family_tables(parts: tuple[Part, ...]) -> tuple[FamilyTable, ...]:
    """Arrange every measured value: a table for each part and family, a column for each region.

    Args:
        parts: Measurements.

    Returns:
        Tables in the order of measurement.
    """
    tables = []
    for part in parts:
        for family, table in part.table.groupby("family", sort=False):
            labels = tuple(str(label) for label in dict.fromkeys(table["label"]))
            tables.append(FamilyTable(part.name, str(family), labels, _feature_rows(table, labels)))
    return tuple(tables)


def undefined(parts: tuple[Part, ...]) -> dict[str, int]:
    """Count the values that could not be given, by reason.

    Args:
        parts: Measurements.

    Returns:
        Reasons in words for a reader, the most frequent first.
    """
    counts: dict[str, int] = {}
    for part in parts:
        for reason in part.table.loc[part.table["value"].isna(), "reason"]:
            words = friendly(_word(reason))
            counts[words] = counts.get(words, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def friendly(reason: str) -> str:
    """Shorten the reason for a missing value: what it means, without its numbers and advice.

    Args:
        reason: As it stands in the table, which keeps it whole.

    Returns:
        A few words.
    """
    for start, words in _FRIENDLY.items():
        if reason.startswith(start):
            return words
    # an error says what must hold, what came and what to do: the last is not for a list
    return reason.split(": ")[0].rstrip(".") if len(reason) > _LONG else reason.rstrip(".")


def rounded(value: float, sd: float | None) -> str:
    """Write a number to the digits that its error supports (two of the error), else to five.

    Args:
        value: The number.
        sd: Its standard deviation, or None.

    Returns:
        Plain decimals from 1e-4 to 1e7, else powers of ten.
    """
    if not math.isfinite(value):
        return "–"
    size = math.floor(math.log10(abs(value))) if value else 0
    digits = 4 - size
    if sd is not None and sd > 0 and math.isfinite(sd):
        digits = 1 - math.floor(math.log10(sd))
    digits = min(digits, 6 - size)
    if value and (abs(value) >= 1e7 or abs(value) < 1e-4):
        return f"{value:.{max(0, min(6, digits + size))}e}"
    text = f"{round(value, digits):.{max(0, digits)}f}"
    return text.replace("-", "−") if float(text) else text.lstrip("-")


def _key(table: "DataFrame", key: KeyQuantity) -> Quantity:
    found = table[table["feature"] == key.tag]
    if not len(found):
        return Quantity(None, None, None, "", "not measured")
    quantity = _quantity(_first(found))
    return _root(quantity) if key.power == "sqrt" else quantity


def _first(table: "DataFrame") -> dict[str, object]:
    return {str(name): value for name, value in table.iloc[0].items()}


def _root(variance: Quantity) -> Quantity:
    """Turn a variance into an SD; its error follows by d sqrt(v) = dv / (2 sqrt(v))."""
    unit = variance.unit.removesuffix("^2").removesuffix("²")
    if variance.value is None or variance.value <= 0:
        value = None if variance.value is None else 0.0
        return Quantity(value, None, None, unit, variance.reason, variance.grade)
    root = math.sqrt(variance.value)
    half = None if variance.sd is None else variance.sd / (2 * root)
    change = None if variance.mdc95 is None else variance.mdc95 / (2 * root)
    return Quantity(root, half, change, unit, variance.reason, variance.grade)


def _quantity(row: dict[str, object]) -> Quantity:
    value, sd, mdc = (_number(row[name]) for name in ("value", "perturb_sd", "mdc95"))
    factor, unit = _scale(str(row["unit"]), value)
    scaled = [None if v is None else v * factor for v in (value, sd, mdc)]
    return Quantity(
        scaled[0], scaled[1], scaled[2], unit, _word(row["reason"]), _word(row["grade"])
    )


def _scale(unit: str, value: float | None) -> tuple[float, str]:
    """Choose the unit in which a volume is easiest to read."""
    if unit == "mm^3" and value is not None and abs(value) >= 100.0:
        return 1e-3, "mL"
    pretty = {"mm^3": "mm³", "mm^2": "mm²", "1": "", "1/mm": "mm⁻¹"}
    return 1.0, pretty.get(unit, unit.replace("^2", "²").replace("^3", "³"))


def _number(value: object) -> float | None:
    number = float(value)  # type: ignore[arg-type]
    return number if math.isfinite(number) else None


def _word(value: object) -> str:
    return str(value) if isinstance(value, str) else ""


def _truth_row(truth: Truth, measured: Quantity) -> TruthRow:
    factor = 1e-3 if measured.unit == "mL" else 1.0
    known = truth.value * factor
    inside = None
    if measured.value is not None and measured.sd is not None:
        inside = abs(measured.value - known) <= 1.96 * measured.sd
    text = rounded(known, measured.sd)
    return TruthRow(truth.label, truth.title, known, text, measured, inside, truth.source)


def _histogram(image: Image, outline: Outline, bins: int) -> Histogram | None:
    values = outline.values(image)
    count = int(values.numel())
    if not count:
        return None
    low, high = (float(v) for v in np.quantile(values.numpy(), (0.005, 0.995)))
    high = high if high > low else low + 1.0
    heights = torch.histc(values[(values >= low) & (values <= high)], bins, low, high)
    shares = (heights / heights.max().clamp(min=1)).tolist()
    return Histogram(outline.name, outline.colour, low, high, image.unit, tuple(shares), count)


def _feature_rows(table: "DataFrame", labels: tuple[str, ...]) -> tuple[FeatureRow, ...]:
    rows: dict[tuple[str, str], dict[str, dict[str, object]]] = {}
    for record in table.to_dict("records"):
        key = (str(record["feature"]), _word(record["aggregation"]))
        cells = {str(name): value for name, value in record.items()}
        rows.setdefault(key, {})[str(record["label"])] = cells
    return tuple(_feature_row(key, cells, labels) for key, cells in rows.items())


def _feature_row(
    key: tuple[str, str], cells: dict[str, dict[str, object]], labels: tuple[str, ...]
) -> FeatureRow:
    first = next(iter(cells.values()))
    quantities = tuple(
        _plain(cells[label]) if label in cells else Quantity(None, None, None, "", "not measured")
        for label in labels
    )
    unit = _scale(str(first["unit"]), None)[1]
    known = by_tag().get(key[0])
    name = known.name if known else key[0]
    return FeatureRow(key[0], name, key[1], _word(first["ibsi_code"]), unit, quantities)


def _plain(row: dict[str, object]) -> Quantity:
    """Give a value in its own unit, so that a column of regions can be compared."""
    value, sd, mdc = (_number(row[name]) for name in ("value", "perturb_sd", "mdc95"))
    return Quantity(value, sd, mdc, "", _word(row["reason"]), _word(row["grade"]))
