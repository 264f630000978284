"""Frames: slices at repeated positions, put in order of time or of diffusion weighting."""
# SPDX-License-Identifier: Apache-2.0

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import final

import numpy as np

from vesalius.io._budget import Budget
from vesalius.io._handle import Allow, Array, Finding
from vesalius.io.dicom._group import b_value, places
from vesalius.io.dicom._pixels import read_frames
from vesalius.io.dicom._slice import Slice

Row = tuple[Slice, ...]
Number = Callable[[Slice], float]
BESIDE_MM = 0.1
DAY_S = 86400.0
EXACT = 0.05
"""Repetition time and acquisition times agree if they differ by less than this part."""


@final
@dataclass(frozen=True, slots=True, eq=False)
class Arranged:
    """Slices in order.

    Attributes:
        frames: For each frame its slices, sorted along their normal.
        times_s: When each frame was taken, or empty.
        channels: Name of each frame where frames are channels (diffusion), else empty.
    """

    frames: tuple[Row, ...]
    times_s: tuple[float, ...] = ()
    channels: tuple[str, ...] = ()


def arrange(
    slices: Sequence[Slice], allow: tuple[Allow, ...], budget: Budget, findings: list[Finding]
) -> Arranged:
    """Sort slices by position, and where positions repeat by time.

    Args:
        slices: Slices of one orientation, all with position, in any order.
        allow: Words that were allowed.
        budget: What comparing duplicates may cost.
        findings: What was noticed is added.

    Returns:
        The frames. Where duplicates are not accepted, or frames lack slices, what is given is
        only good for looking at: a finding is an error.
    """
    number, _ = places(slices)
    columns: list[list[Slice]] = [[] for _ in range(int(number.max()) + 1)]
    for place, one in zip(number.tolist(), slices, strict=True):
        columns[place].append(one)
    for column in columns:
        column.sort(key=_serial)
    columns = _without_copies(columns, budget, findings)
    apart = max(_apart_mm(column) for column in columns)
    if apart > BESIDE_MM:
        text = (
            f"slices at one position along the normal must lie over each other, some lie "
            f"{apart:.4g} mm beside: put each stack in a folder of its own"
        )
        findings.append(Finding("error", "sideways", text))
        return Arranged((tuple(column[0] for column in columns),))
    counts = {len(column) for column in columns}
    if counts == {1}:
        return Arranged((tuple(column[0] for column in columns),))
    if len(counts) == 1:
        found = _in_order(columns, findings)
        if found is not None:
            return found
    else:
        found = _complete(columns, allow, findings)
        if found is not None:
            return found
    findings.append(_duplicates(columns, allow))
    return Arranged((tuple(column[0] for column in columns),))


def _apart_mm(column: Sequence[Slice]) -> float:
    """Largest distance along a world axis between slices of one place, mm."""
    if len(column) == 1:
        return 0.0
    positions = np.array([one.position_mm for one in column], dtype=np.float64)
    return float(np.ptp(positions, axis=0).max())


def _serial(one: Slice) -> tuple[float, str, int]:
    return (_number(one, "InstanceNumber", math.inf), one.path.name, one.frame)


def _number(one: Slice, keyword: str, default: float = math.nan) -> float:
    value = one.acquisition.get(keyword)
    known = isinstance(value, (int, float)) and math.isfinite(value)
    return float(str(value)) if known else default


# ---- copies


def _without_copies(
    columns: list[list[Slice]], budget: Budget, findings: list[Finding]
) -> list[list[Slice]]:
    """Drop slices whose samples are those of another at the place, where that evens the row."""
    counts = [len(column) for column in columns]
    values, often = np.unique(counts, return_counts=True)
    usual = int(values[np.argmax(often)])
    # frames of one file are no copies, however alike: nothing moved in between
    files = {one.path for column in columns for one in column}
    alone = len(counts) == 1 and len(files) > 1
    copied = alone or all(_has_copies(column) for column in columns)
    if max(counts) == 1 or (len(values) == 1 and not copied):
        return columns
    kept: list[list[Slice]] = []
    dropped: list[str] = []
    for column in columns:
        unique = _unique(column, budget) if copied or len(column) > usual else column
        names = {id(one) for one in unique}
        dropped += [one.path.name for one in column if id(one) not in names]
        kept.append(unique)
    if dropped:
        text = (
            f"{len(dropped)} slices are identical copies of others and were dropped, such as "
            f"{dropped[0]!r}"
        )
        findings.append(Finding("info", "copies-dropped", text))
    return kept


def _has_copies(column: list[Slice]) -> bool:
    """Whether two slices of a place are one object by their UID."""
    return len({(one.instance, one.frame, one.box) for one in column}) < len(column)


