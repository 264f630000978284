"""Shares of the variance of main components between batch, covariates and neither."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vesalius.errors import IntensityError
from vesalius.predict import Table
from vesalius.predict._coding import terms_of
from vesalius.predict._variance_shares import components_of, variance_shares


def terms(name, values):
    cases = tuple(str(k) for k in range(len(values)))
    table = Table(cases, (), np.zeros((len(values), 0)), pd.DataFrame({name: values}))
    return terms_of(table, (name,))


def none(count):
    cases = tuple(str(k) for k in range(count))
    return terms_of(Table(cases, (), np.zeros((count, 0)), pd.DataFrame(index=range(count))), ())


class TestComponents:
    @pytest.mark.parametrize("shape", [(30, 8), (8, 30)])
    def test_agree_with_scikit_learn(self, shape):
        from sklearn.decomposition import PCA

        values = np.random.default_rng(0).normal(size=shape) + 5
        found = components_of(values, 0.8)
        scaled = (values - values.mean(axis=0)) / values.std(axis=0)
        other = PCA(svd_solver="full").fit(scaled)
        count = found.scores.shape[1]
        np.testing.assert_allclose(found.explained, other.explained_variance_ratio_[:count])
        np.testing.assert_allclose(
            np.abs(found.scores), np.abs(other.transform(scaled)[:, :count]), atol=1e-9
        )
        assert found.explained.sum() >= 0.8
        assert found.explained[:-1].sum() < 0.8

    def test_leave_constant_and_absent_features_out(self):
        values = np.random.default_rng(1).normal(size=(9, 4))
        values[:, 1], values[:, 2] = 0.1 + 0.2, np.nan
        assert components_of(values).features == 2

    def test_take_the_median_for_a_gap(self):
        values = np.random.default_rng(2).normal(size=(9, 3))
        filled = values.copy()
        values[4, 1] = np.nan
        filled[4, 1] = np.nanmedian(values[:, 1])
        np.testing.assert_allclose(components_of(values).scores, components_of(filled).scores)

    def test_do_not_depend_on_units(self):
        values = np.random.default_rng(3).normal(size=(20, 5))
        one, two = components_of(values), components_of(values * 1e-6 - 3)
        np.testing.assert_allclose(one.scores, two.scores, atol=1e-6)

    def test_refuse_features_that_never_differ(self):
        with pytest.raises(IntensityError, match="features must differ between cases, none of 3"):
            components_of(np.ones((6, 3)))


class TestShares:
    @given(st.integers(0, 2**32 - 1))
    def test_sum_to_one_and_are_none_below_zero(self, seed):
        rng = np.random.default_rng(seed)
        site, age = rng.integers(0, 3, 24).astype(str), rng.normal(size=24)
        values = rng.normal(size=(24, 6)) + (site == "1")[:, None] * rng.normal(size=6)
        found = variance_shares(components_of(values), terms("site", site), terms("age", age))
        assert found.names == ("site", "age", "shared", "residual")
        assert sum(found.shares) == pytest.approx(1)
        assert min(found.shares) >= 0

    def test_of_noise_go_with_nothing(self):
        rng = np.random.default_rng(4)
        site = rng.integers(0, 8, 200).astype(str)  # naive R^2 would be 7 / 199 at the least
        found = variance_shares(
            components_of(rng.normal(size=(200, 60))), terms("site", site), none(200)
        )
        assert found.share("site") < 0.015
        assert found.share("residual") > 0.97

    def test_find_the_share_that_was_put_in(self):
        rng = np.random.default_rng(5)
        site = np.repeat(["a", "b"], 200)
        shift = np.where(site == "a", 1.0, -1.0)[:, None]
        # every feature is half batch, half one common biology: variance 1 each
        values = shift + rng.normal(size=(400, 1)) + 0.01 * rng.normal(size=(400, 30))
        found = variance_shares(components_of(values), terms("site", site), none(400))
        assert found.share("site") == pytest.approx(0.5, abs=0.03)

    def test_give_to_neither_what_goes_with_both(self):
        rng = np.random.default_rng(6)
        site = np.repeat(["a", "b"], 100)
        age = (site == "a") * 10 + rng.normal(size=200)
        values = (age[:, None] + (site == "a")[:, None] * 10) * np.ones(10)
        values += 0.5 * rng.normal(size=(200, 10))
        found = variance_shares(components_of(values), terms("site", site), terms("age", age))
        assert found.share("shared") > 0.9
        assert found.share("absent") == 0.0

    def test_of_the_same_column_twice_are_shared(self):
        rng = np.random.default_rng(7)
        site = np.repeat(["a", "b"], 30)
        values = (site == "a")[:, None] + 0.1 * rng.normal(size=(60, 4))
        found = variance_shares(components_of(values), terms("site", site), terms("again", site))
        assert found.share("site") == found.share("again") == 0.0
        assert found.share("shared") > 0.9

    def test_of_as_many_terms_as_cases_leave_no_residual(self):
        values = np.random.default_rng(8).normal(size=(5, 3))
        found = variance_shares(
            components_of(values), terms("site", np.array(list("abcde"))), none(5)
        )
        assert found.share("site") == pytest.approx(1)
