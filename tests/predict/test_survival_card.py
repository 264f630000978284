"""The report card of a survival: figures at times, groups of risk, remarks, whole validations."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from survival_cases import NAMES, drawn, target

from vesalius.errors import ConfigError
from vesalius.predict import Description, Table, Target
from vesalius.predict._intervals import dense
from vesalius.predict._judged import judged_once
from vesalius.predict._make_card import make_card
from vesalius.predict._survival_scores import risk_groups, survival_scores
from vesalius.predict._time_auc import time_auc
from vesalius.predict.models import default_recipe
from vesalius.predict.validate import Split, validate

DESCRIPTION = Description(outcome="event", time="days", kind="survival", subgroups=("sex",))


def judged(n=80, seed=0, *, weight=1.0, times=(0.5,)):
    values, outcome = drawn(n, 2, seed=seed)
    noise = np.random.default_rng(seed + 9).normal(size=n)
    return judged_once(outcome, (weight * values[:, 0] + noise)[:, None], times=times)


def scored(given):
    return survival_scores(given, dense(given.cases))


def table_of(values, outcome, shift=0.0):
    n = len(values)
    columns = pd.DataFrame(
        {
            "event": outcome.events.astype(int),
            "days": outcome.values,
            "sex": [("f", "m")[k % 2] for k in range(n)],
        }
    )
    names = tuple(f"f{k}" for k in range(values.shape[1]))
    return Table(tuple(f"case{k}" for k in range(n)), names, values + shift, columns)


def test_the_auc_of_one_fold_is_the_function():
    given = judged(times=(0.3, 1.0))
    found = scored(given)
    wanted = time_auc(given.target, given.scores[:, 0], np.array([0.3, 1.0]))
    assert [found["auc_0.3"].value, found["auc_1"].value] == pytest.approx(wanted, abs=1e-12)


def test_the_interval_of_the_auc_holds_a_half_of_what_says_nothing():
    held = 0
    for seed in range(100):
        found = scored(judged(seed=seed, weight=0.0))["auc_0.5"]
        held += found.low <= 0.5 <= found.high
    assert held >= 88


def test_a_time_before_every_event_has_a_reason():
    found = scored(judged(times=(1e-9,)))["auc_1e-09"]
    assert math.isnan(found.value)
    assert "no fold holds both" in found.reason


def test_no_event_has_reasons_everywhere():
    given = judged()
    none = replace(given, target=Target("survival", given.target.values, NAMES, np.zeros(80, bool)))
    found = scored(none)
    assert all(math.isnan(one.value) and one.reason for one in found.values())
    assert set(found) == {"concordance", "concordance_ipcw", "auc_0.5"}
    groups = risk_groups(none, dense(none.cases))
    assert set(groups.curves) == {"kaplan_meier_low", "kaplan_meier_high"}
    assert groups.remarks == ()


def test_halves_of_risk_lie_apart_where_the_risk_says_something():
    given = judged(seed=3, weight=3.0)
    found = risk_groups(given, dense(given.cases))
    low, high = found.curves["kaplan_meier_low"], found.curves["kaplan_meier_high"]
    at = 1.0
    assert low.y[low.x <= at][-1] > high.y[high.x <= at][-1] + 0.2
    assert low.x[0] == 0
    assert low.y[0] == 1
    assert ((low.low <= low.y) & (low.y <= low.high)).all()
    assert "risk differ (log-rank p" in found.remarks[0]
    assert "guide" not in found.remarks[0]


def test_each_fold_is_halved_by_itself():
    given = replace(judged(seed=3, weight=3.0), folds=np.arange(80, dtype=np.int64) % 2)
    pushed = replace(given, scores=given.scores + 100.0 * given.folds[:, None])
    one, other = (risk_groups(each, dense(each.cases)) for each in (given, pushed))
    for name, curve in one.curves.items():
        np.testing.assert_array_equal(curve.y, other.curves[name].y)
    assert "a guide only" in one.remarks[0]


def test_equal_risks_make_no_groups():
    given = replace(judged(), scores=np.zeros((80, 1)))
    found = risk_groups(given, dense(given.cases))
    assert found.curves == {}
    assert "All risks of a fold are equal" in found.remarks[0]


def test_ties_at_the_median_still_make_two_groups():
    outcome = target(np.arange(1.0, 9.0), np.ones(8))
    given = judged_once(outcome, np.array([1.0, 1, 1, 1, 1, 1, 1, 0])[:, None])
    found = risk_groups(given, dense(given.cases))
    assert len(found.curves) == 2


@pytest.mark.parametrize(("weight", "said"), [(0.0, "may be chance"), (-4.0, "event later")])
def test_says_what_is_wrong_with_the_order(weight, said):
    given = judged(weight=weight, seed=5)
    values, outcome = drawn(80, 2, seed=5)
    card = make_card(
        given,
        table=table_of(values, outcome),
        description=DESCRIPTION,
        generator=torch.Generator(),
    )
    assert any(said in remark for remark in card.remarks)
    assert card.events == int(outcome.events.sum())


def test_a_validation_of_the_usual_recipe_finds_the_signal():
    values, outcome = drawn(120, 12, seed=1)
    found = validate(
        table_of(values, outcome),
        DESCRIPTION,
        default_recipe("survival"),
        split=Split(folds=3, times=(0.5,)),
        generator=torch.Generator().manual_seed(0),
    )
    assert found.card.scores["concordance"].low > 0.5
    assert found.card.scores["auc_0.5"].low > 0.5
    assert next(iter(found.stability)) == "f0"
    assert found.stability["f0"] == 1
    assert {one.column for one in found.card.subgroups} == {"sex"}
    assert list(found.card.subgroups[0].scores) == ["concordance"]
    assert {"time", "risk"} <= set(found.held_out.columns)


def test_refuses_a_time_of_nothing():
    with pytest.raises(ConfigError, match="times of an AUC must be above 0"):
        Split(times=(0.0,))


@pytest.mark.slow
def test_real_tumours_of_the_lung_are_judged_honestly(data_dir):
    folder = data_dir / "combat" / "nsclc"
    features = pd.read_csv(folder / "Sandy-Captk.csv", encoding="utf-8-sig", index_col=0)
    known = pd.read_csv(folder / "clinical-demographics.csv", index_col=0)
    joined = features.apply(pd.to_numeric, errors="coerce").join(known[["event", "days"]])
    joined = joined.dropna(subset=["event", "days"]).dropna(axis=1)
    names = tuple(joined.columns[:-2])
    table = Table(
        tuple(joined.index),
        names,
        joined[list(names)].to_numpy(dtype=np.float64),
        joined[["event", "days"]].reset_index(drop=True),
    )
    found = validate(
        table,
        Description(outcome="event", time="days", kind="survival"),
        default_recipe("survival"),
        split=Split(folds=5, times=(730.0,)),
        generator=torch.Generator().manual_seed(0),
    )
    score = found.card.scores["concordance"]
    assert found.card.cases > 150
    assert score.low < 0.5 < score.high  # 41 events: texture alone says little here
    assert any("may be chance" in remark for remark in found.card.remarks)
