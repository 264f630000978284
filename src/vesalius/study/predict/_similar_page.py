"""Page of a search: the cases that are most like one, in what, and how much that says."""
# SPDX-License-Identifier: Apache-2.0

import math
from collections import Counter

import numpy as np

from vesalius.predict.retrieve import Shared
from vesalius.study._charts import Bars, Chart, Line, bars, lines
from vesalius.study._report import Heading
from vesalius.study._stage_page import Page, Table, Titles
from vesalius.study._views import View
from vesalius.study.predict._similar_job import Searched

METRICS = {
    "standardised": "Euclidean, of standardised features",
    "mahalanobis": "Mahalanobis, shrunk covariance",
    "cosine": "1 - cosine, of standardised features",
    "learned": "Euclidean after a map learned from the outcome",
}
"""Distances, in words."""

TITLES = Titles(
    findings="Before you lean on these cases",
    views="The cases",
    views_note="The slice through the middle of the region, the case that was asked for first, "
    "nothing interpolated, one window for all",
    charts="How near is near",
    rows="Similar cases",
)


def similar_page(
    searched: Searched, views: tuple[View, ...] = (), notes: tuple[str, ...] = ()
) -> Page:
    """Make the page.

    Args:
        searched: The search.
        views: A slice of each case, where there is one.
        notes: What to say of those that have none.

    Returns:
        The page; it names cases and no files.
    """
    found = searched.similar
    known = any(one.outcome for one in found.neighbours)
    outcome = (searched.description.outcome,) if known else ()
    rows = tuple(
        (
            f"{rank}. {one.case}",
            f"{one.distance:.4g}",
            *((one.outcome or "not known",) if known else ()),
            _shared(one.agree) or "nothing that is unusual",
            _shared(one.differ) or "nothing",
        )
        for rank, one in enumerate(found.neighbours, start=1)
    )
    return Page(
        Heading(f"Cases similar to {found.case}", _lead(searched)),
        findings=found.remarks + notes,
        facts=searched.facts,
        views=views,
        charts=_charts(searched),
        columns=("Case", "Distance", *outcome, "Alike in", "Different in"),
        rows=rows,
        rows_note="In brackets the case that was asked for and the similar one, in standard "
        "deviations from the mean of the table; of features that go together one is named.",
        tables=_tables(searched),
        methods=_methods(searched),
        provenance=searched.record,
        titles=TITLES,
    )


def facts_of(searched: Searched) -> tuple[tuple[str, str], ...]:
    """Say the figures of a search.

    Args:
        searched: The search.

    Returns:
        Name and value.
    """
    found = searched.similar
    told = [
        ("Cases compared", str(found.compared)),
        ("Features", str(found.features)),
        ("Distance", METRICS[found.metric]),
    ]
    if not math.isnan(found.percentile):
        told.append(("Have a nearer neighbour", f"{found.percentile:.0f} % of the cases"))
    told.append(("Farthest / nearest", _ratio(found.contrast)))
    told += [(f"Same {name}", value) for name, value in searched.same.items()]
    if searched.description.group:
        kept = searched.job.likeness.same_patient
        told.append(("Cases of the same patient", "may be neighbours" if kept else "left out"))
    if searched.job.likeness.approximate:
        told.append(("Recall of the search", f"{found.recall:.1%}"))
    return (*told, *_share(searched))


def _ratio(contrast: float) -> str:
    return f"{contrast + 1:.3g}" if math.isfinite(contrast) else "the nearest is a copy"


def _share(searched: Searched) -> tuple[tuple[str, str], ...]:
    """Say how often the commonest outcome is met among the neighbours, and in the table."""
    description = searched.description
    outcomes = [one.outcome for one in searched.similar.neighbours if one.outcome]
    if not outcomes or description.kind not in ("binary", "classes", "survival"):
        return ()
    every = [
        f"{cell:g}" if isinstance(cell, float) else str(cell)
        for cell in searched.table.column(description.outcome).tolist()
        if cell is not None and cell == cell
    ]
    name = Counter(outcomes).most_common(1)[0][0]
    near, all_of_them = outcomes.count(name), every.count(name)
    return (
        (
            f"{description.outcome} = {name}",
            f"{near} of {len(outcomes)} similar cases; {all_of_them / len(every):.0%} of all",
        ),
    )


def _lead(searched: Searched) -> str:
    found = searched.similar
    text = (
        f"The {len(found.neighbours)} of {found.compared} cases of {searched.source} that are "
        f"nearest in {found.features} features"
    )
    if math.isnan(found.percentile):
        return f"{text}."
    if found.percentile >= 95:
        return f"{text}; none of them is near."
    return f"{text}; they are {'as near as usual' if found.percentile < 75 else 'rather far'}."


def _shared(features: tuple[Shared, ...]) -> str:
    return "; ".join(
        f"{one.feature.replace('_', ' ')} ({_signed(one.here)}, {_signed(one.there)})"
        for one in features
    )


def _signed(value: float) -> str:
    # no negative zero, and a minus sign as long as the plus
    return f"{round(value, 1) + 0.0:+.1f}".replace("-", "\u2212")


def _charts(searched: Searched) -> tuple[Chart, ...]:
    found = searched.similar
    drawn = []
    if len(found.usual) > 1:
        share = np.linspace(0, 100, len(found.usual))
        mine = Line(
            found.case[:24],
            np.array([0.0, 100.0]),
            np.full(2, found.neighbours[0].distance),
        )
        drawn.append(
            lines(
                "Distance to the nearest case",
                "The level line is the case that was asked for; where it crosses, as many cases "
                "have a nearer neighbour.",
                (mine, Line("cases of the table", share, np.asarray(found.usual))),
                axes=("Cases (%)", "Distance to the nearest"),
            )
        )
    names = [f"{rank}. {one.case}" for rank, one in enumerate(found.neighbours[:20], start=1)]
    distances = np.array([one.distance for one in found.neighbours[:20]])
    drawn.append(
        bars(
            "Distance of each similar case",
            "Where the bars hardly grow, the order of the cases means little.",
            names,
            of=(Bars("", distances),),
            axis="Distance",
        )
    )
    return tuple(drawn)


def _tables(searched: Searched) -> tuple[Table, ...]:
    counts: Counter[str] = Counter()
    for one in searched.similar.neighbours:
        counts.update(shared.feature for shared in one.agree)
    rows = tuple(
        (name, f"{many} of {len(searched.similar.neighbours)}")
        for name, many in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    )
    if not rows:
        return ()
    return (Table("Features in which they agree", ("Feature", "Similar cases"), rows),)


def _methods(searched: Searched) -> tuple[str, ...]:
    found = searched.similar
    how = {
        "standardised": "the Euclidean distance of features in standard deviations of the table",
        "mahalanobis": "the Mahalanobis distance with a covariance that was shrunk towards a "
        "sphere (Ledoit & Wolf 2004)",
        "cosine": "one minus the cosine between features in standard deviations from the mean",
        "learned": "the Euclidean distance after a linear map that was learned from the outcome "
        "(large margin nearest neighbours, Weinberger & Saul 2009) on principal components",
    }[found.metric]
    search = (
        f"an approximate search by a graph of neighbours (recall {found.recall:.1%})"
        if searched.job.likeness.approximate
        else "an exact search"
    )
    return (
        f"Similar cases were found by {search} over {found.compared} cases and {found.features} "
        f"features with {how}. Gaps were filled with medians. "
        + (
            "The outcome of the case that was asked for was not looked at."
            if searched.description.outcome
            else "No outcome was named: a column that holds one counts as a feature."
        ),
    )
