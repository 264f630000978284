"""Canny's edges: scikit-image's in a plane, the right place in the world, gaps, short ones."""

import numpy as np
import pytest
import scipy.ndimage as ndi
import torch

from vesalius.core import Grid, Image, Labels
from vesalius.errors import ConfigError, RegionError
from vesalius.segment import Hints, segment
from vesalius.segment.regions import Canny

PLANE = Grid.from_spacing((1, 64, 70), (1.0, 1.0, 1.0))


def _image(x, grid=PLANE):
    return Image(torch.from_numpy(np.asarray(x, dtype=np.float64)).reshape(1, *grid.shape), grid)


def _edges(x, method, grid=PLANE, **hints):
    return segment(_image(x, grid), method, hints=Hints(**hints)).labels.data[0].numpy()


def _scene(seed, shape=(64, 70)):
    return ndi.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 2.0) * 10


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("sigma", [1.0, 1.7])
def test_edges_in_a_plane_are_scikit_images_but_near_the_border(seed, sigma):
    from skimage.feature import canny

    x = _scene(seed)
    # its Sobel operator is 8 times the derivative; beyond the border it takes 0, we repeat the edge
    wanted = canny(x, sigma=sigma, low_threshold=2.0, high_threshold=4.0, mode="nearest")
    found = _edges(x, Canny(sigma, low=0.25, high=0.5, scale="absolute")) != 0
    core = (slice(2, -2),) * 2
    both = (found[0][core] & wanted[core]).sum()
    assert wanted.sum() > 100
    assert both >= 0.99 * max(wanted[core].sum(), found[0][core].sum())


def _ball(grid, radius):
    axes = [
        (np.arange(n) - (n - 1) / 2) * s for n, s in zip(grid.shape, grid.spacing_mm, strict=True)
    ]
    z, y, x = np.meshgrid(*axes, indexing="ij")
    return np.sqrt(z**2 + y**2 + x**2), radius


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.5, 0.8, 1.2), (1.0, 2.0, 0.5)])
def test_the_surface_of_a_ball_is_found_in_the_world(spacing):
    shape = tuple(int(26 / s) for s in spacing)
    grid = Grid.from_spacing(shape, spacing)
    far, radius = _ball(grid, 8.0)
    smooth = 1 / (1 + np.exp((far - radius) / 0.7))
    found = _edges(smooth, Canny(1.0, low=0.1, high=0.15, scale="absolute"), grid)
    assert found.max() == 1
    away = np.abs(far[found > 0] - radius)
    assert away.mean() < 0.4 * max(spacing)
    assert away.max() < 1.1 * max(spacing)
    # every direction from the centre meets the surface
    rays = np.random.default_rng(0).normal(size=(300, 3))
    points = radius * rays / np.linalg.norm(rays, axis=1, keepdims=True)
    at = (np.argwhere(found > 0) - (np.array(shape) - 1) / 2) * spacing
    gaps = np.linalg.norm(points[:, None] - at, axis=2).min(axis=1)
    assert gaps.max() < 1.1 * max(spacing)


def test_directions_follow_the_world_where_spacing_differs_by_axis():
    """A slanted wall: the gradient of the index is 70 degrees off the one in the world."""
    grid = Grid.from_spacing((1, 30, 60), (1.0, 2.0, 0.5))
    y, x = np.meshgrid(2.0 * np.arange(30), 0.5 * np.arange(60), indexing="ij")
    across = (x - 15 + 0.4 * (y - 30)) / np.hypot(1, 0.4)
    found = _edges(1 / (1 + np.exp(-across)), Canny(1.0, 0.05, 0.1, "absolute"), grid)[0]
    assert np.abs(across[found > 0]).max() < 0.6
    rows = found[3:-3].any(axis=1)
    assert rows.all()


def test_an_edge_is_one_voxel_thick_even_between_two_equal_neighbours():
    x = np.zeros((64, 70))
    x[:, 35:] = 1.0
    found = _edges(x, Canny(1.5, 0.01, 0.1, "absolute"))[0]
    assert (found[3:-3] > 0).sum(axis=1).max() == 1
    assert (found[3:-3] > 0).any(axis=1).all()


def _broken():
    """A wall along x whose contrast fades out over some 6 voxels in the middle."""
    x = np.zeros((64, 70))
    x[32:, :] = 1.0
    height = 1 - 0.95 * np.exp(-(((np.arange(70) - 33) / 6) ** 2))
    return 0.5 + height * (ndi.gaussian_filter(x, 1.0) - 0.5)


