"""Models on real tables: lung CT of two hospitals (Hosny 2018), the same 984 features."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from vesalius.predict import Description, Recipe, fit_recipe
from vesalius.predict._outcome import target_of
from vesalius.predict._read import read_table
from vesalius.predict.models import (
    apply_model,
    default_recipe,
    fit_model,
    load_model,
    recalibrate,
    save_model,
)
from vesalius.predict.select import Mrmr, Redundancy, Scale, correlations

ASKED = Description(outcome="Target")


@pytest.fixture(scope="module")
def hospitals(data_dir):
    tables = [
        read_table(data_dir / "tables" / f"Hosny2018{which}.csv.gz", ASKED, leave_out=("ID",))
        for which in "AB"
    ]
    return tables[0], tables[1].select(tables[0].features)


@pytest.fixture(scope="module")
def model(hospitals):
    return fit_model(hospitals[0], ASKED, default_recipe(), generator=torch.Generator())


def auc(table, scores):
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(target_of(table, ASKED).values, scores[:, 0]))


def test_the_other_hospital_is_told_apart_better_than_by_chance(hospitals, model):
    # it reaches 0.62; chance has 0.50 with a standard error of 0.045
    assert auc(hospitals[1], apply_model(model, hospitals[1]).scores) > 0.58


def test_few_features_are_used(model):
    assert 0 < int((model.fitted.estimator.importances() != 0).sum()) < 60
    assert len(model.fitted.features) < 400


def test_the_other_hospital_has_fewer_events_and_recalibration_says_so(hospitals, model):
    other = hospitals[1]
    share = target_of(other, ASKED).values.mean()
    before = apply_model(model, other).scores.mean()
    after = apply_model(recalibrate(model, other, ASKED), other).scores.mean()
    assert before > 0.45 > 0.35 > share
    assert after == pytest.approx(share, abs=1e-6)


def test_every_case_of_the_training_is_known_again_and_none_of_the_other_hospital(hospitals, model):
    own, other = (apply_model(model, table).table["flags"] for table in hospitals)
    assert all("trained on" in one for one in own)
    assert not any("trained on" in one for one in other)


def test_a_saved_model_predicts_the_same_bits(hospitals, model, tmp_path):
    save_model(model, tmp_path)
    np.testing.assert_array_equal(
        apply_model(load_model(tmp_path), hospitals[1]).scores,
        apply_model(model, hospitals[1]).scores,
    )
    assert sum(p.stat().st_size for p in tmp_path.iterdir()) < 1_000_000


def test_of_984_features_no_two_kept_are_alike(hospitals):
    table = hospitals[0]
    kept = table.select(Redundancy(0.9).fit(table).kept_)
    among = np.abs(correlations(kept.values)) - np.eye(len(kept.features))
    assert among.max() <= 0.9
    assert 200 < len(kept.features) < 350


def test_the_order_of_the_features_does_not_matter(hospitals):
    table = hospitals[0]
    target = target_of(table, ASKED)
    recipe = Recipe((Scale(), Mrmr(10)), default_recipe().estimator)
    turned = table.select(table.features[::-1])
    a, b = fit_recipe(recipe, table, target), fit_recipe(recipe, turned, target)
    assert a.features == b.features
    np.testing.assert_allclose(a.predict(table), b.predict(turned), atol=1e-9)


def test_a_table_of_mixed_names_is_refused_by_name(hospitals, model):
    table = hospitals[1]
    named = replace(table, features=tuple(f"x_{name}" for name in table.features))
    with pytest.raises(ValueError, match="984 of 984 are absent: original_"):
        apply_model(model, named)
