"""A case comes back from the journal as it was recorded, or not at all."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vesalius.errors import OutputError
from vesalius.measure import COLUMNS
from vesalius.measure._measurement import as_table
from vesalius.study._part import NUMBERS
from vesalius.study.cohort._journal import (
    SUFFIX,
    is_recorded,
    recall_case,
    record_case,
    regions_of,
)


def table(*values):
    texts = dict.fromkeys((n for n in COLUMNS if n not in NUMBERS), "x")
    nothing = dict.fromkeys(NUMBERS, math.nan)
    return as_table([texts | nothing | {"value": value} for value in values])


@settings(max_examples=20)
@given(st.lists(st.floats(allow_infinity=False), min_size=1, max_size=5))
def test_numbers_come_back_to_the_last_bit(tmp_path_factory, values):
    journal = tmp_path_factory.mktemp("journal")
    record_case(journal, "k", table(*values))
    found = recall_case(journal, "k").table
    assert found.column_names == list(COLUMNS)
    assert found.column("value").to_pylist() == [None if math.isnan(v) else v for v in values]


def test_findings_and_failures_come_back(tmp_path):
    record_case(tmp_path, "k", table(1.0), findings=("a\nb", "ü"), failures={"GTV": "too small"})
    found = recall_case(tmp_path, "k")
    assert found.findings == ("a\nb", "ü")
    assert found.failures == {"GTV": "too small"}


def test_the_same_case_is_the_same_bytes(tmp_path):
    for key in ("a", "b"):
        record_case(tmp_path, key, table(1.0, 2.0), findings=("f",))
    one, two = ((tmp_path / f"{key}{SUFFIX}").read_bytes() for key in ("a", "b"))
    assert one == two


def test_finished_regions_are_removed_with_the_case(tmp_path):
    regions_of(tmp_path, "k").mkdir()
    (regions_of(tmp_path, "k") / "r.json").write_text("x")
    record_case(tmp_path, "k", table(1.0))
    assert not regions_of(tmp_path, "k").exists()


def test_there_is_nothing_where_nothing_was_recorded(tmp_path):
    assert recall_case(tmp_path, "k") is None
    assert not is_recorded(tmp_path, "k")


@pytest.mark.parametrize("cut", [0, 10, 64, 65, 80, 200, -1])
def test_a_cut_entry_is_none(tmp_path, cut):
    record_case(tmp_path, "k", table(1.0))
    path = tmp_path / f"k{SUFFIX}"
    path.write_bytes(path.read_bytes()[:cut])
    assert recall_case(tmp_path, "k") is None
    assert not is_recorded(tmp_path, "k")


def test_an_entry_with_another_byte_is_none(tmp_path):
    record_case(tmp_path, "k", table(1.0))
    path = tmp_path / f"k{SUFFIX}"
    body = bytearray(path.read_bytes())
    body[200] ^= 1
    path.write_bytes(bytes(body))
    assert recall_case(tmp_path, "k") is None


def test_a_journal_that_is_gone_is_told(tmp_path):
    with pytest.raises(OutputError, match="output folder must exist"):
        record_case(tmp_path / "absent", "k", table(1.0))
