"""Views: neighbourhoods kept, groups found if there are any, warnings if near means nothing."""

import sys

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vesalius.errors import ConfigError, ExtraError, RegionError, ShapeError
from vesalius.predict import Table, Target
from vesalius.predict._concentration import concentration, two_nearest_dimension
from vesalius.predict._embed_clusters import group_cases
from vesalius.predict._embed_methods import METHODS, ViewSettings
from vesalius.predict._embed_quality import distances, faithfulness
from vesalius.predict._views import comparable, embed


def cloud(n=60, features=6, *, groups=1, seed=0):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(n, features))
    return values + 4.0 * (np.arange(n) % groups)[:, None]


def table_of(values, **given):
    cases = tuple(f"c{k}" for k in range(len(values)))
    names = tuple(f"f{k}" for k in range(values.shape[1]))
    return Table(cases, names, values, pd.DataFrame(index=range(len(values))), **given)


def thirds(n=60):
    return Target("classes", (np.arange(n) % 3).astype(float), ("a", "b", "c"))


def roll(n=200, seed=0):
    """A sheet rolled up in space, and where its points lie on the sheet."""
    rng = np.random.default_rng(seed)
    along, across = 1.5 * np.pi * (1 + rng.random(n)), 8 * rng.random(n)
    return np.column_stack([along * np.cos(along), across, along * np.sin(along)]), along


@pytest.mark.parametrize("method", [one for one in METHODS if one != "umap"])
def test_every_method_keeps_groups_apart(method):
    values = cloud(60, groups=3)
    view = embed(table_of(values), ViewSettings(method, neighbours=8), target=thirds())
    assert view.coordinates.shape == (60, 2)
    assert np.isfinite(view.coordinates).all()
    group = np.arange(60) % 3
    centres = np.stack([view.coordinates[group == k].mean(axis=0) for k in range(3)])
    nearest = np.square(view.coordinates[:, None] - centres).sum(axis=2).argmin(axis=1)
    assert (nearest == group).mean() > 0.9
    assert len(view.names) == 2
    # the largest coordinate of an axis is positive, so that pictures do not turn at random
    largest = np.abs(view.coordinates).argmax(axis=0)
    assert (view.coordinates[largest, [0, 1]] > 0).all()


@pytest.mark.slow
def test_umap_keeps_groups_apart_and_warns():
    pytest.importorskip("umap")
    view = embed(table_of(cloud(60, groups=2)), ViewSettings("umap", neighbours=8))
    left, right = view.coordinates[::2], view.coordinates[1::2]
    apart = np.linalg.norm(left.mean(axis=0) - right.mean(axis=0))
    assert apart > 2 * np.linalg.norm(left - left.mean(axis=0), axis=1).mean()
    assert any("mean nothing" in remark for remark in view.remarks)


def test_names_the_extra_of_umap(monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(ExtraError, match=r"vesalius\[predict\]"):
        embed(table_of(cloud()), ViewSettings("umap", neighbours=8))


def test_components_are_those_of_scikit_learn():
    from sklearn.decomposition import PCA

    values = cloud(40, 5)
    view = embed(table_of(values), ViewSettings("pca", axes=3, neighbours=5))
    model = PCA(3).fit(comparable(table_of(values)))
    theirs = model.transform(comparable(table_of(values)))
    np.testing.assert_allclose(np.abs(view.coordinates), np.abs(theirs), atol=1e-9)
    np.testing.assert_allclose(view.explained, model.explained_variance_ratio_, atol=1e-12)


def test_eigenmaps_are_those_of_scikit_learn():
    from sklearn.manifold import SpectralEmbedding
    from sklearn.neighbors import kneighbors_graph

    values, _ = roll(80)
    given = table_of(values)
    view = embed(given, ViewSettings("laplacian", neighbours=10))
    near = kneighbors_graph(comparable(given), 10, include_self=False)
    both = ((near + near.T) > 0).astype(float).toarray()
    theirs = SpectralEmbedding(2, affinity="precomputed", random_state=0).fit_transform(both)
    for k in range(2):
        assert abs(np.corrcoef(view.coordinates[:, k], theirs[:, k])[0, 1]) > 1 - 1e-6


def test_isomap_unrolls_a_sheet_that_components_cannot():
    values, along = roll()
    found = {}
    for method in ("isomap", "pca"):
        view = embed(table_of(values), ViewSettings(method, neighbours=8))
        found[method] = max(abs(np.corrcoef(view.coordinates[:, k], along)[0, 1]) for k in (0, 1))
    assert found["isomap"] > 0.95 > found["pca"]


def test_lda_of_two_classes_has_one_axis_and_warns():
    target = Target("binary", (np.arange(60) % 2).astype(float), ("a", "b"))
    given = table_of(cloud(60, 40, seed=3))
    view = embed(given, ViewSettings("lda", axes=1, neighbours=8), target=target)
    # noise, and still apart: this is what the remark is for
    assert view.coordinates[1::2].mean() * view.coordinates[::2].mean() < 0
    assert any("even where features are noise" in remark for remark in view.remarks)
    with pytest.raises(ConfigError, match="2 classes must have at most 1 axes, got 2"):
        embed(given, ViewSettings("lda", neighbours=8), target=target)


def test_gaps_are_filled_and_constants_left_out():
    values = cloud(30, 3)
    values[:, 2] = 4.0
    values[5, 0] = np.nan
    given = table_of(values, reasons={("c5", "f0"): "not given"})
    found = comparable(given)
    assert found.shape == (30, 2)
    np.testing.assert_allclose(found.std(axis=0), 1)
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-12)


