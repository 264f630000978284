"""Few views: filtered back-projection collapses, and an iteration says that data do not decide."""

import math

import pytest
import torch

from vesalius.core import Grid
from vesalius.physics import rasterise, shepp_logan
from vesalius.physics.ct import Projections, exact_projections, parallel
from vesalius.reconstruct.ct import Iterative, fbp, iterate

N = 128
STEP = 1.6
START = -(N - 1) / 2 * STEP
GRID = Grid.from_spacing((1, N, N), (1.0, STEP, STEP), origin_mm=(START, START, 0.0))
HEAD = shepp_logan(half_size_mm=98.0)


def measure(views: int) -> Projections:
    angles = torch.arange(views, dtype=torch.float64) * 180.0 / views
    geometry = parallel(angles, shape=(1, 211), pitch_mm=(1.0, 1.0))
    return exact_projections(HEAD, geometry, subrays=(1, 4))


def psnr(image: torch.Tensor) -> float:
    truth = rasterise(HEAD, GRID).data[0]
    return 10 * math.log10(float(truth.max()) ** 2 / float((image - truth).square().mean()))


def test_one_view_is_smeared_along_its_rays():
    image = fbp(measure(1), like=GRID).image.data[0, 0]
    # at angle 0 rays run along x: all columns are the same, and nothing is known along them
    torch.testing.assert_close(image, image[:, :1].expand_as(image), atol=1e-6, rtol=0)
    assert float(image.std(dim=0).mean()) > 1e-3


def test_two_views_are_the_sum_of_one_smeared_along_each():
    both, flat = measure(2), measure(1)
    upright = Projections(both.data[1:], both.geometry.take(slice(1, 2)))
    image = fbp(both, like=GRID).image.data
    # each of two views stands for half of the angle that a single one stands for
    parts = [fbp(one, like=GRID).image.data / 2 for one in (flat, upright)]
    torch.testing.assert_close(image, parts[0] + parts[1], atol=1e-6, rtol=0)


def test_filtered_back_projection_collapses_with_fewer_views_and_comes_back_with_more():
    found = {k: psnr(fbp(measure(k), like=GRID).image.data[0]) for k in (1, 2, 8, 64, 256)}
    assert list(found.values()) == sorted(found.values())
    assert max(found[1], found[2]) < 5.0
    assert found[256] > 25.0


@pytest.mark.parametrize(("views", "known"), [(2, False), (128, True)])
def test_an_iteration_without_a_prior_says_whether_there_were_enough_rays(views, known):
    found = iterate(measure(views), like=GRID, method=Iterative("sirt", steps=3))
    assert found.identifiable is known


def test_where_views_are_too_few_an_iteration_is_far_better():
    scan = measure(8)
    fitted = iterate(scan, like=GRID, method=Iterative("sirt", steps=30)).image.data[0]
    assert psnr(fitted) > psnr(fbp(scan, like=GRID).image.data[0]) + 5.0
