"""Page of an explanation: what the score rests on, in which direction, and why for one case."""
# SPDX-License-Identifier: Apache-2.0

import math

from vesalius.study._report import Heading
from vesalius.study._stage_page import Page, Table, Titles
from vesalius.study.predict._explain_charts import (
    SCORES,
    curve_charts,
    importance_charts,
    share_charts,
)
from vesalius.study.predict._explain_map import map_chart
from vesalius.study.predict._explain_told import Explained

TITLES = Titles(
    findings="Before you believe it",
    charts="What moves the prediction",
    rows="Features, the most important first",
)
_ROWS = 40


def explain_page(told: Explained) -> Page:
    """Make the page.

    Args:
        told: What was found.

    Returns:
        The page.
    """
    pictures = importance_charts(told.importance) if told.importance is not None else ()
    if told.mapped is not None:
        pictures = (map_chart(told.mapped, told.job.case), *pictures)
    return Page(
        Heading(_title(told), _lead(told)),
        findings=told.remarks + (told.ways.remarks if told.ways is not None else ()),
        facts=_facts(told),
        pictures=pictures + share_charts(told.shares, told.job.case),
        charts=curve_charts(told.curves),
        columns=("Feature", "Loss of score", "95 % interval", "Unit"),
        rows=_rows(told),
        rows_note=_NOTE,
        tables=_tables(told),
        methods=_methods(told),
        provenance=told.record,
        titles=TITLES,
    )


def unexplained_page(error: str, source: str) -> Page:
    """Make the page of an explanation that could not be made.

    Args:
        error: Why.
        source: Name of the table.

    Returns:
        The page.
    """
    lead = f"Nothing was explained on {source}."
    return Page(Heading("No explanation", lead), errors=(error,), titles=TITLES)


_NOTE = (
    "This tells what the model uses, not what causes the outcome. A feature that is shuffled loses "
    "its tie to the outcome and to every other feature."
)


def _title(told: Explained) -> str:
    what = told.model.description.outcome or "the outcome"
    return f"Why the model says what it says of {what}"


def _lead(told: Explained) -> str:
    kind = type(told.model.fitted.estimator).__name__
    found = told.importance
    text = f"{kind} on {len(told.model.fitted.wanted)} features, explained on {told.source}"
    if found is None or not found.single:
        return f"{text}."
    first = found.groups[0]
    many = f"{len(first.features)} features around " if len(first.features) > 1 else ""
    return (
        f"{text}: without {many}{first.features[0]} the {SCORES[found.score]} of "
        f"{found.baseline:.3f} would be {found.baseline - first.drop.value:.3f}."
    )


def _facts(told: Explained) -> tuple[tuple[str, str], ...]:
    facts = [("Cases", str(len(told.table.cases)))]
    if (found := told.importance) is not None:
        facts += [
            (f"{SCORES[found.score]} as they are", f"{found.baseline:.3f}"),
            ("Features that move a prediction", f"{len(found.single)}"),
            ("Features that move none", f"{found.unmoved}"),
        ]
    if told.job.case:
        row = told.shares.cases.index(told.job.case)
        said = f"{told.shares.predicted[row]:.3f} ({told.shares.output})"
        facts.append((f"Case {told.job.case}", said))
    if told.ways is not None:
        facts.append(("Its probability", f"{told.ways.before:.3f}"))
        facts.append(("Threshold", f"{told.ways.threshold:.3f}"))
    return tuple(facts)


def _rows(told: Explained) -> tuple[tuple[str, ...], ...]:
    if told.importance is None:
        return tuple((c.feature, "–", "–", c.unit) for c in told.curves)
    return tuple(
        (
            one.features[0],
            _number(one.drop.value),
            one.drop.reason or f"{_number(one.drop.low)} to {_number(one.drop.high)}",
            told.table.units.get(one.features[0], ""),
        )
        for one in told.importance.single[:_ROWS]
    )


def _tables(told: Explained) -> tuple[Table, ...]:
    return (*_way_tables(told), *_group_tables(told))


def _way_tables(told: Explained) -> tuple[Table, ...]:
    """List the ways to the other decision."""
    if told.ways is None or not told.ways.ways:
        return ()
    rows = []
    for k, way in enumerate(told.ways.ways, 1):
        for one in way.changes:
            unit = f" {one.unit}" if one.unit not in ("", "1") else ""
            change = f"{one.value:.4g} → {one.to:.4g}{unit}".replace("-", "−")
            rows.append((f"{k}", one.feature, change, f"{one.share:.0%}", f"{way.after:.3f}"))
    title = f"What would have to change for case {told.ways.case} to be decided otherwise"
    columns = ("Way", "Feature", "Change", "Of the training range", "Probability then")
    return (Table(title, columns, tuple(rows)),)


def _group_tables(told: Explained) -> tuple[Table, ...]:
    found = told.importance
    rows = tuple(
        (
            ", ".join(one.features),
            _number(one.drop.value),
            one.drop.reason or f"{_number(one.drop.low)} to {_number(one.drop.high)}",
        )
        for one in (found.groups if found is not None else ())
        if len(one.features) > 1
    )
    if not rows:
        return ()
    title = f"Groups of correlated features ({len(rows)})"
    return (Table(title, ("Features", "Loss of score", "95 % interval"), rows[:_ROWS]),)


def _methods(told: Explained) -> tuple[str, ...]:
    said = []
    if (found := told.importance) is not None:
        said.append(
            f"Permutation importance was measured with vesalius as the loss of "
            f"{SCORES[found.score]} over {told.job.repeats} shuffles of each feature of the table, "
            "before any step of the model, and of groups of features of which every two have a "
            f"Spearman correlation above {told.job.together:g} in magnitude (complete linkage); 95 "
            "% intervals hold patients (delete-a-group jackknife) and shuffles."
        )
    if told.curves:
        said.append(
            "Partial dependence is the mean prediction of all cases as one feature is moved from "
            "its 1st to its 99th percentile and all others stay."
        )
    exact = (
        "computed exactly"
        if told.shares.method != "sampled"
        else "estimated by antithetic orders of the features"
    )
    said.append(
        f"Shapley values of the {told.shares.output} were {exact}, absent features taking the "
        "values of other cases of the table (interventional)."
    )
    if told.ways is not None:
        said.append(
            "Counterfactuals were searched greedily, at most three features within the 1st to 99th "
            "percentile of the training, and each change was taken back as far as it could be."
        )
    if told.mapped is not None:
        count = len(told.mapped.found.changes)
        said.append(
            f"The region was cut into {count} supervoxels (SLIC); each in turn was given the mean "
            "of the rest, the features that move the prediction were measured again, and the "
            "change of the prediction was laid on its voxels."
        )
    return tuple(said)


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.4f}".replace("-", "−")
