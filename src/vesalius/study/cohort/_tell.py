"""Tell: what the tables of a cohort show before anybody models them."""
# SPDX-License-Identifier: Apache-2.0

import json
import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, final

import numpy as np
import torch
from numpy.typing import NDArray

from vesalius.errors import ConfigError, FormatError, VesaliusError
from vesalius.io.tables import read_note, read_rows
from vesalius.predict import Description
from vesalius.predict._read import as_table
from vesalius.predict.adjust import BatchEffects, batch_effects
from vesalius.study.cohort._join import CASES, WIDE
from vesalius.study.cohort._state import FILE as STATE

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]
FAR = 5.0
"""Robust standard deviations beyond which a value is called far from the others."""
LEAST = 8
"""Regions of a kind below which none is called far from the others."""
_TO_SD = 1.4826  # median absolute deviation of a normal distribution to its standard deviation
_BY = ("config_hash", "role", "label")


@final
@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """Regions that may be compared: one configuration, one role, one label.

    Attributes:
        name: Of the role and label, as far as they tell groups apart.
        rows: Places in the wide table.
        values: (regions, features) NaN where missing.
        z: (regions, features) distance from the median in robust standard deviations; NaN where
            there are few regions, the value is missing, or more than half are the same.
    """

    name: str
    rows: NDArray[np.int64] = field(repr=False)
    values: Floats = field(repr=False)
    z: Floats = field(repr=False)


@final
@dataclass(frozen=True, slots=True)
class CaseCost:
    """What a case took, as the state of the last runs tells.

    Attributes:
        case: Identifier.
        detail: What else is known of a failure.
        attempts: How often it was begun.
        seconds: Time.
        cpu_seconds: Processor time.
        peak_bytes: Most memory.
        voxels: Of the image.
    """

    case: str
    detail: str
    attempts: int
    seconds: float
    cpu_seconds: float
    peak_bytes: int
    voxels: int


@final
@dataclass(frozen=True, slots=True)
class Gap:
    """Values that are missing for one reason.

    Attributes:
        why: The reason.
        values: How many.
        regions: In how many regions.
        features: Of which features.
    """

    why: str
    values: int
    regions: int
    features: tuple[str, ...]


@final
@dataclass(frozen=True, slots=True, eq=False)
class Shift:
    """What a batch changes in one group.

    Attributes:
        group: Name of the group.
        effects: What was found; None where it could not be tested.
        why: Why it could not.
    """

    group: str
    effects: BatchEffects | None
    why: str = ""


@final
@dataclass(frozen=True, slots=True, eq=False)
class Told:
    """Everything that the report of a cohort is made of.

    Attributes:
        folder: Name of the folder.
        cases: One row for each case.
        wide: One row for each case and region.
        features: Names of the features.
        units: Units of each feature; more than one is a fault.
        groups: Regions that may be compared, largest first.
        gaps: Missing values, most frequent reason first.
        costs: Times and memory, by case; empty where the state is gone.
        batch: Column of the batch; empty for none.
        shifts: What the batch changes in each group.
        record: Provenance of the run, JSON types.
    """

    folder: str
    cases: "pd.DataFrame" = field(repr=False)
    wide: "pd.DataFrame" = field(repr=False)
    features: tuple[str, ...] = field(repr=False)
    units: Mapping[str, tuple[str, ...]] = field(repr=False)
    groups: tuple[Group, ...] = field(repr=False)
    gaps: tuple[Gap, ...]
    costs: Mapping[str, CaseCost] = field(repr=False)
    batch: str
    shifts: tuple[Shift, ...]
    record: Mapping[str, object] = field(repr=False)


def tell(out: Path, *, batch: str = "") -> Told:
    """Read the tables of a cohort.

    Args:
        out: The folder.
        batch: Column of the manifest that names scanner or site; empty for none.

    Returns:
        What they show.

    Raises:
        FormatError: The folder has no tables, or one is damaged.
        ConfigError: The batch is no column of the manifest.
    """
    for name in (WIDE, CASES):
        if not (out / name).is_file():
            raise FormatError(
                f"a folder must be that of a cohort, {out.name!r} holds no {name}: run 'vesalius "
                "cohort run' to its end first"
            )
    wide, cases, note = read_rows(out / WIDE), read_rows(out / CASES), read_note(out / WIDE)
    _check_written(wide, cases, note)
    features = tuple(note.get("features", ()))
    known = [str(n) for n in wide.columns if n not in features]
    if batch and batch not in known:
        raise ConfigError(
            f"the batch must be a column of the manifest, got {batch!r}: there are "
            f"{', '.join(known)}"
        )
    groups = _groups(wide, features)
    units = {name: _several(unit) for name, unit in note.get("units", {}).items()}
    return Told(
        out.name or "cohort",
        cases,
        wide,
        features,
        units,
        groups,
        _gaps(wide),
        costs_of(out),
        batch,
        tuple(_shift(wide, group, features, batch) for group in groups) if batch else (),
        _record(out),
    )


