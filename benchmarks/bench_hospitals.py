"""Nested validation and two hospitals: ours beside a plain LASSO pipeline of scikit-learn.

Tables of real radiomics features (``VESALIUS_TEST_DATA``). Both sides tune by log loss in inner
folds inside of five outer ones, on the same cases. Then a model of hospital A (54 % events) meets
hospital B (29 %) as it is, harmonised, and recalibrated.

    python benchmarks/bench_hospitals.py
"""
# SPDX-License-Identifier: Apache-2.0

import os
import sys
import time
import warnings
from dataclasses import replace
from pathlib import Path

import _timing  # noqa: F401  one thread
import numpy as np
import pandas as pd
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegressionCV
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from vesalius.predict import Description, Estimate, Recipe, Table, read_table, target_of
from vesalius.predict.card import difference_of_auc, judged_once, make_card
from vesalius.predict.estimators import Lasso, Ridge
from vesalius.predict.harmonise import Combat
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
    """Read a table; of two cases with the same values the first stays."""
    table = read_table(folder / f"{name}.csv.gz", ASKED)
    gone = set(duplicates(table))
    return table.rows([k for k in range(len(table.cases)) if k not in gone])


def plain() -> Pipeline:
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


def said(scores: dict[str, Estimate]) -> str:
    cells = (scores[name] for name in FIGURES)
    return "  ".join(f"{one.value:6.3f} ({one.low:6.3f} to {one.high:6.3f})" for one in cells)


def nested(folder: Path) -> None:
    print("nested 5 x 5, AUC (95 %), Brier and CPU-s")
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


def hospitals(folder: Path) -> None:
    a, b = load(folder, "Hosny2018A"), load(folder, "Hosny2018B")
    a = a.select(b.features)
    print(
        f"\nhospital A ({len(a.cases)} cases) to B ({len(b.cases)}): AUC, Brier, intercept, slope"
    )
    steps = default_recipe().steps
    models = {
        "default": default_recipe(),
        "LASSO": Recipe(steps, Lasso()),
        "ridge": Recipe(steps, Ridge()),
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
        gap = difference_of_auc(ours, rival, table=b, description=ASKED).difference
        print(
            f"{'  AUC less that of plain LASSO':36s} "
            f"{gap.value:+.3f} ({gap.low:+.3f} to {gap.high:+.3f})"
        )
        moved = recalibrated_validation(
            model, b, ASKED, split=Split(folds=10), generator=generator()
        )
        print(f"{name + ', recalibrated in folds':36s} {said(moved.card.scores)}", flush=True)
        harmonised(a, b, recipe, name)


def harmonised(a: Table, b: Table, recipe: Recipe, name: str) -> None:
    """Map B onto A by ComBat with A as its reference; no outcome is used."""
    parts = ((a, "A"), (b, "B"))
    columns = [table.columns[["Target"]].assign(hospital=which) for table, which in parts]
    both = Table(
        tuple(f"{which}{case}" for table, which in parts for case in table.cases),
        a.features,
        np.concatenate([a.values, b.values]),
        pd.concat(columns, ignore_index=True),
    )
    step = Combat("hospital", reference="A").fit(both)
    mapped = step.transform(both).rows(range(len(a.cases), len(both.cases)))
    model = fit_model(a, ASKED, recipe, generator=generator())
    found = external(model, replace(mapped, history=()), ASKED, generator=generator())
    print(f"{name + ', ComBat (reference A)':36s} {said(found.card.scores)}", flush=True)


def main() -> None:
    folder = Path(os.environ.get("VESALIUS_TEST_DATA", "")) / "tables"
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
