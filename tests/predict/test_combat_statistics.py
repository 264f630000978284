"""Combat's statistics: moments of parts joined are those of the whole, and so is what follows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_combat import cases, step

from vesalius.errors import IntensityError, RegionError, ShapeError
from vesalius.predict._coding import levels_of
from vesalius.predict._covariates import learn_levels, term_values
from vesalius.predict.harmonise import (
    Combat,
    Moments,
    Shrinkage,
    effect_of,
    joined,
    model_of,
    moments_by_batch,
    moments_of,
)

seeds = st.integers(0, 10_000)
FIELDS = Moments.__dataclass_fields__


def drawn(seed, cases=20, terms=2, features=5):
    rng = np.random.default_rng(seed)
    return 3 + rng.normal(size=(cases, features)), 50 + 9 * rng.normal(size=(cases, terms))


def test_are_the_moments_of_the_text_book():
    values, covariates = drawn(1)
    found = moments_of(values, covariates)
    both = np.cov(np.column_stack([covariates, values]).T) * 19
    assert found.cases == 20
    np.testing.assert_allclose(found.means, values.mean(axis=0))
    np.testing.assert_allclose(found.scatter, both[:2, :2])
    np.testing.assert_allclose(found.crossed, both[:2, 2:])
    np.testing.assert_allclose(found.squares, np.diag(both)[2:])
    np.testing.assert_allclose(found.largest, np.abs(values).max(axis=0))


@settings(max_examples=25)
@given(seeds, st.integers(1, 19))
def test_of_two_parts_joined_are_those_of_the_whole(seed, cut):
    values, covariates = drawn(seed)
    whole = moments_of(values, covariates)
    parts = joined(
        moments_of(values[:cut], covariates[:cut]), moments_of(values[cut:], covariates[cut:])
    )
    for name in FIELDS:
        np.testing.assert_allclose(
            getattr(parts, name), getattr(whole, name), rtol=1e-10, atol=1e-9
        )


@settings(max_examples=25)
@given(seeds)
def test_joining_does_not_depend_on_the_order(seed):
    values, covariates = drawn(seed)
    a = moments_of(values[:7], covariates[:7])
    b = moments_of(values[7:], covariates[7:])
    for name in FIELDS:
        np.testing.assert_allclose(
            getattr(joined(a, b), name), getattr(joined(b, a), name), rtol=1e-10, atol=1e-9
        )


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"keep": ("age", "sex")},
        {"parametric": False, "keep": ("age",)},
        {"reference": "b", "keep": ("age",)},
        {"mean_only": True},
        {"empirical_bayes": False},
    ],
    ids=str,
)
def test_of_two_hospitals_give_what_all_cases_give(settings):
    # scanner c stands in both hospitals, as one of the two might report it
    table = cases(3)
    pooled = step(**settings).fit(table)
    kept = learn_levels(table, pooled.keep)
    parts = [table.rows(np.arange(0, 28)), table.rows(np.arange(28, 34))]
    found = {}
    for part in parts:
        terms = term_values(part, kept, np.zeros(0))
        for name, own in moments_by_batch(part.values, terms, levels_of(part, "scanner")).items():
            found[name] = joined(found[name], own) if name in found else own
    apart = step(**settings).learn(found, table.features, kept)
    np.testing.assert_allclose(
        apart.transform(table).values, pooled.transform(table).values, atol=1e-10
    )


def test_a_hospital_needs_the_shared_model_alone_for_its_own_effect():
    table = cases(4)
    fitted = step(keep=("age",)).fit(table)
    terms = table.columns[["age"]].to_numpy(float)
    moments = moments_by_batch(table.values, terms, levels_of(table, "scanner"))
    model = model_of(moments, ("age",))
    effect = effect_of(moments["b"], model, Shrinkage())
    np.testing.assert_array_equal(effect.location, fitted.location_[1])
    np.testing.assert_array_equal(effect.scale, fitted.scale_[1])


def test_the_order_of_hospitals_does_not_matter():
    table = cases(5)
    moments = moments_by_batch(table.values, np.zeros((34, 0)), levels_of(table, "scanner"))
    turned = dict(reversed(moments.items()))
    a = Combat(batch="scanner").learn(moments, table.features, {})
    b = Combat(batch="scanner").learn(turned, table.features, {})
    assert a.batches_ == b.batches_
    np.testing.assert_array_equal(a.location_, b.location_)


def test_agree_with_least_squares():
    table = cases(6)
    terms = np.column_stack([table.columns["age"], table.columns["sex"] == "m"]).astype(float)
    levels = levels_of(table, "scanner")
    model = model_of(moments_by_batch(table.values, terms, levels), ("age", "sex=m"))
    design = np.column_stack([levels.indicators, terms])
    weights, squares = np.linalg.lstsq(design, table.values, rcond=None)[:2]
    np.testing.assert_allclose(model.weights, weights[3:], rtol=1e-9)
    np.testing.assert_allclose(model.mean, levels.counts @ weights[:3] / 34, rtol=1e-9)
    np.testing.assert_allclose(model.deviation, np.sqrt(squares / 34), rtol=1e-9)


def test_refuses_parts_that_do_not_fit():
    values, covariates = drawn(0)
    with pytest.raises(ShapeError, match="must have the same cases, at least one, got 20 and 19"):
        moments_of(values, covariates[1:])
    with pytest.raises(ShapeError, match="at least one, got 0 and 0"):
        moments_of(values[:0], covariates[:0])
    with pytest.raises(ShapeError, match=r"got \(2, 5\) and \(2, 4\): use one configuration"):
        joined(moments_of(values, covariates), moments_of(values[:, :4], covariates))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_refuses_values_that_are_not_finite(bad):
    values, covariates = drawn(0)
    values[3, 2] = bad
    with pytest.raises(IntensityError, match="must be finite, got a missing or infinite one"):
        moments_of(values, covariates)


def test_refuses_the_effect_of_one_case():
    table = cases(7)
    moments = moments_by_batch(table.values, np.zeros((34, 0)), levels_of(table, "scanner"))
    model = model_of(moments, ())
    one = moments_of(table.values[:1], np.zeros((1, 0)))
    with pytest.raises(RegionError, match="at least 2 cases, since its spread is estimated, got 1"):
        effect_of(one, model, Shrinkage())
    assert np.isfinite(effect_of(one, model, Shrinkage(mean_only=True)).location).all()


def test_names_no_batches_where_there_are_none():
    with pytest.raises(RegionError, match="at least 2 batches, got none"):
        model_of({}, ())