def _unique(column: list[Slice], budget: Budget) -> list[Slice]:
    seen: dict[object, Slice] = {}
    for one in column:
        told = _digest(one, budget), one.slope, one.intercept, str([key(one) for key in MOMENTS])
        seen.setdefault(told, one)
    return list(seen.values())


def _digest(one: Slice, budget: Budget) -> bytes:
    frame = read_frames(one.packed, one.frame, 1, budget)[0]
    if one.box is not None:
        y, x, rows, columns = one.box
        frame = frame[y : y + rows, x : x + columns]
    return hashlib.sha256(np.ascontiguousarray(frame).tobytes()).digest()


def _duplicates(columns: list[list[Slice]], allow: tuple[Allow, ...]) -> Finding:
    several = [column for column in columns if len(column) > 1]
    names = ", ".join(repr(one.path.name) for one in several[0][:2])
    text = (
        f"{len(several)} of {len(columns)} positions have several different slices that nothing "
        f"orders, such as {names}"
    )
    if "duplicates" in allow:
        text += "; the first by InstanceNumber was kept"
        return Finding("warning", "duplicates", text)
    return Finding("error", "duplicates", text, "duplicates")


# ---- order of frames


def _in_order(columns: list[list[Slice]], findings: list[Finding]) -> Arranged | None:
    """Order frames by the first key that tells them apart at each place."""
    for word, number in KEYS:
        values = _past_midnight(np.array([[number(one) for one in row] for row in columns]), word)
        ordered = np.sort(values, axis=1)
        if np.isnan(ordered).any() or not (np.diff(ordered, axis=1) > 0).all():
            continue
        if word in COUNTED and (ordered != ordered[0]).any():
            continue
        order = np.argsort(values, axis=1)
        rows = [[column[k] for k in ks] for column, ks in zip(columns, order, strict=True)]
        frames = [tuple(row[t] for row in rows) for t in range(len(rows[0]))]
        return _diffusion(rows, findings) or _timed(frames, word, findings)
    return _diffusion([sorted(column, key=b_value) for column in columns], findings)


def _timed(frames: list[Row], word: str, findings: list[Finding]) -> Arranged:
    times, source = _times(frames)
    told = f"times come from {source}" if times else "nothing tells their times"
    text = f"{len(frames)} frames, in the order of {word}; {told}"
    if word == "InstanceNumber":
        findings.append(Finding("warning", "frames-by-number", text + "; no time orders them"))
    else:
        findings.append(Finding("info", "frames", text))
    return Arranged(tuple(frames), times)


def _diffusion(rows: list[list[Slice]], findings: list[Finding]) -> Arranged | None:
    """Take frames of several b-values as channels; None where there are none."""
    values = np.array([[b_value(one) for one in row] for row in rows])
    if np.isnan(values).any() or float(np.ptp(values)) == 0:
        return None
    if (values != values[0]).any():
        order = np.argsort(values, axis=1, kind="stable")
        values = np.sort(values, axis=1)
        if (values != values[0]).any():
            return None
        rows = [[row[k] for k in ks] for row, ks in zip(rows, order, strict=True)]
    frames = tuple(tuple(row[t] for row in rows) for t in range(len(rows[0])))
    text = f"{len(frames)} diffusion weightings became channels, named by b-value (s/mm^2)"
    findings.append(Finding("info", "diffusion", text))
    return Arranged(frames, (), _names(values[0].tolist()))


def _names(values: list[float]) -> tuple[str, ...]:
    """Name channels by b-value, with a number where one comes again."""
    seen: dict[float, int] = {}
    names = []
    for value in values:
        seen[value] = seen.get(value, 0) + 1
        again = f" ({seen[value]})" if values.count(value) > 1 else ""
        names.append(f"b={value:g}{again}")
    return tuple(names)


def _complete(
    columns: list[list[Slice]], allow: tuple[Allow, ...], findings: list[Finding]
) -> Arranged | None:
    """Find frames that lack slices, where a number tells frames apart; None where none does."""
    for word in COUNTED:
        frames: dict[float, dict[int, Slice]] = {}
        fits = True
        for place, column in enumerate(columns):
            for one in column:
                row = frames.setdefault(_number(one, word), {})
                fits = fits and place not in row
                row[place] = one
        whole = sorted(key for key, row in frames.items() if len(row) == len(columns))
        if not fits or any(math.isnan(key) for key in frames) or not whole:
            continue
        lacking = len(frames) - len(whole)
        text = f"{lacking} of {len(frames)} frames (by {word}) lack slices"
        if "gaps" in allow:
            text += "; they were left out"
            findings.append(Finding("warning", "incomplete-frames", text))
        else:
            findings.append(Finding("error", "incomplete-frames", text, "gaps"))
        kept = [tuple(frames[key][place] for place in range(len(columns))) for key in whole]
        return _timed(kept, word, findings) if len(kept) > 1 else Arranged(tuple(kept))
    return None


