"""Confounding: whether batch and outcome can be told apart in these cases, and what to adjust."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import final

import numpy as np

from vesalius.errors import ConfigError
from vesalius.predict._coding import Levels, Terms, levels_of, terms_of
from vesalius.predict._description import Description
from vesalius.predict._table import Floats, Table
from vesalius.predict._target import Target

LEAST_LEFT = 0.05
"""Share of the outcome's variance within batches below which nothing can be learned of it."""
LITTLE_LEFT = 0.5
"""Share below which a remark is made."""
MOST_CONDITION = 30.0
"""Condition number of scaled columns from which Belsley speaks of strong dependence."""
MOST_INFLATION = 10.0
_TIE = 1e-9  # of a share: exact dependence, up to rounding


@final
@dataclass(frozen=True, slots=True, eq=False)
class Design:
    """How batch, outcome and confounders lie to each other.

    Attributes:
        batch: Column of the batch.
        batches: Its values.
        classes: Of the outcome, as columns of ``counts``; for survival no event and event; for a
            number its thirds.
        counts: Cases by batch and class.
        association: Cramer's V of batch and class; for a number the correlation ratio eta.
        p_value: Of no association: Fisher's exact test for two batches and two classes, else
            Pearson's chi-squared test; for a number the F test.
        left: Share of the outcome's variance that is left within batches, ``1 - R^2`` of the
            outcome on the batch (classes: the mean over their indicators, weighted by variance).
            An estimate adjusted for the batch is about as sure as one from ``left`` times the
            cases in one batch.
        left_adjusted: The same within batches and given the confounders.
        condition: Condition number of batch, outcome and confounders (the last two centred) as
            columns of unit length; infinite where they depend exactly on each other.
        inflation: Variance inflation factor of each term of outcome and confounders, given all
            others; infinite where it is exactly given by them.
        verdicts: What follows, in sentences.
        refusal: Why batch and outcome cannot be told apart; empty where they can.
    """

    batch: str
    batches: tuple[str, ...]
    classes: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    association: float
    p_value: float
    left: float
    left_adjusted: float
    condition: float
    inflation: Mapping[str, float] = field(default_factory=dict)
    verdicts: tuple[str, ...] = ()
    refusal: str = ""

    @property
    def cases(self) -> int:
        """How many."""
        return sum(map(sum, self.counts))


def check_design(table: Table, description: Description, target: Target) -> Design:
    """Make sure that batch and outcome can be told apart.

    Args:
        table: The cases.
        description: Names the batch, and confounders where there are any.
        target: Their outcome.

    Returns:
        The design, with verdicts in sentences.

    Raises:
        ConfigError: Less than 5 % of the outcome's variance is left within batches, or within
            batches given the confounders: any harmonisation removes the outcome with the batch, or
            keeps the batch with the outcome. Also where no batch is named or a column has gaps.
    """
    design = describe_design(table, description, target)
    if design.refusal:
        raise ConfigError(
            f"batch and outcome must differ enough to be told apart: {design.refusal} Add cases of "
            "both kinds from each batch, leave out or pool batches that the same scanner made, "
            "harmonise with a phantom or with subjects seen in both, or ask the question within "
            "one batch."
        )
    return design


def describe_design(table: Table, description: Description, target: Target) -> Design:
    """Describe how batch, outcome and confounders lie to each other, without refusing.

    Args:
        table: The cases.
        description: Names the batch, and confounders where there are any.
        target: Their outcome.

    Returns:
        The design; ``refusal`` says whether batch and outcome cannot be told apart.

    Raises:
        ConfigError: No batch is named, or a column has gaps.

    References:
        Belsley, Kuh, Welsch (1980), Regression diagnostics, doi:10.1002/0471725153, section 3.2
        (condition number of columns of unit length).
        Goodman, Kruskal (1954), doi:10.1080/01621459.1954.10501231 (tau: ``1 - left``).
        Nygaard, Rodland, Hovig (2016), doi:10.1093/biostatistics/kxv027 (what becomes of groups
        that are unevenly spread over batches).
    """
    if not description.batch:
        raise ConfigError("the description must name the batch, got none: name its column")
    batch = levels_of(table, description.batch)
    confounders = terms_of(table, description.confounders)
    others = confounders.values - confounders.values.mean(axis=0)
    outcome = outcome_terms(target)
    classes, counts = _cross(batch, target)
    association, p_value = _association(batch, target, counts)
    inside = batch.indicators
    left = _left(outcome, inside)
    adjusted = _left(outcome, np.concatenate((inside, confounders.values), axis=1))
    design = Design(
        description.batch,
        batch.names,
        classes,
        tuple(tuple(int(n) for n in row) for row in counts),
        association,
        p_value,
        left,
        adjusted,
        _condition(np.concatenate((inside, outcome - outcome.mean(axis=0), others), axis=1)),
        _inflation(inside, outcome, confounders),
    )
    verdicts = (
        *_verdicts(design),
        *_verdicts_of_confounders(batch, confounders, description.confounders),
    )
    return _with(design, verdicts, _refusal(design, description))


