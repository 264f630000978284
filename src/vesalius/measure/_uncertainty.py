"""Uncertainty: the error bar of every value, from many perturbed measurements of one region."""
# SPDX-License-Identifier: Apache-2.0

import math
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from vesalius.core import Image
from vesalius.core._step import Step
from vesalius.errors import ConvergenceError, IntensityError, RegionError, VesaliusError
from vesalius.measure._config import Config
from vesalius.measure._engine import measure_region
from vesalius.measure._feature import Value
from vesalius.measure._perturb import Plan, draw, perturbed, plan
from vesalius.measure._region import Region
from vesalius.measure._reliability import Icc, icc

Measure = Callable[[Region, Config], list[Value]]
"""What turns a region into values."""

_BATCH = 8
"""The stop rule is asked after every so many perturbations, for any number of threads."""

_LEAST = 4
"""A spread of fewer values is not given."""

_COSTLY = ("morph_moran_i", "morph_geary_c")


@dataclass(frozen=True, slots=True)
class Spread:
    """How one value varies under perturbation.

    Attributes:
        key: Tag and aggregation, as ``Value.key``.
        mean: Mean over the perturbations; it may differ from the unperturbed value.
        sd: Standard deviation; NaN only with a reason.
        p2_5: 2.5th percentile.
        p97_5: 97.5th percentile.
        mdc95: 1.96 sqrt(2) sd: the smallest change between two such measurements that is not
            explained by what was perturbed (within-scan repeatability).
        n: Number of perturbed values behind it.
        reason: Why there is no spread, or why some perturbations gave no value.
    """

    key: str
    mean: float
    sd: float
    p2_5: float
    p97_5: float
    mdc95: float
    n: int
    reason: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Repeatability:
    """The spreads of all values of one region.

    Attributes:
        spreads: By ``Value.key``.
        samples: The perturbed values themselves, by key, in order of perturbation; NaN where one
            gave none.
        count: Number of perturbations done.
        stopped_early: Whether the stop rule ended them before ``config.perturb.count``.
        noise: Standard deviation of the noise that was added, unit of the image.
    """

    spreads: Mapping[str, Spread]
    samples: Mapping[str, tuple[float, ...]]
    count: int
    stopped_early: bool
    noise: float


def repeatability(
    image: Image,
    mask: Bool[Tensor, "z y x"],
    config: Config,
    *,
    measure: Measure = measure_region,
    on_step: Callable[[Step], None] | None = None,
) -> Repeatability:
    """Measure a region under many perturbations and say how much each value varies.

    Perturbation k depends on ``config.perturb.seed`` and k alone: the result is the same for any
    number of threads.

    Args:
        image: One channel, already normalised where that is asked for.
        mask: The region as drawn, on the image's grid.
        config: ``perturb`` says what is varied, ``compute.threads`` how many work at once.
        measure: What turns a region into values; must be safe to call from several threads.
        on_step: Is told after every batch of perturbations.

    Returns:
        Mean, standard deviation, percentiles and smallest detectable change of every value.

    Raises:
        RegionError: The mask is empty, or no perturbation leaves anything to measure.
        IntensityError: NaN or infinity inside the region.

    References:
        Zwanenburg et al. (2019), doi:10.1038/s41598-018-36938-4. Differs from it in: shift,
        rotation and voxel size are one interpolation; rotation is about any axis; supervoxels push
        a smooth contour instead of being cut out of it, by sqrt(2 min(p, 1 - p)) of their volume
        for an overlap of p, and keep the expected volume; blur and calibration drift are added.
    """
    shared = plan(image, mask, config)
    rows: list[Mapping[str, Value] | VesaliusError] = []
    total, tolerance = config.perturb.count, config.perturb.stop_tolerance
    size = _BATCH if tolerance > 0 else total
    with ThreadPoolExecutor(config.compute.threads) as pool:
        while len(rows) < total:
            batch = range(len(rows), min(total, len(rows) + size))
            for row in pool.map(lambda k: _one(shared, k, measure), batch):
                rows.append(row)
                if on_step is not None and (len(rows) % _BATCH == 0 or len(rows) == total):
                    on_step(Step("perturb", len(rows), total))
            if len(rows) < total and _known(rows, tolerance):
                break
    return _result(rows, shared, stopped=len(rows) < total)


def cohort_reliability(cohort: Iterable[Repeatability]) -> dict[str, Icc]:
    """Compute ICC(1,1) of every value over a cohort, perturbations as repeats.

    Args:
        cohort: One entry for each subject, measured with the same configuration.

    Returns:
        By key, for the keys that all subjects have; a reason where a value is undefined.

    Raises:
        RegionError: Fewer than two subjects: reliability is a property of a cohort.
    """
    subjects = list(cohort)
    if len(subjects) < 2:
        raise RegionError(
            f"a cohort must have at least two subjects, got {len(subjects)}: "
            "one scan has repeatability, not reliability"
        )
    common = [k for k in subjects[0].samples if all(k in s.samples for s in subjects)]
    return {key: _cohort_icc([s.samples[key] for s in subjects]) for key in common}


def _cohort_icc(samples: list[tuple[float, ...]]) -> Icc:
    finite = [[v for v in row if math.isfinite(v)] for row in samples]
    repeats = min(len(row) for row in finite)
    if repeats < 2:
        nan = math.nan
        return Icc(nan, nan, nan, "", len(samples), repeats, "undefined in a subject")
    table = torch.tensor([row[:repeats] for row in finite], dtype=torch.float64)
    return icc(table)


