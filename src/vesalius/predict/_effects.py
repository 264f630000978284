"""Effects: what a feature has to do with the outcome, crude and adjusted, side by side."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import final

import numpy as np
from numpy.typing import NDArray

from vesalius.errors import ConfigError
from vesalius.predict._associations import FEW, Association, linear, logistic
from vesalius.predict._coding import alike_gaps, levels_of, terms_of
from vesalius.predict._description import Description
from vesalius.predict._table import Floats, Table
from vesalius.predict._target import Target

_SHOWN = 5
_LEAST_CASES = 3


@final
@dataclass(frozen=True, slots=True, eq=False)
class Effects:
    """Crude and adjusted associations.

    Attributes:
        measure: What an estimate is, in words.
        names: Features, or terms of the exposure.
        crude: Outcome and feature alone.
        adjusted: Given batch (an intercept for each) and confounders.
        adjusted_for: Columns.
        cases: How many entered the adjusted estimates.
        null: The estimate of no association: 1 for odds ratios, 0 for slopes.
        verdicts: What changes by adjusting, in sentences.
    """

    measure: str
    names: tuple[str, ...]
    crude: Association
    adjusted: Association
    adjusted_for: tuple[str, ...]
    cases: int
    null: float
    verdicts: tuple[str, ...] = field(default=())


def effect(
    table: Table, description: Description, target: Target, features: Sequence[str] = ()
) -> Effects:
    """Estimate what features, or the exposure, have to do with the outcome.

    Everything is for one standard deviation of the feature over all cases, so that crude and
    adjusted can be compared. It is a description of these cases: that something is adjusted for
    does not make the rest a cause.

    Args:
        table: The cases.
        description: Names batch, confounders and, where there is one, the exposure.
        target: Their outcome: two classes or a number.
        features: Names; empty takes the exposure, or every feature where none is named.

    Returns:
        Odds ratios (two classes) or slopes (number) with 95 % intervals, reasons where one is
        missing, and sentences on what changes.

    Raises:
        ConfigError: The outcome is of another kind, or a column is absent or has gaps.

    References:
        Simpson (1951), doi:10.1111/j.2517-6161.1951.tb00088.x.
    """
    if target.kind not in ("binary", "number"):
        raise ConfigError(
            f"effects need an outcome of two classes or a number, got {target.kind!r}: compare two "
            "of its classes, or the event by a fixed time"
        )
    names, values = _asked(table, description, features)
    for_ = tuple(name for name in (description.batch, *description.confounders) if name)
    exposure = description.exposure if not features else ""
    for_ = tuple(dict.fromkeys(name for name in for_ if name != exposure))
    entered, dropped = _informative(table, description, target)
    few = len(entered) < _LEAST_CASES
    covariates = np.zeros((len(entered), 0)) if few else terms_of(table.rows(entered), for_).values
    spread = _spread(values)
    scaled = values / np.where(spread > 0, spread, 1.0)
    crude = _each(scaled, np.zeros((len(values), 0)), target)
    adjusted = _each(scaled[entered], covariates, target.rows(entered))
    null = 1.0 if target.kind == "binary" else 0.0
    what = "odds ratio" if target.kind == "binary" else "change of the outcome"
    found = Effects(
        f"{what} for one standard deviation",
        names,
        crude,
        adjusted,
        for_,
        len(entered),
        null,
    )
    return _told(found, dropped, _repeats(table, description))


def _asked(
    table: Table, description: Description, features: Sequence[str]
) -> tuple[tuple[str, ...], Floats]:
    if features or not description.exposure:
        chosen = table.select(features) if features else table
        return chosen.features, chosen.values
    terms = terms_of(table, (description.exposure,))
    if not terms.names:
        raise ConfigError(
            f"the exposure must differ between cases, {description.exposure!r} is the same for "
            "all: there is no effect to be seen"
        )
    return terms.names, terms.values


def _informative(
    table: Table, description: Description, target: Target
) -> tuple[NDArray[np.int64], str]:
    """Give the cases of batches that have both classes: others say nothing within a batch."""
    every = np.arange(len(table.cases), dtype=np.int64)
    if not description.batch or target.kind != "binary":
        return every, ""
    batch = levels_of(table, description.batch)
    events = np.bincount(batch.codes, weights=target.values, minlength=len(batch.names))
    one = (events == 0) | (events == batch.counts)
    kept = every[~one[batch.codes]]
    if not one.any():
        return kept, ""
    gone = [name for name, is_one in zip(batch.names, one, strict=True) if is_one]
    return kept, (
        f"{len(gone)} of {len(batch.names)} batches have one class only and say nothing within a "
        f"batch ({', '.join(gone[:_SHOWN])}): their {len(every) - len(kept)} cases are not in the "
        "adjusted estimates."
    )


def _spread(values: Floats) -> Floats:
    known = ~np.isnan(values)
    count = np.maximum(known.sum(axis=0), 1)
    filled = np.where(known, values, 0.0)
    centred = np.where(known, values - filled.sum(axis=0) / count, 0.0)
    return np.asarray(np.sqrt((centred**2).sum(axis=0) / np.maximum(count - 1, 1)))


def _each(values: Floats, covariates: Floats, target: Target) -> Association:
    """Estimate features that share their gaps together."""
    fit = logistic if target.kind == "binary" else linear
    parts = np.full((4, values.shape[1]), np.nan)
    reasons = [FEW] * values.shape[1]
    for there, places in alike_gaps(values):
        if len(there) < _LEAST_CASES:
            continue
        of = fit(values[np.ix_(there, places)], covariates[there], target.values[there])
        parts[:, places] = of.estimate, of.low, of.high, of.p
        for j, why in zip(places, of.reasons, strict=True):
            reasons[j] = why
    return Association(parts[0], parts[1], parts[2], parts[3], tuple(reasons))


def _repeats(table: Table, description: Description) -> str:
    if not description.group:
        return ""
    groups = levels_of(table, description.group)
    if len(groups.names) == len(table.cases):
        return ""
    return (
        f"{len(table.cases)} cases come from {len(groups.names)} of {description.group!r}, and "
        "count as if each were another: the intervals are too narrow."
    )


def _told(found: Effects, *remarks: str) -> Effects:
    verdicts = [text for text in remarks if text]
    if not found.adjusted_for:
        return replace(found, verdicts=(*verdicts, "Nothing is named to adjust for."))
    crude, adjusted, null = found.crude, found.adjusted, found.null
    was, stays = (((a.low > null) | (a.high < null)) for a in (crude, adjusted))
    turned = was & stays & ((crude.estimate > null) != (adjusted.estimate > null))
    lost = was & ~stays & ~np.isnan(adjusted.estimate)
    gained = stays & ~was & ~np.isnan(crude.estimate)
    names = ", ".join(map(repr, found.adjusted_for))
    for which, text in (
        (turned, "point the other way (Simpson's paradox)"),
        (lost, "are no longer certain"),
        (gained, "become certain"),
    ):
        if which.any():
            shown = ", ".join(found.names[j] for j in np.flatnonzero(which)[:_SHOWN])
            verdicts.append(
                f"Once adjusted for {names}, {int(which.sum())} of {len(found.names)} associations "
                f"{text}: {shown}."
            )
    missing = [why for why in adjusted.reasons if why]
    verdicts += [
        f"{missing.count(why)} of {len(found.names)} have no adjusted estimate: {why}."
        for why in dict.fromkeys(missing)
    ]
    if not verdicts:
        verdicts = [f"Adjusting for {names} changes no conclusion."]
    return replace(found, verdicts=tuple(verdicts))
