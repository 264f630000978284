"""Hosny: the same 984 features of lung CT from two hospitals, as tables with their outcome."""

import functools

import pandas as pd

from vesalius.predict import Table, Target


@functools.cache
def _read(path):
    return pd.read_csv(path)


def hospital(data_dir, name):
    """Give the table and the outcome of hospital A or B."""
    frame = _read(data_dir / "tables" / f"Hosny2018{name}.csv.gz")
    features = [column for column in frame.columns if column not in ("ID", "Target")]
    cases = tuple(f"{name}{k:03d}" for k in range(len(frame)))
    values = frame[features].to_numpy(dtype=float)
    event = frame["Target"].to_numpy(dtype=float)
    table = Table(cases, tuple(features), values, frame[["Target"]].copy())
    return table, Target("binary", event, ("0", "1"))
