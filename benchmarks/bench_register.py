"""Registration beside its rivals: CPU seconds, overlap, folds, landmarks, random starts, memory.

``bench_register.py [SECTION ...]``; without words all sections run. Deformable rows are the
deformable stage alone, ours and the rival's both from the rival's own affine. One thread each; a
rival that is absent is skipped with the reason. The folder of the data is ``VESALIUS_TEST_DATA``,
that of the rivals' environments ``VESALIUS_RIVALS``.
"""
# SPDX-License-Identifier: Apache-2.0

import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import _timing
import numpy as np
import torch
from _register_cases import (
    Pair,
    brain_pair,
    chest_pair,
    kidney_pair,
    known_pairs,
    prostate_pairs,
    slice_pairs,
)
from _register_rivals import Outcome, run_rival

from vesalius.core import Linear, Transform
from vesalius.ops._overlap import overlap
from vesalius.register import Plan, preset, register, start_transform
from vesalius.register.evaluate import folding, inverse_consistency, landmark_error

ROWS = (("accurate", "greedy", "ncc"), ("smooth", "ants", "syn"))


@dataclass(frozen=True)
class Scores:
    """What one registration reached.

    Attributes:
        cpu_s: Of the stage that is compared.
        dice: Mean over the scored labels; NaN without labels.
        folded: Voxels with det <= 0, %.
        cells: Cells with a turned tetrahedron, %.
        sd_log: SD of log Jacobian inside the head.
    """

    cpu_s: float
    dice: float
    folded: float
    cells: float
    sd_log: float

    def __str__(self) -> str:
        return (
            f"{self.cpu_s:7.2f} CPU-s  Dice {self.dice:.4f}  det<=0 {self.folded:.4f} %  "
            f"cells {self.cells:.4f} %  SDlogJ {self.sd_log:.3f}"
        )


def dice(pair: Pair, transform: Transform) -> float:
    """Give the mean Dice of the scored labels, those left out that neither image has."""
    from vesalius.core import resample_labels

    if pair.fixed_labels is None or pair.moving_labels is None:
        return float("nan")
    pulled = resample_labels(pair.moving_labels, pair.fixed_labels.grid, transform=transform)
    one, two = (x.data[0].to(torch.int64) for x in (pair.fixed_labels, pulled))
    return float(overlap(one, two, pair.scored).dice.nanmean())


def score(pair: Pair, transform: Transform, cpu_s: float) -> Scores:
    """Judge a transform; folds and spread where the fixed image is above its mean."""
    data = pair.fixed.data[0]
    found = folding(transform, pair.fixed.grid, inside=data > data.mean())
    everywhere = folding(transform, pair.fixed.grid)
    return Scores(
        cpu_s,
        dice(pair, transform),
        everywhere.folded_percent,
        everywhere.folded_cells_percent,
        found.sd_log_jacobian,
    )


def ours(pair: Pair, plan: Plan | str, start: Linear | None) -> tuple[Transform, float]:
    """Register by us, a plan or a preset by name; ``start`` None begins from the header."""
    init = "header" if start is None else start
    found: list[Transform] = []

    def work() -> None:
        found.append(register(pair.fixed, pair.moving, plan=plan, init=init).transform)

    spent = _timing.timed(work)
    return found[0], spent.cpu_s


def deformable(name: str, pair: Pair) -> Plan:
    """Give the last stage of a preset alone."""
    return Plan(preset(name, pair.fixed.grid).stages[-1:])


def rival(name: str, pair: Pair, task: str) -> Outcome | None:
    """Run a rival, or say why not."""
    try:
        return run_rival(name, pair, task)
    except (FileNotFoundError, RuntimeError) as error:
        print(f"{name} {task}: skipped, {error}")
        return None


def against(pair: Pair, row: tuple[str, str, str], repeats: int) -> tuple[Scores, Scores] | None:
    """Run a deformable row: the rival, then ours from its affine; median CPU of the repeats."""
    which, name, task = row
    seconds: list[tuple[float, float]] = []
    for _ in range(repeats):
        theirs = rival(name, pair, task)
        if theirs is None:
            return None
        found, cpu_s = ours(pair, deformable(which, pair), theirs.affine)
        seconds.append((cpu_s, theirs.seconds["deformable"]))
    a, b = (statistics.median(s) for s in zip(*seconds, strict=True))
    print(f"{pair.name}: {name} held {theirs.rss_mb:.0f} MB")
    return score(pair, found, a), score(pair, theirs.transform, b)


