"""Uncertainty on real scans: coverage of volume intervals, error detection, calibration.

Run: python benchmarks/prove_uncertainty.py --data HIPPOCAMPUS --model FOLDER [--steps 600]. FOLDER
is a model that was trained with five folds on all 150 cases; where it is absent, one is trained
(``--steps`` for each fold). Every case is judged by the network that has not seen it; intervals
come from the cases of the other folds. Bars: coverage of 90 % intervals 85 to 95 %, error
detection within three voxels of the predicted boundary >= .85.
"""
# SPDX-License-Identifier: Apache-2.0

import argparse
import time
from pathlib import Path

import _timing  # noqa: F401 - one thread, before torch
import torch

from vesalius.learn import UNetPlan
from vesalius.segment.networks import (
    Inference,
    Normalisation,
    Plan,
    Regime,
    load_model,
    read_dataset,
    save_model,
    train_model,
)
from vesalius.segment.uncertainty import calibrate, unseen_cases

NAMES = {1: "anterior", 2: "posterior"}


def plan_of(steps: int) -> Plan:
    """A small plan, the same for every fold."""
    network = UNetPlan(3, 1, 3, width=16, levels=3)
    standard = (Normalisation("standardise"),)
    one_mm = (1.0, 1.0, 1.0)
    patch = (40, 56, 40)
    return Plan("classes", NAMES, ("MR",), one_mm, standard, patch, network, steps=steps)


def main() -> None:
    """Train where needed, calibrate, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=600)
    args = parser.parse_args()
    from vesalius.segment._regime import make_splits

    dataset, regime = read_dataset(args.data), Regime(folds=5)
    if not (args.model / "model.json").exists():
        train_model(dataset, plan_of(args.steps), folder=args.model, regime=regime)
    model = load_model(args.model)
    for mirrors in (False, True):
        start = time.process_time()
        done = calibrate(
            model,
            unseen_cases(dataset, make_splits(dataset, regime)),
            inference=Inference(mirrors=mirrors),
            generator=torch.Generator().manual_seed(0),
        )
        told = done.calibration
        print(f"mirrors {mirrors}, {told['cases']} cases, {time.process_time() - start:.0f} CPU-s")
        for value, covered in told["observed_coverage"].items():
            low, high = told["volumes"][value]
            met = "met" if 0.85 <= covered <= 0.95 else "MISSED"
            print(
                f"  {NAMES[int(value)]}: 90 % interval {low:.3f} to {high:.3f} times the volume, "
                f"covers {covered:.1%} (85 to 95 %: {met})"
            )
        area = told["error_auroc"]
        print(f"  error detection {area:.3f} (bar .85: {'met' if area >= 0.85 else 'MISSED'})")
        print(f"  temperature {told['temperature']:.3f}, NLL {told['nll']}, ECE {told['ece']}")
    save_model(args.model, done)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
