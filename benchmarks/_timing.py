"""The one way things are timed here: alternated pairs, one thread, CPU seconds and wall.

Import this module before numpy, numba or torch, so that the thread counts hold. A benchmark is
a plain script: ``import _timing`` works because Python puts the script's own folder on the path.
"""
# SPDX-License-Identifier: Apache-2.0

import os

for _name in ("OMP", "MKL", "OPENBLAS", "NUMBA", "NUMEXPR"):
    os.environ.setdefault(f"{_name}_NUM_THREADS", "1")
os.environ.setdefault("ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS", "1")

import statistics  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable  # noqa: E402
from dataclasses import dataclass  # noqa: E402


@dataclass(frozen=True)
class Timing:
    """One run: CPU seconds of all threads of the process, and seconds on the clock."""

    cpu_s: float
    wall_s: float


@dataclass(frozen=True)
class Comparison:
    """Alternated runs of the same work by us and by a rival.

    Attributes:
        name: What was timed.
        ours: Our runs.
        rival: The rival's runs, each right after ours of the same place.
    """

    name: str
    ours: tuple[Timing, ...]
    rival: tuple[Timing, ...]

    @property
    def ratio(self) -> float:
        """Median over the pairs of our CPU seconds by theirs; below 1 is faster."""
        return statistics.median(
            a.cpu_s / max(b.cpu_s, 1e-9) for a, b in zip(self.ours, self.rival, strict=True)
        )

    @property
    def wall_ratio(self) -> float:
        """Median over the pairs of our wall seconds by theirs."""
        return statistics.median(
            a.wall_s / max(b.wall_s, 1e-9) for a, b in zip(self.ours, self.rival, strict=True)
        )

    def __str__(self) -> str:
        ours, rival = median(self.ours), median(self.rival)
        verdict = "equal" if abs(self.ratio - 1) <= 0.05 else f"{1 / self.ratio:.2f}x faster"
        if self.ratio > 1.05:
            verdict = f"{self.ratio:.2f}x SLOWER"
        return (
            f"{self.name:<44} ratio {self.ratio:7.3f} ({verdict}; wall {self.wall_ratio:.3f})  "
            f"ours {ours.cpu_s:.4f} CPU-s {ours.wall_s:.4f} s  "
            f"rival {rival.cpu_s:.4f} CPU-s {rival.wall_s:.4f} s"
        )


def median(runs: tuple[Timing, ...]) -> Timing:
    """Take the median of CPU and of wall seconds, each by itself."""
    return Timing(
        statistics.median(r.cpu_s for r in runs), statistics.median(r.wall_s for r in runs)
    )


def single_thread() -> None:
    """Hold torch and numba to one thread; call it once after the imports of a benchmark."""
    import numba
    import torch

    torch.set_num_threads(1)
    numba.set_num_threads(1)


def timed(work: Callable[[], object], *, repeat: int = 1) -> Timing:
    """Run ``work`` and time it.

    Args:
        work: The work, no input or output of files. If it returns a ``Timing`` (a rival that runs
            and times itself in another process), that is taken as it stands.
        repeat: Runs in one timing, for work below a few milliseconds; the mean is given.

    Returns:
        Seconds of one run.
    """
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(repeat):
        result = work()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return result if isinstance(result, Timing) else Timing(cpu / repeat, wall / repeat)


def compare(
    name: str,
    ours: Callable[[], object],
    rival: Callable[[], object],
    *,
    pairs: int = 5,
    repeat: int = 1,
    warm: int = 1,
) -> Comparison:
    """Time the same work by us and by a rival in alternated pairs, both warm.

    Args:
        name: What is timed.
        ours: Our way.
        rival: The other way.
        pairs: Number of alternated pairs.
        repeat: See ``timed``.
        warm: Untimed runs of each beforehand.

    Returns:
        All timings; print it for the line of the table.
    """
    for _ in range(warm):
        ours()
        rival()
    found = [(timed(ours, repeat=repeat), timed(rival, repeat=repeat)) for _ in range(pairs)]
    return Comparison(name, tuple(a for a, _ in found), tuple(b for _, b in found))
