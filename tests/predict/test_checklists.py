"""Checklists: every item there, answered only where the validation knows."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from vesalius.core._provenance import Provenance
from vesalius.predict import Card, Description, Fitted, Leak, Model, Recipe, Subgroup, Validation
from vesalius.predict._checklists import clear, tripod_ai
from vesalius.predict._constant import Constant
from vesalius.predict._impute import Impute
from vesalius.predict._model import Training
from vesalius.predict._scale import Scale

FOUND = Validation(Card("binary", 90, 30, {}), pd.DataFrame(), plan="Five folds.")


def model(*steps, description=Description(outcome="dead"), **changed):  # noqa: B008
    fitted = Fitted((), Constant(), {}, (), ("a", "b", "c"), ("a",))
    made = Model(
        fitted,
        Recipe(steps, Constant()),
        description,
        ("no", "yes"),
        "",
        Training(90, 30),
        0.5,
        Provenance("fit"),
    )
    return replace(made, **changed)


def by_number(items):
    return {item.number: item for item in items}


def test_every_item_is_there_once():
    tripod = [item.number for item in tripod_ai(FOUND, model(), external=False)]
    assert len(tripod) == len(set(tripod)) == 52
    assert {int("".join(c for c in n if c.isdigit())) for n in tripod} == set(range(1, 28))
    numbers = [item.number for item in clear(FOUND, model(), external=False)]
    assert numbers == [str(k) for k in range(1, 59)]


@pytest.mark.parametrize("fill", [tripod_ai, clear])
def test_what_is_answered_says_where(fill):
    for item in fill(FOUND, model(Impute(), Scale()), external=False):
        assert item.text
        assert item.where or item.state == "for the authors", item


def test_ethics_and_funding_are_for_the_authors():
    tripod = by_number(tripod_ai(FOUND, model(), external=False))
    assert {tripod[n].state for n in ("1", "17", "18a", "18b", "19")} == {"for the authors"}
    assert by_number(clear(FOUND, model(), external=False))["8"].state == "for the authors"


def test_gaps_are_handled_where_a_step_fills_them():
    without = by_number(tripod_ai(FOUND, model(), external=False))["11"]
    assert (without.state, without.where) == ("not done", "no step fills gaps")
    filled = by_number(tripod_ai(FOUND, model(Impute()), external=False))["11"]
    assert (filled.state, filled.where) == ("done", "recipe: impute")


def test_parameters_of_features_are_known_or_not():
    assert by_number(clear(FOUND, model(), external=False))["25"].state == "not done"
    known = by_number(clear(FOUND, model(parameters="abc123"), external=False))
    assert known["25"].state == "done"
    assert "abc123" in known["25"].where
    assert known["23"].state == "partly"


def test_confounders_are_named_and_adjusted_or_not():
    plain = by_number(clear(FOUND, model(), external=False))["36"]
    assert plain.where == "neither confounder nor batch was named"
    named = Description(outcome="dead", confounders=("age",), batch="scanner")
    item = by_number(clear(FOUND, model(description=named), external=False))["36"]
    assert (item.state, item.where) == ("partly", "age, scanner: named, not adjusted for")


def test_other_cases_are_an_external_test():
    assert "no external test" in by_number(clear(FOUND, model(), external=False))["38"].where
    outside = by_number(tripod_ai(FOUND, model(), external=True))
    assert by_number(clear(FOUND, model(), external=True))["38"].where == "external"
    assert outside["4"].where == "evaluation on other cases"
    assert outside["16"].state == "partly"


def test_fairness_is_answered_where_parts_were_named():
    parts = (Subgroup("sex", "f", 40, 12, {}), Subgroup("sex", "m", 50, 18, {}))
    card = Card("binary", 90, 30, {}, subgroups=parts)
    tripod = by_number(tripod_ai(replace(FOUND, card=card), model(), external=False))
    assert (tripod["14"].state, tripod["14"].where) == ("done", "figures by sex")
    assert by_number(tripod_ai(FOUND, model(), external=False))["14"].state == "not done"


def test_leaks_are_a_limitation():
    leak = Leak("duplicate", "certain", "two cases are one", ("a", "b"))
    tripod = by_number(tripod_ai(replace(FOUND, leaks=(leak,)), model(), external=False))
    assert tripod["26"].where.startswith("1 certain leaks")


def test_a_permutation_is_a_comparison():
    assert math.isnan(FOUND.p_value)
    assert by_number(clear(FOUND, model(), external=False))["41"].state == "not done"
    tested = by_number(clear(replace(FOUND, p_value=0.02), model(), external=False))
    assert tested["41"].where.endswith("p = 0.02")


def test_recalibration_is_told_with_its_numbers():
    assert by_number(tripod_ai(FOUND, model(), external=True))["24"].state == "not done"
    changed = model(recalibration=(float(np.float64(0.3)), 0.8))
    item = by_number(tripod_ai(FOUND, changed, external=True))["24"]
    assert (item.state, item.where) == ("done", "intercept 0.3, slope 0.8")