# ---- times


def _times(frames: list[Row]) -> tuple[tuple[float, ...], str]:
    """Find when frames were taken, seconds; empty where nothing tells."""
    first = frames[0][0].acquisition
    acquired: tuple[float, ...] = ()
    for clock in (_stamp_s, _acquired_s):
        begun = np.array([min(map(clock, row)) for row in frames])
        acquired = acquired or _rising(_past_midnight(begun, "AcquisitionTime").tolist())
    repetition = first.get("RepetitionTime")
    planar = "EP" in str(first.get("ScanningSequence", ""))
    if planar and isinstance(repetition, (int, float)) and repetition > 0:
        step = float(repetition) / 1000.0
        told = tuple(step * k for k in range(len(frames)))
        if not acquired or max(abs(a - b) for a, b in zip(acquired, told, strict=True)) <= (
            EXACT * step * len(frames)
        ):
            return told, "RepetitionTime"
    for keyword in ("FrameReferenceTime", "TriggerTime", "FrameTime"):
        values = [float(np.median([_number(one, keyword) for one in row])) for row in frames]
        if all(a < b for a, b in pairwise(values)):
            return tuple(value / 1000.0 for value in values), keyword
    if acquired:
        return acquired, "AcquisitionTime"
    step = _number(frames[0][0], "TemporalResolution") / 1000.0
    if step > 0:
        return tuple(step * k for k in range(len(frames))), "TemporalResolution"
    return (), ""


def _rising(values: list[float]) -> tuple[float, ...]:
    """Give values from the first on, empty unless they rise."""
    if not all(a < b for a, b in pairwise(values)):
        return ()
    return tuple(value - values[0] for value in values)


def _past_midnight(values: Array, word: str) -> Array:
    """Move times behind the others where they began again at midnight and the date did not."""
    if word not in CLOCKS or np.isnan(values).any() or np.ptp(values // DAY_S) > 0:
        return values
    began_again = values < values.max() - DAY_S / 2
    return np.asarray(values + DAY_S * began_again)


def _stamp_s(one: Slice) -> float:
    """When a slice was acquired by AcquisitionDateTime, seconds; NaN where that is absent."""
    told = str(one.identifying.get("AcquisitionDateTime", ""))
    return _clock_s(told[:8], told[8:]) if len(told) >= 14 else math.nan


def _acquired_s(one: Slice) -> float:
    """When a slice was acquired by date and time, seconds from the year 0; NaN if not told."""
    date = one.identifying.get("AcquisitionDate", one.identifying.get("ContentDate", ""))
    return _clock_s(str(date), str(one.identifying.get("AcquisitionTime", "")))


def _content_s(one: Slice) -> float:
    date = one.identifying.get("ContentDate", "")
    return _clock_s(str(date), str(one.identifying.get("ContentTime", "")))


def _clock_s(date: str, time: str) -> float:
    """Read a date (may be empty) and a time (PS3.5 6.2: DA, TM), seconds."""
    import datetime

    digits = time.replace(":", "").split("+")[0].split("-")[0].strip()
    whole, _, fraction = digits.partition(".")
    try:
        hours, minutes, seconds = int(whole[:2]), int(whole[2:4] or 0), int(whole[4:6] or 0)
        days = 0
        if date:
            plain = date.replace(".", "")
            days = datetime.date(int(plain[:4]), int(plain[4:6]), int(plain[6:8])).toordinal()
        return days * 86400.0 + hours * 3600 + minutes * 60 + seconds + float(f"0.{fraction or 0}")
    except ValueError:
        return math.nan


KEYS: tuple[tuple[str, Number], ...] = (
    ("TemporalPositionIdentifier", lambda one: _number(one, "TemporalPositionIdentifier")),
    ("TriggerTime", lambda one: _number(one, "TriggerTime")),
    ("FrameReferenceTime", lambda one: _number(one, "FrameReferenceTime")),
    ("AcquisitionDateTime", _stamp_s),
    ("AcquisitionTime", _acquired_s),
    ("AcquisitionNumber", lambda one: _number(one, "AcquisitionNumber")),
    ("ContentTime", _content_s),
    ("InstanceNumber", lambda one: _number(one, "InstanceNumber")),
)
CLOCKS = ("AcquisitionDateTime", "AcquisitionTime", "ContentTime")
COUNTED = ("TemporalPositionIdentifier", "AcquisitionNumber")
"""Keys that number frames: every place must have the same ones."""
MOMENTS = tuple(key for word, key in KEYS if word not in ("ContentTime", "InstanceNumber"))
"""What a copy has in common with its original; writing it again changes the rest."""
