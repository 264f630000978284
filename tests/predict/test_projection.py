"""Projection: principal components and Fisher's axes as steps."""

import numpy as np
import pytest
from made_tables import made

from vesalius.errors import ConfigError, IntensityError
from vesalius.predict import Table
from vesalius.predict.select import Lda, Pca


def test_components_agree_with_scikit_learn():
    from sklearn.decomposition import PCA

    table, other = made(40, 7)[0], made(9, 7, seed=4)[0]
    theirs = PCA(3).fit(table.values)
    step = Pca(3).fit(table)
    wanted = theirs.transform(other.values)
    found = step.transform(other).values
    np.testing.assert_allclose(np.abs(found), np.abs(wanted), atol=1e-9)
    np.testing.assert_allclose(step.shares_, theirs.explained_variance_ratio_, rtol=1e-9)


def test_keeps_components_until_they_hold_the_share():
    table, _ = made(40, 6)
    table = table.with_values(table.values * [10, 5, 1, 0.1, 0.1, 0.1])
    for share in (0.5, 0.9, 0.99):
        step = Pca(6, share).fit(table)
        assert step.shares_.sum() >= share
        assert step.shares_[:-1].sum() < share


def test_a_turned_sign_of_the_features_turns_no_component():
    table, _ = made(30, 5)
    axes = Pca(5).fit(table).axes_
    assert (axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)] > 0).all()


def test_there_are_no_more_components_than_there_is_spread():
    table, _ = made(4, 8)
    assert Pca(8).fit(table).transform(table).features == ("pc1", "pc2", "pc3")


@pytest.mark.parametrize("kind", ["binary", "classes"])
@pytest.mark.parametrize("shrink", [0.0, 0.3, -1.0])
def test_axes_agree_with_scikit_learn(kind, shrink):
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    table, target = made(90, 6, kind=kind, shift=2.0)
    found = Lda(shrink).fit(table, target).transform(table).values
    share = shrink
    if shrink < 0:
        from vesalius.predict._projection import ledoit_wolf

        share = ledoit_wolf(_within(table.values, target.values))
    wanted = _slow_axes(table.values, target.values, share)
    for k in range(found.shape[1]):
        assert abs(np.corrcoef(found[:, k], wanted[:, k])[0, 1]) == pytest.approx(1, abs=1e-9)
    if shrink == 0:
        theirs = LinearDiscriminantAnalysis(solver="svd").fit(table.values, target.values)
        other = theirs.transform(table.values)
        assert abs(np.corrcoef(found[:, 0], other[:, 0])[0, 1]) == pytest.approx(1, abs=1e-6)


def _within(values, group):
    centres = np.array([values[group == k].mean(axis=0) for k in np.unique(group)])
    return values - centres[np.unique(group, return_inverse=True)[1]]


def _slow_axes(values, group, share):
    from scipy.linalg import eigh

    within = _within(values, group)
    covariance = within.T @ within / len(values)
    sphere = np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    mean, between = values.mean(axis=0), 0.0
    for k in np.unique(group):
        off = values[group == k].mean(axis=0) - mean
        between = between + np.mean(group == k) * np.outer(off, off)
    _, axes = eigh(between, (1 - share) * covariance + share * sphere)
    return (values - mean) @ axes[:, ::-1][:, : len(np.unique(group)) - 1]


def test_the_shrinkage_is_that_of_ledoit_and_wolf():
    from sklearn.covariance import ledoit_wolf_shrinkage

    from vesalius.predict._projection import ledoit_wolf

    for cases, features in ((20, 50), (80, 6)):
        values = np.random.default_rng(0).normal(size=(cases, features)) @ np.diag(
            np.linspace(1, 4, features)
        )
        values -= values.mean(axis=0)
        wanted = ledoit_wolf_shrinkage(values, assume_centered=True)
        assert ledoit_wolf(values) == pytest.approx(wanted, rel=1e-9)


def test_an_axis_has_spread_one_within_the_classes():
    table, target = made(70, 5, kind="classes")
    found = Lda().fit(table, target).transform(table).values
    np.testing.assert_allclose(np.square(_within(found, target.values)).mean(axis=0), 1, rtol=1e-9)


def test_works_where_features_are_many_and_parts_new_cases():
    table, target = made(60, 200, shift=4.0)
    step = Lda().fit(table, target)
    assert step.transform(table).features == ("ld1",)
    new, truth = made(60, 200, seed=7, shift=4.0)
    scores = step.transform(new).values[:, 0]
    apart = scores[truth.values == 1].mean() - scores[truth.values == 0].mean()
    assert apart > 0


@pytest.mark.parametrize("bad", [{"components": 0}, {"share": 0.0}, {"share": 1.1}])
def test_refuses_no_component(bad):
    with pytest.raises(ConfigError, match="Pca must keep at least one component"):
        Pca(**bad).fit(made(9, 3)[0])


def test_refuses_more_sphere_than_all():
    table, target = made(9, 3)
    with pytest.raises(ConfigError, match=r"shrink must be a share of at most 1, got 1\.5"):
        Lda(1.5).fit(table, target)


def test_refuses_a_gap_in_a_new_case():
    table, _ = made(9, 3)
    values = table.values.copy()
    values[1, 1] = np.nan
    gap = Table(
        table.cases, table.features, values, table.columns, {("case001", "f01"): "not given"}
    )
    with pytest.raises(IntensityError, match="a projection must have every value"):
        Pca(2).fit(table).transform(gap)
