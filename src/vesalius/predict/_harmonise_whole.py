"""Harmonise a whole table at once, for a description of it, and write down that it was done."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import final

import numpy as np

from vesalius.core._provenance import Provenance
from vesalius.errors import IntensityError
from vesalius.predict._coding import Levels, levels_of
from vesalius.predict._learned import Step
from vesalius.predict._table import Floats, Table

STEP = "harmonise"
"""How the history of a table calls it."""
_FLAT = 1e-12  # of the largest magnitude: rounding, not spread
_FEW, _MANY = 5, 20  # values of a code, in cases enough to tell


@final
@dataclass(frozen=True, slots=True, eq=False)
class Harmonised:
    """A table that was harmonised on all of its cases.

    Attributes:
        table: Same cases, features and columns; its history says what was done.
        step: Fitted; treats further cases the same way.
        left_alone: Features that were not touched, and why.
        remarks: What must be known, in sentences.
    """

    table: Table
    step: Step
    left_alone: dict[str, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


def harmonise_whole(
    table: Table, step: Step, batch: Sequence[str], *, outcome_kept: bool = False
) -> Harmonised:
    """Fit a harmonisation on every case and treat every case.

    This serves to look at a table and to compare its groups. A table treated so must not be
    cross-validated: each case has had a part in the treatment of all others. There the step stands
    in the recipe, and is learned inside the folds.

    A gap counts as the median of the feature in its batch while the step learns, and stays a gap.
    A feature that does not vary within any batch, or that a whole batch lacks, is left as it is.

    Args:
        table: All cases.
        step: Not fitted; ``Combat``, ``NestedCombat``, ``Quantile`` or ``ZScore``.
        batch: Columns of the batches.
        outcome_kept: Whether the outcome is among what the step keeps, for the history.

    Returns:
        The table, the fitted step, what was left alone.

    Raises:
        IntensityError: No feature is left to be harmonised.
        VesaliusError: As the step refuses.
    """
    all_levels = [levels_of(table, name) for name in batch]
    left = _left_alone(table, all_levels)
    wanted = tuple(name for name in table.features if name not in left)
    if not wanted:
        raise IntensityError(
            f"at least one feature must vary within batches and be known in each, none of "
            f"{len(table.features)} does: check the table and {', '.join(map(repr, batch))}"
        )
    part = table.select(wanted)
    gaps = np.isnan(part.values)
    full = part.with_values(_filled(part.values, all_levels)) if gaps.any() else part
    fitted = step.fit(full)
    treated = fitted.transform(full).values
    values = table.values.copy()
    place = {name: j for j, name in enumerate(table.features)}
    values[:, [place[name] for name in wanted]] = np.where(gaps, np.nan, treated)
    record = Provenance(
        STEP,
        {
            "method": step.word,
            "settings": {name: _plain(value) for name, value in step.settings().items()},
            "cases": len(table.cases),
            "batches": {one.column: _counts(one) for one in all_levels},
            "features": len(wanted),
            "left_alone": len(left),
            "outcome_kept": outcome_kept,
        },
    )
    done = replace(table, values=values).noted(record)
    coded = tuple(name for name, column in zip(wanted, part.values.T, strict=True) if _code(column))
    return Harmonised(done, fitted, left, _remarks(int(gaps.sum()), left, coded))


def _code(column: Floats) -> bool:
    """Whether a feature looks like a code, such as an outcome: few whole numbers."""
    seen = np.unique(column[~np.isnan(column)])
    return len(column) >= _MANY and len(seen) <= _FEW and bool((seen == np.round(seen)).all())


def _left_alone(table: Table, all_levels: Sequence[Levels]) -> dict[str, str]:
    left: dict[str, str] = {}
    for levels in all_levels:
        least = np.zeros(len(table.features), dtype=bool)
        for code in range(len(levels.names)):
            own = table.values[levels.codes == code]
            known = ~np.isnan(own)
            for j in np.flatnonzero(~known.any(axis=0)):
                left[table.features[j]] = f"{levels.names[code]!r} has no value of it"
            high = np.where(known, own, -np.inf).max(axis=0, initial=-np.inf)
            low = np.where(known, own, np.inf).min(axis=0, initial=np.inf)
            least |= high - low > _FLAT * np.maximum(np.abs(high), np.abs(low))
        for j in np.flatnonzero(~least):
            left.setdefault(table.features[j], f"the same within each {levels.column!r}")
    return left


def _filled(values: Floats, all_levels: Sequence[Levels]) -> Floats:
    filled = values.copy()
    codes = all_levels[0].codes
    for code in range(len(all_levels[0].names)):
        own = codes == code
        middle = np.nanmedian(values[own], axis=0)
        filled[own] = np.where(np.isnan(values[own]), middle, values[own])
    return filled


def _counts(levels: Levels) -> dict[str, int]:
    return {name: int(n) for name, n in zip(levels.names, levels.counts, strict=True)}


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def _remarks(gaps: int, left: dict[str, str], coded: tuple[str, ...]) -> tuple[str, ...]:
    found = []
    if coded:
        found.append(
            f"{', '.join(map(repr, coded[:5]))}{' ...' if len(coded) > 5 else ''} hold a few whole "
            "numbers and were harmonised as features: give an outcome or a code its role, or leave "
            "it out."
        )
    if gaps:
        found.append(
            f"{gaps} gaps counted as the median of their batch while batches were learned, and "
            "stay gaps."
        )
    for why in dict.fromkeys(left.values()):
        names = [name for name, reason in left.items() if reason == why]
        found.append(
            f"{len(names)} features were left as they are, {why}: {', '.join(names[:5])}"
            + (" ..." if len(names) > 5 else ".")
        )
    return tuple(found)
