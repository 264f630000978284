"""Volumes from light-field frames: beads of known place, and a real vesicle."""
# SPDX-License-Identifier: Apache-2.0

import itertools
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from torch import Tensor

from vesalius.core import Image
from vesalius.errors import GeometryError, IntensityError, ShapeError
from vesalius.physics.optics import LightField, MicrolensArray, Objective, lightfield_psf
from vesalius.reconstruct.optics import (
    RichardsonLucy,
    find_lattice,
    lightfield_volume,
    pupil_gain,
    rectify,
)

UM = 1e-3
OBJECTIVE = Objective(na=1.2, index=1.35, wavelength_nm=593, magnification=60)
ARRAY = MicrolensArray(pitch_mm=0.1, focal_mm=2.5, pixels=15)
DEPTHS = torch.arange(-4, 4, dtype=torch.float64) * UM
STEP_UM = 1.0


def bead_frame(depth_um: float, place: tuple[int, int], photons: float, seed: int) -> Tensor:
    """A frame of 12 x 12 lenslets with one bead off the lattice of the reconstruction.

    The wave is sampled finer (4 a pixel) and the place is one of 5 across a lenslet where the
    reconstruction has 3; the depth lies between its slices.
    """
    fine = MicrolensArray(pitch_mm=0.1, focal_mm=2.5, pixels=15, oversample=4)
    psf = lightfield_psf(OBJECTIVE, fine, torch.tensor([depth_um * UM]).double(), voxels=5)
    op = LightField(psf, 15, (12, 12))
    x = torch.zeros(op.domain)
    x[0, place[0], place[1]] = photons
    generator = torch.Generator().manual_seed(seed)
    return torch.poisson(op(x).clamp(min=0) + 1.0, generator=generator)


def brightest(image: Image) -> list[float]:
    """Centroid (x, y, z) around the brightest voxel, um."""
    data = image.data[0]
    peak = torch.tensor(np.unravel_index(int(data.argmax()), data.shape))
    index = torch.cartesian_prod(*(torch.arange(n) for n in data.shape))
    near = ((index - peak).abs() <= torch.tensor([1, 2, 2])).all(dim=1)
    weight = data.flatten()[near].double()
    at = (index[near] * weight[:, None]).sum(dim=0) / weight.sum()
    return (image.grid.to_world(at) / UM).tolist()


@pytest.mark.slow
@pytest.mark.parametrize("depth_um", [-2.6, 1.7])
def test_a_bead_is_found_within_half_a_step(depth_um):
    frame = bead_frame(depth_um, (31, 28), 2e4, seed=1)
    options = RichardsonLucy(steps=15, background=1.0)
    found = lightfield_volume(frame, OBJECTIVE, ARRAY, depths_mm=DEPTHS, options=options)
    x, y, z = brightest(found.image)
    # voxel k of 60 lies at (k - 29.5) / 5 lenslets of 100 um, seen 60 times smaller
    expected = [(k - 29.5) / 5 * 100 / 60 for k in (28, 31)]
    assert z == pytest.approx(depth_um, abs=STEP_UM / 2)
    assert [x, y] == pytest.approx(expected, abs=100 / 60 / 3 / 2)
    assert all(b < a for a, b in itertools.pairwise(found.residual))


def small(frame: Tensor | None = None, **options: object) -> Image:
    array = MicrolensArray(pitch_mm=0.1, focal_mm=2.5, pixels=5, oversample=4)
    frame = torch.ones(20, 30) if frame is None else frame
    return lightfield_volume(
        frame, OBJECTIVE, array, depths_mm=torch.tensor([-UM, 0, UM]), voxels=2, **options
    ).image


def test_the_grid_is_in_the_specimen():
    grid = small().grid
    assert grid.shape == (3, 8, 12)
    assert grid.spacing_mm == pytest.approx((UM, 0.1 / 120, 0.1 / 120))
    middle = grid.to_world(torch.tensor([1, 3.5, 5.5], dtype=torch.float64))
    torch.testing.assert_close(middle, torch.zeros(3).double(), atol=1e-9, rtol=0)


