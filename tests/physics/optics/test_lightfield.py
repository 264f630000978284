"""The light-field PSF and operator against energy, rays, symmetry and direct sums."""
# SPDX-License-Identifier: Apache-2.0

import math

import pytest
import torch
from torch import Tensor

from vesalius.errors import GeometryError, IntensityError, ShapeError
from vesalius.physics.optics import (
    LightField,
    MicrolensArray,
    Objective,
    lightfield_psf,
    lightfield_reach,
)

# the camera of the real frame in the test data
OBJECTIVE = Objective(na=1.2, index=1.35, wavelength_nm=593, magnification=60)
ARRAY = MicrolensArray(pitch_mm=0.1, focal_mm=2.5, pixels=15)


@pytest.fixture(scope="module")
def psf() -> Tensor:
    depths = torch.tensor([-3e-3, 0.0, 3e-3], dtype=torch.float64)
    return lightfield_psf(OBJECTIVE, ARRAY, depths)


def test_almost_all_light_is_caught_and_none_is_made(psf):
    caught = psf.sum(dim=(-1, -2))
    assert float(caught.min()) > 0.98
    assert float(caught.max()) < 1.001


def test_a_point_in_focus_lights_its_own_lenslet(psf):
    reach = psf.shape[-1] // 15 // 2
    own = psf[1, 1, 1, reach * 15 : reach * 15 + 15, reach * 15 : reach * 15 + 15]
    assert float(own.sum()) > 0.85


def test_rays_of_a_far_point_spread_and_those_of_a_near_point_cross(psf):
    """Behind the neighbour on the right, the spot lies right of its axis for z > 0."""
    reach = psf.shape[-1] // 15 // 2
    rows = slice(reach * 15, reach * 15 + 15)
    columns = slice((reach + 1) * 15, (reach + 2) * 15)
    at = torch.arange(15) - 7.0
    places = [
        float((tile.sum(dim=0) * at).sum() / tile.sum())
        for tile in (psf[d, 1, 1, rows, columns] for d in (0, 2))
    ]
    # a ray through the lenslet's middle leaves 1.67 um off the axis, 3 um away: sin(theta) = .486
    ray = 2.5 * 1.35 * math.sin(math.atan(0.1 / 60 / 3e-3)) / 60 / (0.1 / 15)
    assert places[1] == pytest.approx(ray, abs=1.2)
    assert places[0] == pytest.approx(-ray, abs=1.2)


def test_mirrored_places_have_mirrored_images(psf):
    bench = lightfield_psf(OBJECTIVE, ARRAY, torch.tensor([2e-3]).double(), voxels=2)
    torch.testing.assert_close(bench[0, 0, 0], bench[0, 1, 1].flip(0, 1))
    torch.testing.assert_close(psf[0, 0, 2], psf[0, 0, 0].flip(1))
    torch.testing.assert_close(psf[0, 1, 0], psf[0, 0, 1].T)


def test_finer_sampling_of_the_wave_changes_little(psf):
    fine = MicrolensArray(pitch_mm=0.1, focal_mm=2.5, pixels=15, oversample=5)
    other = lightfield_psf(OBJECTIVE, fine, torch.tensor([3e-3]).double(), voxels=1)[0, 0, 0]
    assert float((other - psf[2, 1, 1]).norm() / other.norm()) < 0.02


def test_the_reach_grows_with_the_depth():
    near, far = (
        lightfield_reach(OBJECTIVE, ARRAY, torch.tensor([d], dtype=torch.float64))
        for d in (0.0, 7e-3)
    )
    assert near == 1
    assert far == math.ceil(7e-3 * math.tan(math.asin(1.2 / 1.35)) * 60 / 0.1) + 1


def direct(psf: Tensor, pixels: int, lenslets: tuple[int, int], x: Tensor) -> Tensor:
    """Add the image of every voxel, one by one."""
    depth, voxels = psf.shape[:2]
    side = psf.shape[-1]
    reach = side // pixels // 2
    rows, columns = lenslets
    wide = torch.zeros((rows + 2 * reach) * pixels, (columns + 2 * reach) * pixels).double()
    for d in range(depth):
        for y in range(rows * voxels):
            for c in range(columns * voxels):
                top, left = y // voxels * pixels, c // voxels * pixels
                wide[top : top + side, left : left + side] += (
                    x[d, y, c] * psf[d, y % voxels, c % voxels]
                )
    edge = reach * pixels
    return wide[edge : edge + rows * pixels, edge : edge + columns * pixels]


@pytest.mark.parametrize(("voxels", "pixels", "across"), [(2, 3, 3), (3, 2, 5), (1, 4, 1)])
def test_is_the_sum_of_the_images_of_all_voxels(voxels, pixels, across):
    generator = torch.Generator().manual_seed(6)
    kernel = torch.rand(
        2, voxels, voxels, pixels * across, pixels * across, generator=generator
    ).double()
    op = LightField(kernel, pixels, (4, 3))
    x = torch.rand(op.domain, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(op(x), direct(kernel, pixels, (4, 3), x))


def test_complex_volumes_pass_by_their_parts():
    op = LightField(torch.rand(1, 2, 2, 9, 9).double(), 3, (3, 3))
    x = torch.complex(torch.rand(op.domain), torch.rand(op.domain)).to(torch.complex128)
    torch.testing.assert_close(op(x), torch.complex(op(x.real), op(x.imag)))
    y = op(x)
    torch.testing.assert_close(op.H(y).imag, op.H(y.imag))


@pytest.mark.parametrize("shape", [(1, 2, 3, 9, 9), (1, 2, 2, 9, 12), (1, 2, 2, 6, 6)])
def test_refuses_a_psf_of_another_form(shape):
    with pytest.raises(ShapeError, match=r"psf must have \(depth, n, n, m, m\)"):
        LightField(torch.ones(shape), 3, (3, 3))


def test_refuses_no_lenslets():
    with pytest.raises(ShapeError, match=r"lenslets must be \(rows, columns\) of at least 1"):
        LightField(torch.ones(1, 1, 1, 3, 3), 3, (0, 3))


def test_refuses_a_negative_psf():
    with pytest.raises(IntensityError, match="psf must be finite and at least 0, got others"):
        LightField(-torch.ones(1, 1, 1, 3, 3), 3, (3, 3))


@pytest.mark.parametrize("bad", [{"pitch_mm": 0.0}, {"focal_mm": -1.0}])
def test_refuses_lengths_that_are_not_positive(bad):
    with pytest.raises(GeometryError, match="pitch_mm and focal_mm must be positive"):
        MicrolensArray(**({"pitch_mm": 0.1, "focal_mm": 2.5, "pixels": 15} | bad))


def test_refuses_no_pixels():
    with pytest.raises(GeometryError, match="pixels and oversample must be at least 1"):
        MicrolensArray(0.1, 2.5, 0)


@pytest.mark.parametrize(("depths", "voxels"), [([], 3), ([float("nan")], 3), ([0.0], 0)])
def test_refuses_no_depth(depths, voxels):
    with pytest.raises(GeometryError, match="depths_mm must be finite, at least one"):
        lightfield_psf(OBJECTIVE, ARRAY, torch.tensor(depths).double(), voxels=voxels)
