"""Tables: exact, deterministic, and harmless in a spreadsheet."""

import csv
import io
import math

import pandas as pd
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vesalius.measure._measurement import COLUMNS, as_table
from vesalius.study._tables import csv_text, parquet_bytes, wide_csv


def row(**given_cells):
    cells = dict.fromkeys(COLUMNS, "")
    numbers = ("value", "perturb_sd", "perturb_p2_5", "perturb_p97_5", "mdc95", "icc", "icc_low")
    cells |= dict.fromkeys(numbers, math.nan)
    return cells | {"label": "nodule", "filter": "original", "feature": "stat_mean"} | given_cells


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_float_comes_back_exactly(value):
    text = csv_text(as_table([row(value=value)]))
    (back,) = csv.DictReader(io.StringIO(text))
    assert float(back["value"]) == value


@pytest.mark.parametrize("cell", ["=1+1", "+cmd", "-2", "@SUM(A1)", "\tx"])
def test_text_cannot_act_as_a_formula(cell):
    text = csv_text(as_table([row(subject=cell)]))
    (back,) = csv.DictReader(io.StringIO(text, newline=""))
    assert back["subject"] == "'" + cell


def test_a_carriage_return_in_text_does_not_end_the_line():
    text = csv_text(as_table([row(subject="a\rb\nc")]))
    (back,) = csv.DictReader(io.StringIO(text, newline=""))
    assert back["subject"] == "a b\nc"


def test_negative_numbers_stay_numbers():
    assert ",-3.5," in csv_text(as_table([row(value=-3.5)]))


def test_missing_numbers_are_empty_cells_and_lines_end_with_newline():
    text = csv_text(as_table([row()]))
    (back,) = csv.DictReader(io.StringIO(text))
    assert back["value"] == ""
    assert "\r" not in text
    assert text.endswith("\n")


def test_columns_are_canonical_and_others_follow():
    table = as_table([row()]).assign(extra="e")[["extra", *COLUMNS[::-1]]]
    assert csv_text(table).splitlines()[0] == ",".join([*COLUMNS, "extra"])


def test_parquet_holds_the_same_numbers_and_the_same_bytes_twice():
    table = as_table([row(value=0.1 + 0.2, reason="why"), row()])
    content = parquet_bytes(table)
    assert content == parquet_bytes(table.copy())
    back = pyarrow.parquet.read_table(io.BytesIO(content)).to_pydict()
    assert back["value"] == [0.1 + 0.2, None]
    assert back["reason"] == ["why", ""]
    assert list(back) == list(COLUMNS)


def test_wide_names_hold_only_letters_digits_and_underscores():
    rows = [
        row(
            feature="cm_contrast", aggregation="3D_comb", discretisation="bin_width_2.5", value=2.0
        ),
        row(value=-1.0),
    ]
    header, line = wide_csv(as_table(rows)).splitlines()
    assert all(name.replace("_", "").isalnum() for name in header.split(","))
    assert dict(zip(header.split(","), line.split(","), strict=True))["stat_mean"] == "-1.0"
    assert isinstance(as_table(rows), pd.DataFrame)
