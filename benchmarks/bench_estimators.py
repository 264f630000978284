"""Estimators on real features: a lasso path beside scikit-learn's, seconds to fit, AUC, size.

``bench_estimators.py FOLDER``: FOLDER holds ``Hosny2018A.csv.gz``; one thread, in one process. The
rival of the path is scikit-learn's quickest: liblinear for each weight for an event, ``enet_path``
for a number.
"""
# SPDX-License-Identifier: Apache-2.0

import io
import sys
import warnings
from pathlib import Path

import _timing
import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression, enet_path
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold

from vesalius.predict import Target, estimators
from vesalius.predict._logistic_path import Loss, PathRule, largest_weight, penalised_path
from vesalius.predict._logistic_path import Path as LinearPath

CLASSES = ("dead", "alive")


def scaled(values: np.ndarray, by: np.ndarray) -> np.ndarray:
    """Scale features by mean and spread of others."""
    spread = by.std(axis=0)
    return (values - by.mean(axis=0)) / np.where(spread > 0, spread, 1)


def objective(b: np.ndarray, b0: float, x: np.ndarray, y: np.ndarray, l1: float) -> float:
    """Give the mean cross-entropy with the penalty."""
    score = x @ b + b0
    return float(np.mean(np.logaddexp(0, score) - y * score) + l1 * np.abs(b).sum())


def beside_scikit_learn(values: np.ndarray, y: np.ndarray) -> None:
    """Print ratios for 30 weights on 240 x 984, and how much lower our objective is."""
    x, y = scaled(values[:240], values[:240]), y[:240]
    weight = np.full(240, 1 / 240)
    top = largest_weight(x, y[None], weight)
    l1 = np.geomspace(top, 0.02 * top, 30)
    along = np.column_stack([l1, np.zeros(30)])

    def ours(loss: Loss) -> LinearPath:
        return penalised_path(x, y[None], weight, penalties=along, rule=PathRule(loss))

    def liblinear() -> list[LogisticRegression]:
        rule = {"l1_ratio": 1, "solver": "liblinear", "intercept_scaling": 100}
        return [LogisticRegression(C=1 / (240 * w), **rule).fit(x, y) for w in l1]

    def coordinate_descent() -> np.ndarray:
        return enet_path(x, y - y.mean(), l1_ratio=1.0, alphas=l1)[1]

    print(_timing.compare("lasso path, event, 240 x 984 x 30", lambda: ours("logistic"), liblinear))
    found = ours("logistic")
    worse = [
        objective(one.coef_[0], one.intercept_[0], x, y, w)
        / objective(found.weights[k, 0], found.intercepts[k, 0], x, y, w)
        - 1
        for k, (one, w) in enumerate(zip(liblinear(), l1, strict=True))
    ]
    print(f"  liblinear's objective above ours by {min(worse):.1e} to {max(worse):.1e}")
    print(
        _timing.compare(
            "lasso path, number, 240 x 984 x 30", lambda: ours("square"), coordinate_descent
        )
    )


def each(values: np.ndarray, y: np.ndarray) -> None:
    """Print for each estimator as it is by default: seconds, AUC in five folds, size."""
    folds = list(StratifiedKFold(5, shuffle=True, random_state=0).split(values, y))
    for name in estimators.__all__:
        # an unpenalised model bears a handful of features
        seen = values[:, :5] if name == "Logistic" else values
        model = getattr(estimators, name)()
        score, seconds = np.zeros(len(y)), []
        for rows, held in folds:
            x, target = scaled(seen[rows], seen[rows]), Target("binary", y[rows], CLASSES)
            model.fit(x, target)
            seconds.append(_timing.timed(lambda m=model, x=x, t=target: m.fit(x, t)).cpu_s)
            score[held] = model.predict(scaled(seen[held], seen[rows]))[:, 0]
        state = model.state()
        arrays = {k: v for k, v in state.items() if isinstance(v, np.ndarray)}
        file = io.BytesIO()
        np.savez_compressed(file, **arrays, **state.get("nodes_", {}))
        auc = roc_auc_score(y, score)
        print(
            f"{name:<14} fit {np.median(seconds):.4f} CPU-s  AUC {auc:.3f}  "
            f"{len(file.getvalue()) / 1e3:.0f} kB"
        )


def main() -> None:
    """Print everything."""
    if len(sys.argv) != 2:
        sys.exit("usage: bench_estimators.py FOLDER")
    _timing.single_thread()
    warnings.filterwarnings("ignore", category=UserWarning)
    table = pd.read_csv(Path(sys.argv[1]) / "Hosny2018A.csv.gz")
    y = table["Target"].to_numpy(float)
    values = table.drop(columns=["Target", "ID"]).to_numpy(float)
    beside_scikit_learn(values, y)
    each(values, y)


if __name__ == "__main__":
    main()
