"""Low-level parts of segmentation: box sums, geodesics, necks, footprints, components, counts."""

import numpy as np
import pytest
import scipy.ndimage as ndi
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vesalius.errors import ConfigError, ConvergenceError, IntensityError, RegionError, ShapeError
from vesalius.ops._box_mean import box_sum
from vesalius.ops._components import components, kept, largest_of_each, touching_border
from vesalius.ops._criteria import li, otsu
from vesalius.ops._edges import sobel
from vesalius.ops._flat_morphology import (
    box_rows,
    complement,
    dilate_offsets,
    dilate_rows,
    ellipsoid_rows,
)
from vesalius.ops._geodesic import geodesic
from vesalius.ops._nearest_label import grown, shrunk
from vesalius.ops._shell_tree import narrowest_neck
from vesalius.ops._value_histogram import value_histogram


@pytest.mark.parametrize("radii", [(0, 0, 0), (1, 2, 3), (9, 0, 30), (0, 7, 1)])
def test_box_sums_are_scipys_means_times_the_count(radii):
    x = np.random.default_rng(1).normal(size=(5, 9, 11))
    sizes = tuple(2 * r + 1 for r in radii)
    wanted = ndi.uniform_filter(x, sizes, mode="reflect") * np.prod(sizes)
    np.testing.assert_allclose(box_sum(torch.from_numpy(x), radii).numpy(), wanted, atol=1e-9)


def test_box_sums_leave_an_axis_of_one_sample_and_the_input_alone():
    x = torch.rand(1, 4, 5, dtype=torch.float64)
    before = x.clone()
    assert torch.equal(box_sum(x, (3, 0, 0)), x)
    assert torch.equal(x, before)
    with pytest.raises(ConfigError, match="radii of a box must be at least 0 samples"):
        box_sum(x, (0, -1, 0))


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32])
def test_whole_numbers_are_counted_one_by_one(dtype):
    x = np.random.default_rng(2).integers(3, 200, (7, 30, 31)).astype(dtype)
    found = value_histogram(torch.from_numpy(x), bins=7)
    values, counts = np.unique(x, return_counts=True)
    assert found.exact
    assert found.values[0] == values[0]
    assert found.values[-1] == values[-1]
    assert np.array_equal(found.values[found.counts > 0], values)
    assert np.array_equal(found.counts[found.counts > 0], counts)
    assert found.cut(3) == found.values[3]


def test_extreme_whole_numbers_have_their_bin():
    for dtype in (np.int16, np.uint16, np.int8, np.int64):
        info = np.iinfo(dtype)
        low = info.min if dtype != np.int64 else 2**40
        high = info.max if dtype != np.int64 else 2**40 + 9
        x = np.array([low, high, high], dtype)
        found = value_histogram(torch.from_numpy(x), bins=4)
        assert (found.values[0], found.values[-1]) == (low, high)
        assert (found.counts[0], found.counts[-1]) == (1, 2)


@pytest.mark.parametrize("bins", [2, 17, 256])
def test_floats_are_counted_as_numpy_does(bins):
    x = np.random.default_rng(3).normal(size=4001)
    found = value_histogram(torch.from_numpy(x), bins=bins)
    counts, edges = np.histogram(x, bins)
    assert np.abs(found.counts - counts).sum() <= 2  # a value on an edge, to rounding
    np.testing.assert_allclose(found.values, (edges[1:] + edges[:-1]) / 2, atol=1e-12)
    assert found.cut(0) == pytest.approx(edges[1])


def test_only_what_is_inside_is_counted():
    x = torch.arange(100, dtype=torch.int16).reshape(1, 10, 10)
    found = value_histogram(x, bins=4, inside=(x > 9) & (x < 30))
    assert (found.values[0], found.values[-1], found.counts.sum()) == (10, 29, 20)
    with pytest.raises(RegionError, match="an image must have values inside the mask"):
        value_histogram(x, bins=4, inside=x > 200)


def test_infinite_spans_of_floats_are_counted_as_well():
    x = torch.tensor([-1.7e308, 0.0, 1.7e308], dtype=torch.float64)
    assert value_histogram(x, bins=3).counts.tolist() == [1, 1, 1]