def section_pair() -> None:
    """The pair of the bars: linear, accurate, smooth, and the other rivals for the record."""
    pair = brain_pair()
    ours(pair, "accurate", None)  # compiles
    ours(pair, deformable("smooth", pair), Linear.identity())
    print(f"start: Dice {dice(pair, Linear.identity()):.4f}")
    for name in ("sitk", "ants", "elastix"):
        theirs = rival(name, pair, "affine")
        if theirs is None:
            continue
        spent = sum(v for k, v in theirs.seconds.items() if not k.endswith("_wall"))
        found, cpu_s = ours(pair, "affine", None)
        print(f"affine    ours    {score(pair, found, cpu_s)}")
        print(f"          {name:<7} {score(pair, theirs.transform, spent)}")
        print(f"          ratio {cpu_s / spent:.3f}")
    for row in ROWS:
        both = against(pair, row, repeats=3)
        if both is not None:
            print_row(row, *both)
    for name, task in (("sitk", "demons"), ("elastix", "bspline")):
        theirs = rival(name, pair, task)
        if theirs is not None:
            spent = theirs.seconds.get("deformable", theirs.seconds.get(task, 0.0))
            print(f"          {name:<7} {score(pair, theirs.transform, spent)} ({task})")


def print_row(row: tuple[str, str, str], mine: Scores, theirs: Scores) -> None:
    print(f"{row[0]:<9} ours    {mine}")
    print(f"          {row[1]:<7} {theirs}")
    print(f"          ratio {mine.cpu_s / theirs.cpu_s:.3f}")


def section_known(part: str = "test") -> None:
    """The labelled pairs with seeded warps; differences with 95 % intervals over the pairs."""
    pairs = known_pairs(part)
    linear(pairs)
    for row in ROWS:
        found = [both for pair in pairs if (both := against(pair, row, repeats=1)) is not None]
        if not found:
            continue
        for pair, (mine, theirs) in zip(pairs, found, strict=True):
            print(f"{pair.name:<14} ours {mine}\n{'':<14} {row[1]:<4} {theirs}")
        summarise(f"{row[0]} against {row[1]}", found)


def linear(pairs: list[Pair]) -> None:
    """Compare the affine preset with SimpleITK's on each pair."""
    found = []
    for pair in pairs:
        theirs = rival("sitk", pair, "affine")
        if theirs is None:
            return
        spent = theirs.seconds["rigid"] + theirs.seconds["affine"]
        map_, cpu_s = ours(pair, "affine", None)
        found.append((score(pair, map_, cpu_s), score(pair, theirs.transform, spent)))
        print(f"{pair.name:<14} ours {found[-1][0]}\n{'':<14} sitk {found[-1][1]}")
    summarise("affine against sitk", found)


def summarise(title: str, found: list[tuple[Scores, Scores]]) -> None:
    """Print means, and paired differences with t intervals."""
    from scipy.stats import t

    print(f"{title}, {len(found)} pairs")
    for name in ("dice", "sd_log", "cells", "cpu_s"):
        a, b = (np.array([getattr(s, name) for s in side]) for side in zip(*found, strict=True))
        change = a - b
        half = t.ppf(0.975, len(a) - 1) * change.std(ddof=1) / np.sqrt(len(a)) if len(a) > 1 else 0
        print(
            f"    {name:<7} ours {a.mean():.4f}  rival {b.mean():.4f}  "
            f"difference {change.mean():+.4f} [{change.mean() - half:+.4f}, "
            f"{change.mean() + half:+.4f}]"
        )
    ratios = [a.cpu_s / b.cpu_s for a, b in found]
    print(f"    median ratio of CPU seconds {statistics.median(ratios):.3f}")


def section_starts() -> None:
    """Twenty random starts of the affine preset: how far each ends from their consensus."""
    pair = brain_pair()
    rng = np.random.default_rng(7)
    grid = pair.fixed.grid
    inside = torch.nonzero(pair.fixed.data[0] > pair.fixed.data.mean())[::997]
    points = grid.to_world(inside.double())
    centre = tuple(points.mean(dim=0).tolist())
    ends = []
    for _ in range(20):
        axis, way = (v / np.linalg.norm(v) for v in rng.standard_normal((2, 3)))
        turn = Linear.rotation(tuple(rng.uniform(0, 20) * axis), centre_mm=centre)
        start = Linear((Linear.translation(tuple(rng.uniform(0, 20) * way)) @ turn).matrix)
        ends.append(ours(pair, "affine", start)[0])
    places = torch.stack([end(points) for end in ends])
    middle = places.median(dim=0).values
    miss = (places - middle).norm(dim=-1).mean(dim=1)
    turns = torch.stack([_rotation(end.matrix[:3, :3]) for end in ends])
    mean = _rotation(turns.mean(dim=0))
    cosines = ((turns @ mean.T).diagonal(dim1=1, dim2=2).sum(dim=1) - 1) / 2
    degrees = torch.rad2deg(torch.arccos(cosines.clamp(-1, 1)))
    good = int(((miss < 1) & (degrees < 1)).sum())
    print(
        f"{good} of 20 end within 1 mm and 1 degree; farthest {float(miss.max()):.3f} mm, "
        f"{float(degrees.max()):.3f} degrees"
    )


def _rotation(matrix: torch.Tensor) -> torch.Tensor:
    u, _, v = torch.linalg.svd(matrix)
    return u @ v


def section_memory() -> None:
    """Peak memory of the accurate preset in a process of its own, at 2 mm and at 1 mm."""
    for spacing in ("2", "1"):
        done = subprocess.run(
            [sys.executable, __file__, "memory-of", spacing],
            capture_output=True,
            text=True,
            check=False,
        )
        print(done.stdout.strip() or done.stderr[-500:])


