"""Fairness: how well a model does in parts of the cases, and how far the parts lie apart."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from vesalius.predict._auc import area, auc_estimate, fold_keys
from vesalius.predict._card import Estimate, Subgroup
from vesalius.predict._description import Description
from vesalius.predict._intervals import Clusters, difference, share, t_interval
from vesalius.predict._judged import Judged
from vesalius.predict._recalibrate import calibration
from vesalius.predict._survival_scores import survival_scores
from vesalius.predict._table import Floats, Table

FEWEST = 10
"""Patients of a class below which a figure of a part is not given."""
_DISTINCT = 6
"""Different numbers from which on a column is cut."""
_PARTS = 12
"""Different texts beyond which a column is not taken apart."""
GAPS = {"auc": "the AUC", "sensitivity": "sensitivity", "specificity": "specificity"}


@final
@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One part of the predictions.

    Attributes:
        column: What parts them.
        value: Which part.
        inside: (rows,) which belong to it.
    """

    column: str
    value: str
    inside: NDArray[np.bool_] = field(repr=False)


def parts_of(judged: Judged, *, table: Table, description: Description) -> tuple[Part, ...]:
    """Take the cases apart by each column for which fairness is asked, and by site.

    Numbers of more than five different values are cut in thirds, or in halves where a third would
    hold fewer than 30 cases; what is missing is a part of its own.

    Args:
        judged: The predictions.
        table: The cases.
        description: Names the columns.

    Returns:
        The parts; none for a column of one part, or of more than twelve texts.
    """
    found: list[Part] = []
    sites = (description.site,) if description.site else ()
    for column in dict.fromkeys((*description.subgroups, *sites)):
        names = _names(table, column)[judged.cases]
        values = _in_order(np.unique(names).tolist())
        if 1 < len(values) <= _PARTS + 1:
            found += [Part(column, value, names == value) for value in values]
    return tuple(found)


def _in_order(values: list[str]) -> list[str]:
    rank = {"up to": 0, "above": 2, "missing": 3}
    return sorted(values, key=lambda v: (next((r for k, r in rank.items() if k in v), 1), v))


def _names(table: Table, column: str) -> NDArray[Any]:
    import pandas as pd

    given = table.column(column)
    missing = given.isna().to_numpy()
    numbers = pd.to_numeric(given, errors="coerce")
    if bool((numbers.notna() == given.notna()).all()) and numbers.nunique() >= _DISTINCT:
        names = _cut(numbers.to_numpy(dtype=np.float64))
    else:
        names = given.astype(str).to_numpy(dtype=object)
    return np.where(missing, "missing", names).astype(str)


def _cut(values: Floats) -> NDArray[np.object_]:
    known = values[np.isfinite(values)]
    at = (1 / 3, 2 / 3) if len(known) >= 90 else (0.5,)
    edges = np.unique(np.quantile(known, at))
    place = np.searchsorted(edges, values, side="left")
    words = [f"up to {edges[0]:.4g}"]
    words += [f"{low:.4g} to {high:.4g}" for low, high in pairwise(edges)]
    words.append(f"above {edges[-1]:.4g}")
    return np.array(words, dtype=object)[place]


def subgroups(
    judged: Judged, clusters: Clusters, *, table: Table, description: Description
) -> tuple[Subgroup, ...]:
    """Measure each part of the cases, and how far it lies from all others together.

    Args:
        judged: The predictions, of two classes.
        clusters: Patients.
        table: The cases.
        description: Names the columns.

    Returns:
        Each part with ``auc``, ``sensitivity``, ``specificity``, ``ppv``, ``brier``,
        ``calibration_intercept``, and ``auc_gap``, ``sensitivity_gap`` (equal opportunity) and
        ``specificity_gap`` (with it, equalised odds): the part less the rest. A figure that rests
        on fewer than ten patients of a class has a reason instead.

    References:
        Hardt et al. (2016), doi:10.48550/arXiv.1610.02413, defs. 2.1 and 2.2.
    """
    found = []
    events = judged.target.values > 0.5
    for part in parts_of(judged, table=table, description=description):
        rows = np.flatnonzero(part.inside)
        own = clusters.rows(rows)
        m = len(np.unique(own.of[events[rows]]))
        scores = _scores(judged.rows(rows), own) | _gaps(judged, clusters, part.inside)
        found.append(Subgroup(part.column, part.value, own.count, m, scores))
    return tuple(found)


