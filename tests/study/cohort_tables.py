"""Folders of cohorts whose tables are written directly: many cases without a measurement."""

import json
import sqlite3
from pathlib import Path

import numpy as np
import pandas as pd

from vesalius.io.tables import write_csv, write_parquet
from vesalius.study.cohort._state import _SCHEMA

FEATURES = ("morph_volume", "stat_mean", "stat_var", "log_stat_mean", "morph_sphericity", "flat")


def made_tables(out: Path, cases: int = 40, **columns) -> tuple[pd.DataFrame, dict[str, object]]:
    """Give the wide table of cases with drawn features, and its note."""
    g = np.random.default_rng(7)
    names = [f"P{k:03d}" for k in range(cases)]
    values = g.normal(size=(cases, len(FEATURES))) * 10 + 100
    values[:, 0] *= 1000
    values[:, -1] = 1.0
    about = {
        "case": names,
        "subject": names,
        "session": [""] * cases,
        "role": [""] * cases,
        "label": ["tumour"] * cases,
        "config_hash": ["c0ffee"] * cases,
        "reason": [""] * cases,
        "scanner": ["north" if k % 2 else "south" for k in range(cases)],
    }
    frame = pd.concat(
        [pd.DataFrame(about | columns), pd.DataFrame(values, columns=list(FEATURES))], axis=1
    )
    units = {"morph_volume": "mm^3", "stat_mean": "HU", "stat_var": "HU^2", "log_stat_mean": "HU"}
    units |= {"morph_sphericity": "1", "flat": "1"}
    return frame, {"features": list(FEATURES), "units": units, "parameters": "c0ffee"}


def write_tables(
    out: Path,
    frame: pd.DataFrame,
    note: dict[str, object],
    *,
    failed: dict[str, str] | None = None,
    partial: dict[str, str] | None = None,
) -> Path:
    """Write the folder of a cohort; the failed cases have no row in the wide table."""
    failed, partial = failed or {}, partial or {}
    out.mkdir(exist_ok=True)
    write_parquet(out / "wide.parquet", frame, note=note)
    names = [*dict.fromkeys(frame["case"]), *failed]
    told = {
        "case": names,
        "subject": names,
        "status": [
            "failed" if n in failed else "partial" if n in partial else "done" for n in names
        ],
        "cause": [failed.get(n, partial.get(n, "")) for n in names],
    }
    write_parquet(out / "cases.parquet", pd.DataFrame(told))
    write_csv(out / "cases.csv", pd.DataFrame(told))
    (out / "provenance.json").write_text(json.dumps({"step": "cohort", "version": "7"}))
    return out


def write_state(out: Path, rows: list[tuple[object, ...]]) -> None:
    """Write what cases took: case, detail, attempts, seconds, cpu_seconds, peak_bytes, voxels."""
    base = sqlite3.connect(out / "state.sqlite")
    with base:
        base.executescript(_SCHEMA)
        base.executemany(
            'INSERT INTO cases ("case", detail, attempts, seconds, cpu_seconds, peak_bytes, '
            "voxels, status) VALUES (?, ?, ?, ?, ?, ?, ?, 'done')",
            rows,
        )
    base.close()