def _one(shared: Plan, index: int, measure: Measure) -> Mapping[str, Value] | VesaliusError:
    settings = shared.config.perturb
    config = shared.config
    flat = shared.block.grid.shape[0] == 1
    costly = index < settings.autocorrelation_count
    if not costly:
        config = _without_autocorrelation(config)
    try:
        region = perturbed(shared, draw(settings, index, flat=flat))
        values = {value.key: value for value in measure(region, config)}
    except (RegionError, IntensityError, ConvergenceError) as error:
        return error
    return values if costly else {k: v for k, v in values.items() if k not in _COSTLY}


def _without_autocorrelation(config: Config) -> Config:
    features = config.features.model_copy(update={"spatial_autocorrelation": False})
    return config.model_copy(update={"features": features})


def _table(rows: list[Mapping[str, Value] | VesaliusError]) -> dict[str, np.ndarray]:
    """By key, one number for each perturbation that was asked for it; NaN where undefined."""
    good = [row for row in rows if not isinstance(row, VesaliusError)]
    keys = dict.fromkeys(key for row in good for key in row)
    return {k: np.array([row[k].value for row in good if k in row]) for k in keys}


def _known(rows: list[Mapping[str, Value] | VesaliusError], tolerance: float) -> bool:
    """Whether every standard deviation has a relative standard error below the tolerance."""
    if tolerance <= 0:
        return False
    table = _table(rows)
    return bool(table) and all(_relative_error(values) < tolerance for values in table.values())


def _relative_error(values: np.ndarray) -> float:
    """Standard error of a standard deviation over itself, for any fourth moment."""
    x = values[np.isfinite(values)]
    n = len(x)
    centred = x - x.mean() if n else x
    m2 = float((centred**2).mean()) if n else 0.0
    if n < _LEAST:
        return math.inf if n and len(values) < _LEAST else 0.0
    if m2 <= 1e-24 * float((x**2).mean()):
        return 0.0
    kurtosis = float((centred**4).mean()) / m2**2
    return 0.5 * math.sqrt(max(0.0, kurtosis - (n - 3) / (n - 1)) / n)


def _result(
    rows: list[Mapping[str, Value] | VesaliusError], shared: Plan, *, stopped: bool
) -> Repeatability:
    failures = [row for row in rows if isinstance(row, VesaliusError)]
    if len(failures) == len(rows):
        raise failures[0]
    table = _table(rows)
    reasons = _reasons(rows)
    spreads: dict[str, Spread] = {}
    for values_of in _alike(table).values():
        spreads |= _spreads(values_of)
    for key, values in table.items():
        if key not in spreads:
            spreads[key] = _spread(key, values, reasons.get(key, ""))
    lost = f"{len(failures)} perturbations failed: {failures[0]}" if failures else ""
    ordered = {key: _noted(spreads[key], lost) for key in table}
    samples = {key: tuple(values.tolist()) for key, values in table.items()}
    return Repeatability(ordered, samples, len(rows), stopped, shared.sigma)


def _noted(spread: Spread, lost: str) -> Spread:
    if not lost:
        return spread
    return replace(spread, reason=f"{spread.reason}; {lost}" if spread.reason else lost)


def _alike(table: Mapping[str, np.ndarray]) -> dict[int, dict[str, np.ndarray]]:
    """The values that are always defined, by how many there are: one pass does each group."""
    groups: dict[int, dict[str, np.ndarray]] = {}
    for key, values in table.items():
        if len(values) >= _LEAST and np.isfinite(values).all():
            groups.setdefault(len(values), {})[key] = values
    return groups


def _spreads(group: Mapping[str, np.ndarray]) -> dict[str, Spread]:
    x = np.stack(list(group.values()))
    rest = x - x[:, :1]  # relative to the first: a constant has spread 0 exactly
    mean, sd = x[:, 0] + rest.mean(axis=1), rest.std(axis=1, ddof=1)
    low, high = np.percentile(x, [2.5, 97.5], axis=1)
    columns = [v.tolist() for v in (mean, sd, low, high, 1.96 * math.sqrt(2) * sd)]
    n = x.shape[1]
    return {
        key: Spread(key, mu, s, lo, hi, mdc, n)
        for key, mu, s, lo, hi, mdc in zip(group, *columns, strict=True)
    }


def _reasons(rows: list[Mapping[str, Value] | VesaliusError]) -> dict[str, str]:
    """First reason for a missing value, by key."""
    reasons: dict[str, str] = {}
    for row in rows:
        if not isinstance(row, VesaliusError):
            for key, value in row.items():
                if not math.isfinite(value.value):
                    reasons.setdefault(key, value.reason)
    return reasons


def _spread(key: str, values: np.ndarray, reason: str) -> Spread:
    x = values[np.isfinite(values)]
    n = len(x)
    if n < _LEAST:
        nan = math.nan
        why = f"fewer than {_LEAST} perturbed values" + (f": {reason}" if reason else "")
        return Spread(key, nan, nan, nan, nan, nan, n, why)
    note = f"{len(values) - n} of {len(values)} perturbations gave no value: {reason}"
    return replace(_spreads({key: x})[key], reason=note)
