"""Nested validation and two hospitals: ours beside a plain LASSO pipeline of scikit-learn.

Tables of real radiomics features (``VESALIUS_TEST_DATA``). Both sides tune in five inner folds
inside of five outer ones, on the same cases. Then a model of hospital A (54 % events) meets
hospital B (29 %) as it is, harmonised, and recalibrated.

    python benchmarks/bench_predict.py
"""
# SPDX-License-Identifier: Apache-2.0

import os
import sys
import time
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegressionCV
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from vesalius.predict import Description, Recipe, Table, read_table, target_of
from vesalius.predict._auc import difference_of_auc
from vesalius.predict._judged import judged_once
from vesalius.predict._make_card import make_card
from vesalius.predict.estimators import Lasso
from vesalius.predict.models import default_recipe, fit_model, recalibrated_validation
from vesalius.predict.validate import Split, duplicates, external, validate

ASKED = Description(outcome="Target")
NAMES = (
    "Hosny2018A",
    "Hosny2018B",
    "ISPY1",
    "LNDb",
    "Veeraraghavan2020",
    "Head-Neck-Radiomics-HN1",
)
FIGURES = ("auc", "brier", "calibration_intercept", "calibration_slope")


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(20261121)


def load(folder: Path, name: str) -> Table:
    table = read_table(folder / f"{name}.csv.gz", ASKED, leave_out=["ID"])
    gone = set(duplicates(table))
    return table.rows([k for k in range(len(table.cases)) if k not in gone])


def plain() -> object:
    """Scale, then LASSO with its weight tuned by log loss in five folds."""
    tuned = LogisticRegressionCV(
        Cs=20, cv=5, penalty="l1", solver="liblinear", scoring="neg_log_loss", max_iter=1000
    )
    return make_pipeline(StandardScaler(), tuned)


def plain_nested(values: np.ndarray, truth: np.ndarray) -> np.ndarray:
    scores = np.zeros(len(truth))
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    for train, test in folds.split(values, truth):
        scores[test] = plain().fit(values[train], truth[train]).predict_proba(values[test])[:, 1]
    return scores


def said(scores: dict[str, object]) -> str:
    cells = []
    for name in FIGURES:
        one = scores[name]
        cells.append(f"{one.value:6.3f} ({one.low:6.3f} to {one.high:6.3f})")
    return "  ".join(cells)


def nested(folder: Path) -> None:
    print("nested 5 x 5, AUC (95 %) and CPU-s; one thread")
    for name in NAMES:
        table = load(folder, name)
        target = target_of(table, ASKED)
        begun = time.process_time()
        found = validate(table, ASKED, default_recipe(), split=Split(), generator=generator())
        ours = time.process_time() - begun
        begun = time.process_time()
        scores = plain_nested(table.values, target.values)
        theirs = time.process_time() - begun
        judged = judged_once(target, scores[:, None])
        card = make_card(judged, table=table, description=ASKED, generator=generator())
        a, b = found.card.scores, card.scores
        print(
            f"{name:24s} {len(table.cases)} x {len(table.features)}  "
            f"ours {a['auc'].value:.3f} ({a['auc'].low:.3f} to {a['auc'].high:.3f}), Brier "
            f"{a['brier'].value:.3f}, {ours:6.2f} s   plain LASSO {b['auc'].value:.3f}, Brier "
            f"{b['brier'].value:.3f}, {theirs:6.2f} s   {theirs / ours:.1f} x",
            flush=True,
        )


def batches(table: Table, name: str) -> Table:
    return replace(table, columns=table.columns.assign(hospital=name))


def hospitals(folder: Path) -> None:
    a, b = (batches(load(folder, f"Hosny2018{k}"), k) for k in "AB")
    a = a.select(b.features)
    print(
        f"\nhospital A ({len(a.cases)} cases) to B ({len(b.cases)}): AUC, Brier, intercept, slope"
    )
    models = {
        "default": default_recipe(),
        "LASSO": Recipe(default_recipe().steps, Lasso()),
    }
    truth = target_of(b, ASKED)
    theirs = plain().fit(a.values, target_of(a, ASKED).values).predict_proba(b.values)[:, 1]
    rival = judged_once(truth, theirs[:, None])
    card = make_card(rival, table=b, description=ASKED, generator=generator())
    print(f"{'plain LASSO (scikit-learn)':36s} {said(card.scores)}")
    for name, recipe in models.items():
        model = fit_model(a, ASKED, recipe, generator=generator())
        found = external(model, b, ASKED, generator=generator())
        print(f"{name + ', as it is':36s} {said(found.card.scores)}")
        ours = judged_once(truth, model.fitted.predict(b))
        gap = difference_of_auc(ours, rival, table=b, description=ASKED)
        print(
            f"{'  AUC less that of plain LASSO':36s} {gap.difference.value:+.3f} "
            f"({gap.difference.low:+.3f} to {gap.difference.high:+.3f})"
        )
        moved = recalibrated_validation(
            model, b, ASKED, split=Split(folds=10), generator=generator()
        )
        print(f"{name + ', recalibrated in folds':36s} {said(moved.card.scores)}", flush=True)
        harmonised(a, b, recipe, name)


def harmonised(a: Table, b: Table, recipe: Recipe, name: str) -> None:
    """Map B onto A by ComBat with A as its reference; no outcome is used."""
    from vesalius.predict.harmonise import Combat

    both = Table(
        tuple(f"{k}{case}" for t, k in ((a, "A"), (b, "B")) for case in t.cases),
        a.features,
        np.concatenate([a.values, b.values]),
        pd.concat([a.columns, b.columns], ignore_index=True),
    )
    step = Combat("hospital", reference="A").fit(both)
    mapped = step.transform(both).rows(range(len(a.cases), len(both.cases)))
    model = fit_model(a, ASKED, recipe, generator=generator())
    found = external(model, mapped, ASKED, generator=generator())
    print(f"{name + ', ComBat (reference A)':36s} {said(found.card.scores)}", flush=True)


def main() -> None:
    root = os.environ.get("VESALIUS_TEST_DATA")
    folder = Path(root or "") / "tables"
    if not folder.is_dir():
        print("skipped: VESALIUS_TEST_DATA names no folder with tables")
        sys.exit(0)
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", ConvergenceWarning)
    warnings.simplefilter("ignore", FutureWarning)
    # compile before anything is timed
    small = load(folder, "LNDb")
    validate(small, ASKED, default_recipe(), split=Split(folds=2), generator=generator())
    nested(folder)
    hospitals(folder)


if __name__ == "__main__":
    main()
