"""Contract: every step and estimator keeps its promises. The classes are found by themselves."""

import importlib
import io
import json
import pkgutil
import sys

import numpy as np
import pytest
from made_tables import made

import vesalius.predict
from vesalius.errors import ConvergenceError, VesaliusError
from vesalius.predict import Estimator, Step, Table

for _module in pkgutil.iter_modules(vesalius.predict.__path__):
    importlib.import_module(f"vesalius.predict.{_module.name}")


def _published(cls):
    return getattr(sys.modules[cls.__module__], cls.__name__, None)


def _all(cls):
    # a dataclass with slots is made twice: the first one lives on until it is collected
    found = [one for one in cls.__subclasses__() if one is _published(one)]
    return found + [deep for one in found for deep in _all(one)]


def _sorted(cls):
    found = {one for one in _all(cls) if one.__module__.startswith("vesalius.")}
    return sorted(found, key=lambda one: one.__name__)


STEPS, ESTIMATORS = _sorted(Step), _sorted(Estimator)
KINDS = [(cls, kind) for cls in ESTIMATORS for kind in cls.kinds]

# what the caller names: a step that needs a column is told which
SETTINGS = {
    "Combat": {"batch": "batch"},
    "NestedCombat": {"batches": ("batch", "site")},
    "LongitudinalCombat": {"batch": "batch", "subject": "patient"},
    "Quantile": {"batch": "batch"},
    "ZScore": {"batch": "batch"},
    "Residualise": {"columns": ("age", "sex")},
    "Keep": {"patterns": ("f*",)},
    "Drop": {"patterns": ("f07",)},
    "LassoSelect": {"features": 3},
    "Mrmr": {"features": 3},
    "Forest": {"trees": 30},
    "SurvivalForest": {"trees": 20},
    "Stability": {"icc": (("f00", 0.9), ("f01", 0.8), ("f02", 0.3))},
    "Univariate": {"features": 3},
}


def build(cls):
    return cls(**SETTINGS.get(cls.__name__, {}))


def round_trip(state):
    """Take a state through JSON and npz, as a saved model does."""
    arrays, rest = {}, {}
    for name, value in state.items():
        (arrays if isinstance(value, np.ndarray) else rest)[name] = value
    file = io.BytesIO()
    np.savez(file, **arrays)
    file.seek(0)
    with np.load(file, allow_pickle=False) as back:
        found = {name: back[name] for name in back.files}
    text = json.dumps({k: v for k, v in rest.items() if _is_json(v)})
    assert all(_is_json(v) or _is_nested(v) for v in rest.values())
    return state | found | {k: type(rest[k])(v) for k, v in json.loads(text).items()}


def _is_json(value):
    try:
        json.dumps(value)
    except TypeError:
        return False
    return True


def _is_nested(value):
    if isinstance(value, np.ndarray):
        return value.dtype.kind in "fiub"
    if isinstance(value, dict):
        return all(isinstance(k, str) and _is_nested(v) for k, v in value.items())
    if isinstance(value, list | tuple):
        return all(_is_nested(v) for v in value)
    return isinstance(value, str | int | float | bool)


def same(a: Table, b: Table):
    assert a.cases == b.cases
    assert a.features == b.features
    np.testing.assert_array_equal(a.values, b.values)


@pytest.mark.parametrize("cls", [*STEPS, *ESTIMATORS], ids=lambda cls: cls.__name__)
class TestAnything:
    def test_can_be_built_without_arguments(self, cls):
        one = cls()
        assert one.settings() == one.fresh().settings()

    def test_has_a_word(self, cls):
        assert cls.word
        assert cls.word == cls.word.lower()

    def test_has_a_word_of_its_own(self, cls):
        assert [other.word for other in [*STEPS, *ESTIMATORS]].count(cls.word) == 1

    def test_stands_in_the_catalogue_under_its_word(self, cls):
        from vesalius.predict._catalogue import class_of

        assert class_of(cls.word) is cls

    def test_refuses_to_be_used_unfitted(self, cls):
        with pytest.raises(ConvergenceError, match="must be fitted before"):
            build(cls).state()

    def test_settings_are_json(self, cls):
        assert _is_json(build(cls).settings())


@pytest.mark.parametrize("cls", STEPS, ids=lambda cls: cls.__name__)
class TestStep:
    def test_leaves_its_input_as_it_is(self, cls):
        table, target = made()
        before = table.values.copy()
        build(cls).fit(table, target).transform(table)
        np.testing.assert_array_equal(table.values, before)

    def test_keeps_the_cases_and_their_columns(self, cls):
        table, target = made()
        out = build(cls).fit(table, target).transform(table)
        assert out.cases == table.cases
        assert list(out.columns.columns) == list(table.columns.columns)
        assert np.isfinite(out.values).all()

    def test_is_the_same_twice(self, cls):
        table, target = made()
        same(
            build(cls).fit(table, target).transform(table),
            build(cls).fit(table, target).transform(table),
        )

    def test_is_the_same_after_it_was_saved(self, cls):
        table, target = made()
        step = build(cls).fit(table, target)
        back = build(cls).restored(round_trip(step.state()))
        same(back.transform(table), step.transform(table))

    def test_does_not_depend_on_the_order_of_cases(self, cls):
        table, target = made()
        order = np.random.default_rng(1).permutation(len(table.cases))
        a = build(cls).fit(table, target).transform(table)
        b = build(cls).fit(table.rows(order), target.rows(order)).transform(table)
        assert a.features == b.features
        np.testing.assert_allclose(a.values, b.values, rtol=1e-7, atol=1e-9)

    def test_treats_a_case_alike_alone_and_among_others(self, cls):
        # batches that were met: a case's own values and batch are all that is needed
        table, target = made()
        step = build(cls).fit(table, target)
        all_of_them = step.transform(table)
        few = step.transform(table.rows([0, 1, 2, 3, 4, 5]))
        np.testing.assert_allclose(few.values, all_of_them.values[:6], rtol=1e-9, atol=1e-12)

    def test_does_not_look_at_the_outcome_unless_it_says_so(self, cls):
        if cls.needs_target:
            pytest.skip("looks at the outcome, and says so")
        table, target = made()
        a = build(cls).fit(table, target).transform(table)
        same(a, build(cls).fit(table).transform(table))

    def test_fit_gives_itself(self, cls):
        table, target = made()
        step = build(cls)
        assert step.fit(table, target) is step


