"""Nested validation: nothing of a test case reaches a training, and everything is reported."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from asked_tables import asked
from made_tables import made

from vesalius.errors import ConfigError, ConvergenceError, RegionError
from vesalius.predict import Description, Recipe, Table, Target, Threshold, Tuning, as_table
from vesalius.predict._cox import Cox
from vesalius.predict._nested import plan_words, point632plus, run_parts, without_information
from vesalius.predict._training import Job, train_part, unseen_scores, used_features
from vesalius.predict.estimators import Lasso
from vesalius.predict.select import Impute, Redundancy, Scale, Univariate
from vesalius.predict.validate import Split, parts, selection_stability, units_of, validate

NOTHING = Description()
QUICK = Recipe((Scale(),), Lasso(), Tuning(folds=3))


def job_of(table, target, recipe=QUICK, description=NOTHING, hidden=()):
    """Give a job and its parts."""
    chosen = parts(Split(folds=3), table, description, target)
    units = units_of(table, description)
    return Job(table, target, recipe, units, hidden, Threshold()), chosen


def test_finds_what_is_there_and_reports_each_training(generator):
    table, description, _ = asked(90, 12, shift=1.5)
    found = validate(table, description, QUICK, split=Split(), generator=generator)
    assert found.card.scores["auc"].value > 0.75
    assert found.card.cases == 90
    assert len(found.folds) == 5
    assert sum(fold.test for fold in found.folds) == 90
    assert {fold.training + fold.test for fold in found.folds} == {90}
    assert all(np.isfinite(fold.inner_score) and fold.chosen for fold in found.folds)
    assert sorted(found.held_out["case"]) == sorted(table.cases)
    assert list(found.held_out.columns) == [
        "case",
        "repeat",
        "fold",
        "truth",
        "score",
        "threshold",
    ]
    assert next(iter(found.stability)) == "f00"
    assert found.stability["f00"] == 1.0
    assert list(found.stability.values()) == sorted(found.stability.values(), reverse=True)
    assert found.plan.startswith("Nested validation: 5 folds balanced for the outcome")
    assert any("Nogueira" in text for text in found.remarks)


def test_a_gap_of_one_case_is_filled_where_that_case_is_held_out(generator):
    table, description, _ = asked(60, 4)
    values = table.values.copy()
    values[3, 1] = np.nan
    reasons = {(table.cases[3], table.features[1]): "too small"}
    table = replace(table, values=values, reasons=reasons)
    found = validate(table, description, QUICK, split=Split(folds=3), generator=generator)
    assert found.card.cases == 60


def test_test_cases_do_not_move_a_training():
    table, target = made(60, 6)
    job, chosen = job_of(table, target)
    first = chosen[0]
    wild = table.values.copy()
    wild[first.test] = 100 * wild[first.test] + 7
    flipped = target.values.copy()
    flipped[first.test] = 1 - flipped[first.test]
    other = replace(
        job, table=table.with_values(wild), target=Target("binary", flipped, target.classes)
    )
    a, b = train_part(job, first), train_part(other, first)
    assert a.fold.chosen == b.fold.chosen
    assert a.used == b.used
    assert a.threshold == b.threshold
    assert a.apparent == b.apparent
    assert not np.array_equal(a.scores, b.scores)


def test_test_cases_come_without_their_outcome():
    table, _, target = asked(60, 6)
    job, chosen = job_of(table, target, hidden=("grade",))
    honest = train_part(job, chosen[0])
    lying = table.columns.copy()
    lying.loc[chosen[0].test, "grade"] = "no"
    blind = train_part(replace(job, table=replace(table, columns=lying)), chosen[0])
    np.testing.assert_array_equal(honest.scores, blind.scores)


def test_a_selection_inside_of_the_folds_finds_nothing_in_noise():
    """Ambroise and McLachlan (2002): chosen on all cases, noise looks like a signal."""
    rng = np.random.default_rng(3)
    noise, _ = made(50, 800, shift=0.0)
    values = rng.normal(size=noise.values.shape)
    target = Target("binary", np.repeat([0.0, 1.0], 25), ("no", "yes"))
    inside = Recipe((Scale(), Univariate(10)), Lasso(), Tuning(folds=3))

    def mean_score(table, recipe):
        job, chosen = job_of(table, target, recipe)
        return np.mean([one.fold.score for one in run_parts(job, chosen)])

    table = noise.with_values(values)
    chosen_on_all = Univariate(10).fit(table, target).transform(table)
    assert mean_score(chosen_on_all, QUICK) > 0.75
    assert mean_score(table, inside) < 0.65


def test_the_threshold_is_chosen_on_training_cases_that_the_model_had_not_seen():
    from vesalius.predict._pipeline import fit_recipe
    from vesalius.predict._threshold import choose_threshold

    table, target = made(60, 6)
    job, chosen = job_of(table, target)
    part = chosen[1]
    found = train_part(job, part)
    train, truth = table.rows(part.train), target.rows(part.train)
    groups = tuple(str(row) for row in part.train)
    fitted = fit_recipe(QUICK, train, truth, groups=groups)
    scores = unseen_scores(QUICK, fitted, train, truth, groups)
    assert scores.shape == (len(part.train), 1)
    assert found.threshold == choose_threshold(truth.values, scores[:, 0], rule=Threshold())
    assert not np.allclose(scores, fitted.predict(train))


def test_an_estimator_without_tuning_has_unseen_scores_too():
    from vesalius.predict._pipeline import fit_recipe

    table, target = made(60, 6)
    tuned = fit_recipe(QUICK, table, target)
    bare = replace(tuned, unseen=np.zeros((0, 1)))
    again = unseen_scores(QUICK, bare, table, target, ())
    np.testing.assert_allclose(again, tuned.unseen, atol=1e-3)


def test_a_fixed_threshold_stays(generator):
    table, description, _ = asked(60, 4)
    split = Split(folds=3, threshold=Threshold("fixed", value=0.3))
    found = validate(table, description, QUICK, split=split, generator=generator)
    assert set(found.held_out["threshold"]) == {0.3}


@pytest.mark.slow
def test_processes_give_the_same_bits():
    table, target = made(60, 10)
    job, chosen = job_of(table, target)
    alone, together = (run_parts(job, chosen, workers=workers) for workers in (1, 2))
    for a, b in zip(alone, together, strict=True):
        np.testing.assert_array_equal(a.scores, b.scores)
        assert (a.threshold, a.used, a.apparent) == (b.threshold, b.used, b.apparent)
        assert (a.fold.chosen, a.fold.score) == (b.fold.chosen, b.fold.score)


def test_each_training_is_told():
    table, target = made(60, 4)
    job, chosen = job_of(table, target)
    steps = []
    run_parts(job, chosen, on_step=steps.append)
    assert [(step.done, step.total) for step in steps] == [(1, 3), (2, 3), (3, 3)]
    assert steps[0].what == "fold 1"


def test_gaps_are_filled_inside_of_the_folds(generator):
    table, description, _ = asked(60, 5)
    values = table.values.copy()
    values[::7, 2] = np.nan
    reasons = {(table.cases[row], "f02"): "not measured" for row in range(0, 60, 7)}
    gappy = replace(table, values=values, reasons=reasons)
    recipe = replace(QUICK, steps=(Impute(), Scale(), Redundancy()))
    found = validate(gappy, description, recipe, split=Split(folds=3), generator=generator)
    assert np.isfinite(found.held_out["score"]).all()


def test_a_bootstrap_may_draw_a_case_with_gaps_twice():
    table, _, target = asked(60, 5)
    values = table.values.copy()
    values[:, 2] = np.nan
    reasons = {(case, "f02"): "not measured" for case in table.cases}
    values[::2, 2] = 0.5 * np.arange(30)
    reasons = {key: why for k, (key, why) in enumerate(reasons.items()) if k % 2}
    gappy = replace(table, values=values, reasons=reasons)
    chosen = parts(Split("bootstrap", repeats=2), gappy, Description(), target)
    units = units_of(gappy, Description())
    job = Job(gappy, target, QUICK, units, (), None)
    for one in run_parts(job, chosen):
        assert one.fold.training == 60
        assert np.isfinite(one.scores).all()
        assert np.isnan(one.threshold)


@pytest.mark.parametrize("kind", ["number", "classes"])
def test_other_outcomes_are_laid_out_too(kind, generator):
    table, target = made(90, 5, kind=kind, shift=2.0)
    said = target.values if kind == "number" else [target.classes[int(k)] for k in target.values]
    table = replace(table, columns=table.columns.assign(outcome=said))
    description = Description(outcome="outcome", kind=kind)
    found = validate(table, description, QUICK, split=Split(folds=3), generator=generator)
    assert np.nanmean([fold.score for fold in found.folds]) > 0.3
    columns = list(found.held_out.columns)[3:]
    assert columns == (
        ["truth", "score"]
        if kind == "number"
        else ["truth", "score high", "score low", "score mid"]
    )


def test_repetitions_are_kept_apart(generator):
    table, description, _ = asked(60, 4)
    found = validate(
        table, description, QUICK, split=Split(folds=3, repeats=2), generator=generator
    )
    assert len(found.folds) == 6
    assert len(found.held_out) == 120
    assert found.held_out.groupby("repeat")["case"].nunique().tolist() == [60, 60]
    assert "2 times" in found.plan
    assert found.card.cases == 60


def test_a_patient_is_named_in_the_plan(generator):
    table, description, _ = asked(60, 4)
    grouped = replace(description, group="patient")
    found = validate(table, grouped, QUICK, split=Split(folds=3), generator=generator)
    assert "No patient is in both training and test." in found.plan


def test_a_test_part_of_one_class_has_no_score_and_is_remarked(generator):
    table, _, target = asked(60, 4)
    site = np.where(target.values > 0.5, "sick house", "town")
    site[np.nonzero(target.values > 0.5)[0][8:]] = "town"
    site[np.nonzero(target.values < 0.5)[0][:8]] = "village"
    table = replace(table, columns=table.columns.assign(site=site))
    description = Description(outcome="grade", positive="yes", site="site")
    found = validate(
        table, description, QUICK, split=Split("leave_one_site_out"), generator=generator
    )
    assert np.isnan(found.folds[0].score)
    assert any("2 of 3 test parts hold one class only" in text for text in found.remarks)


def test_a_training_without_a_weight_is_remarked(generator):
    table, description, _ = asked(40, 3, shift=0.0)
    found = validate(table, description, QUICK, split=Split(folds=4), generator=generator)
    empty = [fold for fold in found.folds if abs(fold.score - 0.5) < 1e-12]
    said = [text for text in found.remarks if "found no feature worth a weight" in text]
    assert bool(said) == bool(empty)


def test_refuses_no_worker():
    table, target = made(30, 3)
    job, chosen = job_of(table, target)
    with pytest.raises(ConfigError, match="workers must be 1 or more to train a fold"):
        run_parts(job, chosen, workers=0)


def test_a_worker_that_is_killed_is_an_error_of_ours():
    import os

    from vesalius.predict._workers import shared

    with pytest.raises(ConvergenceError, match="every worker must live until its fold is trained"):
        list(shared(os._exit, [1, 1], workers=2))


def test_methods_are_said_in_words():
    table, description, target = asked(60, 3, day=list(range(60)))
    description = replace(description, date="day", site="site")
    for method, words in {
        "grouped": "folds of whole groups",
        "leave_one_site_out": "each of 2 sites left out once",
        "temporal": "each predicted from all before it",
        "plain": "folds at random",
    }.items():
        job = Job(table, target, QUICK, units_of(table, description), (), None)
        asked_group = replace(description, group="patient" if method == "grouped" else "")
        chosen = parts(Split(method, folds=2), table, asked_group, target)
        folds = tuple(one.fold for one in run_parts(job, chosen))
        assert words in plan_words(Split(method, folds=2), asked_group, folds)


def test_used_features_are_those_with_a_weight():
    from vesalius.predict._constant import Constant
    from vesalius.predict._pipeline import fit_recipe

    table, target = made(60, 12)
    fitted = fit_recipe(QUICK, table, target)
    weights = fitted.estimator.importances()
    named = tuple(f for f, w in zip(fitted.features, weights, strict=True) if w != 0)
    assert used_features(fitted) == named
    silent = replace(fitted, estimator=Constant().fit(table.values, target))
    assert used_features(silent) == fitted.features


def test_632plus_lies_between_both_scores():
    seen, out = np.array([0.95, 0.9]), np.array([0.7, 0.72])
    value = point632plus(seen, out, 0.5)
    assert out.mean() < value < seen.mean()
    plain = 0.368 * seen.mean() + 0.632 * out.mean()
    assert value < plain


@pytest.mark.parametrize("chance", [0.5, 0.0])
def test_632plus_of_a_model_that_knows_nothing_is_chance(chance):
    assert point632plus(np.array([1.0]), np.array([chance]), chance) == pytest.approx(chance)
    assert point632plus(np.array([0.8]), np.array([0.8]), chance) == pytest.approx(0.8)


def test_632plus_agrees_with_the_rule_for_errors():
    """Efron and Tibshirani (1997), eq. (29) to (32), written for errors."""
    seen, out, none = 0.1, 0.3, 0.5
    rate = (out - seen) / (none - seen)
    weight = 0.632 / (1 - 0.368 * rate)
    error = (1 - weight) * seen + weight * out
    value = point632plus(np.array([1 - seen]), np.array([1 - out]), 0.5)
    assert value == pytest.approx(1 - error)


def test_a_bootstrap_reports_the_corrected_score_beside_the_plain_one(generator):
    table, description, _ = asked(60, 4)
    split = Split("bootstrap", repeats=4)
    found = validate(table, description, QUICK, split=split, generator=generator)
    plain = np.mean([fold.score for fold in found.folds])
    corrected = found.card.scores["auc_632plus"]
    assert plain < corrected.value < 1
    assert "no interval of its own" in corrected.reason
    assert "4 draws with replacement" in found.plan


def test_what_no_information_scores():
    assert without_information(Target("number", np.arange(3.0))) == 0.0
    assert without_information(Target("binary", np.array([0.0, 1.0]), ("a", "b"))) == 0.5


def test_the_same_selection_each_time_is_stable_and_chance_is_not():
    features = [f"f{k}" for k in range(40)]
    assert selection_stability([features[:5]] * 6, features).value == pytest.approx(1.0)
    rng = np.random.default_rng(0)
    chosen = [rng.choice(features, 8, replace=False).tolist() for _ in range(60)]
    found = selection_stability(chosen, features)
    assert abs(found.value) < 0.05
    assert found.low < found.value < found.high


def test_stability_agrees_with_the_mean_of_pairs():
    """For selections of one size it is the mean over pairs of Kuncheva's index (2007)."""
    rng = np.random.default_rng(1)
    features = [f"f{k}" for k in range(20)]
    weights = np.linspace(3, 1, 20) / np.linspace(3, 1, 20).sum()
    chosen = [set(rng.choice(features, 6, replace=False, p=weights)) for _ in range(9)]
    pairs = [
        (len(a & b) - 36 / 20) / (6 - 36 / 20)
        for i, a in enumerate(chosen)
        for b in chosen[i + 1 :]
    ]
    found = selection_stability([sorted(one) for one in chosen], features)
    assert found.value == pytest.approx(np.mean(pairs))


