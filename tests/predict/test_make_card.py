"""A report card as a whole: every kind of outcome, and what is said first."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from judged_cases import drawn, expit, judged, table

from vesalius.predict import Description, Target
from vesalius.predict._judged import judged_once
from vesalius.predict._make_card import make_card

PLAIN = Description()


def card(given, description=PLAIN, **columns):
    n = int(given.cases.max()) + 1
    generator = torch.Generator().manual_seed(0)
    return make_card(given, table=table(n, **columns), description=description, generator=generator)


def said(given, words):
    return any(words in text for text in card(given).remarks)


def test_a_card_of_two_classes_has_everything():
    sex = np.where(np.arange(120) % 2 == 0, "f", "m")
    found = card(drawn(0, folds=5, repeats=2), Description(subgroups=("sex",)), sex=sex)
    assert found.kind == "binary"
    assert found.cases == 120
    assert found.classes == ("no", "yes")
    assert sum(map(sum, found.confusion)) == 240
    assert found.threshold == 0.5
    assert found.threshold_rule == "largest Youden index"
    assert [part.value for part in found.subgroups] == ["f", "m"]
    for score in found.scores.values():
        assert math.isfinite(score.value) or score.reason


def test_the_confusion_counts_truth_in_rows():
    given = judged([1, 1, 1, 0], [0.9, 0.8, 0.1, 0.7])
    assert card(given).confusion == ((0, 1), (1, 2))
    assert card(replace(given, thresholds=np.zeros(0))).confusion == ()


def test_thresholds_of_folds_are_told_with_their_range():
    given = drawn(0, folds=2)
    given = replace(given, thresholds=np.where(given.folds == 0, 0.3, 0.4))
    assert card(given).threshold_rule.endswith("on the training cases of each fold (0.3 to 0.4)")


def test_the_same_generator_gives_the_same_card_whatever_the_order_of_the_rows():
    given = drawn(1, 80, folds=4)
    turned = given.rows(np.random.default_rng(0).permutation(80))
    one, other = card(given), card(turned)
    for name, score in one.scores.items():
        assert other.scores[name].value == pytest.approx(score.value, abs=1e-9)
        assert other.scores[name].low == pytest.approx(score.low, abs=1e-9, nan_ok=True)


def test_a_card_does_not_change_what_it_judges():
    given = drawn(2, 60)
    before = given.scores.copy(), given.target.values.copy()
    card(given)
    assert (given.scores == before[0]).all()
    assert (given.target.values == before[1]).all()


def test_patients_with_several_cases_are_told():
    found = card(drawn(3, 60), Description(group="p"), p=[f"p{k // 2}" for k in range(60)])
    assert any("60 cases are of 30 patients" in text for text in found.remarks)


def test_noise_is_told():
    assert said(judged(np.arange(80) % 2, np.random.default_rng(0).random(80)), "may be chance")


def test_a_reversed_ranking_is_told():
    given = drawn(4, 200)
    assert said(replace(given, scores=1 - given.scores), "look for swapped classes")


def test_a_model_that_found_nothing_is_told():
    given = judged(np.arange(60) % 2, np.full(60, 0.5), folds=3)
    assert said(given, "In 3 of 3 folds all scores are equal")
    assert said(judged(np.arange(60) % 2, np.full(60, 0.5)), "All scores are equal")


def test_folds_of_one_class_are_told():
    given = judged(np.r_[np.ones(30), np.zeros(30)], np.random.default_rng(1).random(60))
    folds = np.r_[np.zeros(20), np.ones(20), np.full(20, 2)].astype(np.int64)
    assert said(replace(given, folds=folds), "2 of 3 folds hold one class only")
    alone = replace(given, folds=np.arange(60))
    assert said(alone, "take fewer folds")


def test_one_class_is_told():
    assert said(judged([1.0] * 40, np.linspace(0, 1, 40)), "Every case judged has the event")
    assert said(judged([0.0] * 40, np.linspace(0, 1, 40)), "Every case judged lacks the event")


def test_bad_calibration_is_told():
    assert said(drawn(5, 400, shift=1.5), "The event is more frequent")
    assert said(drawn(5, 400, shift=-1.5), "The event is less frequent")
    assert said(drawn(5, 400, slope=0.3), "Probabilities are too extreme")
    assert said(drawn(5, 400, slope=3.0), "Probabilities are not extreme enough")


def test_a_model_worse_than_a_constant_is_told():
    given = drawn(6, 300, slope=-1.0)
    assert said(given, "Brier skill < 0")
    assert said(given, "to treat everybody would do more good") or said(given, "to treat nobody")


def test_certain_probabilities_are_told():
    rng = np.random.default_rng(0)
    p = np.clip(rng.normal(0.5, 0.5, 80), 0, 1)
    edge = int(((p == 0) | (p == 1)).sum())
    assert said(judged(rng.random(80) < p, p), f"{edge} of 80 probabilities are 0 or 1")


def test_few_cases_are_told():
    assert said(drawn(7, 25), "With 25 patients the intervals are too narrow")
    assert said(drawn(7, 120), "calibration is measured coarsely")


def test_several_classes_have_a_card():
    rng = np.random.default_rng(0)
    truth = np.arange(90) % 3
    p = rng.dirichlet([1, 1, 1], 90)
    given = judged_once(Target("classes", truth.astype(float), ("a", "b", "c")), p)
    found = card(given)
    assert len(found.confusion) == 3
    assert sum(map(sum, found.confusion)) == 90
    assert set(found.scores) == {"auc", "accuracy", "balanced_accuracy", "log_loss"}
    part = given.rows(np.flatnonzero(truth < 2))
    assert said(part, "The class 'c' does not occur")


def test_a_number_has_a_card():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=60)
    found = card(
        judged_once(Target("number", truth), truth[:, None] + rng.normal(1.0, 0.1, (60, 1)))
    )
    assert found.scores["r2"].value < 1
    assert any("too high by" in text for text in found.remarks)
    assert "agreement" in found.curves
    noise = card(judged_once(Target("number", truth), rng.normal(size=(60, 1))))
    assert any("no better than the mean" in text for text in noise.remarks)


def test_survival_has_a_card():
    rng = np.random.default_rng(0)
    risk = rng.normal(size=80)
    times = rng.exponential(expit(-risk) * 5)
    target = Target("survival", times, events=rng.random(80) < 0.7)
    found = card(judged_once(target, risk[:, None]))
    assert found.events == int(target.events.sum())
    assert found.scores["concordance"].low > 0.5