def other_subgroups(
    judged: Judged, clusters: Clusters, *, table: Table, description: Description
) -> tuple[Subgroup, ...]:
    """Measure each part of the cases where the outcome is not of two classes.

    Args:
        judged: The predictions.
        clusters: Patients.
        table: The cases.
        description: Names the columns.

    Returns:
        Each part with ``accuracy`` (classes), ``mae`` and ``bias`` (a number), or ``concordance``
        (survival), which asks for ten patients, and for ten with the event in survival.
    """
    found = []
    for part in parts_of(judged, table=table, description=description):
        rows = np.flatnonzero(part.inside)
        own, patients = judged.rows(rows), clusters.rows(rows)
        seen = own.target.events
        m = len(np.unique(patients.of[seen])) if seen.size else 0
        scores = _other_scores(own, patients, m)
        found.append(Subgroup(part.column, part.value, patients.count, m, scores))
    return tuple(found)


def _other_scores(judged: Judged, clusters: Clusters, events: int) -> dict[str, Estimate]:
    few = clusters.count < FEWEST
    if judged.target.kind == "survival":
        if events < FEWEST:
            return {"concordance": _few(events, "patients with the event")}
        return {"concordance": survival_scores(judged, clusters)["concordance"]}
    if judged.target.kind == "classes":
        right = (judged.scores.argmax(axis=1) == judged.target.values).astype(np.float64)
        if few:
            return {"accuracy": _few(clusters.count, "patients")}
        return {"accuracy": share(right, np.ones_like(right), clusters, nothing="")}
    e = judged.scores[:, 0] - judged.target.values
    if few:
        return dict.fromkeys(("mae", "bias"), _few(clusters.count, "patients"))
    return {name: _mean(values, clusters) for name, values in (("mae", np.abs(e)), ("bias", e))}


def _mean(values: Floats, clusters: Clusters) -> Estimate:
    """Lay an interval around a mean; that of losses does not go below zero."""
    error = _error(values, clusters)
    found = t_interval(float(values.mean()), error, freedom=clusters.count - 1.0)
    return replace(found, low=max(found.low, 0.0)) if values.min() >= 0 else found


def _scores(judged: Judged, clusters: Clusters) -> dict[str, Estimate]:
    events, p = judged.target.values > 0.5, judged.scores[:, 0]
    few = _too_few(events, clusters)
    found = dict.fromkeys(("auc", "calibration_intercept"), few)
    if not few.reason:
        ranked = area(events, judged.ranked_by, keys=fold_keys(judged), clusters=clusters)
        found["auc"] = auc_estimate(ranked, events, clusters)
        found["calibration_intercept"] = calibration(events, p, clusters=clusters)[0]
    loss = np.square(p - events)
    small = clusters.count < FEWEST
    found["brier"] = _few(clusters.count, "patients") if small else _mean(loss, clusters)
    return found | _decisions(judged, clusters)


def _error(values: Floats, clusters: Clusters) -> float:
    spread = clusters.sums(values - values.mean()) / len(values)
    factor = clusters.widen * clusters.count / max(clusters.count - 1, 1)
    return math.sqrt(float(np.square(spread).sum()) * factor)


def _decisions(judged: Judged, clusters: Clusters) -> dict[str, Estimate]:
    if not judged.thresholds.size:
        return {}
    y = (judged.target.values > 0.5).astype(np.float64)
    called = (judged.scores[:, 0] >= judged.thresholds).astype(np.float64)
    found = {}
    for name, hits, of, what in (
        ("sensitivity", called, y, "patients with the event"),
        ("specificity", 1 - called, 1 - y, "patients without the event"),
        ("ppv", y, called, "patients called an event"),
    ):
        held = int(np.count_nonzero(clusters.sums(of)))
        found[name] = _few(held, what) if held < FEWEST else share(hits, of, clusters, nothing="")
    return found


