"""Leaks between cases: the same case twice, one patient under two names, an order that tells."""
# SPDX-License-Identifier: Apache-2.0

import re
from collections import Counter, defaultdict
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from vesalius.errors import ConfigError
from vesalius.predict._card import Leak
from vesalius.predict._description import Description
from vesalius.predict._splits import Part, units_of
from vesalius.predict._table import Floats, Table
from vesalius.predict._target import Target

Pairs = list[tuple[int, int]]
NEAR = 0.05
"""Two cases are alike where they differ by less than this share of what cases differ by."""
_LOOKED_AT = 128
_NAMED = 20
_RARE = 0.02
_MOST_VISITS = 8
_VISIT = re.compile(
    r"^(.+?)(?:[ _\-.:/]+(?:[a-z]|\d{1,2}|[tvsm]\d{1,2}|pre|post|left|right|baseline|re|"
    r"(?:follow.?up|retest|test|scan|visit|session|ses|lesion|roi|time|exam|copy|dup)[ _\-]?\d*)"
    r"|(?<=\d)[a-z]|[ ]*\(\d+\))$"
)
_PATIENT = re.compile(
    r"^(patient|subject|person|pat|subj|pid|mrn)([ _\-.]?(id|no|nr|number|name))?$"
)


def alike_cases(table: Table, description: Description, fixed: tuple[Part, ...]) -> list[Leak]:
    """Find cases of different patients with the same values, or nearly.

    Only features that hardly repeat a value are compared, at most 128 of them, evenly chosen. Two
    cases are the same where seven in ten of these are equal; they are alike where their distance,
    in ranks, is below 5 % of the typical one and below what chance gives in so many dimensions.

    Args:
        table: The cases.
        description: Which column is the patient.
        fixed: Parts that another seed cannot change; empty where any two cases may be parted.

    Returns:
        At most one leak of each of both kinds.
    """
    same, near = _alike_pairs(table)
    units = units_of(table, description)
    same, near = (_parted(pairs, units, fixed) for pairs in (same, near))
    found = []
    if same:
        found.append(_alike(table, same, "duplicate"))
    if near:
        found.append(_alike(table, near, "near_duplicate"))
    return found


def duplicates(table: Table) -> tuple[int, ...]:
    """Find rows that have the values of an earlier one, as :func:`alike_cases` tells them.

    Args:
        table: The cases.

    Returns:
        Numbers of the later rows, rising.
    """
    return tuple(sorted({max(pair) for pair in _alike_pairs(table)[0]}))


def _alike_pairs(table: Table) -> tuple[Pairs, Pairs]:
    """Pairs of rows that are the same, and pairs that are nearly."""
    values = _telling(table.values)
    if values.shape[1] < 3 or len(values) < 3:
        return sorted(_equal_rows(table)), []
    same, near = _close_pairs(values)
    same = sorted({*same, *_equal_rows(table)})
    known = set(same)
    return same, [pair for pair in near if pair not in known]


def _alike(table: Table, pairs: Pairs, kind: str) -> Leak:
    first = " and ".join(repr(table.cases[k]) for k in pairs[0])
    names = tuple(dict.fromkeys(table.cases[k] for pair in pairs for k in pair))[:_NAMED]
    many = f"{len(pairs)} pairs of cases" if len(pairs) > 1 else "Two cases"
    if kind == "duplicate":
        text = f"{many} have the same values ({first}): keep one of them, or name their patient."
        return Leak("duplicate", "certain", text, names)
    text = (
        f"{many} are nearly the same ({first}): if they are one patient, name it (--group); if "
        "they are copies, keep one."
    )
    return Leak("near_duplicate", "suspect", text, names)


def _telling(values: Floats) -> Floats:
    """Keep features that hardly repeat a value, at most so many, evenly chosen."""
    chance = np.array([_collision(column) for column in values.T])
    kept = np.nonzero(chance <= max(_RARE, 1.5 / max(len(values), 1)))[0]
    if len(kept) > _LOOKED_AT:
        kept = kept[np.linspace(0, len(kept) - 1, _LOOKED_AT).astype(np.int64)]
    return values[:, kept]


