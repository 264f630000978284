"""The lattice of lenslets: found in made and real frames, and frames brought to it."""
# SPDX-License-Identifier: Apache-2.0

import math
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vesalius.errors import GeometryError, IntensityError, RegionError, ShapeError
from vesalius.reconstruct.optics import Lattice, find_lattice, rectify


def pupils(
    pitch: float, turn_deg: float, offset: tuple[float, float], *, noise: float = 0.0
) -> torch.Tensor:
    """Round pupils on a turned lattice over 200 x 220 pixels, antialiased."""
    angle = math.radians(turn_deg)
    row = np.array([math.cos(angle), -math.sin(angle)]) * pitch
    column = np.array([math.sin(angle), math.cos(angle)]) * pitch
    y, x = np.mgrid[0:200, 0:220].astype(float)
    frame = np.full((200, 220), 20.0)
    for i in range(-20, 40):
        for j in range(-20, 40):
            cy, cx = np.array(offset) + i * row + j * column
            if -pitch < cy < 200 + pitch and -pitch < cx < 220 + pitch:
                r = np.hypot(y - cy, x - cx)
                frame += 1000 * np.clip(0.4 * pitch - r + 0.5, 0, 1)
    generator = torch.Generator().manual_seed(1)
    return torch.from_numpy(frame) + noise * torch.randn(200, 220, generator=generator)


@settings(max_examples=4)
@given(
    st.floats(11, 17),
    st.floats(-2, 2),
    st.tuples(st.floats(0, 10), st.floats(0, 10)),
    st.floats(0.92, 1.08),
)
def test_finds_pitch_rotation_and_offset(pitch, turn, offset, wrong):
    found = find_lattice(pupils(pitch, turn, offset), pitch_px=pitch * wrong)
    assert found.pitch_px == pytest.approx((pitch, pitch), abs=0.01)
    assert found.rotation_deg == pytest.approx(turn, abs=0.05)
    assert found.residual_px < 0.1
    # its first centre is one of those painted
    angle = math.radians(turn)
    steps = pitch * np.array(
        [[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]]
    )
    place = np.linalg.solve(steps, np.array(found.origin) - offset)
    assert np.abs(place - np.round(place)).max() * pitch < 0.1


def test_all_lenslets_lie_in_the_frame_and_no_further_row_would():
    found = find_lattice(pupils(14.0, 0.0, (9.0, 8.0)), pitch_px=14)
    assert found.lenslets == (14, 15)
    assert found.origin == pytest.approx((9.0, 8.0), abs=0.05)
    centres = found.centres()
    assert centres.shape == (14, 15, 2)
    assert float(centres.min()) - 7 >= -0.5 - 0.05


def test_noise_raises_the_residual_and_is_told():
    clean = find_lattice(pupils(14.0, 0.5, (9.0, 8.0)), pitch_px=14)
    noisy = find_lattice(pupils(14.0, 0.5, (9.0, 8.0), noise=200.0), pitch_px=14)
    assert clean.residual_px < noisy.residual_px < 1
    assert noisy.residual_px <= noisy.worst_px


def test_rectified_lenslets_are_all_alike():
    frame = pupils(14.4, 1.0, (9.0, 8.0))
    found = find_lattice(frame, pitch_px=14)
    made = rectify(frame, found, pixels=15)
    rows, columns = found.lenslets
    assert made.shape == (rows * 15, columns * 15)
    tiles = made.reshape(rows, 15, columns, 15)
    mean = tiles.mean(dim=(0, 2), keepdim=True)
    assert float((tiles - mean).abs().mean()) < 0.03 * float(mean.max())
    # upright and centred: the same from all four sides
    mean = mean[0, :, 0]
    torch.testing.assert_close(mean, mean.flip(0), atol=20, rtol=0)
    torch.testing.assert_close(mean, mean.T, atol=20, rtol=0)


def test_rectify_keeps_the_counts():
    lattice = Lattice((7.3, 8.1), (14.4, 0.1), (-0.1, 14.4), (5, 6), 0.0, 0.0)
    frame = torch.full((100, 110), 3.0)
    made = rectify(frame, lattice, pixels=15)
    area = (14.4**2 + 0.1**2) * 30
    assert float(made.sum()) == pytest.approx(3 * area, rel=1e-5)


def test_rectify_of_an_upright_whole_lattice_is_a_crop_for_any_batch():
    frames = torch.rand(2, 3, 50, 60, generator=torch.Generator().manual_seed(2))
    lattice = Lattice((6.0, 7.0), (9.0, 0.0), (0.0, 9.0), (4, 5), 0.0, 0.0)
    made = rectify(frames, lattice, pixels=9)
    torch.testing.assert_close(made, frames[..., 2:38, 3:48])


def read(data_dir: Path, name: str) -> torch.Tensor:
    path = data_dir / "reconstruction" / "lfm_guv" / f"{name}_GUVExperim1.tif"
    return torch.from_numpy(tifffile.imread(path).astype(np.float32))


def test_the_lattice_of_a_real_camera_fits_to_a_third_of_a_pixel(data_dir):
    white = read(data_dir, "Radiometry") - read(data_dir, "DarkFrame")
    found = find_lattice(white, pitch_px=100 / 6.5)
    assert found.residual_px <= 0.3
    assert found.worst_px <= 0.3
    assert found.pitch_px == pytest.approx((100 / 6.5, 100 / 6.5), rel=0.005)
    assert abs(found.rotation_deg) < 0.5
    assert found.lenslets == (28, 28)


def test_refuses_a_frame_without_lenslets():
    generator = torch.Generator().manual_seed(4)
    with pytest.raises(RegionError, match="white must show a lattice of 14 pixels"):
        find_lattice(torch.rand(200, 200, generator=generator), pitch_px=14)


@pytest.mark.parametrize(("size", "pitch"), [(40, 14.0), (200, 2.0), (200, float("nan"))])
def test_refuses_too_few_lenslets(size, pitch):
    with pytest.raises(GeometryError, match="at least 4 lenslets of at least 3 pixels"):
        find_lattice(torch.ones(size, size), pitch_px=pitch)


def test_refuses_a_white_frame_with_nan():
    with pytest.raises(IntensityError, match="white must be finite, got NaN"):
        find_lattice(torch.full((100, 100), float("nan")), pitch_px=14)


def test_refuses_a_frame_of_another_camera():
    lattice = Lattice((7.0, 7.0), (14.0, 0.0), (0.0, 14.0), (9, 9), 0.0, 0.0)
    with pytest.raises(ShapeError, match="the lattice must lie in the frame"):
        rectify(torch.ones(100, 200), lattice, pixels=15)
    with pytest.raises(ShapeError, match="pixels must be at least 1 across a lenslet"):
        rectify(torch.ones(200, 200), lattice, pixels=0)
