"""Page of a harmonisation: what batches change, before and after."""
# SPDX-License-Identifier: Apache-2.0

import numpy as np

from vesalius.predict.adjust import Effects, adjustment_plan
from vesalius.study._report import Heading
from vesalius.study._stage_page import Page, Table, Titles
from vesalius.study.predict._harmonise_charts import TESTS, charts_of, pictures_of
from vesalius.study.predict._harmonise_job import NAMES
from vesalius.study.predict._harmonise_told import Told

_ROWS = 40
TITLES = Titles(
    findings="Before you use the table",
    charts="What the batches change",
    rows="Batches",
)


def harmonise_page(told: Told) -> Page:
    """Make the page.

    Args:
        told: The run.

    Returns:
        The page.
    """
    columns, rows = _batches(told)
    return Page(
        Heading(_title(told), _lead(told)),
        findings=told.remarks,
        facts=_facts(told),
        pictures=pictures_of(told),
        charts=charts_of(told),
        columns=columns,
        rows=rows,
        rows_note="; ".join(
            text.rstrip(".") for text in adjustment_plan(told.job.columns.description)
        )
        + ".",
        tables=_tables(told),
        methods=_methods(told),
        provenance=told.record,
        titles=TITLES,
    )


def refused_page(error: str, source: str) -> Page:
    """Make the page of a run that was refused.

    Args:
        error: Why.
        source: Name of the table.

    Returns:
        The page.
    """
    lead = f"{source} was not harmonised; see below. Nothing else was written."
    return Page(Heading("Nothing was harmonised", lead), errors=(error,), titles=TITLES)


def _title(told: Told) -> str:
    if told.done is None:
        return f"Batch effects of {told.batch!r}"
    return f"Batches of {told.batch!r} before and after {NAMES[told.job.method]}"


def _lead(told: Told) -> str:
    before = told.before.effects
    share = before.affected["anderson"]
    text = (
        f"{share:.0%} of {len(before.features)} features differ between the {len(before.batches)} "
        f"batches of {len(told.before.table.cases)} cases"
    )
    if told.after is None:
        return f"{text}."
    return f"{text}; after harmonising {told.after.effects.affected['anderson']:.0%} do."


def _facts(told: Told) -> tuple[tuple[str, str], ...]:
    job, before = told.job, told.before.effects
    facts = [
        ("Cases", str(len(told.before.table.cases))),
        ("Features", str(len(before.features))),
        ("Batches", str(len(before.batches))),
        ("Method", _manner(told)),
        ("Kept", ", ".join(job.kept) or "nothing"),
        ("Variance with the batch", _change(told, _batch_share, ".1%")),
        ("Silhouette of batches", _change(told, _silhouette, ".3f")),
    ]
    outcome = job.columns.description.outcome
    if outcome and outcome in before.shares.names:
        facts.append(("Variance with the outcome", _change(told, _outcome_share, ".1%")))
    if told.design is not None:
        facts.append(("Outcome left within batches", f"{told.design.left:.0%}"))
    return tuple(facts)


def _batch_share(told: Told, after: bool) -> float:
    seen = told.after if after else told.before
    return seen.effects.shares.share(told.batch) if seen else float("nan")


def _outcome_share(told: Told, after: bool) -> float:
    seen = told.after if after else told.before
    outcome = told.job.columns.description.outcome
    return seen.effects.shares.share(outcome) if seen else float("nan")


def _silhouette(told: Told, after: bool) -> float:
    seen = told.after if after else told.before
    return seen.effects.silhouette if seen else float("nan")


def _change(told: Told, figure, form: str) -> str:  # type: ignore[no-untyped-def]
    one = format(figure(told, False), form)
    return one if told.after is None else f"{one} → {format(figure(told, True), form)}"


def _manner(told: Told) -> str:
    job = told.job
    words = [NAMES[job.method]]
    if job.method in ("combat", "nested"):
        if not job.manner.empirical_bayes:
            words.append("without empirical Bayes")
        elif not job.manner.parametric:
            words.append("non-parametric")
        if job.manner.mean_only:
            words.append("location alone")
    if job.manner.reference:
        words.append(f"onto {job.manner.reference!r}")
    return ", ".join(words)


