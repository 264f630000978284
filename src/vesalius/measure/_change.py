"""Change: what differs between sessions, and whether this scan could have shown it."""
# SPDX-License-Identifier: Apache-2.0

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from vesalius.errors import IntensityError, ShapeError

if TYPE_CHECKING:
    import pandas as pd

KEYS = ["label", "filter", "feature", "aggregation", "discretisation"]
"""What must agree for two values to be of the same quantity."""

Key = tuple[str, ...]
Row = dict[str, object]
Verdict = Literal["CR", "PR", "SD", "PD"]


def change(tables: "tuple[pd.DataFrame, ...]", *, days: tuple[float, ...]) -> "pd.DataFrame":
    """Compare the long tables of one subject over sessions.

    Args:
        tables: One long table for each session, earliest first. Empty texts may be missing values,
            as they are after reading a CSV file.
        days: Time of each session, days, increasing.

    Returns:
        One row for each quantity of any session, and each session after the first (none for a
        quantity that has not come up yet): the keys, ``session`` (1 for the
        second), ``days``, ``baseline``, ``nadir`` (the smallest value before this session),
        ``value``, ``unit``, ``difference`` and ``percent`` (against the baseline),
        ``percent_nadir``, ``mdc95`` (1.96 sqrt(sd_0^2 + sd_k^2), the smallest difference these two
        scans could show), ``detectable`` (``"yes"``, ``"no"``, or ``"unknown"`` without error
        bars), ``doubling_days`` (volumes only) and ``reason`` where a number is missing.

    Raises:
        ShapeError: Fewer than two sessions, times that do not fit or do not increase, tables
            of several subjects, with a quantity twice, or measured with different configurations.
    """
    _check_sessions(tables, days)
    import pandas as pd

    first, *others = (_by_key(table) for table in tables)
    rows: list[dict[str, object]] = []
    for key, start in first.items():
        history = [_as_float(start["value"])]
        for session, later in enumerate(others, start=1):
            if key not in later:
                rows.append(_absent(key, session, days, start))
                continue
            now = later[key]
            rows.append(_compare(key, session, days, start, now, history))
            history.append(_as_float(now["value"]))
    for session, later in enumerate(others, start=1):
        new = {key: now for key, now in later.items() if key not in first}
        rows += [_appeared(key, session, days, now) for key, now in new.items()]
    return pd.DataFrame(rows)


@dataclass(frozen=True, slots=True)
class Response:
    """Tumour response at one session by RECIST 1.1, target lesions only.

    Attributes:
        sum_mm: Sum of the diameters of the target lesions, mm.
        from_baseline: Relative change of the sum against the baseline.
        from_nadir: Relative change of the sum against the smallest sum so far.
        verdict: Complete response, partial response, stable disease or progressive disease.
    """

    sum_mm: float
    from_baseline: float
    from_nadir: float
    verdict: Verdict


def recist(diameters_mm: tuple[tuple[float, ...], ...]) -> tuple[Response, ...]:
    """Judge the response of target lesions by RECIST 1.1.

    Args:
        diameters_mm: For each session, the longest diameter of each target lesion, mm; at most 5
            lesions, the same at every session; 0 where a lesion is gone.

    Returns:
        One response for each session after the first. Progressive: the sum is at least 20% and
        5 mm above the nadir. Partial: at least 30% below the baseline. Complete: all gone. New and
        non-target lesions, and lymph nodes (10 mm short axis) are not judged here.

    Raises:
        ShapeError: Fewer than two sessions, no lesion or more than five, or a different number.
        IntensityError: A diameter is negative or not finite.

    References:
        Eisenhauer et al. (2009), doi:10.1016/j.ejca.2008.10.026, section 4.3.
    """
    counts = {len(session) for session in diameters_mm}
    if len(diameters_mm) < 2 or len(counts) != 1 or not 1 <= max(counts) <= 5:
        raise ShapeError(
            f"diameters_mm must give the same 1 to 5 target lesions at two or more sessions, got "
            f"{[len(session) for session in diameters_mm]} lesions"
        )
    for diameter in itertools.chain.from_iterable(diameters_mm):
        if not 0 <= diameter < math.inf:
            raise IntensityError(
                f"diameters_mm must be 0 or more, got {diameter:g} mm: leave out, at every "
                "session, a lesion that could not be measured"
            )
    sums = [math.fsum(session) for session in diameters_mm]
    found = []
    for session in range(1, len(sums)):
        nadir = min(sums[:session])
        found.append(_judge(sums[session], sums[0], nadir))
    return tuple(found)


def doubling_days(first: float, second: float, days: float) -> float:
    """Give the volume doubling time for exponential growth.

    Args:
        first: Volume at the first session, any unit, positive.
        second: Volume at the second session, the same unit, positive.
        days: Time between them, days.

    Returns:
        Days to double; negative for shrinking (the halving time), infinite for no change.

    Raises:
        IntensityError: A volume is not positive.

    References:
        Schwartz (1961), doi:10.1002/1097-0142(196111/12)14:6<1272::AID-CNCR2820140618>3.0.CO;2-H.
    """
    if not (first > 0 and second > 0):
        raise IntensityError(
            f"volumes must be positive to double, got {first:g} and {second:g}: "
            "leave out lesions that are gone"
        )
    growth = math.log(second / first)
    return math.inf if growth == 0 else days * math.log(2) / growth