@settings(deadline=None, max_examples=8)
@given(st.integers(0, 10**6), st.integers(1, 9))
def test_trustworthiness_is_that_of_scikit_learn(seed, k):
    from sklearn.manifold import trustworthiness

    rng = np.random.default_rng(seed)
    truth, view = rng.normal(size=(25, 5)), rng.normal(size=(25, 2))
    found = faithfulness(truth, view, k)
    assert found.trustworthiness == pytest.approx(trustworthiness(truth, view, n_neighbors=k))
    assert found.continuity == pytest.approx(trustworthiness(view, truth, n_neighbors=k))


def test_a_copy_is_wholly_faithful():
    values = cloud(30, 3)
    found = faithfulness(values, -2 * values, 5)
    assert (found.trustworthiness, found.continuity) == (1, 1)


def test_many_cases_are_judged_by_some(monkeypatch):
    monkeypatch.setattr("vesalius.predict._embed_quality.MOST", 20)
    values = cloud(90, 3)
    assert faithfulness(values, values, 5).trustworthiness == 1


def test_distances_are_euclidean():
    np.testing.assert_allclose(distances(np.array([[0.0, 0], [3, 4]])), [[0, 5], [5, 0]])


@pytest.mark.parametrize(("groups", "found"), [(1, 1), (2, 2), (4, 4)])
def test_finds_as_many_groups_as_there_are(groups, found):
    values = cloud(80, 5, seed=2) + 9.0 * np.eye(5)[np.arange(80) % groups] * (groups > 1)
    said = group_cases(values, most=6, generator=torch.Generator().manual_seed(0))
    assert said.count == found
    assert len(np.unique(said.labels)) == found
    if found > 1:
        agree = [len(np.unique(said.labels[k::groups])) for k in range(groups)]
        assert agree == [1] * groups
        assert "best silhouette" in said.remark
    else:
        assert "no groups" in said.remark


def test_the_largest_group_comes_first():
    values = np.concatenate([cloud(10, 3), cloud(40, 3, seed=1) + 20])
    said = group_cases(values, most=3, generator=torch.Generator())
    assert np.bincount(said.labels).tolist() == [40, 10]
    assert len(said.silhouettes) == 2
    assert len(said.gaps) == len(said.gap_errors) == 3


@pytest.mark.parametrize("dimension", [2, 5])
def test_knows_the_dimension_of_a_flat_cloud_in_many_features(dimension):
    rng = np.random.default_rng(0)
    flat = rng.uniform(size=(900, dimension)) @ rng.normal(size=(dimension, 50))
    found = concentration(flat)
    assert found.dimension == pytest.approx(dimension, rel=0.15)
    assert found.remark == ""
    assert found.features == 50


def test_the_dimension_follows_from_pareto_ratios():
    share = (np.arange(1000) + 0.5) / 1000
    assert two_nearest_dimension((1 - share) ** (-1 / 3)) == pytest.approx(3, rel=0.02)
    assert np.isnan(two_nearest_dimension(np.ones(5)))


