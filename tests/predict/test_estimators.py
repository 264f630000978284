"""Estimators: each gives what scikit-learn gives, from arrays of its own."""

import io

import numpy as np
import pytest
import sklearn.discriminant_analysis as sk_discriminant
import sklearn.ensemble as sk_ensemble
import sklearn.linear_model as sk_linear
import sklearn.naive_bayes as sk_bayes
import sklearn.neighbors as sk_neighbours
import sklearn.svm as sk_svm
import sklearn.tree as sk_tree
from made_tables import made
from scipy.optimize import minimize

from vesalius.predict import Target
from vesalius.predict import estimators as rooms
from vesalius.predict._discriminant import ledoit_wolf
from vesalius.predict._trees import in_order
from vesalius.predict.estimators import (
    Boosting,
    Discriminant,
    ElasticNet,
    Forest,
    Lasso,
    Logistic,
    NaiveBayes,
    Neighbours,
    Ridge,
    Svm,
    Tree,
)

ALL = [getattr(rooms, name) for name in rooms.__all__ if name != "Constant"]
KINDS = [(cls, kind) for cls in ALL for kind in cls.kinds]
WEIGHTS = ("none", "balanced")


def data(kind="binary", cases=90, features=6):
    table, target = made(cases, features, kind=kind, seed=3)
    fresh = np.random.default_rng(9).normal(size=(25, features))
    return table.values, target, fresh


def chances(model, values, kind):
    """Give what scikit-learn says, as ours says it."""
    if kind == "number":
        return model.predict(values)[:, None]
    every = model.predict_proba(values)
    return every[:, 1:] if kind == "binary" else every


def sk_weight(word):
    return "balanced" if word == "balanced" else None


@pytest.mark.parametrize("kind", ["binary", "classes", "number"])
@pytest.mark.parametrize("weight", WEIGHTS)
class TestTrees:
    def test_a_tree_says_what_scikit_learn_says(self, kind, weight):
        values, target, fresh = data(kind)
        ours = Tree(depth=5, leaf=3, class_weight=weight, seed=4).fit(values, target)
        x, t = in_order(values, target)
        rule = {"max_depth": 5, "min_samples_leaf": 3, "random_state": 4}
        theirs = (
            sk_tree.DecisionTreeRegressor(**rule)
            if kind == "number"
            else sk_tree.DecisionTreeClassifier(class_weight=sk_weight(weight), **rule)
        ).fit(x, t.values)
        np.testing.assert_allclose(
            ours.predict(fresh), chances(theirs, fresh, kind), rtol=0, atol=1e-12
        )
        np.testing.assert_allclose(ours.importances(), theirs.feature_importances_, atol=1e-12)

    def test_a_forest_says_what_scikit_learn_says(self, kind, weight):
        values, target, fresh = data(kind)
        ours = Forest(trees=12, leaf=2, share=0.5, class_weight=weight, seed=4).fit(values, target)
        x, t = in_order(values, target)
        rule = {
            "n_estimators": 12,
            "min_samples_leaf": 2,
            "max_features": 0.5,
            "random_state": 4,
        }
        theirs = (
            sk_ensemble.RandomForestRegressor(**rule)
            if kind == "number"
            else sk_ensemble.RandomForestClassifier(class_weight=sk_weight(weight), **rule)
        ).fit(x, t.values)
        np.testing.assert_allclose(
            ours.predict(fresh), chances(theirs, fresh, kind), rtol=0, atol=1e-12
        )
        np.testing.assert_allclose(ours.importances(), theirs.feature_importances_, atol=1e-12)

    def test_boosting_says_what_scikit_learn_says(self, kind, weight):
        values, target, fresh = data(kind)
        ours = Boosting(trees=15, share=1.0, class_weight=weight).fit(values, target)
        x, t = in_order(values, target)
        rule = {
            "max_iter": 15,
            "max_depth": 3,
            "min_samples_leaf": 5,
            "l2_regularization": 1.0,
            "max_bins": 64,
            "early_stopping": False,
            "random_state": 0,
        }
        theirs = (
            sk_ensemble.HistGradientBoostingRegressor(**rule)
            if kind == "number"
            else sk_ensemble.HistGradientBoostingClassifier(class_weight=sk_weight(weight), **rule)
        ).fit(x, t.values)
        np.testing.assert_allclose(
            ours.predict(fresh), chances(theirs, fresh, kind), rtol=0, atol=1e-9
        )


