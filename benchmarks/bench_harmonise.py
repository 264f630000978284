"""ComBat beside neuroCombat: equal, and CPU seconds for 1000 cases of 1000 features.

``bench_harmonise.py``: one thread each, in one process; neuroCombat is a development extra.
"""
# SPDX-License-Identifier: Apache-2.0

import contextlib
import io

import _timing
import numpy as np
import pandas as pd

from vesalius.predict import Table
from vesalius.predict.harmonise import (
    Combat,
    LongitudinalCombat,
    NestedCombat,
    Quantile,
    ZScore,
)


def made(cases: int, features: int, batches: int) -> tuple[Table, pd.DataFrame]:
    """Make batches that shift and stretch features which grow with age."""
    g = np.random.default_rng(20261121)
    place = g.permutation(np.arange(cases) % batches)
    columns = pd.DataFrame(
        {
            "batch": np.array([f"scanner{k}" for k in range(batches)])[place],
            "kernel": np.array(["smooth", "sharp", "bone"])[g.integers(0, 3, cases)],
            "contrast": np.array(["no", "yes"])[g.integers(0, 2, cases)],
            "age": np.round(g.uniform(30, 80, cases)),
            "patient": [f"p{k // 3}" for k in range(cases)],
        }
    )
    values = g.normal(size=(cases, features)) * g.uniform(0.6, 1.6, (batches, features))[place]
    values += g.normal(size=(batches, features))[place] + 0.02 * columns["age"].to_numpy()[:, None]
    names = tuple(f"f{j}" for j in range(features))
    return Table(tuple(f"c{i}" for i in range(cases)), names, values, columns), columns


def rival(table: Table, columns: pd.DataFrame, parametric: bool) -> np.ndarray:
    """Harmonise with neuroCombat, whose progress is not printed."""
    from neuroCombat import neuroCombat

    with contextlib.redirect_stdout(io.StringIO()), np.errstate(invalid="ignore"):
        found = neuroCombat(
            dat=table.values.T,
            covars=columns[["batch", "age"]],
            batch_col="batch",
            continuous_cols=["age"],
            parametric=parametric,
        )
    return np.asarray(found["data"]).T


def beside_neurocombat() -> None:
    """Print ratios and the largest difference."""
    for cases, features, batches in ((1000, 1000, 2), (1000, 1000, 5), (1000, 1000, 20)):
        table, columns = made(cases, features, batches)
        for parametric in (True, False) if batches < 20 else (True,):
            step = Combat(batch="batch", keep=("age",), parametric=parametric)
            apart = np.abs(
                step.fit(table).transform(table).values - rival(table, columns, parametric)
            )
            found = _timing.compare(
                f"{'normal' if parametric else 'free'} priors, {batches} batches",
                lambda step=step, table=table: step.fit(table).transform(table),
                lambda a=(table, columns, parametric): rival(*a),
                pairs=5 if parametric else 2,
                repeat=3 if parametric else 1,
            )
            print(found, f" apart {apart.max():.1e}")


def steps_in_a_fold() -> None:
    """Print CPU seconds of each step on the training part of a fold."""
    table, _ = made(240, 984, 3)
    for step in (
        Combat(batch="batch", keep=("age",)),
        Combat(batch="batch", parametric=False),
        ZScore("batch"),
        Quantile("batch"),
        NestedCombat(("batch", "kernel")),
        NestedCombat(("batch", "kernel", "contrast")),
        LongitudinalCombat("batch", "patient", ("age",)),
    ):
        step.fit(table).transform(table)
        run = min(
            _timing.timed(lambda step=step: step.fit(table).transform(table)).cpu_s
            for _ in range(3)
        )
        print(f"{step.word:<20} {len(getattr(step, 'batches', ())) or '':<2} {run:.4f} CPU-s")


if __name__ == "__main__":
    _timing.single_thread()
    beside_neurocombat()
    steps_in_a_fold()
