"""RegistrationReport: every figure by which a registration is judged, before and after."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import asdict, dataclass
from typing import final

# title, field of a structure, unit
MEASURES = (
    ("Dice", "dice", "1"),
    ("Jaccard", "jaccard", "1"),
    ("HD95", "hd95_mm", "mm"),
    ("ASSD", "assd_mm", "mm"),
)


@final
@dataclass(frozen=True, slots=True)
class Structure:
    """One structure of two label maps.

    Attributes:
        layer: Its layer.
        value: Its label.
        name: Its name.
        dice: Overlap, 0 to 1; 0 where one map lacks it, NaN where both do.
        jaccard: The other overlap, 0 to 1.
        hd95_mm: 95th percentile of the surface distances of both ways, pooled; NaN where one map
            lacks it.
        assd_mm: Mean of the surface distances of both ways, pooled.
        fixed_mm3: Volume in the fixed labels.
        moving_mm3: Volume in the moving labels, pulled.
    """

    layer: int
    value: int
    name: str
    dice: float
    jaccard: float
    hd95_mm: float
    assd_mm: float
    fixed_mm3: float
    moving_mm3: float


@final
@dataclass(frozen=True, slots=True)
class LandmarkError:
    """Target registration error: distance of mapped fixed landmarks from the moving ones.

    Attributes:
        count: Number of landmarks.
        mean_mm: Mean.
        median_mm: Median.
        p95_mm: 95th percentile.
        max_mm: Largest.
        mean_relative: Mean by the diagonal of the fixed image (rTRE).
        median_relative: Median by the diagonal of the fixed image.
    """

    count: int
    mean_mm: float
    median_mm: float
    p95_mm: float
    max_mm: float
    mean_relative: float
    median_relative: float


@final
@dataclass(frozen=True, slots=True)
class Folding:
    """How far a map is from turning inside out.

    Attributes:
        folded_percent: Voxels whose Jacobian determinant, by central differences, is 0 or less.
        folded_cells_percent: Cells between voxels with a tetrahedron turned over: sees the
            checkerboards that central differences skip.
        non_diffeomorphic_mm3: Half the volume of all tetrahedra turned over.
        non_diffeomorphic_percent: The same by the volume looked at.
        sd_log_jacobian: Standard deviation of the logarithm of the determinant where positive.
        smallest: Smallest determinant, by central differences.
        largest: Largest determinant.
    """

    folded_percent: float
    folded_cells_percent: float
    non_diffeomorphic_mm3: float
    non_diffeomorphic_percent: float
    sd_log_jacobian: float
    smallest: float
    largest: float


@final
@dataclass(frozen=True, slots=True)
class Consistency:
    """Whether the inverse leads back: |T^-1(T(x)) - x|.

    Attributes:
        mean_mm: Mean.
        max_mm: Largest.
        count: Points tried.
        remark: Why there is no figure; empty where there is one.
    """

    mean_mm: float
    max_mm: float
    count: int
    remark: str


@final
@dataclass(frozen=True, slots=True)
class Alikeness:
    """How alike the images are where both have samples.

    Attributes:
        ncc: Normalised cross-correlation, -1 to 1.
        mutual_information: Nats, 32 x 32 bins.
        shared: Share of the fixed voxels that were compared.
    """

    ncc: float
    mutual_information: float
    shared: float


@final
@dataclass(frozen=True, slots=True)
class Row:
    """One line of the report's table.

    Attributes:
        name: What was measured.
        before: With the start transform; empty where it means nothing.
        after: With what was found.
        unit: Of both.
    """

    name: str
    before: str
    after: str
    unit: str


@final
@dataclass(frozen=True, slots=True)
class RegistrationReport:
    """Every figure by which a registration is judged.

    Attributes:
        before: Structures through the start transform; empty without labels.
        after: Structures through the found transform.
        landmarks_before: Landmark errors of the start; None without landmarks.
        landmarks_after: Landmark errors of what was found.
        folding: Folds of what was found.
        consistency: How well its inverse leads back.
        similarity_before: Of the images, through the start.
        similarity_after: Of the images, through what was found.
        seconds: Wall time of the search.
        peak_ram_mb: Most memory that the process has held so far, MB.
    """

    before: tuple[Structure, ...]
    after: tuple[Structure, ...]
    landmarks_before: LandmarkError | None
    landmarks_after: LandmarkError | None
    folding: Folding
    consistency: Consistency
    similarity_before: Alikeness
    similarity_after: Alikeness
    seconds: float
    peak_ram_mb: float

    @property
    def mean_dice_before(self) -> float:
        """Mean Dice over the structures, through the start; NaN without labels."""
        return _mean([s.dice for s in self.before])

    @property
    def mean_dice(self) -> float:
        """Mean Dice over the structures, through what was found; NaN without labels."""
        return _mean([s.dice for s in self.after])

    def to_dict(self) -> dict[str, object]:
        """Give plain numbers, texts, lists and dictionaries; what is not a number becomes None."""
        plain = asdict(self)
        plain["mean_dice_before"], plain["mean_dice"] = self.mean_dice_before, self.mean_dice
        found = _plain(plain)
        assert isinstance(found, dict)
        return found

    def rows(self) -> tuple[Row, ...]:
        """Give the lines of the summary table; ``before`` and ``after`` hold the structures."""
        one, two = self.similarity_before, self.similarity_after
        rows = [
            _row("Cross-correlation (NCC)", one.ncc, two.ncc, "1"),
            _row("Mutual information", one.mutual_information, two.mutual_information, "nat"),
        ]
        if self.after:
            rows += self._label_rows()
        if self.landmarks_before is not None and self.landmarks_after is not None:
            rows += _landmark_rows(self.landmarks_before, self.landmarks_after)
        fold = self.folding
        return (
            *rows,
            _row("Voxels with det <= 0", None, fold.folded_percent, "%"),
            _row("Cells with a turned tetrahedron", None, fold.folded_cells_percent, "%"),
            _row("Non-diffeomorphic volume", None, fold.non_diffeomorphic_mm3, "mm³"),
            _row("SD of log Jacobian", None, fold.sd_log_jacobian, "1"),
            _row("Inverse consistency, mean", None, self.consistency.mean_mm, "mm"),
            _row("Inverse consistency, largest", None, self.consistency.max_mm, "mm"),
            _row("Time of the search", None, self.seconds, "s"),
            _row("Peak memory", None, self.peak_ram_mb, "MB"),
        )

    def _label_rows(self) -> list[Row]:
        rows = []
        for title, field, unit in MEASURES:
            one, two = (
                _mean([float(getattr(s, field)) for s in part])
                for part in (self.before, self.after)
            )
            rows.append(_row(f"{title}, mean of {len(self.after)} structures", one, two, unit))
        return rows


def _landmark_rows(one: LandmarkError, two: LandmarkError) -> list[Row]:
    return [
        _row("Landmark error (TRE), mean", one.mean_mm, two.mean_mm, "mm"),
        _row("Landmark error, median", one.median_mm, two.median_mm, "mm"),
        _row("Landmark error, P95", one.p95_mm, two.p95_mm, "mm"),
        _row("Landmark error by the diagonal (rTRE), median", *_percents(one, two), "%"),
    ]


def _percents(one: LandmarkError, two: LandmarkError) -> tuple[float, float]:
    return 100 * one.median_relative, 100 * two.median_relative


def _row(name: str, before: float | None, after: float, unit: str) -> Row:
    return Row(name, "" if before is None else _text(before), _text(after), unit)


def _text(value: float) -> str:
    return "not known" if math.isnan(value) else f"{value:.4g}"


def _mean(values: list[float]) -> float:
    known = [v for v in values if not math.isnan(v)]
    return sum(known) / len(known) if known else math.nan


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
