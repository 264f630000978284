"""Uncertainty on real scans: coverage of volume intervals, error detection, calibration.

Run: python benchmarks/prove_uncertainty.py [--data HIPPOCAMPUS] [--model FOLDER] [--minutes 3].
FOLDER is a model that was trained with five folds on all 150 cases; where it is absent, one is
trained: ``--minutes`` of CPU for each fold, by the plan that the planner makes for them. Every case
is judged by the network that has not seen it; intervals come from the cases of the other folds.
Bars: coverage of 90 % intervals 85 to 95 %, error detection within three voxels of the predicted
boundary >= .85.
"""
# SPDX-License-Identifier: Apache-2.0

import argparse
import os
import tempfile
import time
from pathlib import Path

import _timing  # noqa: F401 - one thread, before torch
import torch

from vesalius.segment.networks import (
    Budget,
    Dataset,
    Inference,
    Model,
    Regime,
    fingerprint,
    load_model,
    plan_training,
    read_dataset,
    save_model,
    seconds_per_step,
    train_model,
)
from vesalius.segment.uncertainty import calibrate, unseen_cases

ROOT = Path(os.environ.get("VESALIUS_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
HIPPOCAMPUS = ROOT / "segmentation" / "hippocampus"
FOLDS = 5


def trained(dataset: Dataset, folder: Path, minutes: float) -> Model:
    """Train a network for each fold; the plan is made for the minutes of one."""
    found = fingerprint(dataset)
    plan = plan_training(found, Budget(minutes), measure=seconds_per_step)
    regime = Regime(folds=FOLDS, seconds=60 * minutes, clock="cpu")
    run = train_model(
        dataset,
        plan,
        folder=folder,
        regime=regime,
        fingerprint=found,
        on_step=lambda s: s.done % 200 or print(f"{s.done}/{s.total} {s.what}", flush=True),
    )
    for number, looks in enumerate(run.looks):
        last = looks[-1]
        print(f"fold {number}: {last.step} steps, {last.seconds:.0f} CPU-s, Dice {last.score:.4f}")
    return run.model


def main() -> None:
    """Train where needed, calibrate, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, default=HIPPOCAMPUS)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--mirrors", action="store_true", help="look at mirrored cases too")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        prove(args, args.model or Path(scratch))


def prove(args: argparse.Namespace, folder: Path) -> None:
    """Print coverage, error detection and calibration, and keep them with the model."""
    from vesalius.segment._regime import make_splits

    dataset = read_dataset(args.data)
    if not (folder / "model.json").exists():
        trained(dataset, folder, args.minutes)
    model = load_model(folder)
    for mirrors in (False, True)[: 1 + args.mirrors]:
        start = time.process_time()
        done = calibrate(
            model,
            unseen_cases(dataset, make_splits(dataset, Regime(folds=FOLDS))),
            inference=Inference(mirrors=mirrors),
            generator=torch.Generator().manual_seed(0),
        )
        told = done.calibration
        print(f"mirrors {mirrors}, {told['cases']} cases, {time.process_time() - start:.0f} CPU-s")
        for value, covered in told["observed_coverage"].items():
            low, high = told["volumes"][value]
            met = "met" if 0.85 <= covered <= 0.95 else "MISSED"
            name = model.plan.names[int(value)]
            print(
                f"  {name}: 90 % interval {low:.3f} to {high:.3f} times the volume, "
                f"covers {covered:.1%} (85 to 95 %: {met})"
            )
        area = told["error_auroc"]
        print(f"  error detection {area:.3f} (bar .85: {'met' if area >= 0.85 else 'MISSED'})")
        print(f"  temperature {told['temperature']:.3f}, NLL {told['nll']}, ECE {told['ece']}")
    save_model(folder, done)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
