"""Little truth on real scans: a mean teacher beside few labels; boxes and marks beside all labels.

Run: python benchmarks/prove_segment_weak.py HIPPOCAMPUS [--what teacher weak] [--seeds 1]
[--minutes 4]. The split is that of ``torch.randperm(150)`` with seed 0 over the sorted names: the
first 30 are held out, the next ten (of each seed) keep their labels, the other 110 lose them.
``weak`` takes three coronal slices of each case as 2-D images, the hippocampus as one class; boxes
are those of each connected piece, marks are short strokes over 5 % of each class. Every training
has the same CPU minutes, one thread. Bars: mean teacher +.015 Dice, boxes 85 % and marks 92 % of
the Dice with all labels.
"""
# SPDX-License-Identifier: Apache-2.0

import argparse
import json
import math
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import mean

import _timing
import torch

from vesalius import io
from vesalius.core import Grid, Image, Labels
from vesalius.learn import UNetPlan
from vesalius.ops._components import components
from vesalius.segment._supervision import CONSISTENCY
from vesalius.segment.networks import (
    Dataset,
    Normalisation,
    Plan,
    Regime,
    evaluate_model,
    read_case,
    read_dataset,
    train_model,
)

HELD, FEW = 30, 10
SLICES = (0.3, 0.5, 0.7)
MARKED = 0.05
IGNORED = 2


