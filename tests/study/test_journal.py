"""The journal gives back exactly what was recorded, or nothing."""

import math

import pandas as pd
import pytest

from vesalius.errors import OutputError
from vesalius.measure._measurement import as_table
from vesalius.study._journal import Entry, code_digest, recall, record


@pytest.fixture
def entry(make_row):
    rows = [
        make_row(value=0.1 + 0.2, feature="a", perturb_sd=1e-300),
        make_row(value=math.nan, feature="b", reason="why", icc=None),
    ]
    return Entry(as_table(rows), ("finding",), 7)


def test_gives_back_what_was_recorded_to_the_last_bit(tmp_path, entry):
    written = record(tmp_path, "k", entry)
    read = recall(tmp_path, "k")
    pd.testing.assert_frame_equal(read.table, written.table, check_exact=True)
    assert read.table["value"].tolist()[0] == 0.1 + 0.2
    assert (read.findings, read.perturbations) == (("finding",), 7)


def test_an_absent_entry_is_none(tmp_path):
    assert recall(tmp_path, "k") is None


@pytest.mark.parametrize("damage", [b"", b"\xff\xfe", b"0\n{}"])
def test_a_damaged_entry_is_none(tmp_path, entry, damage):
    record(tmp_path, "k", entry)
    (tmp_path / "k.json").write_bytes(damage)
    assert recall(tmp_path, "k") is None


def test_one_changed_digit_is_noticed(tmp_path, entry):
    record(tmp_path, "k", entry)
    path = tmp_path / "k.json"
    path.write_text(path.read_text().replace("finding", "findinG"))
    assert recall(tmp_path, "k") is None


def test_an_absent_folder_is_refused(tmp_path, entry):
    with pytest.raises(OutputError, match="output folder must exist"):
        record(tmp_path / "no", "k", entry)


def test_the_code_is_part_of_the_key_and_does_not_change_within_a_run():
    assert code_digest() == code_digest()
    assert len(code_digest()) == 16
