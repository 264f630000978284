"""Longitudinal Combat: patients who come again, on scanners that change."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_combat import as_table

from vesalius.errors import ConfigError, ConvergenceError, IntensityError, RegionError
from vesalius.predict import Table
from vesalius.predict.harmonise import Combat, LongitudinalCombat

seeds = st.integers(0, 10_000)


def visits(seed=0, patients=30, features=8, effect=1.0):
    """Give four visits of each patient on scanners a, b and c, with growth over time."""
    rng = np.random.default_rng(seed)
    codes = np.repeat(np.arange(patients), 4)
    time = np.tile(np.arange(4.0), patients)
    scanner = rng.integers(0, 3, len(codes))
    offsets = 2 * rng.normal(size=(patients, features))
    truth = offsets[codes] + 0.3 * time[:, None]
    noise = rng.normal(size=truth.shape) * np.array([0.7, 1.0, 1.5])[scanner][:, None]
    shift = effect * rng.normal(size=(3, features))[scanner]
    names = [f"patient {k}" for k in codes]
    table = as_table(
        truth + shift + noise, scanner=np.array(list("abc"))[scanner], patient=names, time=time
    )
    return table, truth


def step(**settings):
    return LongitudinalCombat(
        **({"batch": "scanner", "subject": "patient", "keep": ("time",)} | settings)
    )


def by_hand(table, fitted, rounds=200):
    """Follow the paper for one table with whole matrices, given the ratios of the variances."""
    scanner, names = (table.columns[c].to_numpy() for c in ("scanner", "patient"))
    batches = sorted(set(scanner))
    design = np.column_stack([*(scanner == b for b in batches), table.columns["time"]]).astype(
        float
    )
    same = names[:, None] == names
    count = np.array([(scanner == b).sum() for b in batches])
    z, base, sigma = (np.empty_like(table.values) for _ in range(3))
    for j, ratio in enumerate(fitted.ratio_):
        y = table.values[:, j]
        inverse = np.linalg.inv(np.eye(len(y)) + ratio * same)
        w = np.linalg.solve(design.T @ inverse @ design, design.T @ inverse @ y)
        left = y - design @ w
        sigma[:, j] = np.sqrt(left @ inverse @ left / (len(y) - design.shape[1]))
        fixed = count @ w[:3] / len(y) + w[3] * design[:, 3]
        base[:, j] = fixed + ratio * same @ inverse @ left
        z[:, j] = (y - base[:, j]) / sigma[:, j]
    out = np.empty_like(z)
    for b, n in zip(batches, count, strict=True):
        own = z[scanner == b]
        g, d = own.mean(axis=0), own.var(axis=0, ddof=1)
        gbar, t2, dbar, s2 = g.mean(), g.var(ddof=1), d.mean(), d.var(ddof=1)
        shape, rate = (dbar**2 + 2 * s2) / s2, (dbar**3 + dbar * s2) / s2
        star, scale = g, d
        for _ in range(rounds):
            star = (n * t2 * g + scale * gbar) / (n * t2 + scale)
            scale = (rate + 0.5 * ((own - star) ** 2).sum(axis=0)) / (n / 2 + shape - 1)
        out[scanner == b] = (own - star) / np.sqrt(scale)
    return out * sigma + base


@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_the_paper_followed_by_hand(seed):
    table, _ = visits(seed)
    fitted = step().fit(table)
    np.testing.assert_allclose(fitted.transform(table).values, by_hand(table, fitted), atol=1e-6)


def test_brings_visits_nearer_to_the_truth():
    table, truth = visits(1)
    out = step().fit(table).transform(table).values
    before = np.sqrt(np.mean((table.values - truth) ** 2))
    # the level that all scanners share cannot be known
    after = np.sqrt(np.mean((out - truth - (out - truth).mean(axis=0)) ** 2))
    assert after < 0.8 * before


def test_does_not_take_patients_for_their_scanner():
    # scanner b saw the patients of large values; a few were seen on both
    rng = np.random.default_rng(2)
    tall = np.repeat(np.arange(40) % 2, 4)
    codes = np.repeat(np.arange(40), 4)
    scanner = np.where(codes < 12, np.arange(160) % 2, tall)
    offsets = 3.0 * tall + rng.normal(size=40)[codes]
    values = offsets[:, None] + 1.0 * scanner[:, None] + 0.3 * rng.normal(size=(160, 6))
    table = as_table(
        values, scanner=np.array(["a", "b"])[scanner], patient=[f"p{k}" for k in codes]
    )
    apart = {}
    for one in (step(keep=()), Combat("scanner")):
        out = one.fit(table).transform(table).values
        apart[one.word] = out[tall == 1].mean() - out[tall == 0].mean()
    true = offsets[tall == 1].mean() - offsets[tall == 0].mean()
    assert abs(apart["longitudinal-combat"] - true) < 0.15
    assert true - apart["combat"] > 1.0


def test_keeps_growth():
    table, _ = visits(3)
    out = step().fit(table).transform(table)
    time = table.columns["time"].to_numpy()
    slope = np.polyfit(time, out.values, 1)[0]
    np.testing.assert_allclose(slope.mean(), 0.3, atol=0.1)


@settings(max_examples=25)
@given(seeds)
def test_does_not_depend_on_the_order_of_cases(seed):
    table, _ = visits(seed, patients=8)
    order = np.random.default_rng(seed).permutation(32)
    a = step().fit(table).transform(table).values
    b = step().fit(table.rows(order)).transform(table).values
    np.testing.assert_allclose(a, b, atol=1e-4)


def test_without_visits_again_it_is_combat_with_an_unbiased_spread():
    table, _ = visits(4)
    single = table.rows(np.arange(0, 120, 4))
    settings = {"keep": (), "empirical_bayes": False}
    a = step(**settings).fit(single)
    b = Combat("scanner", **settings).fit(single)
    np.testing.assert_array_equal(a.ratio_, 0)
    np.testing.assert_allclose(a.mean_, b.mean_)
    np.testing.assert_allclose(a.deviation_, b.deviation_ * np.sqrt(30 / 27))


def test_mean_only_leaves_spreads_alone():
    table, _ = visits(5)
    fitted = step(mean_only=True).fit(table)
    np.testing.assert_array_equal(fitted.scale_, 1)
    moved = fitted.transform(table).values - table.values
    for name in "abc":
        own = moved[table.columns["scanner"] == name]
        np.testing.assert_allclose(own, np.tile(own[0], (len(own), 1)), atol=1e-9)


class TestNewCases:
    def test_a_patient_of_the_training_is_treated_alike_alone(self):
        table, _ = visits(6)
        fitted = step().fit(table)
        whole = fitted.transform(table).values
        alone = fitted.transform(table.rows([9])).values[0]
        np.testing.assert_allclose(alone, whole[9], rtol=1e-12)

    def test_a_patient_of_the_training_under_a_new_name_is_treated_alike(self):
        # all visits of the patient together suggest the offset that was learned from them
        table, _ = visits(7)
        fitted = step().fit(table)
        own = table.rows([8, 9, 10, 11])
        columns = {name: own.columns[name] for name in ("scanner", "time")}
        renamed = as_table(own.values, patient=["somebody"] * 4, **columns)
        np.testing.assert_allclose(
            fitted.transform(renamed).values, fitted.transform(own).values, rtol=1e-9
        )

    def test_the_model_names_no_patient(self):
        table, _ = visits(8)
        fitted = step().fit(table)
        assert len(fitted.subjects_) == 30
        assert not any("patient" in one for one in fitted.subjects_)

    def test_refuses_a_new_batch(self):
        table, _ = visits(9)
        fitted = step().fit(table)
        new = as_table(table.values[:2], scanner=["z"] * 2, patient=["p"] * 2, time=[0.0, 1.0])
        with pytest.raises(ConfigError, match="must have seen the batch, got 'z'"):
            fitted.transform(new)


class TestRefusals:
    @pytest.mark.parametrize("missing", ["batch", "subject"])
    def test_refuses_to_guess_batch_or_patient(self, missing):
        what = {"batch": "batch", "subject": "patient"}[missing]
        with pytest.raises(ConfigError, match=f"must know the column of the {what}"):
            step(**{missing: ""}).fit(visits()[0])

    def test_refuses_a_batch_of_one(self):
        table, _ = visits()
        columns = {name: table.columns[name] for name in ("patient", "time")}
        scanner = ["z", *table.columns["scanner"][1:]]
        with pytest.raises(RegionError, match=r"LongitudinalCombat .* got 1 of 'z'"):
            step().fit(as_table(table.values, scanner=scanner, **columns))

    def test_refuses_a_covariate_that_is_the_batch(self):
        table, _ = visits()
        columns = {name: table.columns[name] for name in ("scanner", "patient")}
        site = as_table(table.values, site=table.columns["scanner"], **columns)
        with pytest.raises(ConfigError, match="its effect cannot be told from that of the batch"):
            step(keep=("site",)).fit(site)

    def test_refuses_a_constant_feature(self):
        table, _ = visits()
        values = table.values.copy()
        values[:, 2] = 7.3
        with pytest.raises(IntensityError, match="got 'f2' constant within every batch"):
            step().fit(table.with_values(values))

    def test_refuses_a_gap(self):
        table, _ = visits()
        values = table.values.copy()
        values[0, 0] = np.nan
        holed = Table(
            table.cases, table.features, values, table.columns, {("case0", "f0"): "not given"}
        )
        with pytest.raises(IntensityError, match="LongitudinalCombat must have every value"):
            step().fit(holed)
        with pytest.raises(IntensityError, match="LongitudinalCombat must have every value"):
            step().fit(table).transform(holed)

    def test_refuses_to_be_used_unfitted(self):
        with pytest.raises(ConvergenceError, match="LongitudinalCombat must be fitted before"):
            step().transform(visits()[0])


def test_no_case_comes_back_as_no_case():
    table, _ = visits()
    fitted = step().fit(table)
    assert fitted.transform(table.rows([])).values.shape == (0, len(table.features))
