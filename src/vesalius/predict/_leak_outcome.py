"""Leaks of the outcome: features that are the outcome in another dress, or are named like it."""
# SPDX-License-Identifier: Apache-2.0

import re
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import pairwise
from typing import final

import numpy as np
from numpy.typing import NDArray

from vesalius.predict._card import Leak
from vesalius.predict._description import Description
from vesalius.predict._table import Floats, Table
from vesalius.predict._target import Target

Bools = NDArray[np.bool_]
SEPARATES = 0.999
"""From this AUC, or this correlation of ranks, on a feature says the outcome."""
CODES = 0.95
"""The same for a feature of as many values as there are classes: a code with a few errors."""
_NAMED = 20
_TELLING = frozenset(
    (
        "alive",
        "benign",
        "censored",
        "censoring",
        "dead",
        "death",
        "deceased",
        "dfs",
        "diagnosis",
        "died",
        "event",
        "followup",
        "groundtruth",
        "label",
        "malignancy",
        "malignant",
        "metastasis",
        "mortality",
        "mutated",
        "mutation",
        "os",
        "outcome",
        "pcr",
        "pfs",
        "predicted",
        "prediction",
        "prognosis",
        "progression",
        "recurred",
        "recurrence",
        "relapse",
        "responder",
        "response",
        "rfs",
        "surv",
        "survival",
        "target",
        "truth",
        "ypred",
        "ytrue",
    )
)
_LONG = sorted(word for word in _TELLING if len(word) >= 6)


@final
@dataclass(frozen=True, slots=True, eq=False)
class _Truth:
    """One way to say the outcome: classes, or a number in whose order a feature may be."""

    name: str
    classes: NDArray[np.int64]
    numbers: Floats


def outcome_in_features(table: Table, description: Description, target: Target) -> list[Leak]:
    """Find features that say the outcome: equal, affine, monotone, or parting its classes.

    Also found are features that are absent just where the event is, and a few features that
    together give the outcome as a weighted sum.

    Args:
        table: The cases.
        description: Which confounders are used beside the features.
        target: Their outcome.

    Returns:
        At most one leak of each severity.
    """
    if len(table.cases) < 8:
        return []
    names, values = list(table.features), table.values
    for name in description.confounders:
        column = _numbers(table, name)
        if column is not None:
            names, values = [*names, name], np.c_[values, column]
    certain: dict[str, str] = {}
    suspect: dict[str, str] = {}
    for truth in _truths(target):
        for j in np.nonzero(_parting(values, truth))[0]:
            sure = _beyond_doubt(values[:, j], truth)
            (certain if sure else suspect).setdefault(names[j], truth.name)
        for j in np.nonzero(_absent_with(values, truth))[0]:
            certain.setdefault(names[j], f"{truth.name} (by being absent)")
    found = [_said(certain, "certain")] if certain else []
    suspect = {name: truth for name, truth in suspect.items() if name not in certain}
    if suspect:
        found.append(_said(suspect, "suspect"))
    if not found and (together := _together(table, target)):
        text = (
            f"A weighted sum of {len(together)} features gives the outcome exactly "
            f"({', '.join(together[:3])}): make sure that none was computed from it."
        )
        found.append(Leak("outcome_in_features", "suspect", text, together))
    return found


def _said(names: dict[str, str], severity: str) -> Leak:
    first, truth = next(iter(names.items()))
    many = f"{len(names)} features say" if len(names) > 1 else "One feature says"
    listed = tuple(names)[:_NAMED]
    if severity == "certain":
        text = f"{many} {truth} ({first!r}): leave out what is known only with the outcome."
        return Leak("outcome_in_features", "certain", text, listed)
    text = (
        f"{many} {truth} almost without error ({first!r}): make sure that it was measured before "
        "the outcome was known."
    )
    return Leak("outcome_in_features", "suspect", text, listed)


def _truths(target: Target) -> list[_Truth]:
    none, zero = np.zeros(0), np.zeros(0, dtype=np.int64)
    if target.kind == "number":
        return [_Truth("the outcome", zero, target.values)]
    if target.kind == "survival":
        events = target.events.astype(np.int64)
        found = [_Truth("the time of the outcome", zero, target.values)]
        if np.ptp(events):
            found.append(_Truth("whether the event was seen", events, none))
        return found
    return [_Truth("the outcome", target.values.astype(np.int64), none)]


def _parting(values: Floats, truth: _Truth) -> Bools:
    """Which features say the truth: classes in runs of their order, or numbers in their ranks."""
    found = np.zeros(values.shape[1], dtype=bool)
    for j, column in enumerate(values.T):
        present = ~np.isnan(column)
        if present.sum() < max(8, 0.2 * len(column)):
            continue
        column = column[present]
        if truth.classes.size:
            classes = truth.classes[present]
            code = len(column) >= 20 and len(np.unique(column)) == len(np.unique(classes))
            found[j] = _separation(column, classes) >= (CODES if code else SEPARATES)
        else:
            found[j] = abs(_rank_correlation(column, truth.numbers[present])) >= SEPARATES
    return found