def adjustment_plan(description: Description) -> tuple[str, ...]:
    """Say what is harmonised, what is adjusted for and what is left alone, and why.

    Args:
        description: What the columns mean.

    Returns:
        Sentences, one for each role.
    """
    plan = []
    if description.batch:
        plan.append(
            f"{description.batch!r} changes the measurement and not the patient: features are "
            "harmonised over it, learned on training cases alone."
        )
    if description.confounders:
        names = ", ".join(map(repr, description.confounders))
        kept = " and kept while harmonising" if description.batch else ""
        plan.append(
            f"{names} may change features and outcome both: adjusted for as covariates{kept}; "
            "removing what follows from them is a step of its own."
        )
    if description.outcome:
        kept = f", neither to harmonise over {description.batch!r} nor" if description.batch else ""
        plan.append(
            f"{description.outcome!r} is what is asked: it is never used{kept} to prepare a "
            "feature, since a new case has none."
        )
    if description.exposure:
        plan.append(
            f"{description.exposure!r} is the exposure: its effect is reported crude and adjusted. "
            "Do not adjust for what it causes, nor for what it and the outcome both cause."
        )
    return tuple(plan)


def outcome_terms(target: Target) -> Floats:
    """Give (cases, terms) the outcome as numbers: indicators of classes but one, or itself."""
    if target.kind == "survival":
        return target.events.astype(np.float64)[:, None]
    if target.kind == "classes":
        codes = target.values.astype(np.int64)
        return np.asarray(codes[:, None] == np.arange(1, len(target.classes)), dtype=np.float64)
    return target.values.astype(np.float64)[:, None]


def counts_text(design: Design) -> str:
    """Give the counts by batch and class in a sentence; the first twelve batches."""
    shown = [
        f"{batch}: " + ", ".join(f"{n} {name}" for name, n in zip(design.classes, row, strict=True))
        for batch, row in zip(design.batches[:12], design.counts, strict=False)
    ]
    more = len(design.batches) - len(shown)
    return "; ".join(shown) + (f"; and {more} more" if more else "")


def share_of(values: Floats, on: Floats) -> float:
    """Give the share of the variance of columns that others explain.

    Args:
        values: (cases, columns).
        on: (cases, terms); their span and the constant explain.

    Returns:
        ``R^2``, pooled over columns; 0 where there is no variance.
    """
    centred = values - values.mean(axis=0)
    whole = float((centred**2).sum())
    if whole <= 0 or not on.shape[1]:
        return 0.0
    basis = span(on - on.mean(axis=0))
    return min(float(((basis.T @ centred) ** 2).sum()) / whole, 1.0)


def span(values: Floats) -> Floats:
    """Give an orthonormal basis of the columns, exact dependences left out."""
    size = np.linalg.norm(values, axis=0)
    scaled = values[:, size > 0] / size[size > 0]
    if not scaled.shape[1]:
        return np.zeros((values.shape[0], 0))
    left, strength, _ = np.linalg.svd(scaled, full_matrices=False)
    return np.asarray(left[:, strength > 1e-10 * strength[0]])


def _left(outcome: Floats, on: Floats) -> float:
    # indicators of all classes, so that the choice of the one left out does not matter
    whole = outcome
    if outcome.shape[1] > 1:
        whole = np.concatenate((1 - outcome.sum(axis=1, keepdims=True), outcome), axis=1)
    left = 1 - share_of(whole, on)
    return left if left > _TIE else 0.0


def _cross(batch: Levels, target: Target) -> tuple[tuple[str, ...], Floats]:
    codes = target.strata
    if target.kind == "number":
        names: tuple[str, ...] = ("low", "middle", "high")
    elif target.kind == "survival":
        names = ("no event", "event")
    else:
        names = target.classes or tuple(str(k) for k in range(int(codes.max()) + 1))
    return names, batch.indicators.T @ (codes[:, None] == np.arange(len(names)))


def _association(batch: Levels, target: Target, counts: Floats) -> tuple[float, float]:
    from scipy import stats

    n = len(batch.codes)
    if target.kind == "number":
        share = share_of(target.values[:, None], batch.indicators)
        free, rest = len(batch.names) - 1, n - len(batch.names)
        if free < 1 or rest < 1 or share >= 1 - _TIE:
            return float(np.sqrt(share)), 1.0 if share < 0.5 else 0.0
        return float(np.sqrt(share)), float(
            stats.f.sf(share / (1 - share) * rest / free, free, rest)
        )
    kept = counts[:, counts.sum(axis=0) > 0]
    if min(kept.shape) < 2:
        return 0.0, 1.0
    found = stats.chi2_contingency(kept, correction=False)
    strength = float(np.sqrt(found.statistic / n / (min(kept.shape) - 1)))
    if kept.shape == (2, 2):
        return min(strength, 1.0), float(stats.fisher_exact(kept.astype(np.int64)).pvalue)
    return min(strength, 1.0), float(found.pvalue)


