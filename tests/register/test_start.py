"""Starts: headers, centres, moments, the search of orientations; what each refuses."""

import inspect

import numpy as np
import pytest
import torch
from linear_cases import centred, farthest, mean_apart, moved, orthogonal, sampled

from vesalius.core import Grid, Image, Linear
from vesalius.errors import ConfigError, GeometryError, IntensityError
from vesalius.register._level import Masks
from vesalius.register._linear import solve_linear
from vesalius.register._mutual_information import MutualInformation
from vesalius.register._ncc import Ncc
from vesalius.register._plan import GaussNewton, Scale, Stage
from vesalius.register._start import _turns, overlap, start_transform
from vesalius.register._watch import Watch

IDENTITY = Linear.identity()
GRID = centred((18, 18, 18), (2.5, 2.5, 2.5))


def anywhere(seed, *, shift_mm=80):
    """Draw a rigid map of any angle, and the object moved by it on a grid of its own."""
    rng = np.random.default_rng(seed)
    turn = orthogonal(rng)
    matrix = torch.eye(4, dtype=torch.float64)
    matrix[:3, :3] = torch.from_numpy(turn * np.linalg.det(turn))
    matrix[:3, 3] = torch.from_numpy(rng.uniform(-shift_mm, shift_mm, 3))
    truth = Linear(matrix)
    middle = tuple(truth.matrix[:3, 3].tolist())
    grid = centred((18, 20, 19), (2.3, 2.5, 2.4), turn=orthogonal(rng), middle_mm=middle)
    return truth, sampled(grid, transform=truth.inverse())


def test_by_headers_nothing_moves():
    start = start_transform(sampled(GRID), sampled(GRID))
    torch.testing.assert_close(start.matrix, IDENTITY.matrix)


def test_by_headers_fields_of_view_must_overlap():
    image = sampled(GRID)
    away = Image(image.data, centred((18, 18, 18), (2.5, 2.5, 2.5), middle_mm=(0.0, 300.0, 0.0)))
    with pytest.raises(GeometryError, match=r"centres are 300\.0 mm apart: use init=.moments."):
        start_transform(image, away)


def test_a_small_field_of_view_inside_a_large_one_overlaps_it():
    small = centred((3, 3, 3), (1.0, 1.0, 1.0), middle_mm=(20.0, 0.0, 0.0))
    assert overlap(small, GRID) == 1
    assert overlap(GRID, small) == 1
    assert overlap(GRID, GRID) == 1
    beside = centred((18, 18, 18), (2.5, 2.5, 2.5), middle_mm=(22.5, 0.0, 0.0))
    assert overlap(GRID, beside) == pytest.approx(0.5, abs=0.05)


def test_slices_of_different_planes_do_not_overlap_by_headers():
    one = sampled(centred((1, 20, 20), (2.0, 2.0, 2.0)))
    two = Image(one.data, centred((1, 20, 20), (2.0, 2.0, 2.0), middle_mm=(0.0, 0.0, 5.0)))
    with pytest.raises(GeometryError, match="the fields of view must overlap in the world"):
        start_transform(one, two)
    start = start_transform(one, two, "centre")
    torch.testing.assert_close(start.matrix[:3, 3], torch.tensor([0.0, 0.0, 5.0]).double())


def test_centres_of_the_fields_of_view_are_laid_on_each_other():
    moving = sampled(centred((9, 14, 11), (2.0, 3.0, 4.0), middle_mm=(31.0, -12.0, 7.0)))
    start = start_transform(sampled(GRID), moving, "centre")
    torch.testing.assert_close(start(torch.zeros(3)), torch.tensor([31.0, -12.0, 7.0]))


def test_centres_of_the_masks_are_laid_on_each_other():
    image = sampled(GRID)
    mask = torch.zeros(1, 18, 18, 18)
    mask[0, 3, 4, 5] = 1
    start = start_transform(image, image, "centre", masks=Masks(Image(mask, GRID)))
    at = GRID.to_world(torch.tensor([3.0, 4.0, 5.0], dtype=torch.float64))
    torch.testing.assert_close(start(at), torch.zeros(3).double(), atol=1e-6, rtol=0)


@pytest.mark.parametrize("ground", [0.0, -1000.0, 255.0])
@pytest.mark.parametrize("sign", [1, -1])
def test_moments_find_a_shifted_object_on_any_ground(ground, sign):
    truth = Linear.translation((70.0, -20.0, 33.0))
    grid = centred((20, 20, 20), (2.5, 2.5, 2.5), middle_mm=(72.0, -18.0, 30.0))
    images = sampled(GRID), sampled(grid, transform=truth.inverse())
    fixed, moving = (image.map(lambda x: ground + sign * 200 * x) for image in images)
    start = start_transform(fixed, moving, "moments")
    assert farthest(start, truth) < 1.5


