"""Similar cases: seconds of a search, and whether a learned distance tells an outcome better.

``bench_retrieve.py FOLDER``: FOLDER holds ``Hosny2018A.csv.gz``; one thread, in one process.
"""
# SPDX-License-Identifier: Apache-2.0

import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold

from vesalius.predict import Description, Step, Table, Target, read_table, target_of
from vesalius.predict._spaces import make_space
from vesalius.predict.retrieve import Embedding, Mahalanobis, build_graph, build_index, recall
from vesalius.predict.select import Pca, Scale

NEAREST, COUNTED = 15, 10
Points = tuple[np.ndarray, np.ndarray]


def through(step: Step) -> Callable[[Table, Table, Target], Points]:
    """Map by a step learned from the training cases."""

    def mapped(train: Table, test: Table, target: Target) -> Points:
        ready = step.fresh().fit(train, target if step.needs_target else None)
        return ready.transform(train).values, ready.transform(test).values

    return mapped


def plain(metric: str) -> Callable[[Table, Table, Target], Points]:
    """Map by a distance that nobody learned."""

    def mapped(train: Table, test: Table, target: Target) -> Points:
        each = [make_space(train, test.rows([row]), metric) for row in range(len(test.cases))]
        return each[0].points, np.stack([one.point for one in each])

    return mapped


METHODS = {
    "standardised": plain("standardised"),
    "cosine": plain("cosine"),
    "Mahalanobis, shrunk": plain("mahalanobis"),
    "20 components": through(Pca(20)),
    "lmnn": through(Mahalanobis()),
    "nca": through(Mahalanobis("nca")),
    "triplet": through(Embedding()),
    "contrastive": through(Embedding("contrastive")),
}


def told(table: Table, target: Target) -> None:
    """Print AUC of the share among 15 neighbours, and how often the 1st and first 10 agree."""
    for name, mapped in METHODS.items():
        figures = []
        start = time.process_time()
        for repeat in range(2):
            folds = StratifiedKFold(5, shuffle=True, random_state=repeat)
            for train, test in folds.split(table.values, target.values):
                scale = Scale().fit(table.rows(train))
                known, asked = (scale.transform(table.rows(rows)) for rows in (train, test))
                points, queries = mapped(known, asked, target.rows(train))
                index = build_index(points, np.arange(len(points)))
                rows = index.nearest(queries, np.full(len(queries), -1), NEAREST).rows
                near, truth = target.values[train][rows], target.values[test]
                figures.append(
                    (
                        roc_auc_score(truth, near.mean(axis=1)),
                        (near[:, 0] == truth).mean(),
                        (near[:, :COUNTED] == truth[:, None]).mean(),
                    )
                )
        seconds = (time.process_time() - start) / 10
        mean, spread = np.mean(figures, axis=0), np.std(figures, axis=0)
        print(
            f"{name:20s} AUC {mean[0]:.3f} ({spread[0]:.3f})  first {mean[1]:.3f}  "
            f"of ten {mean[2]:.3f}  {seconds:.2f} CPU s a fold"
        )


def timed() -> None:
    """Print CPU milliseconds of a query, exact at 1e5 x 1000 and both ways at 1e5 x 50."""
    rng = np.random.default_rng(0)
    wide = rng.standard_normal((100_000, 1000))
    index = build_index(wide, np.arange(len(wide)))
    print(f"exact, 1e5 x 1000: {_best(index, wide):.1f} ms a query")
    inner = rng.standard_normal((100_000, 8)) @ rng.standard_normal((8, 50))
    narrow = inner + 0.3 * rng.standard_normal((100_000, 50))
    own = np.arange(len(narrow))
    start = time.process_time()
    graph, exact = build_graph(narrow, own), build_index(narrow, own)
    print(f"graph, 1e5 x 50: built in {time.process_time() - start:.1f} CPU s")
    print(f"  graph {_best(graph, narrow):.2f} ms, exact {_best(exact, narrow):.2f} ms a query")
    rows = own[::1000]
    truth = exact.nearest(narrow[rows], rows, 10)
    print(f"  recall of ten {recall(graph.nearest(narrow[rows], rows, 10), truth):.3f}")


def _best(index: object, points: np.ndarray) -> float:
    found = []
    for _ in range(3):
        start = time.process_time()
        index.nearest(points[:10], np.arange(10), 10)  # type: ignore[attr-defined]
        found.append(time.process_time() - start)
    return 100 * min(found)


def main() -> None:
    """Run both."""
    description = Description(outcome="Target")
    table = read_table(Path(sys.argv[1]) / "Hosny2018A.csv.gz", description)
    told(table, target_of(table, description))
    timed()


if __name__ == "__main__":
    main()