def _check_written(wide: "pd.DataFrame", cases: "pd.DataFrame", note: Mapping[str, object]) -> None:
    """Refuse tables that no run has written as they are."""
    features, units = note.get("features", []), note.get("units", {})
    found = set(wide.columns)
    faults = []
    if not isinstance(features, list) or not isinstance(units, dict):
        faults.append("its note names no features and units")
    elif absent := [str(n) for n in (*_BY, "case", "reason", *features) if n not in found]:
        faults.append(f"it lacks {absent[0]!r}")
    elif len(wide) and (text := [n for n in features if wide[n].dtype.kind != "f"]):
        faults.append(f"{text[0]!r} holds texts")
    if absent := [name for name in ("case", "status", "cause") if name not in cases.columns]:
        faults.append(f"{CASES} lacks {absent[0]!r}")
    if faults:
        raise FormatError(
            f"{WIDE} and {CASES} must be as 'vesalius cohort run' wrote them, {faults[0]}: run it "
            "again, which writes them from the journal"
        )


def robust_z(values: Floats) -> Floats:
    """Give the distance from the median in robust standard deviations.

    Args:
        values: (regions, features), NaN where missing.

    Returns:
        The same shape; NaN for a missing value, and for a feature of which fewer than ``LEAST``
        values are there or more than half are the same.
    """
    z = np.full(values.shape, np.nan)
    enough = (~np.isnan(values)).sum(axis=0) >= LEAST
    if not enough.any():
        return z
    own = values[:, enough]
    away = own - np.nanmedian(own, axis=0)
    spread = _TO_SD * np.nanmedian(np.abs(away), axis=0)
    z[:, enough] = np.divide(away, spread, out=np.full(own.shape, np.nan), where=spread > 0)
    return z


def costs_of(out: Path) -> dict[str, CaseCost]:
    """Read what the cases took; empty where the state is gone or damaged.

    Args:
        out: The folder.
    """
    with suppress(sqlite3.Error):
        base = sqlite3.connect(f"{(out / STATE).resolve().as_uri()}?mode=ro", uri=True)
        try:
            rows = base.execute(
                "SELECT \"case\", coalesce(detail, ''), coalesce(attempts, 0), "
                "coalesce(seconds, 0.0), coalesce(cpu_seconds, 0.0), coalesce(peak_bytes, 0), "
                "coalesce(voxels, 0) FROM cases ORDER BY place"
            )
            return {str(row[0]): CaseCost(*row) for row in rows}
        finally:
            base.close()
    return {}


def _several(unit: object) -> tuple[str, ...]:
    return tuple(map(str, unit)) if isinstance(unit, list) else (str(unit),)


def _groups(wide: "pd.DataFrame", features: Sequence[str]) -> tuple[Group, ...]:
    if not len(wide):
        return ()
    values = wide[list(features)].to_numpy(dtype=np.float64)
    keys = list(zip(*(wide[name].tolist() for name in _BY), strict=True))
    places: dict[tuple[str, ...], list[int]] = {}
    for row, key in enumerate(keys):
        places.setdefault(key, []).append(row)
    names = _names(list(places))
    found = [
        Group(names[key], np.array(rows), values[rows], robust_z(values[rows]))
        for key, rows in places.items()
    ]
    return tuple(sorted(found, key=lambda group: -len(group.rows)))


def _names(keys: list[tuple[str, ...]]) -> dict[tuple[str, ...], str]:
    """Name groups by role and label, and by the configuration where these are not enough."""
    short = {key: " ".join(part for part in key[1:] if part) or "all" for key in keys}
    common = Counter(short.values())
    return {
        key: name if common[name] == 1 else f"{name} ({key[0][:6]})" for key, name in short.items()
    }


def _gaps(wide: "pd.DataFrame") -> tuple[Gap, ...]:
    values: Counter[str] = Counter()
    regions: Counter[str] = Counter()
    features: dict[str, dict[str, None]] = {}
    for text in wide["reason"].tolist() if len(wide) else ():
        parts = [part.partition(": ") for part in str(text).split("; ") if ": " in part]
        for feature, _, why in parts:
            values[why] += 1
            features.setdefault(why, {})[feature] = None
        regions.update({why for _, _, why in parts})
    return tuple(
        Gap(why, count, regions[why], tuple(features[why])) for why, count in values.most_common()
    )


def _shift(wide: "pd.DataFrame", group: Group, features: Sequence[str], batch: str) -> Shift:
    known = np.flatnonzero((~np.isnan(group.values)).any(axis=0)).tolist()
    there = [features[k] for k in known]
    frame = wide.iloc[group.rows]
    try:
        table = as_table(frame, Description(batch=batch), note={"features": there})
        generator = torch.Generator().manual_seed(0)
        return Shift(group.name, batch_effects(table, batch, generator=generator))
    except VesaliusError as error:
        return Shift(group.name, None, str(error))


def _record(out: Path) -> dict[str, object]:
    with suppress(OSError, ValueError):
        found = json.loads((out / "provenance.json").read_text(encoding="utf-8"))
        if isinstance(found, dict):
            return found
    return {}
