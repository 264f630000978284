"""Fairness: parts of the cases, how far they lie apart, and what is said of it."""

import math
from dataclasses import replace

import numpy as np
import pytest
from judged_cases import drawn, expit, judged, table
from sklearn.metrics import roc_auc_score

from vesalius.predict import Description, Target
from vesalius.predict._fairness import gap_remarks, other_subgroups, parts_of, subgroups
from vesalius.predict._intervals import clusters_of
from vesalius.predict._judged import judged_once


def measured(given, asked, **roles):
    description = Description(**roles)
    clusters = clusters_of(given, table=asked, description=description)
    return subgroups(given, clusters, table=asked, description=description)


def halves(n):
    return np.where(np.arange(n) % 2 == 0, "f", "m")


def test_each_part_is_measured_as_if_alone():
    given = drawn(0, 200)
    found = {
        part.value: part
        for part in measured(given, table(200, sex=halves(200)), subgroups=("sex",))
    }
    for value in "fm":
        own = halves(200) == value
        truth, p = given.target.values[own], given.scores[own, 0]
        part = found[value]
        assert (part.cases, part.events) == (100, int(truth.sum()))
        assert part.scores["auc"].value == pytest.approx(roc_auc_score(truth, p))
        assert part.scores["sensitivity"].value == pytest.approx((p >= 0.5)[truth == 1].mean())
        assert part.scores["brier"].value == pytest.approx(np.mean((p - truth) ** 2))
        for score in part.scores.values():
            assert score.low <= score.value <= score.high


def test_gaps_are_the_part_less_the_rest_and_turn_round():
    given = drawn(1, 200, folds=4)
    one, other = measured(given, table(200, sex=halves(200)), subgroups=("sex",))
    for name in ("auc_gap", "sensitivity_gap", "specificity_gap"):
        assert one.scores[name].value == pytest.approx(-other.scores[name].value)
        assert one.scores[name].low == pytest.approx(-other.scores[name].high)
    expected = one.scores["sensitivity"].value - other.scores["sensitivity"].value
    assert one.scores["sensitivity_gap"].value == pytest.approx(expected)


def test_the_gap_of_equal_parts_holds_zero_as_often_as_it_says():
    held = np.zeros(3)
    for seed in range(80):
        given = drawn(seed, 120)
        scores = measured(given, table(120, sex=halves(120)), subgroups=("sex",))[0].scores
        gaps = [scores[f"{name}_gap"] for name in ("auc", "sensitivity", "specificity")]
        held += [gap.low <= 0 <= gap.high for gap in gaps]
    assert (held >= 0.87 * 80).all()


def unfair(n=400):
    """A model that is blind for one half."""
    rng, sex = np.random.default_rng(3), halves(n)
    truth = (rng.random(n) < 0.5).astype(float)
    eta = np.where(sex == "f", 3 * (truth - 0.5), 0) + rng.normal(0, 0.6, n)
    return judged(truth, expit(eta)), table(n, sex=sex)


def test_an_unfair_model_is_told():
    said = gap_remarks(measured(*unfair(), subgroups=("sex",)))
    assert any("In sex = m (200 patients), the AUC is" in text and "lower" in text for text in said)
    assert all("after Holm's correction for 6 comparisons" in text for text in said)


def test_a_fair_model_is_seldom_blamed():
    blamed = 0
    for seed in range(40):
        given, n = drawn(seed, 150), 150
        rng = np.random.default_rng(1000 + seed)
        asked = table(
            n, sex=halves(n), age=rng.normal(60, 9, n), site=rng.choice(["a", "b", "c"], n)
        )
        found = measured(given, asked, subgroups=("sex", "age"), site="site")
        blamed += bool(gap_remarks(found))
    assert blamed <= 0.15 * 40


def test_small_parts_have_a_reason_instead_of_a_figure():
    site = np.where(np.arange(100) < 12, "small", "large")
    found = {p.value: p for p in measured(drawn(4, 100), table(100, site=site), site="site")}
    small = found["small"].scores
    assert "fewer than 10" in small["auc"].reason
    assert "fewer than 10" in small["auc_gap"].reason
    assert math.isnan(small["sensitivity"].value)
    assert small["sensitivity"].reason.endswith("patients with the event: fewer than 10")
    assert math.isfinite(small["brier"].value)
    assert math.isfinite(found["large"].scores["auc"].value)


def test_numbers_are_cut_in_thirds_or_halves():
    ages = np.arange(120.0)
    found = parts_of(
        drawn(n=120), table=table(120, age=ages), description=Description(subgroups=("age",))
    )
    assert [part.value for part in found] == ["up to 39.67", "39.67 to 79.33", "above 79.33"]
    assert [int(part.inside.sum()) for part in found] == [40, 40, 40]
    found = parts_of(
        drawn(n=60), table=table(60, age=ages[:60]), description=Description(subgroups=("age",))
    )
    assert [part.value for part in found] == ["up to 29.5", "above 29.5"]