@pytest.mark.parametrize(("cls", "kind"), KINDS, ids=lambda v: getattr(v, "__name__", v))
class TestEstimator:
    def test_learns_what_there_is(self, cls, kind):
        if cls.word == "constant":
            pytest.skip("looks at no feature, and says so")
        table, target = made(150, 6, kind=kind, shift=2.0)
        scores = build(cls).fit(table.values, target).predict(table.values)
        assert scores.shape == (150, len(target.classes) if kind == "classes" else 1)
        assert _agreement(scores, target) > 0.7

    def test_gives_probabilities(self, cls, kind):
        if kind not in ("binary", "classes"):
            pytest.skip("no probabilities of a number or a risk")
        table, target = made(80, 6, kind=kind)
        scores = build(cls).fit(table.values, target).predict(table.values)
        assert scores.min() >= 0
        assert scores.max() <= 1
        if kind == "classes":
            np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-9)

    def test_is_the_same_twice(self, cls, kind):
        table, target = made(80, 6, kind=kind)
        a = build(cls).fit(table.values, target).predict(table.values)
        b = build(cls).fit(table.values, target).predict(table.values)
        np.testing.assert_array_equal(a, b)

    def test_is_the_same_after_it_was_saved(self, cls, kind):
        table, target = made(80, 6, kind=kind)
        model = build(cls).fit(table.values, target)
        back = build(cls).restored(round_trip(model.state()))
        np.testing.assert_array_equal(back.predict(table.values), model.predict(table.values))

    def test_predicts_a_case_alike_alone_and_among_others(self, cls, kind):
        table, target = made(80, 6, kind=kind)
        model = build(cls).fit(table.values, target)
        np.testing.assert_allclose(
            model.predict(table.values[:1]), model.predict(table.values)[:1], rtol=1e-9, atol=1e-12
        )

    def test_leaves_its_input_as_it_is(self, cls, kind):
        table, target = made(80, 6, kind=kind)
        x, y = table.values.copy(), target.values.copy()
        build(cls).fit(x, target).predict(x)
        np.testing.assert_array_equal(x, table.values)
        np.testing.assert_array_equal(y, target.values)

    def test_every_setting_of_its_grid_can_be_fitted(self, cls, kind):
        table, target = made(60, 5, kind=kind)
        grid = build(cls).grid(table.values, target)
        assert grid
        for changed in (grid[0], grid[-1]):
            build(cls).fresh(changed).fit(table.values, target)

    def test_a_path_is_the_same_as_one_fit_after_another(self, cls, kind):
        table, target = made(60, 5, kind=kind)
        settings = build(cls).grid(table.values, target)
        settings = (settings[0], settings[-1])
        path = build(cls).path(table.values, target, table.values[:9], settings)
        for k, changed in enumerate(settings):
            alone = build(cls).fresh(changed).fit(table.values, target).predict(table.values[:9])
            np.testing.assert_allclose(path[k], alone, atol=2e-3)

    def test_refuses_gaps_and_other_features(self, cls, kind):
        table, target = made(60, 5, kind=kind)
        gap = table.values.copy()
        gap[3, 2] = np.nan
        with pytest.raises(VesaliusError, match=r"finite|missing"):
            build(cls).fit(gap, target)
        model = build(cls).fit(table.values, target)
        with pytest.raises(VesaliusError, match="features"):
            model.predict(table.values[:, :4])
        with pytest.raises(VesaliusError, match=r"finite|missing"):
            model.predict(gap)


def _agreement(scores, target):
    """Share of pairs, or of cases, that are told apart rightly."""
    if target.kind == "classes":
        return float((scores.argmax(axis=1) == target.values).mean())
    later = target.values[:, None] < target.values[None, :]
    if target.kind == "survival":
        later = later & target.events[:, None]
        right = scores[:, 0][:, None] > scores[:, 0][None, :]
    else:
        right = scores[:, 0][:, None] < scores[:, 0][None, :]
    ties = scores[:, 0][:, None] == scores[:, 0][None, :]
    return float((right + 0.5 * ties)[later].mean())


def test_there_are_steps_and_estimators():
    assert len(STEPS) >= 8
    assert len(ESTIMATORS) >= 6