def test_a_dark_frame_gives_a_dark_volume():
    assert not small(torch.zeros(20, 30)).data.any()


def test_the_pupil_of_the_psf_itself_has_no_gain():
    psf = lightfield_psf(OBJECTIVE, ARRAY, torch.tensor([0.0]).double())
    across = psf.shape[-1] // 15
    seen = psf.sum(dim=(0, 1, 2)).reshape(across, 15, across, 15).sum(dim=(0, 2))
    gain = pupil_gain(psf, seen.repeat(3, 4), pixels=15)
    torch.testing.assert_close(gain, torch.ones(15, 15))


def test_a_stop_in_the_pupil_is_found():
    psf = lightfield_psf(OBJECTIVE, ARRAY, torch.tensor([0.0]).double())
    across = psf.shape[-1] // 15
    seen = psf.sum(dim=(0, 1, 2)).reshape(across, 15, across, 15).sum(dim=(0, 2))
    stop = torch.ones(15, 15)
    stop[:, :4] = 0.3
    torch.testing.assert_close(pupil_gain(psf, (seen * stop).repeat(2, 2), pixels=15), stop)


def read(data_dir: Path, name: str) -> Tensor:
    path = data_dir / "reconstruction" / "lfm_guv" / f"{name}_GUVExperim1.tif"
    return torch.from_numpy(tifffile.imread(path).astype(np.float32))


@pytest.mark.slow
def test_the_reprojection_of_a_real_vesicle_comes_closer_with_every_step(data_dir):
    white = read(data_dir, "Radiometry") - read(data_dir, "DarkFrame")
    lattice = find_lattice(white, pitch_px=100 / 6.5)
    # the frame was stored with an offset below the dark frame's: it is taken as it is
    frame = rectify(read(data_dir, "Lightfield"), lattice, pixels=15)
    even = rectify(white, lattice, pixels=15)
    # coarser in depth and wave than a user would, to be quick
    array = MicrolensArray(pitch_mm=0.1, focal_mm=2.5, pixels=15, oversample=2)
    found = {
        name: lightfield_volume(
            frame,
            OBJECTIVE,
            array,
            depths_mm=torch.tensor([-4.0, -2, 0, 2, 4]).double() * UM,
            white=pupil,
            options=RichardsonLucy(steps=15),
        )
        for name, pupil in (("ideal", None), ("measured", even))
    }
    for result in found.values():
        assert result.steps == 15
        assert all(b < a for a, b in itertools.pairwise(result.residual))
    assert found["measured"].residual[-1] < 0.7 * found["ideal"].residual[-1]
    # a hollow sphere: in its middle plane the wall is brighter than the inside
    plane = found["measured"].image.data[0, 1]
    assert float(plane.max()) > 5 * float(plane[36:46, 36:46].mean())


def test_refuses_a_raw_frame():
    with pytest.raises(ShapeError, match=r"frame must be .* of whole lenslets of 5 pixels"):
        small(torch.ones(20, 31))


def test_refuses_a_white_frame_that_was_not_rectified():
    with pytest.raises(ShapeError, match=r"white must be .* of whole lenslets of 5 pixels"):
        small(white=torch.ones(22, 30))


def test_refuses_a_white_frame_without_light():
    with pytest.raises(IntensityError, match="light every pixel behind a lenslet"):
        small(white=torch.zeros(20, 30))


@pytest.mark.parametrize("depths", [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0, 3.0]])
def test_refuses_uneven_depths(depths):
    with pytest.raises(GeometryError, match="depths_mm must be evenly spaced and increasing"):
        lightfield_volume(
            torch.ones(15, 15), OBJECTIVE, ARRAY, depths_mm=torch.tensor(depths).double()
        )
