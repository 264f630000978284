"""Columns as numbers: levels of texts, terms of linear models, features that share their gaps."""

import numpy as np
import pandas as pd
import pytest

from vesalius.errors import ConfigError
from vesalius.predict import Table
from vesalius.predict._coding import alike_gaps, is_number, levels_of, terms_of


def table(**columns):
    count = len(next(iter(columns.values())))
    cases = tuple(f"c{k}" for k in range(count))
    return Table(cases, (), np.zeros((count, 0)), pd.DataFrame(columns))


class TestLevels:
    def test_are_sorted_and_counted(self):
        found = levels_of(table(site=["b", "a", "b"]), "site")
        assert found.names == ("a", "b")
        assert found.codes.tolist() == [1, 0, 1]
        assert found.counts.tolist() == [1, 2]
        assert found.indicators.tolist() == [[0, 1], [1, 0], [0, 1]]

    def test_read_whole_numbers_alike_whatever_their_type(self):
        whole = levels_of(table(site=[2, 1, 2]), "site")
        floats = levels_of(table(site=[2.0, 1.0, 2.0]), "site")
        assert whole.names == floats.names == ("1", "2")

    def test_refuse_a_gap_by_name(self):
        with pytest.raises(ConfigError, match="must have a value for every case, 1 have none"):
            levels_of(table(site=["a", None, "b"]), "site")


class TestTerms:
    def test_take_numbers_as_they_are_and_texts_as_indicators_but_one(self):
        found = terms_of(table(age=[60.0, 70, 80], sex=["m", "f", "m"]), ("age", "sex"))
        assert found.names == ("age", "sex=m")
        assert found.columns == ("age", "sex")
        assert found.values.tolist() == [[60, 1], [70, 0], [80, 1]]

    def test_of_a_column_named_twice_come_once(self):
        found = terms_of(table(age=[1.0, 2.0]), ("age", "age"))
        assert found.names == ("age",)

    def test_of_one_level_are_none(self):
        assert terms_of(table(sex=["f", "f"]), ("sex",)).values.shape == (2, 0)

    def test_take_true_and_false_as_levels(self):
        smokes = table(smokes=[True, False])
        assert not is_number(smokes, "smokes")
        assert terms_of(smokes, ("smokes",)).names == ("smokes=True",)

    def test_refuse_an_infinite_number(self):
        with pytest.raises(ConfigError, match="must hold finite numbers, case 'c1'"):
            terms_of(table(age=[1.0, np.inf]), ("age",))


def test_features_with_the_same_gaps_stand_together():
    gap = np.nan
    values = np.array([[1, gap, 3, gap], [1, 2, 3, 4.0], [1, 2, gap, 4]])
    found = [(cases.tolist(), places.tolist()) for cases, places in alike_gaps(values)]
    assert found == [([0, 1, 2], [0]), ([1, 2], [1, 3]), ([0, 1], [2])]
