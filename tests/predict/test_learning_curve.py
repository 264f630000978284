"""Learning curves: shares grow within each other, and the reading says what they show."""

from dataclasses import replace

import numpy as np
import pytest
from asked_tables import asked

from vesalius.errors import ConfigError, RegionError
from vesalius.predict import Curve, Description, Recipe, Tuning
from vesalius.predict._learning_curve import _growing
from vesalius.predict.estimators import Lasso, Ridge
from vesalius.predict.harmonise import Combat
from vesalius.predict.select import Scale
from vesalius.predict.validate import Split, learning_curve, parts, read_curves, units_of

QUICK = Recipe((Scale(),), Lasso(), Tuning(folds=3))


def test_more_cases_help_where_there_is_something_to_learn():
    table, description, _ = asked(150, 12, shift=1.5)
    found = learning_curve(table, description, QUICK, split=Split(folds=3), shares=(0.2, 0.5, 1.0))
    assert found.score == "AUC"
    np.testing.assert_array_equal(found.training.x, found.test.x)
    assert found.test.x[-1] == 100
    assert found.test.y[-1] > found.test.y[0]
    assert (found.training.y >= found.test.y - 0.02).all()
    assert (found.test.low <= found.test.y).all()
    assert (found.test.y <= found.test.high).all()
    assert found.reading[0].startswith("With 100 training cases the AUC is")


def test_shares_hold_each_other_and_every_class():
    table, description, target = asked(90, 3)
    part = parts(Split(), table, description, target)[0]
    units = units_of(table, description)
    found = _growing(part, target, units, (0.2, 0.5, 1.0), (0, 0))
    sizes = [len(rows) for rows in found]
    assert sizes == sorted(sizes)
    assert set(found[0]) <= set(found[1]) <= set(found[2]) == set(part.train)
    whole = target.values[part.train].mean()
    for rows in found:
        assert target.values[rows].mean() == pytest.approx(whole, abs=0.1)


def test_a_patient_enters_a_share_whole():
    table, _, target = asked(90, 3, patient=[f"p{k // 3}" for k in range(90)])
    description = Description(group="patient")
    part = parts(Split(folds=3), table, description, target)[0]
    units = units_of(table, description)
    for rows in _growing(part, target, units, (0.4, 0.8), (0, 0)):
        for unit in set(units[rows].tolist()):
            assert set(np.nonzero(units == unit)[0]) <= set(rows.tolist())


def test_too_free_a_model_is_read_as_variance():
    rng = np.random.default_rng(0)
    table, description, _ = asked(60, 3)
    wild = replace(
        table, values=rng.normal(size=(60, 60)), features=tuple(f"x{k}" for k in range(60))
    )
    free = Recipe((Scale(),), Ridge(), Tuning(folds=2))
    found = learning_curve(wild, description, free, split=Split(folds=3), shares=(0.5, 1.0))
    assert found.training.y[-1] > 0.8
    assert any("is variance" in text for text in found.reading)


@pytest.mark.parametrize(
    ("seen", "unseen", "words"),
    [
        ([1.0, 0.98, 0.95], [0.6, 0.66, 0.72], ["is variance", "still rises"]),
        ([0.6, 0.55, 0.54], [0.52, 0.53, 0.53], ["bias, or nothing", "levelled off"]),
        ([0.9, 0.86, 0.85], [0.8, 0.82, 0.82], ["Both agree", "levelled off"]),
        ([0.9, 0.88, 0.85], [0.85, 0.83, 0.78], ["Both agree", "falls with more cases"]),
    ],
)
def test_curves_are_read_in_words(seen, unseen, words):
    x = np.array([25.0, 50.0, 100.0])
    text = read_curves(Curve(x, np.array(seen)), Curve(x, np.array(unseen)), "AUC", 0.5)
    for one in words:
        assert any(one in sentence for sentence in text)
    assert len(text) == 3


def test_one_share_has_no_slope():
    x = np.array([50.0])
    text = read_curves(Curve(x, np.array([0.9])), Curve(x, np.array([0.85])), "AUC", 0.5)
    assert len(text) == 2


@pytest.mark.parametrize("shares", [(), (0.5, 0.5), (0.0, 1.0), (0.5, 1.2), (0.8, 0.4)])
def test_refuses_shares_that_do_not_rise(shares):
    table, description, _ = asked(40, 3)
    with pytest.raises(ConfigError, match="shares must rise from above 0 to at most 1"):
        learning_curve(table, description, QUICK, split=Split(), shares=shares)


def test_refuses_a_share_without_cases_of_a_class():
    table, description, _ = asked(40, 3)
    with pytest.raises(RegionError, match="each share must hold 3 cases or more of each class"):
        learning_curve(table, description, QUICK, split=Split(), shares=(0.05, 1.0))


def test_a_step_gets_the_batch_that_is_described():
    table, description, _ = asked(60, 4, scanner=["a", "b"] * 30)
    within, recipe = replace(description, batch="scanner"), replace(QUICK, steps=(Combat(),))
    found = learning_curve(table, within, recipe, split=Split(folds=2), shares=(1.0,))
    assert np.isfinite(found.test.y).all()


def test_refuses_test_parts_of_one_class():
    table, description, target = asked(60, 4)
    site = [f"{int(one)}{k % 2}" for k, one in enumerate(target.values)]
    apart = replace(table, columns=table.columns.assign(site=site))
    where, split = replace(description, site="site"), Split("leave_one_site_out")
    with pytest.raises(RegionError, match="told apart to be scored, none of 4 does"):
        learning_curve(apart, where, QUICK, split=split, shares=(1.0,))
