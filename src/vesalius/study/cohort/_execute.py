"""Execute: measure one case in this process, whichever that is."""
# SPDX-License-Identifier: Apache-2.0

import math
import os
import sys
import time
from contextlib import suppress
from pathlib import Path

from vesalius.errors import ConfigError, FormatError, RegionError, VesaliusError
from vesalius.measure import Config
from vesalius.study._load import load_pair
from vesalius.study._run import Task, measure_part
from vesalius.study.cohort._code import measuring_code
from vesalius.study.cohort._inputs import stamp_of
from vesalius.study.cohort._journal import record_case, regions_of
from vesalius.study.cohort._runner import CaseOrder, CaseResult


def execute(order: CaseOrder) -> CaseResult:
    """Measure a case and record it in the journal.

    A typed error, or too little memory, is a result like any other; it never leaves here.

    Args:
        order: The case. One thread measures it, so that every machine gives the same bits.

    Returns:
        What became of it.
    """
    begun, spent = time.monotonic(), time.process_time()
    reset_peak()
    cause, voxels = "", 0
    try:
        voxels = _measure(order)
    except (VesaliusError, MemoryError) as error:
        cause = f"{type(error).__name__}: {error}"
    except Exception as error:  # a fault of ours or of a library: this case is lost, no other
        cause = f"fault of the program, {type(error).__name__}: {error}"
    return CaseResult(
        order.case,
        "failed" if cause else "done",
        cause,
        seconds=time.monotonic() - begun,
        cpu_seconds=time.process_time() - spent,
        peak_bytes=peak_of(os.getpid()),
        voxels=voxels,
    )


def _measure(order: CaseOrder) -> int:
    """Load, measure, record; give the voxels of the image."""
    if order.code != measuring_code():
        raise ConfigError(
            f"a case must be measured by one code, {order.case!r} was ordered by {order.code} and "
            f"reached {measuring_code()}: install one version of vesalius everywhere and run again"
        )
    config = one_threaded(Config.model_validate_json(order.config))
    image, labels, journal = Path(order.image), Path(order.labels), Path(order.journal)
    pair = load_pair(
        image,
        labels,
        config=config,
        unit=order.unit,
        on_mismatch=order.on_mismatch,
        roi=order.roi,
    )
    regions = regions_of(journal, order.key)
    regions.mkdir(exist_ok=True)
    task = Task(config, regions=order.regions, uncertainty=order.uncertainty)
    part = measure_part(pair.image, pair.labels, task, journal=regions)
    if order.stamp and stamp_of(image, labels) != order.stamp:
        raise FormatError(
            f"the files of {order.case!r} must stay as they are while they are measured, they "
            "changed: run again"
        )
    if not len(part.table):
        first = next(iter(part.failures.values()))
        raise RegionError(
            f"a case must have a region that can be measured, {order.case!r} has none; {first}"
        )
    record_case(
        journal,
        order.key,
        part.table,
        findings=pair.findings + part.findings,
        failures=part.failures,
    )
    return math.prod(pair.image.grid.shape)


def one_threaded(config: Config) -> Config:
    """Give the same configuration for one thread: the cases share the cores.

    Args:
        config: As the user gave it.
    """
    return config.model_copy(update={"compute": config.compute.model_copy(update={"threads": 1})})


def peak_of(pid: int) -> int:
    """Give the most memory that a process has had.

    Args:
        pid: Of the process.

    Returns:
        Bytes; 0 where the system does not tell.
    """
    with suppress(OSError, ValueError, IndexError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


def reset_peak() -> None:
    """Begin to count this process's memory anew, where the system can."""
    if sys.platform == "linux":
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")