def _judge(total: float, baseline: float, nadir: float) -> Response:
    from_baseline = total / baseline - 1 if baseline > 0 else math.inf
    from_nadir = total / nadir - 1 if nadir > 0 else (math.inf if total > 0 else 0.0)
    verdict: Verdict = "SD"
    if total == 0:
        verdict = "CR"
    elif total - nadir >= 5 and from_nadir >= 0.2 - 1e-12:
        verdict = "PD"
    elif from_baseline <= -0.3 + 1e-12:
        verdict = "PR"
    return Response(total, from_baseline, from_nadir, verdict)


def _by_key(table: "pd.DataFrame") -> dict[Key, Row]:
    texts = [*KEYS, "reason"]  # read from CSV, an empty text is a missing value
    filled = table.assign(**{name: table[name].astype(object).fillna("") for name in texts})
    rows = [{str(k): v for k, v in row.items()} for row in filled.to_dict(orient="records")]
    found = {tuple(str(row[name]) for name in KEYS): row for row in rows}
    if len(found) < len(rows):
        raise ShapeError(
            f"a session must have every quantity once, {len(rows)} rows are {len(found)} "
            "quantities: give each subject and each scan a table of its own"
        )
    return found


def _check_sessions(tables: "tuple[pd.DataFrame, ...]", days: tuple[float, ...]) -> None:
    if len(tables) < 2 or len(days) != len(tables):
        raise ShapeError(
            f"change needs two or more sessions with one time each, got {len(tables)} tables and "
            f"{len(days)} times"
        )
    if not all(a < b < math.inf for a, b in itertools.pairwise(days)):
        raise ShapeError(f"days must increase, got {days}: sort the sessions by time")
    subjects = max(table["subject"].nunique() for table in tables)
    if subjects > 1:
        raise ShapeError(
            f"sessions must be of one subject, one table has {subjects}: "
            "pick its rows with table[table.subject == name]"
        )
    names = sorted({str(name) for table in tables for name in table["subject"].dropna()} - {""})
    if len(names) > 1:
        raise ShapeError(
            f"sessions must be of one subject, got {', '.join(map(repr, names))}: if they are, "
            "give them one name in the column subject (--subject)"
        )
    configs = {text for table in tables for text in table["config_hash"].unique()}
    if len(configs) > 1:
        raise ShapeError(
            f"sessions must be measured with one configuration, got {len(configs)} hashes: "
            f"{', '.join(sorted(configs))}: measure again with one --config"
        )


def _compare(
    key: Key,
    session: int,
    days: tuple[float, ...],
    start: Row,
    now: Row,
    history: list[float],
) -> dict[str, object]:
    baseline, value = _as_float(start["value"]), _as_float(now["value"])
    known = [v for v in history if not math.isnan(v)]
    nadir = min(known) if known else math.nan
    mdc95 = 1.96 * math.hypot(_as_float(start["perturb_sd"]), _as_float(now["perturb_sd"]))
    difference = value - baseline
    reason = str(start["reason"] or now["reason"] or "")
    row = _key_row(key, session, days, start)
    row |= {
        "baseline": baseline,
        "nadir": nadir,
        "value": value,
        "difference": difference,
        "percent": _percent(value, baseline),
        "percent_nadir": _percent(value, nadir),
        "mdc95": mdc95,
        "detectable": _detectable(difference, mdc95),
        "doubling_days": math.nan,
        "reason": reason,
    }
    if row["feature"] in ("morph_volume", "morph_vol_approx", "pet_mtv"):
        if baseline > 0 and value > 0:
            row["doubling_days"] = doubling_days(baseline, value, days[session] - days[0])
        else:
            row["reason"] = reason or "a volume of 0 has no doubling time"
    if baseline == 0 and not reason:
        row["reason"] = "the baseline is 0, so that a percentage has no meaning"
    return row


def _absent(key: Key, session: int, days: tuple[float, ...], start: Row) -> dict[str, object]:
    row = _key_row(key, session, days, start)
    numbers = ("nadir", "value", "difference", "percent", "percent_nadir", "mdc95", "doubling_days")
    row |= dict.fromkeys(numbers, math.nan)
    return row | {
        "baseline": _as_float(start["value"]),
        "detectable": "unknown",
        "reason": "not measured at this session",
    }


def _appeared(key: Key, session: int, days: tuple[float, ...], now: Row) -> dict[str, object]:
    row = _absent(key, session, days, now)
    reason = "not measured at the first session"
    return row | {"baseline": math.nan, "value": _as_float(now["value"]), "reason": reason}


def _key_row(key: Key, session: int, days: tuple[float, ...], start: Row) -> dict[str, object]:
    row: dict[str, object] = dict(zip(KEYS, key, strict=True))
    return row | {"session": session, "days": days[session] - days[0], "unit": start["unit"]}


def _detectable(difference: float, mdc95: float) -> str:
    if math.isnan(difference) or math.isnan(mdc95):
        return "unknown"
    return "yes" if abs(difference) >= mdc95 and difference != 0 else "no"


def _percent(value: float, reference: float) -> float:
    return 100 * (value - reference) / abs(reference) if reference else math.nan


def _as_float(value: object) -> float:
    return math.nan if value is None else float(value)  # type: ignore[arg-type]