def test_cross_entropy_says_where_it_does_not_settle():
    found = value_histogram(torch.tensor([0, 1, 1, 2, 5, 9, 9, 30], dtype=torch.int16), bins=4)
    with pytest.raises(ConvergenceError, match="the cross entropy threshold must settle"):
        li(found, steps=0)
    assert 2 <= li(found).thresholds[0] < 30
    assert otsu(found).thresholds == (9.0,)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**16), st.floats(0.05, 0.9), st.booleans())
def test_every_component_is_whole_and_apart_from_the_others(seed, share, full):
    values = (np.random.default_rng(seed).random((3, 7, 9)) < share).astype(np.int16)
    found = components(torch.from_numpy(values), full=full)
    structure = ndi.generate_binary_structure(3, 3 if full else 1)
    wanted, n = ndi.label(values, structure)
    assert np.array_equal(found.numbers, wanted)
    assert np.array_equal(found.sizes, np.bincount(wanted.ravel(), minlength=n + 1)[1:])
    assert (found.values == 1).all()


def test_components_are_chosen_by_size_and_by_border():
    values = torch.zeros(1, 6, 9, dtype=torch.uint8)
    values[0, 0, 0], values[0, 2:4, 2:4], values[0, 4, 7], values[0, 2, 7] = 1, 1, 2, 2
    found = components(values, full=False)
    assert largest_of_each(found).tolist() == [False, True, True, False]
    assert touching_border(found).tolist() == [True, False, False, False]
    assert int(kept(found, largest_of_each(found), values).sum()) == 6


SHAPE = (256, 256, 256)
"""Of an image that bounds no element here."""


@settings(max_examples=20, deadline=None)
@given(st.tuples(*[st.just(0.0) | st.floats(0.1, 4)] * 3))
def test_rows_of_an_ellipsoid_hold_what_its_equation_says(radii):
    rows = ellipsoid_rows(radii, SHAPE)
    rz, ry = rows.shape[0] // 2, rows.shape[1] // 2
    for z in range(-5, 6):
        for y in range(-5, 6):
            for x in range(6):
                parts = [(k / r) ** 2 if r > 0 else 0.0 for k, r in zip((z, y, x), radii)]  # noqa: B905
                flat = all(k == 0 for k, r in zip((z, y, x), radii) if r == 0)  # noqa: B905
                if flat and abs(sum(parts) - 1) < 1e-5:
                    continue
                there = abs(z) <= rz and abs(y) <= ry and rows[z + rz, y + ry] >= x
                assert there == (flat and sum(parts) < 1)


@pytest.mark.parametrize("radii", [(1.0, 2.0, 3.0), (0.0, 4.2, 1.0), (2.5, 2.5, 2.5)])
def test_growing_and_shrinking_by_distance_agree_with_rows(radii):
    mask = torch.from_numpy((np.random.default_rng(5).random((8, 15, 17)) < 0.04).astype(np.uint8))
    assert np.array_equal(
        grown(mask, radii), dilate_rows(mask, ellipsoid_rows(radii, SHAPE)).numpy()
    )
    most = 1 - mask
    eroded = complement(dilate_rows(complement(most), ellipsoid_rows(radii, SHAPE))).numpy()
    assert np.array_equal((shrunk(most, radii) & (most.numpy() != 0)), eroded != 0)