def test_a_few_different_numbers_are_kept():
    stage = np.arange(60) % 4 + 1
    found = parts_of(
        drawn(n=60), table=table(60, stage=stage), description=Description(subgroups=("stage",))
    )
    assert [part.value for part in found] == ["1", "2", "3", "4"]


def test_what_is_missing_is_a_part_of_its_own():
    ages = np.where(np.arange(60) < 6, np.nan, np.arange(60.0))
    found = parts_of(
        drawn(n=60), table=table(60, age=ages), description=Description(subgroups=("age",))
    )
    assert [part.value for part in found] == ["up to 32.5", "above 32.5", "missing"]
    assert int(found[-1].inside.sum()) == 6


def test_a_column_of_one_part_or_of_names_is_not_taken_apart():
    asked = table(60, one=["a"] * 60, name=[f"n{k}" for k in range(60)])
    roles = Description(subgroups=("one", "name"))
    assert parts_of(drawn(n=60), table=asked, description=roles) == ()


def test_parts_without_a_threshold_have_no_decisions():
    given = replace(drawn(5, 100), thresholds=np.zeros(0))
    scores = measured(given, table(100, sex=halves(100)), subgroups=("sex",))[0].scores
    assert "sensitivity" not in scores
    assert scores["sensitivity_gap"].reason == "no threshold was chosen"


def test_patients_are_counted_once_in_a_part():
    given = drawn(6, 60, repeats=3)
    found = measured(given, table(60, sex=halves(60)), subgroups=("sex",))
    assert [part.cases for part in found] == [30, 30]


def test_decisions_without_a_mistake_have_a_gap_without_an_interval():
    truth = np.arange(80) % 4 < 2
    given = judged(truth, np.where(truth, 0.9, 0.1))
    scores = measured(given, table(80, sex=halves(80)), subgroups=("sex",))[0].scores
    assert scores["sensitivity_gap"].value == 0
    assert "variance is zero" in scores["sensitivity_gap"].reason


def others(target, scores, n=100):
    given = judged_once(target, scores)
    asked, description = table(n, sex=halves(n)), Description(subgroups=("sex",))
    clusters = clusters_of(given, table=asked, description=description)
    return other_subgroups(given, clusters, table=asked, description=description)


def test_a_number_is_measured_in_parts():
    rng, female = np.random.default_rng(0), halves(100) == "f"
    truth = rng.normal(size=100)
    said = truth + rng.normal(0, 0.2, 100) + 1.0 * female
    found = others(Target("number", truth), said[:, None])
    bias = [part.scores["bias"] for part in found]
    assert bias[0].value == pytest.approx((said - truth)[female].mean())
    assert bias[0].low < 1 < bias[0].high
    assert bias[1].low < 0 < bias[1].high
    assert found[0].scores["mae"].value == pytest.approx(np.abs(said - truth)[female].mean())


def test_classes_are_measured_in_parts():
    truth = np.arange(100) // 2 % 3
    p = np.eye(3)[np.where(halves(100) == "f", truth, 0)]
    found = others(Target("classes", truth.astype(float), ("a", "b", "c")), p)
    assert found[0].scores["accuracy"].value == 1
    assert found[1].scores["accuracy"].value == pytest.approx(np.mean(truth[1::2] == 0))


def test_survival_is_measured_in_parts():
    rng = np.random.default_rng(0)
    risk = rng.normal(size=100)
    target = Target("survival", rng.exponential(np.exp(-risk)), events=np.arange(100) % 4 > 1)
    found = others(target, risk[:, None])
    assert [part.events for part in found] == [25, 25]
    assert all(part.scores["concordance"].low > 0.5 for part in found)


def test_small_parts_of_other_outcomes_have_a_reason():
    n, site = 60, np.where(np.arange(60) < 5, "small", "large")
    asked, description = table(n, site=site), Description(site="site")
    events = np.ones(n, dtype=bool)
    for target, outputs in (
        (Target("number", np.arange(60.0)), 1),
        (Target("classes", np.arange(60.0) % 3, ("a", "b", "c")), 3),
        (Target("survival", np.arange(60.0) + 1, events=events), 1),
    ):
        given = judged_once(target, np.full((n, outputs), 1 / outputs))
        clusters = clusters_of(given, table=asked, description=description)
        parts = other_subgroups(given, clusters, table=asked, description=description)
        small = next(part for part in parts if part.value == "small")
        assert all("fewer than 10" in score.reason for score in small.scores.values())


def test_the_interval_of_a_loss_does_not_go_below_zero():
    site = np.where(np.arange(100) < 12, "small", "large")
    given = judged(np.arange(100) % 2, np.where(np.arange(100) % 2 > 0, 0.99, 0.01))
    scores = given.scores.copy()
    scores[0] = 1.0
    found = {
        p.value: p
        for p in measured(replace(given, scores=scores), table(100, site=site), site="site")
    }
    assert found["small"].scores["brier"].low == 0
    assert found["small"].scores["brier"].value == pytest.approx(1 / 12, abs=1e-3)