def memory_of(spacing_mm: float) -> None:
    """Print the peak memory, and how much of it stood before the search began."""
    pair = brain_pair(spacing_mm)
    before = _peak_mb()
    _, cpu_s = ours(pair, "accurate", None)
    peak = _peak_mb()
    print(
        f"{spacing_mm:g} mm, {pair.fixed.data.numel() / 1e6:.2f} M voxels: peak {peak:.0f} MB "
        f"({before:.0f} MB with the data read), {cpu_s:.1f} CPU-s, compiling included"
    )


def _peak_mb() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def section_inverse() -> None:
    """Inverse consistency of the presets, in voxels."""
    pair = brain_pair()
    size = min(pair.fixed.grid.spacing_mm)
    for name in ("accurate", "smooth"):
        found, _ = ours(pair, name, None)
        miss = inverse_consistency(found, pair.fixed.grid, moving=pair.moving.grid)
        print(
            f"{name}: mean {miss.mean_mm / size:.4f}, largest {miss.max_mm / size:.3f} voxel "
            f"{miss.remark}"
        )


def section_histology() -> None:
    """The rat kidney by two stains: median landmark error in pixels."""
    pair = kidney_pair()
    for name, task in (("ants", "syncc"), ("greedy", "ncc")):
        theirs = rival(name, pair, task)
        if theirs is not None:
            print(f"{name} {task}: {_landmarks(pair, theirs.transform)} {theirs.seconds}")
    for name in ("smooth", "accurate"):
        for _ in range(2):  # the first one compiles
            found, cpu_s = ours(pair, name, None)
        print(f"ours {name}: {_landmarks(pair, found)} {cpu_s:.2f} CPU-s")


def _landmarks(pair: Pair, transform: Transform) -> str:
    assert pair.fixed_points is not None
    assert pair.moving_points is not None
    found = landmark_error(pair.fixed_points, pair.moving_points, transform, grid=pair.fixed.grid)
    return f"TRE median {found.median_mm:.2f}, mean {found.mean_mm:.2f}, P95 {found.p95_mm:.2f}"


def section_slices() -> None:
    """Ten pairs of brain slices: mean Dice."""
    reached: dict[str, list[float]] = {"ours": [], "ants": []}
    seconds: dict[str, list[float]] = {"ours": [], "ants": []}
    for pair in slice_pairs():
        found, cpu_s = ours(pair, "accurate", None)
        reached["ours"].append(dice(pair, found))
        seconds["ours"].append(cpu_s)
        theirs = rival("ants", pair, "syncc")
        if theirs is not None:
            reached["ants"].append(dice(pair, theirs.transform))
            spent = (theirs.seconds[k] for k in ("rigid", "affine", "deformable"))
            seconds["ants"].append(sum(spent))
    for name, values in reached.items():
        if values:
            print(
                f"{name:<5} mean Dice {statistics.mean(values):.4f}, median "
                f"{statistics.median(seconds[name]):.2f} CPU-s: "
                + " ".join(f"{v:.3f}" for v in values)
            )


def section_prostate() -> None:
    """MR and ultrasound: Dice of the gland, deformable against our rigid stage."""
    for pair in prostate_pairs():
        start = start_transform(pair.fixed, pair.moving, "centre")
        rigid, _ = ours(pair, preset("rigid", pair.fixed.grid, modality="different"), start)
        found, cpu_s = ours(pair, "crossmodal", start)
        print(
            f"{pair.name}: start {dice(pair, start):.3f}, rigid {dice(pair, rigid):.3f}, "
            f"crossmodal {dice(pair, found):.3f}, {cpu_s:.1f} CPU-s"
        )


def section_chest() -> None:
    """The sample CT through a known 12 mm warp: landmark error in voxels of 2.5 mm."""
    pair = chest_pair()
    size = min(pair.fixed.grid.spacing_mm)
    print(f"start: {_landmarks(pair, Linear.identity())} mm")
    for name in ("freeform", "accurate", "smooth"):
        found, cpu_s = ours(pair, name, None)
        print(f"{name}: {_landmarks(pair, found)} mm; a voxel is {size:g} mm; {cpu_s:.1f} CPU-s")


SECTIONS: dict[str, Callable[[], None]] = {
    "pair": section_pair,
    "starts": section_starts,
    "known": section_known,
    "tuning": lambda: section_known("tuning"),
    "memory": section_memory,
    "inverse": section_inverse,
    "histology": section_histology,
    "slices": section_slices,
    "prostate": section_prostate,
    "chest": section_chest,
}


def main() -> None:
    words = sys.argv[1:]
    if words[:1] == ["memory-of"]:
        memory_of(float(words[1]))
        return
    _timing.single_thread()
    for name in words or [n for n in SECTIONS if n != "tuning"]:
        print(f"== {name}: {SECTIONS[name].__doc__ or 'the tuning pairs'}", flush=True)
        SECTIONS[name]()


if __name__ == "__main__":
    main()