def test_a_tree_asks_in_single_precision_as_it_was_grown():
    # two values that only double precision tells apart go the same way
    values = np.array([[0.0], [1.0], [2.0], [3.0]])
    target = Target("binary", np.array([0.0, 0.0, 1.0, 1.0]), ("no", "yes"))
    tree = Tree(depth=1, leaf=1).fit(values, target)
    np.testing.assert_array_equal(tree.predict(np.array([[1.5], [1.5 + 1e-12]]))[:, 0], [0.0, 0.0])


def test_a_tree_with_no_question_to_ask_is_one_leaf():
    target = Target("binary", np.array([0.0, 1.0, 1.0, 0.0]), ("no", "yes"))
    tree = Tree().fit(np.zeros((4, 2)), target)
    np.testing.assert_array_equal(tree.predict(np.ones((2, 2)))[:, 0], [0.5, 0.5])
    assert tree.importances().tolist() == [0.0, 0.0]


@pytest.mark.parametrize("kernel", ["linear", "rbf"])
class TestSvm:
    @pytest.mark.parametrize("weight", WEIGHTS)
    def test_margins_are_those_of_scikit_learn(self, kernel, weight):
        values, target, fresh = data()
        ours = Svm(kernel=kernel, cost=0.7, class_weight=weight).fit(values, target)
        x, t = in_order(values, target)
        theirs = sk_svm.SVC(kernel=kernel, C=0.7, class_weight=sk_weight(weight)).fit(x, t.values)
        np.testing.assert_allclose(
            ours.margins(fresh)[:, 0], theirs.decision_function(fresh), rtol=0, atol=1e-9
        )

    def test_numbers_are_those_of_scikit_learn(self, kernel):
        values, target, fresh = data("number")
        ours = Svm(kernel=kernel, cost=2.0, tube=0.2).fit(values, target)
        x, t = in_order(values, target)
        theirs = sk_svm.SVR(kernel=kernel, C=2.0, epsilon=0.2).fit(x, t.values)
        np.testing.assert_allclose(ours.predict(fresh)[:, 0], theirs.predict(fresh), atol=1e-9)

    def test_each_of_three_classes_is_told_from_the_rest(self, kernel):
        values, target, fresh = data("classes")
        ours = Svm(kernel=kernel).fit(values, target)
        x, t = in_order(values, target)
        for k in range(3):
            theirs = sk_svm.SVC(kernel=kernel).fit(x, t.values == k)
            np.testing.assert_allclose(
                ours.margins(fresh)[:, k], theirs.decision_function(fresh), atol=1e-9
            )
        np.testing.assert_allclose(ours.predict(fresh).sum(axis=1), 1, atol=1e-12)

    def test_the_link_is_where_platt_has_his_maximum(self, kernel):
        from sklearn.model_selection import StratifiedKFold, cross_val_predict

        values, target, _ = data()
        ours = Svm(kernel=kernel).fit(values, target)
        x, t = in_order(values, target)
        parts = StratifiedKFold(5, shuffle=True, random_state=0)
        rule = sk_svm.SVC(kernel=kernel, gamma=1 / (x.shape[1] * x.var()))
        margin = cross_val_predict(rule, x, t.values, cv=parts, method="decision_function")
        events = t.values.sum()
        aim = np.where(t.values > 0, (events + 1) / (events + 2), 1 / (len(x) - events + 2))

        def loss(link):
            score = link[0] + link[1] * margin
            return np.mean(np.logaddexp(0, score) - aim * score)

        best = minimize(loss, [0.0, 1.0], tol=1e-12)
        np.testing.assert_allclose(ours.link_[0], best.x, atol=1e-4)
        assert loss(ours.link_[0]) <= best.fun + 1e-12


@pytest.mark.parametrize("kind", ["binary", "classes", "number"])
@pytest.mark.parametrize("weighting", ["uniform", "distance"])
def test_neighbours_say_what_scikit_learn_says(kind, weighting):
    values, target, fresh = data(kind)
    fresh = np.concatenate([fresh, values[:3]])
    ours = Neighbours(neighbours=7, weighting=weighting).fit(values, target)
    room = (
        sk_neighbours.KNeighborsRegressor
        if kind == "number"
        else sk_neighbours.KNeighborsClassifier
    )
    theirs = room(7, weights=weighting, algorithm="brute").fit(values, target.values)
    np.testing.assert_allclose(ours.predict(fresh), chances(theirs, fresh, kind), atol=1e-9)