def test_moments_look_inside_the_mask():
    fixed = sampled(GRID)
    junk, mask = fixed.data.clone(), torch.ones_like(fixed.data)
    junk[:, 14:, 14:] += 30.0
    mask[:, 13:, 13:] = 0
    spoilt = Image(junk, GRID)
    off = start_transform(spoilt, fixed, "moments")
    near = start_transform(
        spoilt, fixed, "moments", masks=Masks(Image(mask, GRID), Image(mask, GRID))
    )
    assert farthest(off, IDENTITY) > 3
    assert farthest(near, IDENTITY) < 0.5


@pytest.mark.parametrize("init", ["moments", "search"])
@pytest.mark.parametrize("value", [5.0, float("nan")])
def test_refuses_an_image_without_an_object(init, value):
    flat = Image(torch.full((1, 9, 9, 9), value), centred((9, 9, 9), (4.0, 4.0, 4.0)))
    with pytest.raises(IntensityError, match="hold something that differs from its border"):
        start_transform(flat, flat, init)


def test_refuses_an_unknown_start():
    with pytest.raises(ConfigError, match="init must be one of header, centre, moments, search"):
        inspect.unwrap(start_transform)(sampled(GRID), sampled(GRID), "guess")


@pytest.mark.parametrize("seed", range(3))
def test_a_search_finds_any_orientation(seed):
    truth, moving = anywhere(seed)
    start = start_transform(sampled(GRID), moving, "search")
    assert farthest(start, truth) < 1.5
    stage = Stage("rigid", Ncc(), GaussNewton(), (Scale(2, 20),))
    end = solve_linear(sampled(GRID), moving, stage, start=start, watch=Watch())
    assert mean_apart(end, truth, GRID) < 0.1 * 2.5


def test_a_search_by_mutual_information_finds_an_orientation_between_contrasts():
    truth, moving = anywhere(9)
    other = moving.map(lambda x: 3 - x)
    start = start_transform(sampled(GRID), other, "search", similarity=MutualInformation(24))
    assert farthest(start, truth) < 2.5


def test_a_search_keeps_the_orientation_of_the_header_where_none_is_better():
    """A ball looks the same from everywhere."""
    axes = torch.linspace(-1, 1, 18)
    z, y, x = torch.meshgrid(axes, axes, axes, indexing="ij")
    ball = Image(torch.exp(-6 * (z * z + y * y + x * x))[None], GRID)
    shifted = Image(ball.data, centred((18, 18, 18), (2.5, 2.5, 2.5), middle_mm=(50.0, 0.0, 0.0)))
    start = start_transform(ball, shifted, "search")
    assert farthest(start, Linear.translation((50.0, 0.0, 0.0))) < 0.5


def test_a_search_turns_slices_in_their_plane():
    one = centred((1, 30, 30), (2.0, 1.6, 1.6))
    truth = Linear.translation((60.0, 20.0, 0.0)) @ Linear.rotation(
        (0.0, 0.0, 130.0), centre_mm=(0.0, 0.0, 0.0)
    )
    two = centred((1, 32, 32), (2.0, 1.6, 1.6), middle_mm=(60.0, 20.0, 0.0))
    start = start_transform(sampled(one), sampled(two, transform=truth.inverse()), "search")
    assert mean_apart(start, truth, one) < 0.8


def test_slices_of_tilted_planes_are_brought_into_one_plane():
    one = centred((1, 30, 30), (2.0, 1.6, 1.6))
    tilt = Linear.rotation((50.0, 0.0, 0.0), centre_mm=(0.0, 0.0, 0.0))
    two = Grid(one.shape, tilt.matrix @ one.affine)
    image = sampled(one)
    start = start_transform(image, Image(image.data, two), "centre")
    assert mean_apart(start, tilt, one) < 1e-6


def test_the_orientations_are_rotations_spread_evenly():
    turns = torch.stack(_turns(400))
    torch.testing.assert_close(
        turns @ turns.mT, torch.eye(3).double().expand(400, 3, 3), atol=1e-9, rtol=0
    )
    assert float(torch.linalg.det(turns).min()) > 0
    rng = np.random.default_rng(0)
    for _ in range(50):
        turn = orthogonal(rng)
        turn = torch.from_numpy(turn * np.linalg.det(turn))
        traces = torch.einsum("nij,ij->n", turns, turn)
        nearest = float(torch.rad2deg(torch.arccos(((traces.max() - 1) / 2).clamp(-1, 1))))
        assert nearest < 30


def test_the_start_is_rigid():
    truth, moving = anywhere(2)
    for init in ("centre", "moments", "search"):
        block = start_transform(sampled(GRID), moving, init).matrix[:3, :3]
        torch.testing.assert_close(block @ block.T, torch.eye(3).double(), atol=1e-9, rtol=0)
        assert float(torch.linalg.det(block)) == pytest.approx(1)
    assert farthest(truth, moved(np.random.default_rng(0), angle_deg=1, shift_mm=1)) > 5