def _collision(column: Floats) -> float:
    """Chance that two cases have the same value."""
    present = column[~np.isnan(column)]
    if len(present) < max(3, 0.5 * len(column)):
        return 1.0
    _, counts = np.unique(present, return_counts=True)
    return float(np.square(counts / len(present)).sum())


def _close_pairs(values: Floats) -> tuple[Pairs, Pairs]:
    from scipy.stats import rankdata

    n, features = values.shape
    gaps = np.isnan(values)
    ranks = rankdata(values, axis=0, nan_policy="omit")
    ranks = np.where(gaps, np.nanmean(ranks, axis=0), ranks)
    ranks = (ranks - ranks.mean(axis=0)) / ranks.std(axis=0)
    squares = np.square(ranks).sum(axis=1)
    inner = ranks.T @ ranks / n
    dimensions = float(np.trace(inner) ** 2 / np.square(inner).sum())
    # n^2 / 2 pairs; a share r of the distance has a chance of about r^dimensions
    limit = min(NEAR, (0.01 / (n * n / 2)) ** (1 / dimensions))
    typical = 2.0 * features
    same: Pairs = []
    near: Pairs = []
    block = max(1, int(1e7 // (n * features)))
    for low in range(0, n, block):
        rows = slice(low, low + block)
        equal = (values[rows, None] == values[None]).sum(axis=2)
        both = (~gaps[rows]).astype(np.float64) @ (~gaps).T.astype(np.float64)
        twin = (equal >= 0.7 * np.maximum(both, 1)) & (both >= max(3, 0.3 * features))
        distance = squares[rows, None] + squares[None] - 2 * ranks[rows] @ ranks.T
        close = distance < limit**2 * typical
        same += _above(twin, low)
        near += _above(close & ~twin, low)
    return same, near


def _above(found: NDArray[np.bool_], low: int) -> Pairs:
    return [(int(i) + low, int(j)) for i, j in zip(*np.nonzero(found), strict=True) if i + low < j]


def _equal_rows(table: Table) -> Iterator[tuple[int, int]]:
    """Pairs of rows that are equal in every feature, where chance cannot make them so."""
    values = table.values
    chances = [max(_collision(column), 1e-6) for column in values.T]
    pairs = len(values) ** 2 / 2
    if not chances or pairs * float(np.exp(np.log(chances).sum())) > 0.01:
        return
    seen: dict[bytes, int] = {}
    for row, one in enumerate(values + 0.0):
        key = np.where(np.isnan(one), np.inf, one).tobytes()
        if key in seen:
            yield seen[key], row
        seen.setdefault(key, row)


def _parted(pairs: Pairs, units: NDArray[np.int64], fixed: tuple[Part, ...]) -> Pairs:
    """Keep pairs of different patients that come, or may come, on both sides."""
    apart = [(i, j) for i, j in pairs if units[i] != units[j]]
    if not fixed:
        return apart
    sides = [(set(part.train.tolist()), set(part.test.tolist())) for part in fixed]
    return [
        (i, j)
        for i, j in apart
        if any((i in a and j in b) or (j in a and i in b) for a, b in sides)
    ]


def one_patient(table: Table, description: Description) -> list[Leak]:
    """Find names of cases, or a column, that say that a patient has several cases.

    Args:
        table: The cases.
        description: Whose ``group`` is empty where patients are not kept whole.

    Returns:
        At most one leak for the names and one for the columns.
    """
    if description.group:
        return []
    return [*_patient_columns(table), *_patient_names(table)]


def _patient_columns(table: Table) -> list[Leak]:
    for name in map(str, table.columns.columns):
        if not _PATIENT.match(name.strip().lower()):
            continue
        texts = [str(value) for value in table.columns[name] if value == value]
        twice = [text for text, count in Counter(texts).items() if count > 1]
        if twice and len(twice) < len(texts):
            text = (
                f"The column {name!r} has {len(twice)} values with several cases, and cases of "
                "one patient may be both in training and in test: name it (--group)."
            )
            return [Leak("group_split", "certain", text, tuple(twice[:_NAMED]))]
    return []


def _patient_names(table: Table) -> list[Leak]:
    stems: defaultdict[str, list[str]] = defaultdict(list)
    for case in table.cases:
        stems[_stem(case)].append(case)
    alike = [cases for cases in stems.values() if 1 < len(cases) <= _MOST_VISITS]
    if not alike or max(len(cases) for cases in stems.values()) > _MOST_VISITS:
        return []
    first = " and ".join(repr(case) for case in alike[0][:2])
    text = (
        f"{len(alike)} patients seem to have several cases, by the names ({first}): add a column "
        "of patients and name it (--group)."
    )
    names = tuple(case for cases in alike for case in cases)[:_NAMED]
    return [Leak("group_split", "suspect", text, names)]


def _stem(case: str) -> str:
    """Name without what marks a visit, a side or a repetition."""
    text = case.strip().lower()
    if found := _VISIT.match(text):
        text = found[1]
    text = text.strip(" _-.")
    if len(re.findall(r"\d+", text)) > 1:  # as in a hexadecimal code
        return text
    return re.sub(r"\d+", lambda digits: digits[0].lstrip("0") or "0", text)


def sorted_rows(
    table: Table, description: Description, target: Target, *, in_time: bool
) -> list[Leak]:
    """Find an order of rows or of dates that predicts the outcome, and features that tell it.

    Args:
        table: The cases.
        description: Which column is the date.
        target: Their outcome.
        in_time: Whether the split trains on earlier cases only.

    Returns:
        At most one leak for the order of rows and one for dates.
    """
    truth = target.events.astype(np.float64) if target.kind == "survival" else target.values
    place = np.arange(len(truth), dtype=np.float64)
    found = []
    counting = _following(table, place)
    if counting or (len(truth) >= 10 and _tells(place, truth, 1e-6)):
        told = _tells(place, truth, 1e-3)
        if counting:
            text = (
                f"{counting[0]!r} counts the rows of the table and is no measurement"
                + (", and the order of rows tells the outcome" if told else "")
                + ": leave it out of the features."
            )
        else:
            text = (
                "The order of rows tells the outcome (the table is sorted): make sure that no "
                "feature, identifier or file name that follows the order is used."
            )
        found.append(Leak("order", "certain" if counting and told else "suspect", text, counting))
    return found + _dated(table, description, truth, in_time=in_time)


def _dated(table: Table, description: Description, truth: Floats, *, in_time: bool) -> list[Leak]:
    from vesalius.predict._splits import dates_of

    if not description.date:
        return []
    try:
        date, _ = dates_of(table, description.date)
    except ConfigError:
        return []
    features = _following(table, date)
    if features:
        text = f"{features[0]!r} tells the date of the case: leave it out of the features."
        return [Leak("time", "suspect", text, features)]
    if in_time or len(truth) < 10 or not _tells(date, truth, 1e-4):
        return []
    text = (
        f"The outcome changes with {description.date!r}, and random folds learn from later cases "
        "to predict earlier ones: use a temporal split."
    )
    return [Leak("time", "suspect", text, (description.date,))]


def _following(table: Table, order: Floats) -> tuple[str, ...]:
    """Features that rise or fall with an order of cases throughout."""
    if len(order) < 10 or np.ptp(order) == 0:
        return ()
    from scipy.stats import rankdata

    full = np.nonzero(~np.isnan(table.values).any(axis=0))[0]
    if not full.size:
        return ()
    ranks = np.c_[rankdata(order), rankdata(table.values[:, full], axis=0)]
    ranks = ranks - ranks.mean(axis=0)
    size = np.sqrt(np.square(ranks).sum(axis=0))
    with np.errstate(invalid="ignore", divide="ignore"):
        rho = ranks[:, 0] @ ranks[:, 1:] / (size[0] * size[1:])
    return tuple(table.features[full[k]] for k in np.nonzero(np.abs(rho) > 0.999)[0])[:_NAMED]


def _tells(order: Floats, truth: Floats, least: float) -> bool:
    """Whether an order and an outcome agree beyond chance (Spearman)."""
    from scipy.stats import spearmanr

    if np.ptp(order) == 0 or np.ptp(truth) == 0:
        return False
    return bool(spearmanr(order, truth).pvalue < least)
