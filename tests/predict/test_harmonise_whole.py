"""A whole table harmonised: gaps, features left alone, and the note that it was done."""

import numpy as np
import pytest
from made_tables import made

from vesalius.errors import IntensityError, RegionError
from vesalius.predict import Table
from vesalius.predict._table import NOT_GIVEN
from vesalius.predict.harmonise import Combat, NestedCombat, ZScore, harmonise_whole


def holed(table, where):
    values = table.values.copy()
    reasons = {}
    for i, j in where:
        values[i, j] = np.nan
        reasons[table.cases[i], table.features[j]] = NOT_GIVEN
    return Table(table.cases, table.features, values, table.columns, reasons)


def test_is_the_step_where_nothing_is_missing():
    table, _ = made(60)
    found = harmonise_whole(table, Combat("batch"), ("batch",))
    plain = Combat("batch").fit(table).transform(table)
    np.testing.assert_array_equal(found.table.values, plain.values)
    np.testing.assert_array_equal(found.step.transform(table).values, plain.values)
    assert found.left_alone == {}
    assert found.remarks == ()


def test_writes_down_what_was_done():
    table, _ = made(60)
    found = harmonise_whole(table, Combat("batch", ("age",)), ("batch",), outcome_kept=True)
    (record,) = found.table.history
    assert record.step == "harmonise"
    assert record.parameters["method"] == "combat"
    assert record.parameters["cases"] == 60
    assert record.parameters["batches"] == {"batch": {"a": 20, "b": 20, "c": 20}}
    assert record.parameters["settings"]["keep"] == ["age"]
    assert record.parameters["outcome_kept"] is True


def test_a_gap_stays_a_gap_and_counts_as_the_median_of_its_batch():
    table, _ = made(60)
    found = harmonise_whole(holed(table, [(0, 2), (3, 2)]), ZScore("batch"), ("batch",))
    assert np.isnan(found.table.values[[0, 3], 2]).all()
    assert np.isnan(found.table.values).sum() == 2
    assert found.table.reasons[table.cases[0], "f02"] == NOT_GIVEN
    filled = table.values.copy()
    own = np.arange(0, 60, 3)
    filled[[0, 3], 2] = np.median(np.delete(filled[own, 2], [0, 1]))
    expected = ZScore("batch").fit(table.with_values(filled)).transform(table.with_values(filled))
    there = ~np.isnan(found.table.values)
    np.testing.assert_allclose(found.table.values[there], expected.values[there])
    assert "2 gaps counted as the median of their batch" in found.remarks[0]


def test_leaves_alone_what_cannot_be_harmonised():
    table, _ = made(60)
    values = table.values.copy()
    values[:, 0] = 4.0
    values[:, 1] = np.arange(60) % 3  # constant within each batch
    whole = Table(table.cases, table.features, values, table.columns)
    lacking = holed(whole, [(i, 2) for i in range(0, 60, 3)])
    found = harmonise_whole(lacking, Combat("batch"), ("batch",))
    assert found.left_alone == {
        "f00": "the same within each 'batch'",
        "f01": "the same within each 'batch'",
        "f02": "'a' has no value of it",
    }
    np.testing.assert_array_equal(found.table.values[:, :3], lacking.values[:, :3])
    assert not np.array_equal(found.table.values[:, 3], values[:, 3])
    assert any("f00, f01." in text for text in found.remarks)
    assert found.table.history[0].parameters["left_alone"] == 3


def test_takes_several_batches():
    table, _ = made(60)
    step = NestedCombat(("batch", "site"))
    found = harmonise_whole(table, step, ("batch", "site"))
    assert set(found.table.history[0].parameters["batches"]) == {"batch", "site"}
    plain = NestedCombat(("batch", "site")).fit(table).transform(table)
    np.testing.assert_array_equal(found.table.values, plain.values)


def test_does_not_change_what_it_was_given():
    table, _ = made(30)
    before = table.values.copy()
    harmonise_whole(table, Combat("batch"), ("batch",))
    np.testing.assert_array_equal(table.values, before)
    assert table.history == ()


def test_refuses_a_table_with_nothing_to_harmonise():
    table, _ = made(12)
    same = table.with_values(np.ones_like(table.values))
    with pytest.raises(IntensityError, match="at least one feature must vary within batches"):
        harmonise_whole(same, Combat("batch"), ("batch",))


def test_refuses_as_the_step_does():
    table, _ = made(13)
    table.columns.loc[12, "batch"] = "alone"
    with pytest.raises(RegionError, match="must have at least 2 cases of a batch"):
        harmonise_whole(table, ZScore("batch"), ("batch",))


def test_says_that_a_code_was_taken_for_a_feature():
    table, _ = made(60)
    values = table.values.copy()
    values[:, 1] = np.arange(60) // 7 % 2
    found = harmonise_whole(table.with_values(values), ZScore("batch"), ("batch",))
    assert found.remarks[0].startswith("'f01' hold a few whole numbers and were harmonised")
