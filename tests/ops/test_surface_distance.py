"""Surface distances, beside brute force, SciPy, SimpleITK and closed forms."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.spatial.distance import directed_hausdorff

from vesalius.errors import RegionError, ShapeError, UnitError
from vesalius.ops._surface_distance import directed_distances, surface_distance

SPACING = (2.0, 0.7, 1.3)


def blobs(seed, shape=(7, 9, 8)):
    g = torch.Generator().manual_seed(seed)
    noise = torch.rand(2, *shape, generator=g)
    noise = torch.from_numpy(ndimage.gaussian_filter(noise.numpy(), (0, 1.2, 1.2, 1.2)))
    found = noise > noise.mean()
    return found[0], found[1]


def surface_points(mask, spacing):
    """Centres of the voxels with an outer neighbour, by SciPy's erosion."""
    array = mask.numpy()
    flat = array.shape[0] == 1
    shape = ndimage.generate_binary_structure(2, 1)[None] if flat else None
    edge = array & ~ndimage.binary_erosion(array, shape)
    return np.argwhere(edge) * np.array(spacing)


def brute(one, two, spacing):
    a, b = surface_points(one, spacing), surface_points(two, spacing)
    apart = np.linalg.norm(a[:, None] - b[None], axis=-1)
    return apart.min(axis=1), apart.min(axis=0)


@given(st.integers(0, 500))
@settings(max_examples=25)
def test_equals_brute_force(seed):
    one, two = blobs(seed)
    there, back = directed_distances(one, two, SPACING)
    slow_there, slow_back = brute(one, two, SPACING)
    np.testing.assert_allclose(np.sort(there), np.sort(slow_there), atol=1e-12)
    np.testing.assert_allclose(np.sort(back), np.sort(slow_back), atol=1e-12)


@pytest.mark.parametrize("shape", [(1, 12, 15), (6, 1, 9), (5, 8, 1), (1, 1, 20)])
def test_equals_brute_force_on_thin_blocks(shape):
    g = torch.Generator().manual_seed(3)
    one, two = torch.rand(2, *shape, generator=g) > 0.6
    there, back = directed_distances(one, two, SPACING)
    if shape[0] == 1:
        slow_there, slow_back = brute(one, two, SPACING)
        np.testing.assert_allclose(np.sort(there), np.sort(slow_there), atol=1e-12)
        np.testing.assert_allclose(np.sort(back), np.sort(slow_back), atol=1e-12)
    else:  # in a block one voxel thick across y or x every voxel is surface
        assert len(there) == int(one.sum())
        assert len(back) == int(two.sum())


def test_the_figures_are_those_of_the_distances():
    one, two = blobs(11)
    a, b = brute(one, two, SPACING)
    found = surface_distance(one, two, SPACING)
    both = np.concatenate([a, b])
    assert found.hausdorff == pytest.approx(both.max())
    assert found.hd95 == pytest.approx(np.percentile(both, 95))
    assert found.hd95_directed == pytest.approx(max(np.percentile(a, 95), np.percentile(b, 95)))
    assert found.assd == pytest.approx((a.sum() + b.sum()) / (len(a) + len(b)))
    assert found.mean_first == pytest.approx(a.mean())
    assert found.mean_second == pytest.approx(b.mean())


def test_hausdorff_agrees_with_scipy():
    one, two = blobs(12)
    a, b = surface_points(one, SPACING), surface_points(two, SPACING)
    expected = max(directed_hausdorff(a, b)[0], directed_hausdorff(b, a)[0])
    assert surface_distance(one, two, SPACING).hausdorff == pytest.approx(expected)


def test_hausdorff_of_separate_balls_agrees_with_simpleitk():
    sitk = pytest.importorskip("SimpleITK")
    z, y, x = np.ogrid[:16, :18, :40]
    one = torch.from_numpy((z - 8) ** 2 + (y - 8) ** 2 + (x - 8) ** 2 <= 30)
    two = torch.from_numpy((z - 7) ** 2 + (y - 9) ** 2 + (x - 28) ** 2 <= 40)
    images = []
    for mask in (one, two):
        image = sitk.GetImageFromArray(mask.numpy().astype(np.uint8))
        image.SetSpacing(SPACING[::-1])
        images.append(image)
    measure = sitk.HausdorffDistanceImageFilter()
    measure.Execute(*images)
    # SimpleITK measures between whole masks, whose farthest points lie on the surface here
    found = surface_distance(one, two, SPACING).hausdorff
    assert found == pytest.approx(measure.GetHausdorffDistance(), abs=1e-4)


@pytest.mark.parametrize("shift", [1, 4])
def test_parallel_slabs_are_as_far_apart_as_they_were_moved(shift):
    one = torch.zeros(12, 6, 6, dtype=torch.bool)
    one[1] = True
    found = surface_distance(one, one.roll(shift, 0), (1.5, 1.0, 1.0))
    assert (found.hausdorff, found.hd95, found.assd) == (1.5 * shift,) * 3


def test_a_mask_is_no_distance_from_itself():
    one, _ = blobs(13)
    assert set(surface_distance(one, one, SPACING)) == {0.0}


def test_swapping_the_masks_swaps_the_two_means():
    one, two = blobs(14)
    there, back = surface_distance(one, two, SPACING), surface_distance(two, one, SPACING)
    assert there.hd95 == pytest.approx(back.hd95)
    assert (there.mean_first, there.mean_second) == pytest.approx(
        (back.mean_second, back.mean_first)
    )


def test_the_unit_is_that_of_the_spacing():
    one, two = blobs(15)
    small = surface_distance(one, two, SPACING)
    large = surface_distance(one, two, (20.0, 7.0, 13.0))
    np.testing.assert_allclose(np.array(large), 10 * np.array(small))


def test_room_around_the_masks_changes_nothing():
    one, two = blobs(16)
    inner = [torch.nn.functional.pad(m[1:-1, 1:-1, 1:-1], (1,) * 6) for m in (one, two)]
    wide = [torch.nn.functional.pad(m, (3, 5, 2, 4, 1, 6)) for m in inner]
    assert surface_distance(*wide, SPACING) == surface_distance(*inner, SPACING)


def test_the_two_conventions_of_hd95_differ_where_one_surface_strays():
    one = torch.zeros(1, 1, 200, dtype=torch.bool)
    one[..., ::2] = True
    two = one.clone()
    two[..., 100:] = False
    found = surface_distance(one, two, (1.0, 1.0, 1.0))
    assert found.hd95_directed > found.hd95 + 1


@pytest.mark.parametrize("which", [0, 1])
def test_refuses_an_empty_mask(which):
    masks = [blobs(1)[0], torch.zeros(7, 9, 8, dtype=torch.bool)]
    name = "second" if which == 0 else "first"
    with pytest.raises(RegionError, match=f"the {name} mask must not be empty"):
        surface_distance(masks[which], masks[1 - which], SPACING)


def test_refuses_masks_of_two_shapes():
    with pytest.raises(ShapeError, match=r"masks must have one shape \(z, y, x\)"):
        surface_distance(blobs(1)[0], blobs(1, (7, 9, 9))[0], SPACING)


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_refuses_a_spacing_that_is_not_positive(bad):
    with pytest.raises(UnitError, match="spacing must be positive along"):
        surface_distance(*blobs(1), (1.0, bad, 1.0))