def test_a_gap_along_the_edge_is_closed_up_to_its_length():
    x = _broken()
    method = {"sigma_mm": 0.5, "low": 0.1, "high": 0.2, "scale": "absolute"}
    rows = slice(28, 36)

    def across(found):
        return (found[0][rows] > 0).any(axis=0)[4:-4]

    assert not across(_edges(x, Canny(**method))).all()
    closed = segment(_image(x), Canny(**method, gap_mm=12.0))
    assert across(closed.labels.data[0].numpy()).all()
    assert closed.values["links"] >= 1
    short = segment(_image(x), Canny(**method, gap_mm=3.0))
    assert not across(short.labels.data[0].numpy()).all()


def test_no_gap_is_closed_between_parallel_edges():
    x = np.zeros((64, 70))
    x[20:26, 10:60] = 1.0
    method = Canny(0.7, 0.1, 0.2, "absolute", gap_mm=7.0)
    found = segment(_image(ndi.gaussian_filter(x, 0.5)), method)
    inner = found.labels.data[0, 0, 22:24, 16:54]
    assert int((inner != 0).sum()) == 0


def test_short_edges_go_and_the_others_are_numbered_anew():
    x = np.zeros((64, 70))
    x[5:9, 5:9] = 1.0
    x[20:50, 20:60] = 1.0
    method = {"sigma_mm": 0.8, "low": 0.05, "high": 0.1, "scale": "absolute"}
    both = _edges(ndi.gaussian_filter(x, 0.5), Canny(**method))
    assert both.max() == 2
    found = _edges(ndi.gaussian_filter(x, 0.5), Canny(**method, least_span_mm=20.0))
    assert found.max() == 1
    assert np.array_equal(found != 0, both == 2)


def test_quantiles_choose_by_the_share_of_voxels():
    x = _scene(8)
    found = segment(_image(x), Canny(1.0, low=0.7, high=0.9))
    size = found.maps["gradient"].data.numpy()
    assert found.values["low"] == pytest.approx(np.quantile(size, 0.7))
    assert found.values["high"] == pytest.approx(np.quantile(size, 0.9))
    assert size[0][found.labels.data[0].numpy() > 0].min() >= found.values["low"]
    assert found.maps["gradient"].unit == "1/mm"
    assert found.curves[0].marks == (found.values["low"], found.values["high"])


def test_what_lies_outside_the_mask_does_not_count():
    x = _scene(9)
    inside = np.zeros((1, 64, 70), np.uint8)
    inside[0, 10:50, 10:50] = 1
    mask = Labels(torch.from_numpy(inside)[None], PLANE)
    other = np.where(inside[0] != 0, x, 1e6)
    one, two = _edges(x, Canny(), mask=mask), _edges(other, Canny(), mask=mask)
    assert np.array_equal(one, two)
    assert (one > 0).any()
    assert not one[inside == 0].any()


def test_a_constant_image_has_no_edge():
    assert _edges(np.full((64, 70), 3.0), Canny()).max() == 0


def test_refuses_limits_that_make_no_sense():
    image = _image(_scene(1))
    with pytest.raises(ConfigError, match="sigma_mm, gap_mm and least_span_mm must be finite"):
        segment(image, Canny(sigma_mm=-1.0))
    with pytest.raises(ConfigError, match="the limits of an edge must have 0 <= low <= high <= 1"):
        segment(image, Canny(low=0.5, high=1.5))
    with pytest.raises(ConfigError, match="the limits of an edge must have"):
        segment(image, Canny(low=5.0, high=1.5, scale="absolute"))
    thin = np.zeros((1, 64, 70), np.uint8)
    thin[0, 5] = 1
    mask = Labels(torch.from_numpy(thin)[None], PLANE)
    with pytest.raises(RegionError, match="the mask must be thicker than two voxels"):
        segment(image, Canny(), hints=Hints(mask=mask))


def test_a_gaussian_larger_than_the_image_is_refused():
    image = Image(torch.rand(1, 1, 20, 20), Grid.from_spacing((1, 20, 20), (1e-4, 1e-4, 1e-4)))
    with pytest.raises(ConfigError, match="sigma_mm must not exceed the image"):
        segment(image, Canny())
