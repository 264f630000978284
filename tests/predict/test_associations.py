"""One feature after another against an outcome, given covariates: lines and logistic lines."""

import numpy as np
import pytest
from scipy import stats

from vesalius.predict._associations import FEW, GIVEN, SEPARATED, linear, logistic


def covariates(count, rng):
    codes = rng.integers(0, 3, count)
    return np.column_stack((codes == 1, codes == 2, rng.normal(60, 9, count))).astype(float)


class TestLinear:
    def test_is_least_squares_with_all_columns_at_once(self):
        rng = np.random.default_rng(0)
        x, z = rng.normal(size=(50, 6)), covariates(50, rng)
        y = x[:, 0] + z[:, 0] + rng.normal(size=50)
        found = linear(x, z, y)
        for j in range(6):
            on = np.column_stack((np.ones(50), x[:, j], z))
            weight = np.linalg.lstsq(on, y, rcond=None)[0]
            left = y - on @ weight
            error = np.sqrt(left @ left / 45 * np.linalg.inv(on.T @ on)[1, 1])
            wide = error * stats.t.ppf(0.975, 45)
            assert found.estimate[j] == pytest.approx(weight[1])
            assert found.high[j] - found.estimate[j] == pytest.approx(wide)
            assert found.p[j] == pytest.approx(2 * stats.t.sf(abs(weight[1] / error), 45))

    def test_alone_is_scipys_line(self):
        rng = np.random.default_rng(1)
        x, y = rng.normal(size=30), rng.normal(size=30)
        found, other = linear(x[:, None], np.zeros((30, 0)), y), stats.linregress(x, y)
        assert found.estimate[0] == pytest.approx(other.slope)
        assert found.p[0] == pytest.approx(other.pvalue)

    def test_says_what_is_given_by_the_covariates(self):
        rng = np.random.default_rng(2)
        z = rng.normal(size=(20, 2))
        x = np.column_stack((z[:, 0] - 2 * z[:, 1], np.full(20, 4.0), rng.normal(size=20)))
        found = linear(x, z, rng.normal(size=20))
        assert found.reasons == (GIVEN, GIVEN, "")
        assert np.isnan(found.estimate).tolist() == [True, True, False]

    def test_says_that_cases_are_too_few(self):
        rng = np.random.default_rng(3)
        found = linear(rng.normal(size=(4, 2)), rng.normal(size=(4, 2)), rng.normal(size=4))
        assert found.reasons == (FEW, FEW)


class TestLogistic:
    def test_agrees_with_scikit_learn_without_a_penalty(self):
        from sklearn.linear_model import LogisticRegression

        rng = np.random.default_rng(4)
        x, z = rng.normal(size=(150, 5)), covariates(150, rng)
        y = (rng.random(150) < 1 / (1 + np.exp(-x[:, 0] - z[:, 0]))).astype(float)
        found = logistic(x, z, y)
        for j in range(5):
            both = np.column_stack((x[:, j], z[:, :2], (z[:, 2] - 60) / 9))
            other = LogisticRegression(C=1e14, tol=1e-12, max_iter=10_000).fit(both, y)
            assert np.log(found.estimate[j]) == pytest.approx(other.coef_[0, 0], abs=1e-4)
            chance = other.predict_proba(both)[:, 1]
            on = np.column_stack((np.ones(150), both))
            spread = np.linalg.inv((on.T * (chance * (1 - chance))) @ on)
            wide = 1.959964 * np.sqrt(spread[1, 1])
            assert np.log(found.high[j] / found.estimate[j]) == pytest.approx(wide, rel=1e-3)

    def test_of_two_groups_is_the_odds_ratio_of_the_four_counts(self):
        x = np.repeat([0.0, 0, 1, 1], [20, 10, 8, 30])
        y = np.repeat([0.0, 1, 0, 1], [20, 10, 8, 30])
        found = logistic(x[:, None], np.zeros((68, 0)), y)
        assert found.estimate[0] == pytest.approx(20 * 30 / (10 * 8))
        error = np.sqrt(1 / 20 + 1 / 30 + 1 / 10 + 1 / 8)  # Woolf (1955)
        assert np.log(found.high[0] / found.estimate[0]) == pytest.approx(1.959964 * error)

    @pytest.mark.parametrize("cases", [12, 60, 400])
    @pytest.mark.parametrize("gap", [1e-3, 1.0, 30.0])
    def test_says_that_the_classes_are_parted(self, cases, gap):
        rng = np.random.default_rng(5)
        y = np.arange(cases) % 2.0
        parted = np.where(y == 1, gap, -gap) * (1 + rng.random(cases))
        found = logistic(
            np.column_stack((parted / parted.std(), rng.normal(size=cases))),
            np.zeros((cases, 0)),
            y,
        )
        assert found.reasons == (SEPARATED, "")
        assert np.isnan(found.estimate[0])

    def test_finds_a_steep_line_beside_a_case_far_out(self):
        rng = np.random.default_rng(6)
        x = rng.normal(size=200)
        y = (rng.random(200) < 1 / (1 + np.exp(-8 * x))).astype(float)
        x[y == 1] = np.where(np.arange(int(y.sum())) == 0, 80.0, x[y == 1])
        found = logistic(x[:, None], np.zeros((200, 0)), y)
        assert found.reasons == ("",)
        assert 5 < np.log(found.estimate[0]) < 13

    def test_a_level_that_parts_the_classes_does_not_spoil_the_others(self):
        rng = np.random.default_rng(7)
        y = (rng.random(90) < 0.5).astype(float)
        x = rng.normal(size=(90, 1)) + y[:, None]
        level = np.r_[np.ones(10), np.zeros(80)]
        y[:10] = 1
        found = logistic(x, level[:, None], y)
        without = logistic(x[10:], np.zeros((80, 0)), y[10:])
        assert np.log(found.estimate[0]) == pytest.approx(np.log(without.estimate[0]), abs=1e-5)

    def test_says_what_is_given_and_what_is_too_little(self):
        rng = np.random.default_rng(8)
        z = rng.normal(size=(30, 1))
        y = np.arange(30) % 2.0
        assert logistic(z * 3 + 1, z, y).reasons == (GIVEN,)
        assert logistic(z, np.zeros((30, 0)), np.ones(30)).reasons == (FEW,)

    def test_a_change_of_sign_turns_the_ratio_over(self):
        rng = np.random.default_rng(9)
        x, z = rng.normal(size=(80, 3)), covariates(80, rng)
        y = (rng.random(80) < 0.4).astype(float)
        one, two = logistic(x, z, y), logistic(-x, z, y)
        np.testing.assert_allclose(one.estimate, 1 / two.estimate, rtol=1e-6)
        np.testing.assert_allclose(one.low, 1 / two.high, rtol=1e-6)
