"""Prediction on what is known: noise has no AUC, a planted leak is found.

Run: python benchmarks/prove_prediction.py [--repeats 100] [--cases 110] [--features 200].
Noise: features and outcomes drawn independently; a LASSO in nested 5x3 folds; the 95 % interval of
its AUC is to cover .5 in 90 of 100 repeats or more. Leaks: each planted leak of
``tests/predict/planted_leaks.py`` is to be found, and a clean table to raise none that is certain.
"""
# SPDX-License-Identifier: Apache-2.0

import argparse
import sys
import time
from pathlib import Path

import _timing  # noqa: F401 - one thread, before torch
import numpy as np
import torch

from vesalius.predict import Description, Recipe, Table, Tuning
from vesalius.predict.estimators import Lasso
from vesalius.predict.select import Scale
from vesalius.predict.validate import Split, find_leaks, validate

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "predict"))


def noise(seed: int, cases: int, features: int) -> Table:
    """Draw features, and an outcome that has nothing to do with them."""
    import pandas as pd

    rng = np.random.default_rng((20261121, seed))
    values = rng.normal(size=(cases, features))
    outcome = rng.permutation(np.arange(cases) < 0.45 * cases).astype(int)
    return Table(
        tuple(f"case{k}" for k in range(cases)),
        tuple(f"f{k}" for k in range(features)),
        values,
        pd.DataFrame({"outcome": outcome}),
    )


def prove_noise(repeats: int, cases: int, features: int) -> None:
    """Count how often the interval of a nested AUC covers .5 on noise."""
    recipe = Recipe((Scale(),), Lasso(), Tuning(folds=3))
    generator = torch.Generator().manual_seed(7)
    description = Description(outcome="outcome")
    values, widths, covered, below = [], [], 0, 0
    start = time.process_time()
    for repeat in range(repeats):
        table = noise(repeat, cases, features)
        found = validate(
            table, description, recipe, split=Split(seed=repeat), generator=generator
        ).card.scores["auc"]
        values.append(found.value)
        widths.append(found.high - found.low)
        covered += found.low <= 0.5 <= found.high
        below += found.high < 0.5
    print(
        f"noise, {cases} x {features}, LASSO, nested 5x3: the interval covers .5 in {covered} of "
        f"{repeats} (below in {below}, above in {repeats - covered - below}); mean AUC "
        f"{np.mean(values):.3f}, mean width {np.mean(widths):.3f}; "
        f"{time.process_time() - start:.0f} CPU-s"
    )


def prove_leaks() -> None:
    """Count planted leaks that are found and clean tables that are accused."""
    from planted_leaks import CLEAN, PLANTED, clean, planted

    missed = []
    start = time.process_time()
    for name in PLANTED:
        case = planted(name)
        found = find_leaks(case.table, case.description, case.target, split=case.split)
        if not any(leak.kind == case.kind for leak in found):
            missed.append(name)
    certain = suspect = 0
    for name in range(CLEAN):
        case = clean(name)
        found = find_leaks(case.table, case.description, case.target, split=case.split)
        certain += any(leak.severity == "certain" for leak in found)
        suspect += any(leak.severity == "suspect" for leak in found)
    print(
        f"leaks: {len(PLANTED) - len(missed)} of {len(PLANTED)} found (missed: {missed}); clean "
        f"tables: {certain} of {CLEAN} with a certain one, {suspect} with a suspect one; "
        f"{time.process_time() - start:.0f} CPU-s"
    )


def main() -> None:
    """Prove what is asked for."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--repeats", type=int, default=100)
    asked.add_argument("--cases", type=int, default=110)
    asked.add_argument("--features", type=int, default=200)
    asked.add_argument("--only", choices=("noise", "leaks"), default=None)
    said = asked.parse_args()
    if said.only != "leaks":
        prove_noise(said.repeats, said.cases, said.features)
    if said.only != "noise":
        prove_leaks()


if __name__ == "__main__":
    main()
