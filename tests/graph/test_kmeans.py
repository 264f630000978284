"""K-means: groups that are there are found, as scikit-learn finds them, the same each time."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vesalius.errors import ConfigError, IntensityError, RegionError
from vesalius.graph import kmeans
from vesalius.graph._kmeans import nearest


def blobs(seed=0, count=60):
    """Three round groups in the plane."""
    g = torch.Generator().manual_seed(seed)
    middles = torch.tensor([[0.0, 0.0], [6.0, 0.0], [0.0, 7.0]])
    return torch.cat([m + torch.randn(count, 2, generator=g) for m in middles]).double()


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_finds_the_groups_that_scikit_learn_finds():
    from sklearn.cluster import KMeans

    x = blobs()
    ours = kmeans(x, 3, generator=seeded(), tol=0.0)
    theirs = KMeans(3, n_init=5, random_state=0).fit(x.numpy())
    assert ours.inertia == pytest.approx(theirs.inertia_, rel=1e-9)
    order = np.lexsort(theirs.cluster_centers_.T)
    mine = np.lexsort(ours.centres.numpy().T)
    np.testing.assert_allclose(ours.centres.numpy()[mine], theirs.cluster_centers_[order])


@settings(max_examples=15)
@given(st.integers(0, 50), st.integers(1, 6))
def test_each_point_belongs_to_its_nearest_centre_and_each_centre_is_a_mean(seed, count):
    x = blobs(seed, 20)
    found = kmeans(x, count, generator=seeded(seed), tol=0.0)
    away = torch.cdist(x, found.centres)
    assert torch.equal(found.labels, away.argmin(dim=1))
    assert found.inertia == pytest.approx(float(away.min(dim=1).values.square().sum()))
    for k in range(count):
        torch.testing.assert_close(found.centres[k], x[found.labels == k].mean(dim=0))


def test_the_inertia_does_not_rise_with_more_rounds():
    x = blobs(3)
    levels = [kmeans(x, 5, generator=seeded(), steps=n, tol=0.0).inertia for n in (1, 2, 4, 8)]
    assert levels == sorted(levels, reverse=True)


def test_the_same_generator_gives_the_same_groups():
    x = blobs()
    one, two = (kmeans(x, 4, generator=seeded(5)) for _ in range(2))
    assert torch.equal(one.labels, two.labels)
    assert torch.equal(one.centres, two.centres)


def test_as_many_groups_as_points_cost_nothing():
    x = torch.arange(5, dtype=torch.float64)[:, None]
    assert kmeans(x, 5, generator=seeded()).inertia == 0


def test_equal_points_leave_no_group_without_a_centre():
    found = kmeans(torch.ones(6, 2), 3, generator=seeded())
    assert found.inertia == 0
    assert bool(torch.isfinite(found.centres).all())


def test_single_precision_stays_single():
    assert kmeans(blobs().float(), 2, generator=seeded()).centres.dtype == torch.float32


def test_new_points_join_the_nearest_centre():
    centres = torch.tensor([[0.0, 0.0], [4.0, 0.0]])
    assert nearest(torch.tensor([[1.0, 0.0], [2.0, 0.0], [2.1, 3.0]]), centres).tolist() == [
        0,
        0,
        1,
    ]


def test_refuses_what_cannot_be_grouped():
    with pytest.raises(RegionError, match="at least as many points as groups, got 2 points for 3"):
        kmeans(torch.zeros(2, 1), 3, generator=seeded())
    with pytest.raises(IntensityError, match="points must be finite"):
        kmeans(torch.tensor([[0.0], [float("nan")]]), 1, generator=seeded())
    with pytest.raises(ConfigError, match="count and steps must be at least 1"):
        kmeans(torch.zeros(2, 1), 0, generator=seeded())
