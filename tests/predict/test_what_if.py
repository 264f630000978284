"""What if: predictions of cases whose features are changed."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from explained_models import draws, fitted
from hypothesis import given, settings
from hypothesis import strategies as st

from vesalius.errors import ConfigError, RegionError
from vesalius.predict._correlated import correlated_groups, spearman
from vesalius.predict._table import NOT_GIVEN
from vesalius.predict._what_if import batches_of, rotated, shuffled, what_if
from vesalius.predict.estimators import Forest, Ridge
from vesalius.predict.harmonise import Combat
from vesalius.predict.models import apply_model
from vesalius.predict.select import Impute, Keep, Scale


@pytest.fixture(scope="module")
def ridge():
    return fitted(Ridge(), steps=(Keep(("f00", "f01")), Scale()))


def test_says_of_unchanged_cases_what_the_model_says(ridge):
    model, _, other, _ = ridge
    asked, _ = what_if(model, other)
    np.testing.assert_array_equal(asked.base, apply_model(model, other).scores)
    np.testing.assert_allclose(asked.predict(asked.table.values[None])[0], asked.base, rtol=1e-12)


def test_versions_together_are_what_each_is_alone(ridge):
    model, _, other, _ = ridge
    asked, _ = what_if(model, other)
    versions = asked.table.values + np.arange(4.0)[:, None, None]
    alone = replace(asked, alone=False).predict(versions)
    assert asked.alone
    np.testing.assert_allclose(asked.predict(versions), alone, rtol=1e-12)


def test_no_version_gives_no_prediction(ridge):
    asked, _ = what_if(ridge[0], ridge[2])
    assert asked.predict(np.zeros((0, 90, 5))).shape == (0, 90, 1)


def test_finds_the_features_that_move_a_prediction(ridge):
    asked, _ = what_if(ridge[0], ridge[2])
    order = shuffled(asked.blocks, draws())
    assert asked.moving(order) == (0, 1)


def test_the_outcome_is_not_seen(ridge):
    asked, _ = what_if(ridge[0], ridge[2])
    assert "out" not in asked.table.columns


def test_says_how_many_cases_are_unlike_the_training(ridge):
    model, _, other, _ = ridge
    far = other.with_values(other.values + 50)
    _, remarks = what_if(model, far)
    assert any("90 of 90 cases are unlike" in text for text in remarks)


def test_refuses_a_table_without_cases(ridge):
    with pytest.raises(RegionError, match="must be explained on cases, the table has none"):
        what_if(ridge[0], ridge[2].rows([]))


def test_gaps_are_filled_by_the_recipe():
    model, _, other, _ = fitted(Ridge(), steps=(Impute(), Scale()))
    values = other.values.copy()
    values[3, 0] = np.nan
    holed = replace(other, values=values, reasons={(other.cases[3], "f00"): NOT_GIVEN})
    asked, _ = what_if(model, holed)
    said = asked.predict(np.stack([asked.table.values, asked.table.values[::-1]]))
    assert np.isfinite(said).all()
    np.testing.assert_allclose(said[0], asked.base, rtol=1e-12)


def test_a_case_keeps_its_batch():
    model, _, other, _ = fitted(Ridge(), steps=(Combat("batch"), Scale()))
    asked, _ = what_if(model, other)
    assert batches_of(model) == ("batch",)
    names = other.columns["batch"].to_numpy()
    order = shuffled(asked.blocks, draws())
    np.testing.assert_array_equal(names[order], names)
    assert (order != np.arange(len(order))).any()


@given(st.lists(st.integers(0, 3), min_size=1, max_size=30), st.integers(0, 99))
@settings(deadline=None, max_examples=30)
def test_a_shuffle_is_an_order_within_blocks(blocks, seed):
    blocks = np.array(blocks)
    order = shuffled(blocks, draws(seed))
    assert sorted(order.tolist()) == list(range(len(blocks)))
    np.testing.assert_array_equal(blocks[order], blocks)


class TestCorrelated:
    def test_spearman_is_that_of_pandas(self):
        values = np.random.default_rng(0).normal(size=(40, 5))
        values[:, 4] = np.round(values[:, 0])  # ties
        wanted = pd.DataFrame(values).corr(method="spearman").to_numpy()
        np.testing.assert_allclose(spearman(values), wanted, atol=1e-12)

    def test_a_constant_feature_is_like_no_other(self):
        values = np.random.default_rng(0).normal(size=(40, 3))
        values[:, 1] = 7.0
        found = spearman(values)
        np.testing.assert_array_equal(found[1], [0.0, 1.0, 0.0])

    def test_every_two_of_a_group_are_correlated(self):
        _, _, table, _ = fitted(Ridge(), features=3)
        one = table.values[:, [0]]
        noise = np.random.default_rng(1).normal(size=(90, 3))
        twins = np.concatenate([table.values, np.exp(one), -one], axis=1)
        wider = replace(table, features=(*table.features, "same", "turned"), values=twins)
        assert ("f00", "same", "turned") in correlated_groups(wider)
        alone = replace(table, values=noise)
        assert correlated_groups(alone) == (("f00",), ("f01",), ("f02",))

    def test_a_gap_does_not_join_features(self):
        _, _, table, _ = fitted(Ridge(), features=2)
        values = np.random.default_rng(1).normal(size=(90, 2))
        values[:40] = np.nan
        reasons = {(c, f): NOT_GIVEN for c in table.cases[:40] for f in table.features}
        holed = replace(table, values=values, reasons=reasons)
        assert len(correlated_groups(holed)) == 2

    @pytest.mark.parametrize("above", [0.0, 1.0, -0.3])
    def test_refuses_a_limit_that_is_no_correlation(self, above):
        _, _, table, _ = fitted(Ridge(), features=2)
        with pytest.raises(ConfigError, match="above must lie between 0 and 1"):
            correlated_groups(table, above=above)


def test_a_forest_is_asked_about_every_version():
    model, _, other, _ = fitted(Forest(trees=5))
    asked, _ = what_if(model, other)
    versions = np.stack([asked.table.values, asked.table.values[::-1]])
    np.testing.assert_allclose(asked.predict(versions)[1], asked.base[::-1], rtol=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_a_rotation_moves_every_case_within_its_block(seed):
    blocks = np.array([0, 1, 0, 2, 1, 0])
    order = rotated(blocks, draws(seed))
    assert sorted(order) == list(range(6))
    np.testing.assert_array_equal(blocks[order], blocks)
    np.testing.assert_array_equal(order == np.arange(6), blocks == 2)