def _separation(column: Floats, classes: NDArray[np.int64]) -> float:
    """Least AUC, whichever way, over neighbouring pairs of classes in the feature's order."""
    present = np.unique(classes)
    if len(present) < 2:
        return 0.0
    middle = [float(np.median(column[classes == one])) for one in present]
    order = present[np.argsort(middle, kind="stable")]
    least = 1.0
    for low, high in pairwise(order):
        least = min(least, _auc(column[classes == low], column[classes == high]))
        if least < CODES:
            break
    return least


def _auc(low: Floats, high: Floats) -> float:
    ordered = np.sort(low)
    below = np.searchsorted(ordered, high, side="left") + np.searchsorted(ordered, high, "right")
    share = float(below.sum()) / (2 * len(low) * len(high))
    return max(share, 1 - share)


def _rank_correlation(column: Floats, numbers: Floats) -> float:
    from scipy.stats import rankdata

    a, b = rankdata(column), rankdata(numbers)
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])


def _beyond_doubt(column: Floats, truth: _Truth) -> bool:
    """Whether a feature says more than a measurement can: a code, a copy, or classes far apart."""
    present = ~np.isnan(column)
    column = column[present]
    if not truth.classes.size:
        return abs(_rank_correlation(column, truth.numbers[present])) > 1 - 1e-9
    classes = truth.classes[present]
    kinds = np.unique(classes)
    # too few cases of a class can be parted by chance
    if len(column) < 20 or min(int((classes == one).sum()) for one in kinds) < 5:
        return False
    if len(np.unique(column)) == len(kinds):
        return _separation(column, classes) == 1.0
    parts = [column[classes == one] for one in kinds]
    means = np.sort([float(part.mean()) for part in parts])
    within = max(float(part.std()) for part in parts)
    return bool(np.diff(means).min() > 8 * within)


def _absent_with(values: Floats, truth: _Truth) -> Bools:
    """Which features are absent just where, or just where not, a class is."""
    gaps = np.isnan(values)
    found = np.zeros(values.shape[1], dtype=bool)
    if not truth.classes.size or len(gaps) < 20:
        return found
    count = gaps.sum(axis=0)
    for j in np.nonzero((count >= 5) & (count <= len(gaps) - 5))[0]:
        found[j] = any(bool((gaps[:, j] == (truth.classes == k)).all()) for k in _kinds(truth))
    return found


def _kinds(truth: _Truth) -> list[int]:
    return [int(one) for one in np.unique(truth.classes)]


def _together(table: Table, target: Target) -> tuple[str, ...]:
    """Features whose weighted sum is the outcome, where there are cases enough to tell."""
    full = np.nonzero(~np.isnan(table.values).any(axis=0))[0]
    if target.kind not in ("binary", "number") or len(table.cases) < max(20, 4 * len(full)):
        return ()
    x = table.values[:, full]
    spread = x.std(axis=0)
    full, x = full[spread > 0], x[:, spread > 0] / spread[spread > 0]
    if not full.size:
        return ()
    y = target.values - target.values.mean()
    x = x - x.mean(axis=0)
    weights = np.linalg.lstsq(x, y, rcond=None)[0]
    if np.square(y - x @ weights).sum() > 1e-3 * np.square(y).sum():
        return ()
    heavy = np.argsort(-np.abs(weights))[:_NAMED]
    kept = [k for k in heavy if abs(weights[k]) > 0.05 * np.abs(weights).max()]
    return tuple(table.features[full[k]] for k in kept)


def _numbers(table: Table, name: str) -> Floats | None:
    """Give a column as numbers, texts by the order of first occurrence; None where absent."""
    import pandas as pd

    if name not in table.columns:
        return None
    column = table.columns[name]
    numbers = pd.to_numeric(column, errors="coerce")
    if numbers.notna().sum() == column.notna().sum():
        return numbers.to_numpy(dtype=np.float64)
    codes = pd.factorize(column)[0].astype(np.float64)
    return np.where(codes < 0, np.nan, codes)


def betraying_names(table: Table, description: Description) -> list[Leak]:
    """Find features that are named like an outcome.

    Args:
        table: Whose feature names are read, in words: ``os_months`` and ``OSMonths`` are two.
        description: The words of its outcome and of its time betray as well.

    Returns:
        At most one leak.
    """
    own = {
        word
        for name in (description.outcome, description.time)
        for word in _words(name)
        if len(word) > 2 and word not in ("time", "days", "months", "years")
    }
    told = tuple(name for name in table.features if _betrays(_words(name), own))
    if not told:
        return []
    many = f"{len(told)} features are" if len(told) > 1 else "One feature is"
    text = f"{many} named like an outcome ({told[0]!r}): leave out what is known only afterwards."
    return [Leak("name", "suspect", text, told[:_NAMED])]


def _words(name: str) -> list[str]:
    parted = re.sub(r"([a-z])([A-Z])", r"\1 \2", name)
    words = [word for word in re.split(r"[^a-z]+", parted.lower()) if word]
    return [*words, *(a + b for a, b in pairwise(words))]


def _betrays(words: list[str], own: set[str]) -> bool:
    if any(word in _TELLING or word.removesuffix("s") in _TELLING for word in words):
        return True
    if own.intersection(words):
        return True
    return any(get_close_matches(word, _LONG, n=1, cutoff=0.86) for word in words if len(word) >= 6)
