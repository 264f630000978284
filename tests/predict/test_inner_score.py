"""Inner score: predictions of many settings scored at once, as scikit-learn scores each."""

import numpy as np
import pytest
from made_tables import made

from vesalius.predict import Target
from vesalius.predict._inner_score import inner_scores

RNG = np.random.default_rng(0)


def guesses(n, outputs, settings=4):
    raw = np.round(RNG.uniform(0.05, 1, (settings, n, outputs)), 2)
    return raw / raw.sum(axis=2, keepdims=True) if outputs > 1 else raw


@pytest.mark.parametrize("score", ["auc", "log_loss", "brier", "accuracy"])
def test_agrees_with_scikit_learn_for_two_classes(score):
    from sklearn import metrics

    _, target = made(50, 3)
    said = guesses(50, 1)
    theirs = {
        "auc": lambda p: metrics.roc_auc_score(target.values, p),
        "log_loss": lambda p: -metrics.log_loss(target.values, np.clip(p, 1e-15, 1 - 1e-15)),
        "brier": lambda p: -2 * metrics.brier_score_loss(target.values, p),
        "accuracy": lambda p: metrics.accuracy_score(target.values, p > 0.5),
    }[score]
    wanted = [theirs(p) for p in said[..., 0]]
    np.testing.assert_allclose(inner_scores(said, target, score), wanted, rtol=1e-9)


@pytest.mark.parametrize("score", ["auc", "log_loss", "accuracy"])
def test_agrees_with_scikit_learn_for_classes(score):
    from sklearn import metrics

    _, target = made(60, 3, kind="classes")
    said = guesses(60, 3)
    theirs = {
        "auc": lambda p: metrics.roc_auc_score(target.values, p, multi_class="ovr"),
        "log_loss": lambda p: -metrics.log_loss(target.values, p),
        "accuracy": lambda p: metrics.accuracy_score(target.values, p.argmax(axis=1)),
    }[score]
    np.testing.assert_allclose(
        inner_scores(said, target, score), [theirs(p) for p in said], rtol=1e-9
    )


@pytest.mark.parametrize("score", ["r2", "mae"])
def test_agrees_with_scikit_learn_for_a_number(score):
    from sklearn import metrics

    _, target = made(40, 3, kind="number")
    said = guesses(40, 1)
    theirs = {
        "r2": lambda p: metrics.r2_score(target.values, p),
        "mae": lambda p: -metrics.mean_absolute_error(target.values, p),
    }[score]
    wanted = [theirs(p) for p in said[..., 0]]
    np.testing.assert_allclose(inner_scores(said, target, score), wanted, rtol=1e-9)


def test_agrees_with_scikit_survival():
    metrics = pytest.importorskip("sksurv.metrics")
    _, target = made(60, 3, kind="survival")
    said = guesses(60, 1)
    wanted = [
        metrics.concordance_index_censored(target.events, target.values, p)[0] for p in said[..., 0]
    ]
    np.testing.assert_allclose(inner_scores(said, target, "concordance"), wanted, rtol=1e-9)


def test_is_not_defined_for_cases_of_one_class():
    target = Target("binary", np.ones(5), ("no", "yes"))
    assert np.isnan(inner_scores(guesses(5, 1), target, "auc")).all()
    flat = Target("number", np.ones(5))
    assert np.isnan(inner_scores(guesses(5, 1), flat, "r2")).all()
    censored = Target("survival", np.ones(5), ("a", "b"), np.zeros(5, dtype=bool))
    assert np.isnan(inner_scores(guesses(5, 1), censored, "concordance")).all()


def test_of_a_class_that_is_absent_the_others_count():
    target = Target("classes", np.array([0.0, 0, 1, 1]), ("a", "b", "c"))
    said = np.array([[[0.8, 0.1, 0.1], [0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.1, 0.8, 0.1]]])
    np.testing.assert_allclose(inner_scores(said, target, "auc"), [1.0])
