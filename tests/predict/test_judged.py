"""Predictions beside their truth: what fits, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest
from judged_cases import drawn, judged

from vesalius.errors import IntensityError, RegionError, ShapeError
from vesalius.predict import Target
from vesalius.predict._judged import Judged, judged_once


def test_one_model_makes_one_row_a_case():
    target = Target("binary", np.array([0.0, 1.0]), ("no", "yes"))
    found = judged_once(target, np.array([[0.2], [0.7]]), threshold=0.5)
    assert found.cases.tolist() == [0, 1]
    assert found.thresholds.tolist() == [0.5, 0.5]
    assert not found.cross_validated
    assert not judged_once(target, np.array([[0.2], [0.7]])).thresholds.size


def test_folds_and_repetitions_are_several_trainings():
    assert drawn(folds=3).cross_validated
    assert drawn(repeats=2).cross_validated
    assert not drawn().cross_validated


def test_keeps_rows_in_the_order_given():
    found = drawn(folds=4)
    kept = found.rows(np.array([5, 2]))
    assert kept.cases.tolist() == [5, 2]
    assert kept.scores[:, 0].tolist() == found.scores[[5, 2], 0].tolist()
    assert kept.target.values.tolist() == found.target.values[[5, 2]].tolist()
    assert kept.folds.tolist() == found.folds[[5, 2]].tolist()


def test_refuses_no_prediction():
    with pytest.raises(RegionError, match="at least one prediction"):
        judged([], np.zeros(0))


def test_refuses_parts_that_do_not_fit():
    good = drawn()
    with pytest.raises(ShapeError, match=r"\(120, 1\) for an outcome of kind 'binary'"):
        replace(good, scores=np.zeros((120, 2)))
    with pytest.raises(ShapeError, match="folds must have one value a row, 120"):
        replace(good, folds=np.zeros(3, dtype=np.int64))
    with pytest.raises(ShapeError, match="thresholds must have one value a row"):
        replace(good, thresholds=np.zeros(3))


def test_needs_a_column_for_each_class():
    target = Target("classes", np.array([0.0, 1.0, 2.0]), ("a", "b", "c"))
    with pytest.raises(ShapeError, match=r"\(3, 3\)"):
        judged_once(target, np.full((3, 2), 0.5))


def test_refuses_scores_that_are_no_probabilities():
    with pytest.raises(IntensityError, match=r"0 to 1, got -2 to 0\.5"):
        Judged(
            Target("binary", np.array([0.0, 1.0]), ("no", "yes")),
            np.array([[0.5], [-2.0]]),
            *(np.zeros(2, dtype=np.int64) for _ in range(3)),
        )
    with pytest.raises(IntensityError, match="1 are not"):
        replace(drawn(), scores=np.r_[np.nan, np.full(119, 0.5)][:, None])


def test_refuses_a_threshold_that_is_no_number():
    with pytest.raises(IntensityError, match="thresholds must be numbers"):
        replace(drawn(), thresholds=np.full(120, np.nan))


def test_a_number_may_be_any():
    target = Target("number", np.array([3.0, 400.0]))
    found = judged_once(target, np.array([[-2.0], [500.0]]))
    assert isinstance(found, Judged)
    assert found.scores.max() == 500