def _condition(columns: Floats) -> float:
    # the indicators of all batches stand for the constant
    size = np.linalg.norm(columns, axis=0)
    strength = np.linalg.svd(columns[:, size > 0] / size[size > 0], compute_uv=False)
    if not len(strength):
        return 1.0
    least = float(strength[-1] / strength[0]) if columns.shape[1] <= columns.shape[0] else 0.0
    return 1 / least if least > _TIE else float("inf")


def _inflation(inside: Floats, outcome: Floats, confounders: Terms) -> dict[str, float]:
    names = [f"outcome {k}" if outcome.shape[1] > 1 else "outcome" for k in range(outcome.shape[1])]
    names += list(confounders.names)
    values = np.concatenate((outcome, confounders.values), axis=1)
    found = {}
    for j, name in enumerate(names):
        others = np.concatenate((inside, np.delete(values, j, axis=1)), axis=1)
        left = 1 - share_of(values[:, [j]], others)
        found[name] = 1 / left if left > _TIE else float("inf")
    return found


def _refusal(design: Design, description: Description) -> str:
    table = f"Cases by batch: {counts_text(design)}."
    if design.left < LEAST_LEFT:
        if design.left == 0:
            why = (
                "every batch has one class only"
                if description.kind != "number"
                else "the outcome does not differ within any batch"
            )
        else:
            why = f"only {design.left:.1%} of the outcome's variance is left within batches"
        return (
            f"{why}, so no difference between classes can be separated from one between "
            f"batches ({description.batch!r}). {table}"
        )
    if design.left_adjusted < LEAST_LEFT:
        names = ", ".join(map(repr, description.confounders))
        return (
            f"batch and confounders ({names}) together leave {design.left_adjusted:.1%} of the "
            f"outcome's variance, so nothing is left to be learned. {table}"
        )
    return ""


def _verdicts(design: Design) -> tuple[str, ...]:
    found = []
    if len(design.batches) == 1:
        return (f"There is one batch, {design.batches[0]!r}: nothing is to be harmonised.",)
    sizes = [sum(row) for row in design.counts]
    if lonely := [name for name, n in zip(design.batches, sizes, strict=True) if n == 1]:
        found.append(
            f"{len(lonely)} batches have a single case ({', '.join(lonely[:5])}): their spread is "
            "unknown. Pool them with batches of the same scanner, or leave them out."
        )
    one = [
        name
        for name, row in zip(design.batches, design.counts, strict=True)
        if sum(row) > 1 and sum(n > 0 for n in row) == 1
    ]
    if one and len(design.classes) > 1:
        found.append(
            f"{len(one)} of {len(design.batches)} batches have one class only "
            f"({', '.join(one[:5])}): they say nothing of the outcome once the batch is adjusted "
            "for."
        )
    percent = f"{design.left:.0%} of the outcome's variance is left within batches"
    like = f"about {design.left * design.cases:.0f} of {design.cases} cases"
    if design.left < LITTLE_LEFT:
        found.append(
            f"Batch and outcome are close to each other: {percent}, so that an adjusted estimate "
            f"is as sure as one from {like}."
        )
    elif design.p_value < 0.05:
        found.append(
            f"The outcome is not spread evenly over the batches ({percent}): compare within "
            "batches, and do not let a model see the batch."
        )
    else:
        found.append(f"Batch and outcome can be told apart: {percent}.")
    return tuple(found)


def _verdicts_of_confounders(
    batch: Levels, confounders: Terms, columns: tuple[str, ...]
) -> tuple[str, ...]:
    found = []
    for column in dict.fromkeys(columns):
        own = confounders.values[:, [one == column for one in confounders.columns]]
        if not np.ptp(own, axis=0).any():
            found.append(f"{column!r} is the same for all cases: it adjusts for nothing.")
            continue
        share = share_of(own, batch.indicators)
        if share >= 1 - _TIE:
            found.append(
                f"{column!r} is the same within each batch: what it does cannot be told from what "
                "the batch does. Leave one of them out."
            )
        elif share > 1 - 1 / MOST_INFLATION:
            found.append(
                f"{share:.0%} of the variance of {column!r} lies between batches: its effect is "
                "poorly known once the batch is adjusted for."
            )
    return tuple(found)


def _with(design: Design, verdicts: tuple[str, ...], refusal: str) -> Design:
    dependent = design.condition > MOST_CONDITION and not refusal
    if dependent and len(design.batches) > 1:
        verdicts += (
            f"The columns of batch, outcome and confounders depend strongly on each other "
            f"(condition number {design.condition:.0f}).",
        )
    return replace(design, verdicts=verdicts, refusal=refusal)
