"""Made tables: features with known structure for the tests of ``predict``."""

import numpy as np
import pandas as pd

from vesalius.predict import Table, Target


def made(cases=60, features=8, *, seed=0, kind="binary", shift=1.0):
    """Give a table whose first two features carry the outcome, with batch, age, sex and site."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(cases, features))
    signal = shift * (values[:, 0] - 0.7 * values[:, 1])
    columns = pd.DataFrame(
        {
            "batch": [("a", "b", "c")[k % 3] for k in range(cases)],
            "site": [("north", "south")[k % 2] for k in range(cases)],
            "age": np.round(rng.uniform(30, 80, cases)),
            "sex": [("f", "m")[int(v)] for v in rng.integers(0, 2, cases)],
            "patient": [f"p{k:03d}" for k in range(cases)],
        }
    )
    values = values + np.array([[0.0], [0.8], [-0.5]])[np.arange(cases) % 3]
    names = tuple(f"f{j:02d}" for j in range(features))
    table = Table(tuple(f"case{k:03d}" for k in range(cases)), names, values, columns)
    return table, outcome(signal, rng, kind)


def outcome(signal, rng, kind):
    """Draw an outcome of a kind from a signal."""
    if kind == "number":
        return Target("number", signal + rng.normal(size=signal.shape))
    if kind == "classes":
        noisy = signal + rng.normal(size=signal.shape)
        number = np.digitize(noisy, np.quantile(noisy, (1 / 3, 2 / 3))).astype(float)
        return Target("classes", number, ("low", "mid", "high"))
    if kind == "survival":
        times = rng.exponential(np.exp(-signal))
        censored = rng.exponential(2.0, signal.shape)
        return Target(
            "survival", np.minimum(times, censored), ("censored", "event"), times <= censored
        )
    event = rng.uniform(size=signal.shape) < 1 / (1 + np.exp(-2 * signal))
    return Target("binary", event.astype(float), ("no", "yes"))