@pytest.mark.parametrize("kind", ["binary", "classes"])
def test_naive_bayes_says_what_scikit_learn_says(kind):
    values, target, fresh = data(kind)
    ours = NaiveBayes().fit(values, target)
    theirs = sk_bayes.GaussianNB().fit(values, target.values)
    np.testing.assert_allclose(ours.predict(fresh), chances(theirs, fresh, kind), atol=1e-9)


def test_naive_bayes_bears_a_constant_feature():
    values, target, _ = data()
    values = np.column_stack([values, np.ones(len(values))])
    assert np.isfinite(NaiveBayes().fit(values, target).predict(values)).all()


@pytest.mark.parametrize("kind", ["binary", "classes"])
@pytest.mark.parametrize("features", [4, 150])
def test_the_discriminant_says_what_scikit_learn_says(kind, features):
    values, target, fresh = data(kind, features=features)
    ours = Discriminant().fit(values, target)
    theirs = sk_discriminant.LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
    theirs.fit(values, target.values)
    np.testing.assert_allclose(ours.predict(fresh), chances(theirs, fresh, kind), atol=1e-8)


@pytest.mark.parametrize("features", [5, 80])
def test_the_share_of_shrinkage_is_that_of_ledoit_and_wolf(features):
    from sklearn.covariance import ledoit_wolf_shrinkage

    x = np.random.default_rng(0).normal(size=(40, features)) * np.linspace(1, 4, features)
    x -= x.mean(axis=0)
    assert ledoit_wolf(x) == pytest.approx(ledoit_wolf_shrinkage(x, assume_centered=True), abs=1e-9)


def test_full_shrinkage_leaves_variances_alone():
    values, target, _ = data(features=3)
    ours = Discriminant(shrinkage=1.0).fit(values, target)
    parts = [values[target.values == k] for k in (0, 1)]
    own = sum(len(p) / len(values) * p.var(axis=0) for p in parts)
    apart = parts[1].mean(axis=0) - parts[0].mean(axis=0)
    np.testing.assert_allclose(ours.weights_[1] - ours.weights_[0], apart / own, rtol=1e-9)


@pytest.mark.parametrize("weight", WEIGHTS)
@pytest.mark.parametrize("kind", ["binary", "classes"])
def test_logistic_is_where_scikit_learn_has_its_maximum(kind, weight):
    values, target, fresh = data(kind, cases=200)
    ours = Logistic(class_weight=weight).fit(values, target)
    theirs = sk_linear.LogisticRegression(
        C=np.inf, tol=1e-12, max_iter=5000, class_weight=sk_weight(weight)
    ).fit(values, target.values)
    np.testing.assert_allclose(ours.predict(fresh), chances(theirs, fresh, kind), atol=1e-5)


@pytest.mark.parametrize("weight", WEIGHTS)
@pytest.mark.parametrize("kind", ["binary", "classes", "number"])
@pytest.mark.parametrize("features", [6, 120])
def test_ridge_is_where_scikit_learn_has_its_optimum(kind, weight, features):
    values, target, fresh = data(kind, features=features)
    ours = Ridge(weight=0.3, class_weight=weight, tol=1e-9).fit(values, target)
    cases = len(values)
    theirs = (
        sk_linear.Ridge(alpha=0.3 * cases)
        if kind == "number"
        else sk_linear.LogisticRegression(
            C=1 / (0.3 * cases), tol=1e-12, max_iter=9000, class_weight=sk_weight(weight)
        )
    ).fit(values, target.values)
    np.testing.assert_allclose(ours.predict(fresh), chances(theirs, fresh, kind), atol=1e-6)


@pytest.mark.parametrize("mix", [1.0, 0.4])
@pytest.mark.parametrize("kind", ["binary", "classes", "number"])
def test_lasso_and_elastic_net_are_where_scikit_learn_has_its_optimum(kind, mix):
    values, target, _ = data(kind)
    ours = (Lasso(0.04) if mix == 1 else ElasticNet(0.04, mix)).fit(values, target)
    if kind == "number":
        theirs = sk_linear.ElasticNet(alpha=0.04, l1_ratio=mix, tol=1e-12, max_iter=99_999)
    else:
        theirs = sk_linear.LogisticRegression(
            C=1 / (0.04 * len(values)), l1_ratio=mix, solver="saga", tol=1e-9, max_iter=99_999
        )
    theirs.fit(values, target.values)
    np.testing.assert_allclose(ours.weights_, np.atleast_2d(theirs.coef_), atol=1e-4)