def test_contrast_fades_as_features_grow():
    rng = np.random.default_rng(1)
    found = [concentration(rng.normal(size=(200, size))).contrast for size in (2, 20, 200)]
    assert found[0] > found[1] > found[2]
    assert found[2] < 0.5


def test_warns_where_nearest_neighbours_mean_little():
    found = concentration(cloud(200, 300))
    assert "Nearest neighbours mean little here" in found.remark
    assert "times as far as the nearest (300 features)" in found.remark
    assert "which 200 cases cannot fill" in found.remark


def test_contrast_of_a_line_by_hand():
    # 0, 1, 3, 7, 15: nearest and farthest of each are (1, 15), (1, 14), (2, 12), (4, 8), (8, 15)
    found = concentration(np.array([[0.0], [1], [3], [7], [15]]))
    assert found.contrast == pytest.approx(np.median([14, 13, 5, 1, 7 / 8]))


def test_copies_are_counted_and_left_out():
    values = cloud(20, 3)
    found = concentration(np.concatenate([values, values[:4]]))
    assert (found.duplicates, found.cases) == (4, 20)
    assert found.contrast == concentration(values).contrast


def test_says_where_the_cases_fall_apart():
    values = cloud(60, groups=2) + 20.0 * (np.arange(60) % 2)[:, None]
    view = embed(table_of(values), ViewSettings("laplacian", axes=1, neighbours=4))
    assert any("fall into" in remark for remark in view.remarks)


def test_refuses_a_picture_of_too_few_cases():
    with pytest.raises(RegionError, match="at least 31 cases, got 30"):
        embed(table_of(cloud(30)), ViewSettings())


def test_refuses_features_that_do_not_differ():
    with pytest.raises(RegionError, match="none of 3 does"):
        embed(table_of(np.ones((40, 3))), ViewSettings())


def test_refuses_lda_without_an_outcome():
    with pytest.raises(ConfigError, match="lda must have an outcome"):
        embed(table_of(cloud()), ViewSettings("lda"))


@pytest.mark.parametrize(("method", "axes"), [("pca", 7), ("tsne", 4)])
def test_refuses_more_axes_than_there_can_be(method, axes):
    with pytest.raises(ConfigError, match="must have at most"):
        embed(table_of(cloud(60, 6)), ViewSettings(method, axes=axes))


@pytest.mark.parametrize("changed", [{"axes": 0}, {"neighbours": 1}, {"seed": -1}])
def test_refuses_settings_out_of_range(changed):
    with pytest.raises(ConfigError, match="1 to 10 axes, 2 neighbours"):
        ViewSettings(**changed)


def test_refuses_views_of_other_cases_and_empty_neighbourhoods():
    with pytest.raises(ShapeError, match="same cases, got 9 and 8"):
        faithfulness(np.zeros((9, 2)), np.zeros((8, 2)), 2)
    for k in (0, 5):
        with pytest.raises(ConfigError, match="less than half of 9"):
            faithfulness(np.zeros((9, 2)), np.zeros((9, 2)), k)


@pytest.mark.parametrize("most", [1, 31])
def test_refuses_more_groups_than_cases_allow(most):
    with pytest.raises(ConfigError, match="from 2 to half of the cases"):
        group_cases(cloud(60), most=most, generator=torch.Generator())


def test_refuses_distances_of_copies():
    with pytest.raises(RegionError, match="5 cases that differ, got 1"):
        concentration(np.ones((10, 3)))


def test_a_lattice_has_no_dimension_and_no_warning_of_one():
    found = concentration(np.arange(30.0)[:, None])
    assert np.isnan(found.dimension)
    assert found.remark == ""


def test_refuses_a_seed_that_no_method_takes():
    with pytest.raises(ConfigError, match="a seed from 0 to 4294967295, got 2, 15 and 4294967296"):
        ViewSettings(seed=2**32)


def test_clear_groups_that_the_gap_statistic_does_not_see_are_told():
    values = cloud(60, 8)
    line = np.concatenate([values, values + 20, values - 20])
    found = group_cases(line, generator=torch.Generator().manual_seed(0))
    assert found.count == 1
    assert "finds no groups, yet 3 have a silhouette of 0.93" in found.remark
