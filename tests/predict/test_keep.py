"""Keep and Drop: features chosen by name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_tables import made

from vesalius.errors import ConfigError
from vesalius.predict.select import Drop, Keep


@given(st.lists(st.sampled_from(["f0*", "f1?", "*3", "f00"]), min_size=1, max_size=3))
def test_keep_and_drop_part_the_features(patterns):
    table, _ = made(6, 14)
    kept = Keep(tuple(patterns)).fit(table).transform(table).features
    rest = Drop(tuple(patterns)).fit(table).transform(table).features
    assert sorted(kept + rest) == sorted(table.features)


def test_matches_as_file_names_are_matched():
    table, _ = made(6, 12)
    assert Keep(("f0[01]", "*11")).fit(table).kept_ == ("f00", "f01", "f11")


def test_case_matters():
    with pytest.raises(ConfigError, match="'F00' fits none of 3"):
        Keep(("F00",)).fit(made(6, 3)[0])


def test_refuses_to_drop_what_is_not_there():
    with pytest.raises(ConfigError, match="a pattern must fit a feature, 'wavelet_"):
        Drop(("wavelet_*",)).fit(made(6, 3)[0])


def test_drops_nothing_unless_told():
    table, _ = made(6, 3)
    assert Drop().fit(table).transform(table).features == table.features