def test_many_threads_give_what_one_gives():
    before = torch.get_num_threads()
    x = torch.from_numpy(np.random.default_rng(6).integers(0, 999, (17, 256, 256)).astype(np.int16))
    spots = (x < 2).to(torch.uint8)
    found = []
    for threads in (1, 3):
        torch.set_num_threads(threads)
        rows = dilate_rows(x, box_rows((1.0, 2.0, 2.0), SHAPE))
        found.append((rows, grown(spots, (2.0, 2.0, 2.0)), shrunk(x // 400, (1.0, 1.0, 1.0))))
    torch.set_num_threads(before)
    assert torch.equal(found[0][0], found[1][0])
    assert all(np.array_equal(a, b) for a, b in zip(found[0][1:], found[1][1:], strict=True))


def test_a_footprint_without_an_offset_is_refused():
    with pytest.raises(ShapeError, match=r"offsets must be \(n, 3\) with n of at least 1"):
        dilate_offsets(torch.zeros(2, 2, 2), np.zeros((0, 3), np.int64))


def test_geodesic_distances_are_those_of_scikit_image():
    from skimage.graph import MCP_Geometric

    rng = np.random.default_rng(7)
    inside = rng.random((7, 12, 13)) < 0.7
    inside[0, 0, 0] = inside[6, 11, 12] = True
    sources = np.zeros(inside.shape, np.int32)
    sources[0, 0, 0], sources[6, 11, 12] = 4, 9
    spacing = (2.0, 0.7, 1.1)
    cost = np.where(inside, 1.0, -1.0)
    wanted, _ = MCP_Geometric(cost, sampling=spacing).find_costs([(0, 0, 0), (6, 11, 12)])
    found = geodesic(torch.from_numpy(sources), torch.from_numpy(inside), spacing)
    far = found.distance.numpy()
    assert np.array_equal(np.isfinite(far), np.isfinite(wanted))
    np.testing.assert_allclose(far[inside], wanted[inside], rtol=1e-5)
    assert set(np.unique(found.nearest.numpy()[np.isfinite(far)])) == {4, 9}
    assert not found.nearest.numpy()[~np.isfinite(far)].any()


def test_geodesics_grow_their_queues():
    inside = torch.ones(3, 90, 90, dtype=torch.bool)
    sources = torch.zeros(3, 90, 90, dtype=torch.int32)
    sources[:, ::2, ::2] = 1
    found = geodesic(sources, inside, (1.0, 1.0, 1.0))
    assert float(found.distance.max()) == pytest.approx(2**0.5)
    with pytest.raises(ShapeError, match="sources and mask must have one shape"):
        geodesic(sources, inside[:2], (1.0, 1.0, 1.0))


def test_a_neck_is_the_narrowest_place_of_an_hourglass_and_a_ball_has_none():
    inside = np.zeros((1, 31, 60), bool)
    inside[0, 3:28, 2:25], inside[0, 14:17, 25:33], inside[0, 3:28, 33:58] = True, True, True
    sources = np.zeros(inside.shape, np.int32)
    sources[0, 15, 8] = 1
    far = geodesic(torch.from_numpy(sources), torch.from_numpy(inside), (1.0, 1.0, 1.0)).distance
    neck = narrowest_neck(far, 1.0, widening=3.0, share=0.2)
    assert (neck.place[:, 2] >= 24).all()
    assert (neck.place[:, 2] <= 33).all()
    assert neck.behind[0, 3:28, 34:58].all()
    assert not neck.behind[0, :, :24].any()
    half = inside.copy()
    half[..., 25:] = False
    far = geodesic(torch.from_numpy(sources), torch.from_numpy(half), (1.0, 1.0, 1.0)).distance
    assert narrowest_neck(far, 1.0, widening=3.0, share=0.2) is None
    with pytest.raises(ConfigError, match="thickness must be positive and widening at least 1"):
        narrowest_neck(far, 0.0, widening=3.0, share=0.2)


def test_the_slope_is_scipys_sobel_in_the_unit_of_the_spacing():
    x = np.random.default_rng(8).normal(size=(5, 8, 9))
    found = sobel(x, (2.0, 0.5, 1.0))
    for axis, mm in enumerate((2.0, 0.5, 1.0)):
        np.testing.assert_allclose(found.parts[axis], ndi.sobel(x, axis) / 32 / mm, atol=1e-12)
    plane = sobel(x[:1], (2.0, 0.5, 1.0))
    assert not plane.parts[0].any()
    np.testing.assert_allclose(plane.parts[1][0], ndi.sobel(x[0], 0) / 8 / 0.5, atol=1e-12)


def test_elements_are_no_larger_than_the_image_however_large_their_radii():
    rows = ellipsoid_rows((1e9, 1e9, 1e9), (3, 5, 7))
    assert rows.shape == (7, 11)
    assert (rows == 7).all()
    assert box_rows((1e9, 0.5, 1e9), (3, 5, 7)).tolist() == [[7]] * 7


def test_labels_of_64_bits_that_agree_in_32_stay_apart():
    values = torch.tensor([[[1, 1, 1, 2**32 + 1, 2**32 + 1]]])
    assert shrunk(values, (1.0, 1.0, 1.0)).ravel().tolist() == [True, True, False, False, True]


def test_values_that_differ_by_less_than_a_bin_can_count_as_equal():
    x = torch.tensor([0.0, 5e-324], dtype=torch.float64)
    with pytest.raises(IntensityError, match="must have two different values to be parted"):
        value_histogram(x, bins=256)