def test_stability_says_why_it_is_missing():
    assert "one training alone" in selection_stability([["a"]], ["a", "b"]).reason
    assert "all features or none" in selection_stability([["a"], ["a"]], ["a"]).reason
    assert "all features or none" in selection_stability([[], []], ["a", "b"]).reason


def test_a_table_of_two_hospitals_is_validated_by_the_other(data_dir, generator):
    import pandas as pd

    frame = pd.read_csv(data_dir / "tables" / "Hosny2018B.csv.gz")
    names = [name for name in frame.columns if name.startswith("original_shape")]
    table = Table(
        tuple(f"case{k}" for k in range(len(frame))),
        tuple(names),
        frame[names].to_numpy(dtype=np.float64),
        pd.DataFrame({"outcome": frame["Target"]}),
    )
    found = validate(
        table, Description(outcome="outcome"), QUICK, split=Split(), generator=generator
    )
    estimate = found.card.scores["auc"]
    assert 0.3 < estimate.low < estimate.value < estimate.high < 0.9
    assert any(leak.kind == "fitted_on_all" for leak in found.leaks)


@pytest.mark.parametrize("unit", [1.0, 1e-12])
def test_a_number_that_is_mostly_zero_is_validated_in_any_unit(unit, generator):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(90, 3)), columns=list("abc"))
    frame["y"] = np.where(np.arange(90) % 30 == 0, 1.0 + frame["a"], 0.0) * unit
    description = Description(outcome="y", kind="number")
    found = validate(
        as_table(frame, description),
        description,
        Recipe((Scale(),), Lasso(), Tuning(folds=2)),
        split=Split(folds=4),
        generator=generator,
    )
    assert found.card.cases == 90
    assert 0 < found.card.scores["rmse"].value < unit


def test_times_that_are_all_equal_are_not_called_classes(generator):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(60, 3)), columns=list("abc"))
    frame["y"], frame["time"] = np.arange(60) % 2, 1.0
    description = Description(outcome="y", kind="survival", time="time")
    with pytest.raises(RegionError, match="times that differ"):
        validate(
            as_table(frame, description),
            description,
            Recipe((), Cox()),
            split=Split(folds=3),
            generator=generator,
        )