@pytest.mark.parametrize("kind", ["binary", "classes"])
def test_balanced_weights_are_those_of_scikit_learn(kind):
    values, target, _ = data(kind)
    ours = Lasso(0.04, class_weight="balanced").fit(values, target)
    theirs = sk_linear.LogisticRegression(
        C=1 / (0.04 * len(values)),
        l1_ratio=1,
        solver="saga",
        tol=1e-9,
        max_iter=99_999,
        class_weight="balanced",
    ).fit(values, target.values)
    np.testing.assert_allclose(ours.weights_, np.atleast_2d(theirs.coef_), atol=1e-4)


SMALL = {"trees": 10}


@pytest.mark.parametrize(("cls", "kind"), KINDS, ids=lambda v: getattr(v, "__name__", v))
class TestAny:
    def build(self, cls):
        return cls(**{k: v for k, v in SMALL.items() if k in cls.setting_names()})

    def test_does_not_depend_on_the_order_of_cases(self, cls, kind):
        values, target, fresh = data(kind)
        order = np.random.default_rng(5).permutation(len(values))
        a = self.build(cls).fit(values, target).predict(fresh)
        b = self.build(cls).fit(values[order], target.rows(order)).predict(fresh)
        np.testing.assert_allclose(a, b, atol=1e-6)

    def test_gives_a_class_that_it_never_saw_no_chance(self, cls, kind):
        if kind == "number":
            pytest.skip("a number has no classes")
        values, target, fresh = data()
        several = Target("classes", target.values * 2, ("a", "b", "c"))
        found = self.build(cls).fit(values, several).predict(fresh)
        assert found.shape == (len(fresh), 3)
        assert (found[:, 1] == 0).all()
        np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-12)

    def test_importances_are_one_for_each_feature_or_none(self, cls, kind):
        values, target, _ = data(kind)
        found = self.build(cls).fit(values, target).importances()
        assert found.shape in [(0,), (values.shape[1],)]
        if found.size:
            # the first two features carry the outcome
            assert set(np.argsort(-np.abs(found))[:2]) == {0, 1}

    def test_a_grid_changes_settings_that_there_are(self, cls, kind):
        values, target, _ = data(kind)
        for change in self.build(cls).grid(values, target):
            assert set(change) <= set(cls.setting_names())


def test_two_classes_and_the_same_two_as_classes_agree():
    values, target, fresh = data()
    named = Target("classes", target.values, target.classes)
    for cls in (Lasso, Ridge, Forest, Svm, Discriminant):
        a = cls().fit(values, target).predict(fresh)
        b = cls().fit(values, named).predict(fresh)
        np.testing.assert_allclose(b[:, 1:], a, atol=1e-12)


def test_a_straight_machine_has_signed_importances():
    values, target, _ = data()
    found = Svm(kernel="linear").fit(values, target).importances()
    assert found[0] > 0 > found[1]


def test_a_forest_of_three_hundred_trees_saves_below_two_megabytes(data_dir):
    import pandas as pd

    table = pd.read_csv(data_dir / "tables" / "Hosny2018A.csv.gz")
    target = Target("binary", table["Target"].to_numpy(float), ("0", "1"))
    values = table.drop(columns=["Target", "ID"]).to_numpy(float)[:, ::8].copy()
    model = Forest(leaf=1).fit(values, target)
    file = io.BytesIO()
    np.savez(file, **model.state()["nodes_"], shares=model.shares_)
    assert len(file.getvalue()) < 2_000_000
    assert len(model.nodes_["start"]) == 300


@pytest.mark.parametrize("cls", [Discriminant, Svm, Ridge, Lasso, NaiveBayes, Neighbours])
def test_how_far_features_are_from_zero_does_not_matter(cls):
    table, target = made(60, 3, seed=4)
    near = cls().fit(table.values, target).predict(table.values)
    away = np.round(table.values * 2**20) / 2**20 + 2.0**26  # exact in float64
    far = cls().fit(away, target).predict(away)
    np.testing.assert_allclose(far, near, atol=1e-4)


@pytest.mark.parametrize("cls", [Lasso, Ridge, ElasticNet])
@pytest.mark.parametrize("kind", ["binary", "number"])
def test_features_that_are_all_constant_leave_the_share_of_events(cls, kind):
    _, target = made(40, 3, seed=4, kind=kind)
    values = np.full((40, 3), 0.1)
    model = cls()
    said = model.fit(values, target).predict(values)
    np.testing.assert_allclose(said, target.values.mean(), rtol=1e-9)
    assert model.grid(values, target) == ({},)
