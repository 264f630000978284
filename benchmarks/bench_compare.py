"""Scores of labels beside MONAI's: equal on 50 cases, and CPU seconds for HD95 + surface Dice.

``bench_compare.py``: one thread each; MONAI runs in its own environment (``_rivals.py``) and is
skipped with the reason where it is absent.
"""
# SPDX-License-Identifier: Apache-2.0

import math

import _timing
import numpy as np
import torch
from _rivals import Case, Rival, python_of
from scipy import ndimage

from vesalius.core import Grid, Labels
from vesalius.measure.evaluate import compare, compare_objects

SPACING = (2.0, 0.7, 1.3)
SCORES = ("dice", "hausdorff_mm", "hd95_directed_mm", "assd_mm", "nsd")


def random_cases() -> np.ndarray:
    """Make 44 random cases and six with an empty prediction, truth, or both; 16 x truth + pred."""
    g = np.random.default_rng(20261121)
    cases = []
    for k in range(50):
        fields = ndimage.gaussian_filter(g.random((2, 3, 12, 16, 14)), (0, 0, 1.2, 1.2, 1.2))
        pred, truth = fields.argmax(axis=1)
        if k >= 44:
            pred = pred * (k % 3 == 0)
            truth = truth * (k % 3 == 1)
        cases.append(16 * truth + pred)
    return np.stack(cases)


def large_case() -> np.ndarray:
    """Make a body of nine organs, 120 x 126 x 164, shifted by two voxels; 16 x truth + pred."""
    z, y, x = np.ogrid[:120, :126, :164]

    def body(shift: int) -> np.ndarray:
        out = np.zeros((120, 126, 164), np.int64)
        middle = ((z - 60 - shift) / 50) ** 2 + ((y - 63) / 55) ** 2 + ((x - 82) / 70) ** 2
        out[middle <= 1] = 1
        for k in range(8):
            at = (30 + k % 2 * 60, 35 + k // 2 % 2 * 55, 45 + k // 4 * 75 + shift)
            away = ((z - at[0]) / 14) ** 2 + ((y - at[1]) / 15) ** 2 + ((x - at[2]) / 16) ** 2
            out[away <= 1] = 2 + k
        return out

    return 16 * body(2) + body(0)


def labels(both: np.ndarray, spacing: tuple[float, float, float]) -> tuple[Labels, Labels]:
    """Take prediction and truth apart."""
    grid = Grid.from_spacing(both.shape, spacing)
    parts = (both % 16, both // 16)
    pred, truth = (Labels(torch.from_numpy(p.astype(np.uint8))[None], grid) for p in parts)
    return pred, truth


def ours(cases: np.ndarray, *, area: bool) -> dict[str, float]:
    """Score all cases; names as MONAI's worker gives them."""
    found = {}
    groups = ("area",) if area else ("overlap", "surface")
    names = ("nsd_area",) if area else SCORES
    for k, both in enumerate(cases):
        pred, truth = labels(both, SPACING)
        wanted = ((0, 1), (0, 2))
        for label in compare(pred, truth, measures=groups, values=wanted).labels:
            for name in names:
                found[f"{k} {label.value} {name}"] = getattr(label, name)
    return found


def equality(case: Case, cases: np.ndarray, task: str) -> None:
    """Print the largest difference of each score, and how the cases without a value agree."""
    mine = ours(cases, area=task == "area")
    with Rival("monai_metrics", case, task) as rival:
        rival.go()
        theirs = rival.ask("values")  # finite ones only
    for name in ("nsd_area",) if task == "area" else SCORES:
        keys = [key for key in mine if key.endswith(f" {name}")]
        shared = [key for key in keys if key in theirs and math.isfinite(mine[key])]
        # MONAI answers in single precision
        apart = max(abs(mine[key] - theirs[key]) / max(1.0, mine[key]) for key in shared)
        lone = [k for k in keys if (k in theirs) != math.isfinite(mine[k])]
        told = {k: (mine[k], theirs.get(k)) for k in lone[:2]}
        print(
            f"{name:<18} {len(shared)} values, apart by at most {apart:.1e}; "
            f"{len(lone)} without a value in one {told}"
        )


def speed(both: np.ndarray) -> None:
    """Time HD95 + surface Dice, and print what else costs."""
    pred, truth = labels(both, (1.0, 1.0, 1.0))
    case = Case("nine organs", both[None].astype(float), both[None] > 0, (1.0, 1.0, 1.0), "1")
    with Rival("monai_metrics", case, "speed") as rival:
        line = _timing.compare(
            "HD95 + surface Dice, 9 labels, 120x126x164",
            lambda: compare(pred, truth, measures=("surface",)),
            rival.go,
            pairs=3,
        )
        print(line)
    for name, work in (
        ("overlap", lambda: compare(pred, truth, measures=("overlap",))),
        ("surface Dice by area", lambda: compare(pred, truth, measures=("area",))),
        ("clDice", lambda: compare(pred, truth, measures=("centreline",))),
        ("boundary IoU", lambda: compare(pred, truth, measures=("boundary",))),
        ("objects", lambda: compare_objects(pred, truth)),
    ):
        work()
        print(f"{name:<28} {min(_timing.timed(work).cpu_s for _ in range(3)):.3f} CPU-s")


def main() -> None:
    _timing.single_thread()
    if python_of("monai") is None:
        print("MONAI skipped: no environment, see requirements-monai.txt")
        return
    cases = random_cases()
    case = Case("random", cases.astype(float), cases > 0, SPACING, "1")
    for task in ("all", "area"):
        equality(case, cases, task)
    speed(large_case())


if __name__ == "__main__":
    main()
