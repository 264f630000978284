"""One-pass looks at a mask against numpy."""

import numpy as np
import pytest

from vesalius.ops._inside import box_of, distribution, keep_between, level_histogram


@pytest.fixture
def mask():
    rng = np.random.default_rng(3)
    inside = np.zeros((7, 9, 11), dtype=bool)
    inside[1:6, 2:8, 3:10] = rng.random((5, 6, 7)) > 0.5
    return inside


def test_the_box_holds_every_voxel_and_no_empty_face(mask):
    held = np.argwhere(mask)
    assert box_of(mask).tolist() == np.stack([held.min(0), held.max(0) + 1], axis=1).tolist()


def test_the_box_of_nothing_is_empty():
    assert box_of(np.zeros((2, 3, 4), dtype=bool)).tolist() == [[0, 0]] * 3


def test_keeps_the_ends_of_a_range_and_counts_what_is_not_finite(mask):
    values = np.arange(mask.size, dtype=np.float64).reshape(mask.shape)
    places = np.argwhere(mask)
    values[tuple(places[0])] = np.nan
    low, high = values[tuple(places[3])], values[tuple(places[-4])]
    kept, census = keep_between(values, mask, (low, high))
    assert (kept == (mask & (values >= low) & (values <= high))).all()
    assert (census.voxels, census.kept, census.bad) == (mask.sum(), kept.sum(), 1)
    assert (census.low, census.high) == (values[tuple(places[1])], values[tuple(places[-1])])


@pytest.mark.parametrize("step", [1.0, 0.5, 1e7])
def test_a_distribution_holds_the_sorted_values(mask, step):
    rng = np.random.default_rng(4)
    values = np.rint(rng.normal(-3, 20, mask.shape)) * step
    found = distribution(values, mask)
    counts = np.ones(len(found.values)) if found.counts is None else found.counts
    assert (np.repeat(found.values, counts.astype(int)) == np.sort(values[mask])).all()
    assert (found.counts is None) == (step != 1)
    assert found.total == mask.sum()


def test_counts_levels_and_leaves_out_zero(mask):
    levels = np.random.default_rng(5).integers(0, 6, mask.shape).astype(np.int16)
    assert (
        level_histogram(levels, 7).tolist() == np.bincount(levels.ravel(), minlength=8)[1:].tolist()
    )
