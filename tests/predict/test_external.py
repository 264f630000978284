"""External validation: a model is judged as it is, and cases it has met are told."""

from dataclasses import replace

import numpy as np
import pytest
from asked_tables import asked

from vesalius.errors import ConfigError
from vesalius.predict import Recipe, Tuning
from vesalius.predict.estimators import Lasso
from vesalius.predict.models import apply_model, fit_model
from vesalius.predict.select import Scale
from vesalius.predict.validate import external

QUICK = Recipe((Scale(),), Lasso(), Tuning(folds=3))


@pytest.fixture
def model(generator):
    """A model of one hospital, with a threshold."""
    table, description, _ = asked(90, 6, shift=2.0)
    fitted = fit_model(table, description, QUICK, generator=generator)
    return replace(fitted, threshold=0.4)


def test_a_model_is_judged_as_it_is(model, generator):
    table, description, target = asked(80, 6, seed=7, shift=2.0)
    found = external(model, table, description, generator=generator)
    np.testing.assert_array_equal(
        found.held_out["score"].to_numpy(), apply_model(model, table).scores[:, 0]
    )
    assert found.held_out["truth"].tolist() == target.values.astype(int).tolist()
    assert found.card.scores["auc"].value > 0.8
    assert found.card.threshold == 0.4
    assert found.folds == ()
    assert found.leaks == ()
    assert "applied as it is to 80 others" in found.plan


def test_the_event_is_that_of_the_model(model, generator):
    table, description, _ = asked(80, 6, seed=7, shift=2.0)
    silent = replace(description, positive="")
    a, b = (external(model, table, one, generator=generator) for one in (description, silent))
    assert a.held_out["truth"].tolist() == b.held_out["truth"].tolist()


def test_cases_that_were_trained_on_are_a_leak(model, generator):
    table, description, _ = asked(90, 6, shift=2.0)
    found = external(model, table, description, generator=generator)
    (leak,) = found.leaks
    assert (leak.kind, leak.severity) == ("duplicate", "certain")
    assert leak.text.startswith("90 of 90 cases")


def test_the_outcome_of_the_other_hospital_is_not_seen(model, generator):
    table, description, _ = asked(80, 6, seed=7, shift=2.0)
    flipped = table.columns.assign(
        grade=np.where(table.columns["grade"].to_numpy() == "yes", "no", "yes")
    )
    a = external(model, table, description, generator=generator)
    b = external(model, replace(table, columns=flipped), description, generator=generator)
    np.testing.assert_array_equal(a.held_out["score"], b.held_out["score"])
    assert a.card.scores["auc"].value == pytest.approx(1 - b.card.scores["auc"].value)


def test_refuses_another_kind_of_outcome(model, generator):
    table, description, _ = asked(80, 6, seed=7)
    with pytest.raises(ConfigError, match="must be of the kind that the model predicts"):
        external(model, table, replace(description, kind="classes"), generator=generator)


def test_refuses_other_classes(model, generator):
    table, description, _ = asked(80, 6, seed=7)
    other = table.columns.assign(
        grade=np.where(table.columns["grade"].to_numpy() == "yes", "yes", "never")
    )
    with pytest.raises(ConfigError, match="the outcome must have the classes of the model"):
        external(model, replace(table, columns=other), description, generator=generator)
