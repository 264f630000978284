"""Training of a model in nested folds: time for a table of 300 cases and 984 features.

Run: python benchmarks/bench_predict.py [--data TABLES]. Nested 5x5 folds of the default recipe on
Hosny 2018 A (293 cases, 984 features); bar: 3 minutes on two cores.
"""
# SPDX-License-Identifier: Apache-2.0

import argparse
import os
import time
from pathlib import Path

import _timing  # noqa: F401 - one thread, before torch
import torch

from vesalius.predict import Description, read_table
from vesalius.predict.models import default_recipe
from vesalius.predict.validate import Split, validate

ROOT = Path(os.environ.get("VESALIUS_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))


def nested(tables: Path) -> None:
    """Time nested 5x5 folds; the first run loads compiled loops and is told apart."""
    description = Description(outcome="Target")
    table = read_table(tables / "Hosny2018A.csv.gz", description, leave_out=("ID",))
    recipe = default_recipe("binary")
    steps = ", ".join(type(step).__name__ for step in recipe.steps)
    for what in ("first", "second"):
        wall, cpu = time.perf_counter(), time.process_time()
        found = validate(
            table,
            description,
            recipe,
            split=Split(folds=5),
            generator=torch.Generator().manual_seed(0),
        )
        auc = found.card.scores["auc"]
        print(
            f"nested 5x{recipe.tuning.folds}, {len(table.cases)} x {len(table.features)}, {steps}, "
            f"{type(recipe.estimator).__name__}, {what} run: {time.process_time() - cpu:.1f} "
            f"CPU-s, {time.perf_counter() - wall:.1f} s on the clock; AUC {auc.value:.3f} "
            f"[{auc.low:.3f}, {auc.high:.3f}]"
        )


def main() -> None:
    """Time what there is."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--data", type=Path, default=ROOT / "tables")
    nested(asked.parse_args().data)


if __name__ == "__main__":
    main()