def main() -> None:
    """Train and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("--what", nargs="+", default=["teacher", "weak"])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=4.0)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--kinds", nargs="+", default=["full", "scribbles", "boxes"])
    parser.add_argument("--consistency", type=float, nargs="+", default=[0.0, CONSISTENCY])
    args = parser.parse_args()
    _timing.single_thread()
    dataset = read_dataset(args.data)
    if "teacher" in args.what:
        prove_teacher(dataset, args)
    if "weak" in args.what:
        prove_weak(dataset, args)


def order(dataset: Dataset) -> list[str]:
    """Names in the order of the split."""
    names = [case.name for case in dataset.cases]
    mixed = torch.randperm(len(names), generator=torch.Generator().manual_seed(0))
    return [names[i] for i in mixed.tolist()]


def regime(held: list[str], minutes: float, seed: int) -> Regime:
    """By the work of this process, so that other programs do not matter."""
    return Regime(seed=seed, hold_out=tuple(sorted(held)), seconds=60 * minutes, clock="cpu")


def scored(dataset: Dataset, plan: Plan, rule: Regime, truth: Dataset) -> tuple[float, str]:
    """Train, and give the mean Dice on what is held out, and what it took."""
    start = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        run = train_model(dataset, plan, folder=folder, regime=rule)
    cost = time.process_time() - start
    found = evaluate_model(run.model, truth.only(rule.hold_out))
    told = f"worst {found.worst[0].score:.3f}, {run.looks[0][-1].step} steps, {cost:.0f} CPU s"
    return found.score, told


def prove_teacher(dataset: Dataset, args: argparse.Namespace) -> None:
    """Ten labels, with and without 110 images that have none."""
    names = order(dataset)
    network = UNetPlan(3, 1, 3, width=args.width, levels=4, ascent="pointwise")
    plan = Plan(
        "classes",
        {1: "anterior", 2: "posterior"},
        ("MR",),
        (1.0, 1.0, 1.0),
        (Normalisation("standardise"),),
        (40, 56, 40),
        network,
        steps=20_000,
        precision="bfloat16",
    )
    gains = []
    for seed in range(args.seeds):
        start = HELD + FEW * seed
        kept = {*names[:HELD], *names[start : start + FEW]}
        cases = tuple(c if c.name in kept else replace(c, labels=None) for c in dataset.cases)
        few, rule = replace(dataset, cases=cases), regime(names[:HELD], args.minutes, seed)
        scores = []
        for strength in args.consistency:
            score, told = scored(few, replace(plan, consistency=strength), rule, dataset)
            print(f"seed {seed}, consistency {strength:g}: Dice {score:.4f} ({told})", flush=True)
            scores.append(score)
        gains.append(scores[-1] - scores[0])
    met = "met" if mean(gains) >= 0.015 else "MISSED"
    print(f"mean teacher: {mean(gains):+.4f} Dice over {len(gains)} seeds (bar +.015: {met})")


def prove_weak(dataset: Dataset, args: argparse.Namespace) -> None:
    """Slices with all labels, with marks, with boxes."""
    names = order(dataset)
    with tempfile.TemporaryDirectory() as folder:
        made = write_slices(dataset, Path(folder), set(names[:HELD]))
        held = [case.name for case in made["full"].cases if case.name[:-2] in names[:HELD]]
        plan = Plan(
            "classes",
            {1: "hippocampus"},
            ("MR",),
            (1.0, 1.0, 1.0),
            (Normalisation("standardise"),),
            (1, 40, 40),
            UNetPlan(2, 1, 2, width=args.width, levels=4, ascent="pointwise"),
            batch=8,
            steps=20_000,
        )
        full = math.nan
        for kind in args.kinds:
            one = replace(plan, supervision=kind)
            rule = regime(held, args.minutes, 0)
            score, told = scored(made[kind], one, rule, made["full"])
            full = score if kind == "full" else full
            bar = {"full": 1.0, "scribbles": 0.92, "boxes": 0.85}[kind]
            met = "met" if score / full >= bar else "MISSED"
            share = f"{score / full:.1%} of full (bar {bar:.0%}: {met})"
            print(f"{kind}: Dice {score:.4f}, {share} ({told})", flush=True)


def write_slices(dataset: Dataset, root: Path, held: set[str]) -> dict[str, Dataset]:
    """Write three coronal slices of each case, with three kinds of labels."""
    for kind in ("full", "scribbles", "boxes"):
        (root / kind / "labels").mkdir(parents=True)
        (root / kind / "images").mkdir()
        values = {"background": 0, "hippocampus": 1}
        if kind == "scribbles":
            values["ignore"] = IGNORED
        (root / kind / "dataset.json").write_text(json.dumps({"labels": values}))
    for number, case in enumerate(dataset.cases):
        sample = read_case(dataset, case)
        assert sample.labels is not None
        inside = (sample.labels.data[0] > 0).to(torch.uint8)
        rows = inside.sum((0, 2)).nonzero()[:, 0]
        for k, share in enumerate(SLICES):
            y = int(rows[int(share * (len(rows) - 1))])
            name = f"{case.name}_{k}.nii.gz"
            truth = inside[None, :, y]
            grid = Grid.from_spacing((1, *truth.shape[1:]), (1.0, 1.0, 1.0))
            data = sample.image.data[:, None, :, y].float()
            chance = torch.Generator().manual_seed(len(SLICES) * number + k)
            labels = {
                "full": truth,
                "boxes": truth if case.name in held else boxed(truth),
                "scribbles": truth if case.name in held else marked(truth, chance),
            }
            for kind, values in labels.items():
                io.save(Image(data, grid), root / kind / "images" / name)
                io.save(Labels(values[None], grid), root / kind / "labels" / name)
    return {kind: read_dataset(root / kind) for kind in ("full", "scribbles", "boxes")}


def boxed(truth: torch.Tensor) -> torch.Tensor:
    """Fill the bounding box of each connected piece."""
    pieces = torch.from_numpy(components(truth.to(torch.int32), full=True).numbers)
    out = torch.zeros_like(truth)
    for value in range(1, int(pieces.max()) + 1):
        at = (pieces == value).nonzero()
        (z0, y0, x0), (z1, y1, x1) = at.amin(0).tolist(), (at.amax(0) + 1).tolist()
        out[z0:z1, y0:y1, x0:x1] = 1
    return out


def marked(truth: torch.Tensor, chance: torch.Generator) -> torch.Tensor:
    """Draw strokes of at most eight samples into each class until 5 % of it are marked."""
    out = torch.full_like(truth, IGNORED)
    for value in (0, 1):
        inside = (truth == value).nonzero()
        while int((out == value).sum()) < max(1, MARKED * len(inside)):
            z, y, x = inside[int(torch.randint(len(inside), (), generator=chance))].tolist()
            turn = 2 * math.pi * float(torch.rand((), generator=chance))
            for step in range(8):
                i, j = round(y + step * math.sin(turn)), round(x + step * math.cos(turn))
                if not (0 <= i < truth.shape[1] and 0 <= j < truth.shape[2]):
                    break
                if int(truth[z, i, j]) != value:
                    break
                out[z, i, j] = value
    return out


if __name__ == "__main__":
    main()
