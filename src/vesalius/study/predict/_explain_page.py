"""Page of an explanation: what the score rests on, in which direction, and why for one case."""
# SPDX-License-Identifier: Apache-2.0

import math

from vesalius.study._report import Heading
from vesalius.study._stage_page import Page, Table, Titles
from vesalius.study.predict._explain_charts import SCORES, curve_charts, importance_charts
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
    return Page(
        Heading(_title(told), _lead(told)),
        findings=told.remarks,
        facts=_facts(told),
        pictures=pictures,
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
    found = told.importance
    if found is None:
        return ()
    rows = tuple(
        (
            ", ".join(one.features),
            _number(one.drop.value),
            one.drop.reason or f"{_number(one.drop.low)} to {_number(one.drop.high)}",
        )
        for one in found.groups
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
    return tuple(said)


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.4f}".replace("-", "−")
