"""Combat: what it must keep and take away, new batches, refusals, and a real table of scanners."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vesalius.errors import ConfigError, ConvergenceError, IntensityError, RegionError
from vesalius.predict import Table
from vesalius.predict._combat_shrink import naive, shrunk
from vesalius.predict.harmonise import Combat, Shrinkage

seeds = st.integers(0, 10_000)


def cases(seed=0, sizes=(9, 14, 11), features=6, effect=1.0):
    """Give features with an effect of age, in batches that shift and stretch them."""
    rng = np.random.default_rng(seed)
    batch = np.repeat(np.arange(len(sizes)), sizes)
    count = len(batch)
    age = np.round(rng.uniform(30, 80, count))
    sex = rng.permutation(np.array(["f", "m"])[np.arange(count) % 2])
    values = rng.normal(size=(count, features)) + 0.05 * age[:, None] * (np.arange(features) % 2)
    values *= (1 + effect * rng.uniform(-0.4, 0.6, (len(sizes), features)))[batch]
    values += effect * rng.normal(size=(len(sizes), features))[batch]
    columns = {"scanner": np.array(list("abcdefgh"))[batch], "age": age, "sex": sex}
    return as_table(values, **columns)


def as_table(values, **columns):
    names = tuple(f"f{j}" for j in range(values.shape[1]))
    rows = tuple(f"case{i}" for i in range(len(values)))
    return Table(rows, names, values, pd.DataFrame(columns))


def step(**settings):
    return Combat(**({"batch": "scanner"} | settings))


def groups(table):
    return [
        table.values[(table.columns["scanner"] == b)] for b in sorted(set(table.columns.scanner))
    ]


def residuals(table):
    """Take batch means and the common slope of age out, by plain least squares."""
    batch = pd.get_dummies(table.columns["scanner"]).to_numpy(float)
    design = np.column_stack([batch, table.columns["age"]])
    weights = np.linalg.lstsq(design, table.values, rcond=None)[0]
    return table.values - design @ weights, weights[-1]


class TestWhatItDoes:
    @settings(max_examples=25)
    @given(seeds)
    def test_makes_means_and_spreads_of_batches_equal_without_shrinking(self, seed):
        table = cases(seed)
        out = step(empirical_bayes=False).fit(table).transform(table)
        means = [own.mean(axis=0) for own in groups(out)]
        spreads = [own.std(axis=0, ddof=1) for own in groups(out)]
        np.testing.assert_allclose(means, np.tile(table.values.mean(axis=0), (3, 1)), atol=1e-9)
        np.testing.assert_allclose(spreads, np.tile(spreads[0], (3, 1)), rtol=1e-9)

    @settings(max_examples=25)
    @given(seeds)
    def test_gives_each_batch_the_pooled_spread(self, seed):
        table = cases(seed)
        pooled = sum(((own - own.mean(axis=0)) ** 2).sum(axis=0) for own in groups(table)) / 34
        out = step(empirical_bayes=False).fit(table).transform(table)
        for own in groups(out):
            np.testing.assert_allclose(own.var(axis=0, ddof=1), pooled, rtol=1e-9)

    @settings(max_examples=25)
    @given(seeds)
    def test_keeps_the_effect_of_a_covariate(self, seed):
        table = cases(seed, effect=0.3)
        _, before = residuals(table)
        out = step(keep=("age",), mean_only=True, empirical_bayes=False).fit(table).transform(table)
        _, after = residuals(out)
        np.testing.assert_allclose(after, before, atol=1e-10)

    def test_takes_a_covariate_for_the_batch_where_it_is_not_kept(self):
        rng = np.random.default_rng(3)
        old = np.repeat([0.0, 1.0, 0.0, 1.0], [20, 5, 5, 20])
        batch = np.repeat(["a", "a", "b", "b"], [20, 5, 5, 20])
        values = 3 * old[:, None] + rng.normal(size=(50, 4))
        table = as_table(values, scanner=batch, old=old)
        slope = {}
        for keep in ((), ("old",)):
            out = step(keep=keep).fit(table).transform(table).values
            slope[keep] = (out[old == 1].mean() - out[old == 0].mean()) / 3
        assert slope[()] < 0.8
        assert 0.9 < slope[("old",)] < 1.1

    @settings(max_examples=25)
    @given(seeds, st.floats(-50, 50), st.floats(0.1, 20))
    def test_follows_a_shift_and_a_stretch_of_the_features(self, seed, shift, stretch):
        table = cases(seed)
        moved = table.with_values(stretch * table.values + shift)
        a = step(keep=("age", "sex")).fit(table).transform(table).values
        b = step(keep=("age", "sex")).fit(moved).transform(moved).values
        np.testing.assert_allclose(b, stretch * a + shift, rtol=1e-7, atol=1e-7)

    @settings(max_examples=25)
    @given(seeds)
    def test_does_not_depend_on_the_order_of_cases(self, seed):
        table = cases(seed)
        order = np.random.default_rng(seed).permutation(len(table.cases))
        a = step(keep=("sex",)).fit(table).transform(table).values
        b = step(keep=("sex",)).fit(table.rows(order)).transform(table).values
        np.testing.assert_allclose(a, b, atol=1e-9)

    def test_does_not_depend_on_the_unit_of_a_covariate(self):
        table = cases(4)
        days = table.columns.assign(age=365.25 * table.columns["age"] + 1e6)
        other = as_table(table.values, **{name: days[name] for name in days})
        a = step(keep=("age",)).fit(table).transform(table).values
        b = step(keep=("age",)).fit(other).transform(other).values
        np.testing.assert_allclose(a, b, atol=1e-8)

    def test_keeps_its_digits_under_a_large_offset(self):
        table = cases(5)
        far = table.with_values(table.values + 1e8)
        a = step().fit(table).transform(table).values
        b = step().fit(far).transform(far).values - 1e8
        np.testing.assert_allclose(a, b, atol=1e-5)

    @pytest.mark.parametrize("parametric", [True, False])
    def test_shrinks_towards_what_other_features_say(self, parametric):
        # all features are shifted by 1 between the scanners: the estimates differ by noise alone
        rng = np.random.default_rng(8)
        batch = np.repeat(["a", "b"], 8)
        values = rng.normal(size=(16, 200)) + (batch == "b")[:, None]
        table = as_table(values, scanner=batch)
        plain = step(empirical_bayes=False).fit(table)
        drawn = step(parametric=parametric).fit(table)
        spread = {one: fit.location_[1].std() for one, fit in (("plain", plain), ("drawn", drawn))}
        assert spread["drawn"] < 0.5 * spread["plain"]
        assert abs(drawn.location_[1].mean() - plain.location_[1].mean()) < 0.05

    def test_leaves_the_reference_as_it_is_to_the_last_digit(self):
        table = cases(2)
        out = step(reference="b", keep=("age",)).fit(table).transform(table)
        own = (table.columns["scanner"] == "b").to_numpy()
        np.testing.assert_array_equal(out.values[own], table.values[own])
        assert np.abs(out.values[~own] - table.values[~own]).min() > 0

    def test_leaves_spreads_alone_with_mean_only(self):
        table = cases(6)
        out = step(mean_only=True).fit(table).transform(table)
        for before, after in zip(groups(table), groups(out), strict=True):
            np.testing.assert_allclose(after.std(axis=0), before.std(axis=0), rtol=1e-9)

    def test_keeps_the_scale_of_a_feature_that_is_constant_in_one_batch(self):
        table = cases(1)
        values = table.values.copy()
        values[:9, 2] = 4.0
        table = table.with_values(values)
        out = step().fit(table).transform(table)
        assert np.isfinite(out.values).all()
        assert np.ptp(out.values[:9, 2]) < 1e-12

    def test_takes_whole_numbers_for_names_of_batches(self):
        table = cases(0)
        numbers = table.columns["scanner"].map({"a": 1, "b": 2, "c": 10})
        named = as_table(table.values, scanner=numbers)
        assert step().fit(named).batches_ == ("1", "10", "2")
        a = step(reference="2").fit(named).transform(named).values
        b = step(reference="b").fit(table).transform(table).values
        np.testing.assert_array_equal(a, b)

    def test_nonparametric_likelihoods_of_many_cases_do_not_underflow(self):
        table = cases(7, sizes=(900, 950), features=5)
        out = step(parametric=False).fit(table).transform(table)
        assert np.isfinite(out.values).all()

    def test_nonparametric_agrees_with_a_slow_loop(self):
        table = cases(9, sizes=(6, 7), features=5)
        fitted = step(parametric=False).fit(table)
        mean, sd = fitted.mean_, fitted.deviation_
        own = (table.values[:6] - mean) / sd
        g, d = own.mean(axis=0), own.var(axis=0, ddof=1)
        for j in range(5):
            weights = np.array(
                [
                    0.0
                    if k == j
                    else np.prod(
                        np.exp(-((own[:, j] - g[k]) ** 2) / (2 * d[k])) / np.sqrt(2 * np.pi * d[k])
                    )
                    for k in range(5)
                ]
            )
            assert fitted.location_[0, j] == pytest.approx(weights @ g / weights.sum(), rel=1e-9)
            assert fitted.scale_[0, j] == pytest.approx(weights @ d / weights.sum(), rel=1e-9)

    def test_nonparametric_treats_every_block_of_features_alike(self):
        # 1,100 features are taken in two blocks; the last feature is in the second
        rng = np.random.default_rng(10)
        hat = naive(5, rng.normal(size=1100), rng.uniform(1, 9, 1100), mean_only=False)
        location, scale = shrunk(hat, Shrinkage(parametric=False))
        away = hat.squares[-1] + 5 * (hat.location[-1] - hat.location[:-1]) ** 2
        weights = hat.scale[:-1] ** -2.5 * np.exp(-away / (2 * hat.scale[:-1]))
        assert location[-1] == pytest.approx(np.average(hat.location[:-1], weights=weights))
        assert scale[-1] == pytest.approx(np.average(hat.scale[:-1], weights=weights))


class TestNewCases:
    def test_a_new_batch_is_brought_to_the_others(self):
        table = cases(11, sizes=(40, 40, 60), features=20)
        seen = table.rows(np.arange(80))
        new = table.rows(np.arange(80, 140))
        fitted = step(keep=("age",)).fit(seen)
        gap = [
            np.abs(one.values.mean(0) - seen.values.mean(0)).mean()
            for one in (new, fitted.transform(new))
        ]
        assert gap[1] < 0.3 * gap[0]

    @settings(max_examples=25)
    @given(seeds)
    def test_a_batch_of_the_training_that_comes_again_under_a_new_name_is_treated_alike(self, seed):
        table = cases(seed)
        fitted = step().fit(table)
        again = table.rows(np.arange(9))
        renamed = as_table(again.values, scanner=["new"] * 9)
        np.testing.assert_allclose(
            fitted.transform(renamed).values, fitted.transform(again).values, atol=1e-10
        )

    def test_new_cases_of_a_known_batch_are_treated_one_by_one(self):
        table = cases(12)
        fitted = step(keep=("sex",)).fit(table)
        whole = fitted.transform(table).values
        alone = [fitted.transform(table.rows([i])).values[0] for i in range(len(table.cases))]
        np.testing.assert_allclose(alone, whole, rtol=1e-12)

    def test_one_case_of_a_new_batch_is_enough_for_its_mean_alone(self):
        table = cases(13, features=30)
        fitted = step(mean_only=True).fit(table)
        new = as_table(table.values[:1] + 5.0, scanner=["new"])
        assert np.abs(fitted.transform(new).values - table.values.mean(axis=0)).mean() < 3.0

    def test_refuses_one_case_of_a_new_batch(self):
        table = cases(13)
        fitted = step().fit(table)
        new = as_table(table.values[:1], scanner=["new"])
        with pytest.raises(RegionError, match=r"got 1 of 'new' .*set mean_only"):
            fitted.transform(new)

    def test_a_case_without_a_covariate_gets_the_mean_of_the_training(self):
        table = cases(14)
        fitted = step(keep=("age", "sex")).fit(table)
        row = table.rows([0])
        gaps = as_table(row.values, scanner=["a"], age=[np.nan], sex=[None])
        share = (table.columns["sex"] == "m").mean()
        typical = np.array([table.columns["age"].mean(), share])
        base = fitted.mean_ + typical @ fitted.weights_
        moved = (row.values[0] - base) / fitted.deviation_ - fitted.location_[0]
        wanted = moved / np.sqrt(fitted.scale_[0]) * fitted.deviation_ + base
        np.testing.assert_allclose(fitted.transform(gaps).values[0], wanted, rtol=1e-10)

    def test_finds_features_in_another_order(self):
        table = cases(15)
        fitted = step().fit(table)
        turned = table.select(tuple(reversed(table.features)))
        np.testing.assert_array_equal(
            fitted.transform(turned).values, fitted.transform(table).values
        )


class TestRefusals:
    def test_refuses_to_guess_the_batch(self):
        with pytest.raises(ConfigError, match="Combat must know the column of the batch"):
            Combat().fit(cases())

    def test_refuses_an_absent_column(self):
        with pytest.raises(ConfigError, match="must have the column 'site'"):
            step(batch="site").fit(cases())

    def test_refuses_a_case_without_batch(self):
        table = cases()
        columns = table.columns.assign(scanner=[None, *table.columns["scanner"][1:]])
        with pytest.raises(ConfigError, match="'scanner' must have a value for every case"):
            step().fit(as_table(table.values, scanner=columns["scanner"]))

    def test_refuses_a_gap(self):
        table = cases()
        values = table.values.copy()
        values[3, 1] = np.nan
        holed = Table(
            table.cases, table.features, values, table.columns, {("case3", "f1"): "no voxels"}
        )
        with pytest.raises(IntensityError, match=r"Combat must have every value.*no voxels"):
            step().fit(holed)
        with pytest.raises(IntensityError, match="Combat must have every value"):
            step().fit(table).transform(holed)

    def test_refuses_one_batch(self):
        with pytest.raises(RegionError, match="at least 2 batches, got 'a'"):
            step().fit(cases(sizes=(12,)))

    def test_refuses_a_batch_of_one(self):
        with pytest.raises(RegionError, match=r"got 1 of 'b' \(1 such batches\): join it"):
            step().fit(cases(sizes=(10, 1, 9)))

    def test_takes_a_batch_of_one_with_mean_only(self):
        table = cases(sizes=(10, 1, 9))
        assert np.isfinite(step(mean_only=True).fit(table).transform(table).values).all()

    def test_refuses_a_reference_that_is_none(self):
        with pytest.raises(ConfigError, match="one of the batches, got 'z' and batches 'a', 'b'"):
            step(reference="z").fit(cases())

    def test_refuses_a_feature_without_spread(self):
        table = cases()
        values = table.values.copy()
        values[:, 3] = 0.1
        with pytest.raises(IntensityError, match="got 'f3' constant within every batch"):
            step().fit(table.with_values(values))

    def test_refuses_a_feature_without_spread_in_the_reference(self):
        table = cases()
        values = table.values.copy()
        values[:9, 3] = 0.1
        with pytest.raises(IntensityError, match="'f3' constant within the reference 'a'"):
            step(reference="a").fit(table.with_values(values))

    def test_refuses_a_covariate_that_is_the_batch(self):
        table = cases()
        columns = {"scanner": table.columns["scanner"], "site": table.columns["scanner"]}
        with pytest.raises(ConfigError, match=r"got 'site=b', 'site=c', the same for all cases"):
            step(keep=("site",)).fit(as_table(table.values, **columns))

    def test_refuses_covariates_that_say_the_same(self):
        table = cases()
        columns = table.columns.assign(months=12 * table.columns["age"] + 3)
        twice = as_table(table.values, **{name: columns[name] for name in columns})
        with pytest.raises(ConfigError, match="got 'age', 'months', one of which the others"):
            step(keep=("age", "sex", "months")).fit(twice)

    def test_refuses_a_constant_covariate(self):
        table = cases()
        same = as_table(table.values, scanner=table.columns["scanner"], kvp=[120.1] * 34)
        with pytest.raises(ConfigError, match="got 'kvp', the same for all cases of each batch"):
            step(keep=("kvp",)).fit(same)

    def test_refuses_more_terms_than_cases(self):
        table = cases(sizes=(3, 3))
        place = [f"p{k}" for k in range(6)]
        wide = as_table(table.values, scanner=table.columns["scanner"], place=place)
        with pytest.raises(RegionError, match="6 cases, 2 batches and 5 terms"):
            step(keep=("place",)).fit(wide)

    def test_refuses_a_training_case_without_covariate(self):
        table = cases()
        age = table.columns["age"].to_numpy().copy()
        age[4] = np.nan
        holed = as_table(table.values, scanner=table.columns["scanner"], age=age)
        with pytest.raises(ConfigError, match=r"'age' must be known of every.*'case4' has none"):
            step(keep=("age",)).fit(holed)

    def test_refuses_an_infinite_covariate(self):
        table = cases()
        age = table.columns["age"].to_numpy().copy()
        age[4] = np.inf
        holed = as_table(table.values, scanner=table.columns["scanner"], age=age)
        with pytest.raises(ConfigError, match="'age' must be finite, case 'case4'"):
            step(keep=("age",)).fit(holed)

    def test_refuses_a_level_that_training_had_not(self):
        table = cases()
        fitted = step(keep=("sex",)).fit(table)
        new = as_table(table.values[:2], scanner=["a", "a"], sex=["f", "x"])
        with pytest.raises(ConfigError, match=r"got 'x' where there were 'f', 'm'"):
            fitted.transform(new)

    def test_refuses_texts_where_training_had_numbers(self):
        table = cases()
        fitted = step(keep=("age",)).fit(table)
        new = as_table(table.values[:2], scanner=["a", "a"], age=["old", "young"])
        with pytest.raises(ConfigError, match="'age' must be a number as in training, got texts"):
            fitted.transform(new)

    def test_refuses_to_learn_priors_from_one_feature(self):
        table = cases(features=1)
        with pytest.raises(RegionError, match="at least 2 features to learn its priors"):
            step().fit(table)
        assert np.isfinite(step(empirical_bayes=False).fit(table).transform(table).values).all()

    @pytest.mark.parametrize("tol", [0.0, -1.0, float("nan")])
    def test_refuses_a_tolerance_that_never_stops(self, tol):
        with pytest.raises(ConfigError, match="tol and steps of ComBat must be positive"):
            step(tol=tol).fit(cases())

    def test_refuses_to_be_used_unfitted(self):
        with pytest.raises(ConvergenceError, match="Combat must be fitted before"):
            step().transform(cases())

    def test_says_when_its_iteration_does_not_settle(self):
        rng = np.random.default_rng(0)
        hat = naive(5, rng.normal(size=40), rng.uniform(1, 9, 40), mean_only=False)
        with pytest.raises(ConvergenceError, match=r"settle to 1e-12 within 1 steps"):
            shrunk(hat, Shrinkage(tol=1e-12, steps=1))


@pytest.fixture(scope="module")
def hospitals(data_dir):
    """Two hospitals with the same 984 features of lung cancers on CT, and who died in two years."""
    read = {
        name: pd.read_csv(data_dir / "tables" / f"Hosny2018{name}.csv.gz") for name in ("A", "B")
    }
    both = pd.concat(read.values(), ignore_index=True)
    features = both.drop(columns="Target").select_dtypes("number")
    table = as_table(
        features.to_numpy(float),
        scanner=np.repeat(list(read), [len(one) for one in read.values()]),
        died=both["Target"].to_list(),
    )
    assert len(table.features) == 984
    return table


class TestTwoHospitals:
    def test_tables_that_were_each_standardised_by_themselves_stay_as_they_are(self, hospitals):
        # their publisher gave each hospital mean 0 and spread 1: no place or scale is left to take
        for own in groups(hospitals):
            assert np.abs(own.mean(axis=0)).max() < 1e-9
            np.testing.assert_allclose(own.std(axis=0), 1, atol=1e-6)
        out = step().fit(hospitals).transform(hospitals)
        assert np.abs(out.values - hospitals.values).max() < 0.01 * np.abs(hospitals.values).max()

    def test_what_a_scanner_would_have_done_to_one_of_them_is_taken_away(self, hospitals):
        table, b = self.scanned(hospitals)
        out = step().fit(table).transform(table)
        assert self.apart(table, b) > 0.5
        assert self.apart(out, b) < 0.1

    def test_a_new_hospital_is_brought_to_the_first(self, hospitals):
        # A is the training, parted by chance into two scanners; B is new and has no outcome
        table, b = self.scanned(hospitals)
        first = table.rows(np.flatnonzero(~b))
        half = np.random.default_rng(0).choice(["a1", "a2"], len(first.cases))
        fitted = step().fit(as_table(first.values, scanner=half))
        new = as_table(table.values[b], scanner=["B"] * int(b.sum()))
        moved = table.values.copy()
        moved[b] = fitted.transform(new).values
        assert self.apart(table.with_values(moved), b) < 0.1

    def scanned(self, hospitals):
        """Shift and stretch the features of hospital B, some more than others."""
        rng = np.random.default_rng(1)
        b = (hospitals.columns["scanner"] == "B").to_numpy()
        values = hospitals.values.copy()
        values[b] = values[b] * rng.uniform(0.5, 1.5, 984) + rng.normal(0.5, 1, 984)
        return hospitals.with_values(values), b

    def apart(self, table, b):
        """Median over features of the distance of the hospitals' means and log spreads."""
        one, two = table.values[~b], table.values[b]
        far = np.abs(one.mean(axis=0) - two.mean(axis=0)) + np.abs(
            np.log(one.std(axis=0) / two.std(axis=0))
        )
        return float(np.median(far))


def test_no_case_comes_back_as_no_case():
    table = cases()
    fitted = step().fit(table)
    assert fitted.transform(table.rows([])).values.shape == (0, len(table.features))
