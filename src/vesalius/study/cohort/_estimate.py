"""Estimate: what a run would do and cost, from headers and from what cases took before."""
# SPDX-License-Identifier: Apache-2.0

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import final

from vesalius import io
from vesalius.errors import VesaliusError
from vesalius.study.cohort._inputs import hashed_once
from vesalius.study.cohort._job import Job, prepare
from vesalius.study.cohort._journal import SUFFIX, is_recorded
from vesalius.study.cohort._manifest import Case, Manifest
from vesalius.study.cohort._run import JOURNAL, check_files
from vesalius.study.cohort._state import Cost, costs_in

START_S = 2.5
"""Processor time in which a worker loads the library and its compiled loops."""

_CASE_S, _VOXEL_S = 0.05, 8e-8
"""Processor time of a case, and of a voxel in it, where nothing is known; the region counts more
than either, and headers do not tell it."""

_PROCESS_BYTES, _VOXEL_BYTES = 500 << 20, 24
"""Memory of a process, and of a voxel in it."""

_REPEATED = 0.6
"""Share of a measurement that a perturbed one takes: nothing is read and hashed again."""


@final
@dataclass(frozen=True, slots=True)
class CasePlan:
    """What a run would do with a case.

    Attributes:
        case: The case.
        voxels: Of its image; 0 where the header cannot be read.
        seconds: Processor time, about; 0 where nothing is to be done.
        peak_bytes: Memory, about.
        cached: Whether it is measured already.
        cause: Why it would fail; empty else.
        learned: Whether the estimate comes from cases measured before.
    """

    case: Case
    voxels: int = 0
    seconds: float = 0.0
    peak_bytes: int = 0
    cached: bool = False
    cause: str = ""
    learned: bool = False


def plan_cohort(manifest: Manifest, out: Path, *, job: Job) -> tuple[CasePlan, ...]:
    """Say what a run would do; headers are read and nothing is written.

    Files are read whole only where the folder has measured cases, to see which these are.

    Args:
        manifest: The cases.
        out: The output folder; may be absent.
        job: What would be measured.

    Returns:
        One entry for each case.

    Raises:
        FormatError: None of the files is there.
        ConfigError: A modality has no configuration.
    """
    check_files(manifest)
    return tuple(_plans(manifest, out, job))


def _plans(manifest: Manifest, out: Path, job: Job) -> Iterator[CasePlan]:
    journal = out / JOURNAL
    known = journal.is_dir() and any(journal.glob(f"*{SUFFIX}"))
    costs: dict[str, tuple[Cost, ...]] = {}
    hashed = hashed_once()
    for case in manifest.cases:
        config, kind = job.config_for(case), job.kind_for(case)
        if case.missing:
            yield CasePlan(case, cause=case.missing)
            continue
        try:
            voxels = math.prod(io.open(case.image).grid.shape)
        except VesaliusError as error:
            yield CasePlan(case, cause=str(error))
            continue
        order = prepare(case, job, journal, hashed=hashed).order if known else None
        if order is not None and is_recorded(journal, order.key):
            yield CasePlan(case, voxels, cached=True)
            continue
        if kind not in costs:
            costs[kind] = costs_in(out, kind)
        repeats = config.perturb.count if job.uncertainty else 0
        seconds, peak = estimate(voxels, costs[kind], repeats=repeats)
        yield CasePlan(case, voxels, seconds, peak, learned=bool(costs[kind]))


def estimate(voxels: int, costs: tuple[Cost, ...], *, repeats: int = 0) -> tuple[float, int]:
    """Estimate processor time and memory of a case.

    Args:
        voxels: Of its image.
        costs: Of measured cases of the same kind; empty takes a plain model.
        repeats: Perturbed measurements of each region, for the plain model.

    Returns:
        Seconds and bytes. Both grow in a line with the voxels, through the median of the measured
        cases.
    """
    plain_s = (_CASE_S + _VOXEL_S * voxels) * (1 + _REPEATED * repeats)
    plain_bytes = _PROCESS_BYTES + _VOXEL_BYTES * voxels
    if not costs:
        return plain_s, plain_bytes
    size = median(cost.voxels for cost in costs)
    slower = median(cost.cpu_seconds for cost in costs) / (_CASE_S + _VOXEL_S * size)
    told = [cost.peak_bytes for cost in costs if cost.peak_bytes]
    extra = median(told) - _VOXEL_BYTES * size if told else _PROCESS_BYTES
    return slower * (_CASE_S + _VOXEL_S * voxels), int(max(0, extra) + _VOXEL_BYTES * voxels)