def _batches(told: Told) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    before, design = told.before.effects, told.design
    columns: tuple[str, ...] = ("Batch", "Cases")
    rows = [(name, str(count)) for name, count in zip(before.batches, before.counts, strict=True)]
    if design is None:
        return columns, tuple(rows)
    outcome = told.job.columns.description.outcome
    columns += tuple(f"{outcome} = {name}" for name in design.classes)
    wide = [
        (*row, *(f"{n} ({n / max(sum(counts), 1):.0%})" for n in counts))
        for row, counts in zip(rows, design.counts, strict=True)
    ]
    return columns, tuple(wide)


def _tables(told: Told) -> tuple[Table, ...]:
    found = [_feature_table(told), _share_table(told)]
    if told.before.outcome is not None:
        found.append(_effect_table(told, told.before.outcome))
    if told.done is not None and told.done.left_alone:
        rows = tuple(told.done.left_alone.items())
        found.append(Table(f"Left as they are ({len(rows)})", ("Feature", "Why"), rows))
    return tuple(found)


def _feature_table(told: Told) -> Table:
    before = told.before.effects
    names = before.most_affected(_ROWS)
    tests = [name for name in TESTS if name in before.tests]
    columns = ["Feature", *(f"q {name}" for name in tests)]
    if told.after is not None:
        columns += [f"q {name}, after" for name in tests]
    rows = []
    for name in names:
        j = before.features.index(name)
        row = [name, *(_number(before.tests[test].q[j]) for test in tests)]
        if told.after is not None:
            row += [_number(told.after.effects.tests[test].q[j]) for test in tests]
        rows.append(tuple(row))
    return Table(f"The {len(rows)} features that differ most", tuple(columns), tuple(rows))


def _share_table(told: Told) -> Table:
    before = told.before.effects.shares
    columns: tuple[str, ...] = ("Goes with", "Variance")
    if told.after is None:
        rows = [(name, f"{before.share(name):.2%}") for name in before.names]
        return Table("Shares of the variance", columns, tuple(rows))
    after = told.after.effects.shares
    wide = [
        (name, f"{before.share(name):.2%}", f"{after.share(name):.2%}") for name in before.names
    ]
    return Table("Shares of the variance", (*columns, "After"), tuple(wide))


def _effect_table(told: Told, before: Effects) -> Table:
    order = np.argsort(np.nan_to_num(before.adjusted.p, nan=2.0), kind="stable")[:_ROWS]
    columns = ["Feature", "Crude", "Adjusted"]
    after = told.after.outcome if told.after is not None else None
    if after is not None:
        columns.append("Adjusted, after")
    rows = []
    for j in order.tolist():
        row = [before.names[j], _interval(before, "crude", j), _interval(before, "adjusted", j)]
        if after is not None:
            row.append(_interval(after, "adjusted", j))
        rows.append(tuple(row))
    adjusted = ", ".join(before.adjusted_for)
    title = f"Features and outcome: {before.measure}, adjusted for {adjusted}"
    return Table(title, tuple(columns), tuple(rows))


def _interval(of: Effects, which: str, j: int) -> str:
    found = of.crude if which == "crude" else of.adjusted
    if np.isnan(found.estimate[j]):
        return found.reasons[j]
    return f"{found.estimate[j]:.3g} ({found.low[j]:.3g} to {found.high[j]:.3g})"


def _number(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.2g}"


def _methods(told: Told) -> tuple[str, ...]:
    kept = f", keeping the effect of {', '.join(told.job.kept)}" if told.job.kept else ""
    tested = (
        "Each feature was compared between batches with vesalius by the k-sample Anderson-Darling "
        "test, the Kolmogorov-Smirnov test of each pair and the Kruskal-Wallis test, with "
        "q-values of Benjamini and Hochberg; the variance of the main components of the "
        "standardised features (60 % at least) was shared out by type II sums of squares, less "
        "what chance explains; the silhouette of the batches in these components was compared "
        "with 199 permutations."
    )
    if told.done is None:
        return (tested,)
    done = f"Features were harmonised over {', '.join(told.job.every_batch)} by {_manner(told)}"
    return (tested, f"{done}{kept}, on all {len(told.before.table.cases)} cases together.")
