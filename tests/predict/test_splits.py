"""Splits: folds are balanced, no patient is parted, time runs forward, thin data are refused."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from asked_tables import asked
from hypothesis import given
from hypothesis import strategies as st

from vesalius.errors import ConfigError
from vesalius.predict import Description, Target
from vesalius.predict.validate import Split, balanced_folds, parts, units_of

METHODS = ["stratified", "grouped", "leave_one_site_out", "temporal", "bootstrap", "plain"]
WIDE = Description(
    outcome="grade", positive="yes", group="patient", site="site", date="date", batch="batch"
)


def visits(cases=90, seed=0):
    """Patients of one to four visits at two sites over a year."""
    rng = np.random.default_rng(seed)
    table, _, target = asked(cases, 4, seed=seed)
    columns = table.columns.assign(
        patient=[f"p{k}" for k in rng.integers(0, cases // 2, cases)],
        date=pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 365, cases), unit="D"),
    )
    return replace(table, columns=columns), target


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("seed", range(3))
def test_no_patient_is_on_both_sides(method, seed):
    table, target = visits(seed=seed)
    patient = np.asarray(table.columns["patient"])
    for part in parts(Split(method, folds=3, seed=seed), table, WIDE, target):
        assert part.train.size
        assert part.test.size
        assert not set(patient[part.train]) & set(patient[part.test])


@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_gives_the_same_parts(method):
    table, target = visits()
    once, again = (parts(Split(method, seed=4), table, WIDE, target) for _ in range(2))
    for a, b in zip(once, again, strict=True):
        assert (a.repeat, a.name) == (b.repeat, b.name)
        np.testing.assert_array_equal(a.train, b.train)
        np.testing.assert_array_equal(a.test, b.test)


@pytest.mark.parametrize("method", ["stratified", "grouped", "plain", "bootstrap"])
def test_another_seed_and_another_repetition_give_other_parts(method):
    table, target = visits()
    first = parts(Split(method, repeats=2), table, WIDE, target)
    other = parts(Split(method, repeats=2, seed=1), table, WIDE, target)
    half = len(first) // 2
    assert not np.array_equal(first[0].test, other[0].test)
    assert not np.array_equal(first[0].test, first[half].test)
    assert [part.repeat for part in first] == [0] * half + [1] * half


@pytest.mark.parametrize("method", ["stratified", "grouped", "leave_one_site_out", "plain"])
def test_each_case_is_tested_once_in_a_repetition(method):
    table, target = visits()
    found = parts(Split(method), table, WIDE, target)
    tested = np.sort(np.concatenate([part.test for part in found]))
    np.testing.assert_array_equal(tested, np.arange(len(table.cases)))


@given(
    cases=st.integers(20, 150),
    share=st.floats(0.15, 0.85),
    folds=st.integers(2, 6),
    seed=st.integers(0, 9),
)
def test_single_cases_are_dealt_as_evenly_as_can_be(cases, share, folds, seed):
    rng = np.random.default_rng(seed)
    strata = (rng.random(cases) < share).astype(np.int64)
    strata[:6], strata[6:12] = 0, 1
    fold = balanced_folds(strata, np.arange(cases), folds, generator=rng)
    for kind in (0, 1):
        assert np.ptp(np.bincount(fold[strata == kind], minlength=folds)) <= 1
    assert np.ptp(np.bincount(fold, minlength=folds)) <= 1


@given(seed=st.integers(0, 20), folds=st.integers(2, 5))
def test_patients_of_several_cases_are_balanced_nearly_as_well(seed, folds):
    rng = np.random.default_rng(seed)
    units = rng.integers(0, 60, 150)
    strata = ((units % 3 == 0) ^ (rng.random(150) < 0.1)).astype(np.int64)
    fold = balanced_folds(strata, units, folds, generator=rng)
    for unit in np.unique(units):
        assert len(set(fold[units == unit].tolist())) == 1
    counts = np.bincount(fold[strata == 1], minlength=folds)
    assert np.ptp(counts) <= 0.25 * strata.sum() / folds + 3
    assert np.ptp(np.bincount(fold, minlength=folds)) <= 0.2 * 150 / folds + 6


def test_patients_are_balanced_no_worse_than_by_scikit_learn():
    from sklearn.model_selection import StratifiedGroupKFold

    ours, theirs = [], []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        units = np.repeat(np.arange(40), rng.integers(1, 7, 40))
        strata = (rng.random(40) < 0.3).astype(np.int64)[units]
        fold = balanced_folds(strata, units, 5, generator=rng)
        ours.append(np.bincount(fold[strata == 1], minlength=5).std())
        rival = StratifiedGroupKFold(5, shuffle=True, random_state=seed)
        tests = [test for _, test in rival.split(units, strata, units)]
        theirs.append(np.std([strata[test].sum() for test in tests]))
    assert np.mean(ours) <= np.mean(theirs) * 1.05


def test_thirds_of_a_number_are_in_every_fold():
    table, description, _ = asked(90)
    target = Target("number", np.random.default_rng(0).normal(size=90))
    for part in parts(Split(), table, description, target):
        assert set(target.strata[part.test].tolist()) == {0, 1, 2}


def test_a_few_numbers_are_dealt_without_thirds():
    table, description, _ = asked(12)
    target = Target("number", np.arange(12.0))
    assert [len(p.test) for p in parts(Split(), table, description, target)] == [3, 3, 2, 2, 2]


def test_time_runs_forward_and_no_day_is_split():
    table, target = visits(120)
    date = np.asarray(table.columns["date"])
    found = parts(Split("temporal", folds=4), table, replace(WIDE, group=""), target)
    assert len(found) == 4
    for part in found:
        assert date[part.train].max() < date[part.test].min()
    sizes = [len(part.test) for part in found]
    assert max(sizes) - min(sizes) <= 8
    last = np.concatenate([found[-1].train, found[-1].test])
    assert len(last) == 120


def test_dates_may_be_years_or_texts():
    table, _, target = asked(60, year=[2000 + k // 6 for k in range(60)])
    numbers = parts(Split("temporal", folds=2), table, Description(date="year"), target)
    texts = table.columns.assign(year=[f"{year}-01-01" for year in table.columns["year"]])
    words = parts(
        Split("temporal", folds=2), replace(table, columns=texts), Description(date="year"), target
    )
    assert [part.name for part in numbers] == ["2003 to 2006", "2007 to 2009"]
    assert words[0].name == "2003-01-01 to 2006-01-01"
    for a, b in zip(numbers, words, strict=True):
        np.testing.assert_array_equal(a.test, b.test)


def test_a_day_of_many_cases_stays_whole():
    table, _, target = asked(60, day=[0] * 40 + list(range(1, 21)))
    found = parts(Split("temporal", folds=3), table, Description(date="day"), target)
    assert len(found) == 3
    assert set(range(40)) <= set(found[0].train.tolist())


def test_a_site_is_left_out_by_name():
    table, target = visits()
    found = parts(Split("leave_one_site_out"), table, replace(WIDE, group=""), target)
    assert [part.name for part in found] == ["north", "south"]
    site = np.asarray(table.columns["site"])
    for part in found:
        assert set(site[part.test]) == {part.name}
        assert part.name not in set(site[part.train])


def test_a_bootstrap_draws_as_many_units_and_tests_the_rest():
    table, _, target = asked(80)
    found = parts(Split("bootstrap", repeats=30), table, Description(), target)
    assert {len(part.train) for part in found} == {80}
    share = np.mean([len(part.test) for part in found]) / 80
    assert share == pytest.approx(np.exp(-1), abs=0.03)
    for part in found:  # classes keep their size
        assert target.values[part.train].sum() == target.values.sum()


def test_without_a_group_each_case_is_its_own_unit():
    table, description, _ = asked(10)
    np.testing.assert_array_equal(units_of(table, description), np.arange(10))
    named = replace(table, columns=table.columns.assign(patient=list("aabbccddaa")))
    assert units_of(named, Description(group="patient")).tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 0, 0]


@pytest.mark.parametrize("wrong", [{"folds": 1}, {"repeats": 0}, {"seed": -1}, {"folds": -5}])
def test_refuses_a_split_without_meaning(wrong):
    with pytest.raises(ConfigError, match="must have 2 folds or more, 1 repetition or more"):
        Split(**wrong)


@pytest.mark.parametrize("method", ["temporal", "leave_one_site_out"])
def test_refuses_to_repeat_what_has_one_way(method):
    with pytest.raises(ConfigError, match="repeats must be 1 for"):
        Split(method, repeats=2)


@pytest.mark.parametrize(
    ("method", "match"),
    [
        ("grouped", "grouped folds must have a column of groups, got none"),
        ("leave_one_site_out", "must have a column of sites, got none"),
        ("temporal", "a temporal split must have a column of dates, got none"),
    ],
)
def test_refuses_a_split_whose_column_is_not_named(method, match):
    table, description, target = asked()
    with pytest.raises(ConfigError, match=match):
        parts(Split(method), table, description, target)


def test_refuses_fewer_cases_of_a_class_than_folds():
    table, description, _ = asked(40)
    rare = Target("binary", (np.arange(40) < 3).astype(float), ("no", "yes"))
    with pytest.raises(ConfigError, match=r"for 5 folds, one has 3"):
        parts(Split(), table, description, rare)


def test_refuses_one_site():
    table, _, target = asked(site=["here"] * 60)
    with pytest.raises(ConfigError, match="must have two sites or more"):
        parts(Split("leave_one_site_out"), table, Description(site="site"), target)


def test_refuses_fewer_dates_than_parts():
    table, _, target = asked(day=[1, 2] * 30)
    with pytest.raises(ConfigError, match="must have 6 dates or more"):
        parts(Split("temporal"), table, Description(date="day"), target)


def test_refuses_a_date_that_is_none():
    table, _, target = asked(day=["2020-01-01"] * 59 + ["soon"])
    with pytest.raises(ConfigError, match="dates must be dates"):
        parts(Split("temporal"), table, Description(date="day"), target)


def test_refuses_a_case_without_a_patient():
    table, _, target = asked()
    gone = table.columns.assign(patient=[None, *table.columns["patient"][1:]])
    with pytest.raises(ConfigError, match="each case must have a group, 'case000' has none"):
        parts(Split(), replace(table, columns=gone), Description(group="patient"), target)


def test_refuses_a_training_that_lacks_a_class():
    table, _, target = asked(site=["a"] * 60)
    site = np.where(target.values > 0.5, "sick", "well")
    table = replace(table, columns=table.columns.assign(site=site))
    with pytest.raises(ConfigError, match="each training must see every class"):
        parts(Split("leave_one_site_out"), table, Description(site="site"), target)


def test_refuses_a_fold_without_training_cases():
    table, _, target = asked(site=["a", "b"] * 30, patient=["one"] * 60)
    with pytest.raises(ConfigError, match="cases to train on and to test on"):
        parts(Split("leave_one_site_out"), table, Description(site="site", group="patient"), target)