def _few(count: int, what: str) -> Estimate:
    return Estimate(math.nan, reason=f"{count} {what}: fewer than {FEWEST}")


def _too_few(events: NDArray[np.bool_], clusters: Clusters) -> Estimate:
    for which, what in ((events, "with"), (~events, "without")):
        count = len(np.unique(clusters.of[which]))
        if count < FEWEST:
            return _few(count, f"patients {what} the event")
    return Estimate(math.nan)


def _gaps(judged: Judged, clusters: Clusters, inside: NDArray[np.bool_]) -> dict[str, Estimate]:
    """Subtract the figures of the rest from those of the part, with an interval over patients."""
    mine, rest = np.flatnonzero(inside), np.flatnonzero(~inside)
    found = {}
    for name in GAPS:
        one, other = (_figure(name, judged, clusters, rows) for rows in (mine, rest))
        if why := one[2] or other[2]:
            found[f"{name}_gap"] = Estimate(math.nan, reason=why)
            continue
        error = difference(one[1], other[1])
        gap = one[0] - other[0]
        if error < 1e-12:
            found[f"{name}_gap"] = Estimate(gap, reason="no interval: the variance is zero")
        else:
            found[f"{name}_gap"] = t_interval(gap, error)
    return found


def _figure(
    name: str, judged: Judged, clusters: Clusters, rows: NDArray[np.intp]
) -> tuple[float, Floats, str]:
    """Give a figure of some rows, the influence of each patient, and why there is none."""
    own = judged.rows(rows)
    part = Clusters(clusters.of[rows], clusters.count, clusters.widen)
    events = own.target.values > 0.5
    nothing = np.zeros(clusters.count)
    if name == "auc":
        if why := _too_few(events, part).reason:
            return math.nan, nothing, why
        ranked = area(events, own.ranked_by, keys=fold_keys(own), clusters=part)
        why = "no fold holds both classes" if math.isnan(ranked.value) else ""
        return ranked.value, part.sums(ranked.influence), why
    if not own.thresholds.size:
        return math.nan, nothing, "no threshold was chosen"
    of = events if name == "sensitivity" else ~events
    held = len(np.unique(part.of[of]))
    if held < FEWEST:
        which = "with" if name == "sensitivity" else "without"
        return math.nan, nothing, _few(held, f"patients {which} the event").reason
    right = (own.scores[:, 0] >= own.thresholds) == events
    value = float(right[of].mean())
    pull = np.where(of, right - value, 0.0) * math.sqrt(clusters.widen) / int(of.sum())
    return value, part.sums(pull), ""


def gap_remarks(found: tuple[Subgroup, ...]) -> tuple[str, ...]:
    """Say which parts lie apart by more than chance explains, all comparisons counted.

    Args:
        found: The parts.

    Returns:
        Sentences; p-values are of the normal distribution, adjusted by Holm's method over all
        parts and figures.

    References:
        Holm (1979), https://www.jstor.org/stable/4615733.
    """
    from scipy.special import ndtr

    tests = []
    for part in found:
        for name in GAPS:
            gap = part.scores.get(f"{name}_gap", Estimate(math.nan))
            if math.isfinite(gap.low):
                z = abs(gap.value) / max((gap.high - gap.low) / 3.919928, 1e-12)
                tests.append((2 * float(ndtr(-z)), part, name, gap))
    said, highest = [], 0.0
    for k, (p, part, name, gap) in enumerate(sorted(tests, key=lambda t: t[0])):
        highest = max(highest, p * (len(tests) - k))
        if highest >= 0.05:
            break
        side = "higher" if gap.value > 0 else "lower"
        said.append(
            f"In {part.column} = {part.value} ({part.cases} patients), {GAPS[name]} is "
            f"{abs(gap.value):.2f} {side} than in the rest ({gap.low:+.2f} to {gap.high:+.2f}; "
            f"p = {highest:.2g} after Holm's correction for {len(tests)} comparisons)."
        )
    return tuple(said)
