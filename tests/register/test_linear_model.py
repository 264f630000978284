"""Freedoms of the linear models: groups, scales, derivatives; rotation parameters."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from linear_cases import centred, moved, orthogonal
from scipy.spatial.transform import Rotation

from vesalius.core import Grid, Image, Linear
from vesalius.errors import GeometryError, RegionError
from vesalius.register._linear_model import freedoms, rigid_parameters

COUNTS = {"translation": 3, "rigid": 6, "similarity": 7, "affine": 12}
FLAT_COUNTS = {"translation": 2, "rigid": 3, "similarity": 4, "affine": 6}


def image(seed=0, *, shape=(6, 8, 10)):
    turn = orthogonal(np.random.default_rng(seed))
    return Image(torch.zeros(1, *shape), centred(shape, (3.0, 2.0, 1.5), turn=turn))


@pytest.mark.parametrize(("model", "count"), COUNTS.items())
def test_a_model_has_its_number_of_freedoms(model, count):
    assert len(freedoms(model, image(), flat=False, mask=None).generators) == count


@pytest.mark.parametrize(("model", "count"), FLAT_COUNTS.items())
def test_in_a_plane_a_model_moves_nothing_across_it(model, count):
    slice_ = image(3, shape=(1, 8, 10))
    allowed = freedoms(model, slice_, flat=True, mask=None)
    assert len(allowed.generators) == count
    step = allowed.step(np.linspace(1, 2, count))
    normal = slice_.grid.direction[:, 0].numpy()
    moved_to = Linear(torch.from_numpy(step))(torch.rand(20, 3, dtype=torch.float64))
    before = Linear(torch.from_numpy(np.linalg.inv(step)))(moved_to)
    np.testing.assert_allclose((moved_to - before).numpy() @ normal, 0, atol=1e-9)


@settings(max_examples=20)
@given(st.lists(st.floats(-60, 60), min_size=6, max_size=6))
def test_a_rigid_step_is_a_rotation_and_a_shift(amounts):
    step = freedoms("rigid", image(), flat=False, mask=None).step(np.array(amounts))
    np.testing.assert_allclose(step[:3, :3] @ step[:3, :3].T, np.eye(3), atol=1e-9)
    assert np.linalg.det(step[:3, :3]) == pytest.approx(1)
    assert step[3].tolist() == [0, 0, 0, 1]


def test_a_similarity_step_scales_alike_along_all_axes():
    step = freedoms("similarity", image(), flat=False, mask=None).step(np.arange(7.0))
    square = step[:3, :3] @ step[:3, :3].T
    np.testing.assert_allclose(square, np.eye(3) * square[0, 0], atol=1e-9)
    assert square[0, 0] > 1.1


@pytest.mark.parametrize("model", ["rigid", "similarity", "affine"])
def test_turning_leaves_the_centre_where_it_is(model):
    allowed = freedoms(model, image(), flat=False, mask=None)
    amounts = np.linspace(-5, 9, len(allowed.generators))
    amounts[:3] = 0
    centre = torch.from_numpy(allowed.centre_mm)
    there = Linear(torch.from_numpy(allowed.step(amounts)))(centre)
    torch.testing.assert_close(there, centre, atol=1e-9, rtol=0)


@pytest.mark.parametrize("model", COUNTS)
def test_the_metric_is_the_mean_square_motion_of_the_voxels(model):
    given = image(1)
    allowed = freedoms(model, given, flat=False, mask=None)
    amounts = 1e-4 * np.random.default_rng(2).standard_normal(len(allowed.generators))
    axes = [torch.arange(10 * n, dtype=torch.float64) / 10 - 0.45 for n in given.grid.shape]
    points = given.grid.to_world(torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1))
    moved_to = Linear(torch.from_numpy(allowed.step(amounts)))(points)
    true = float((moved_to - points).square().sum(-1).mean().sqrt())
    assert allowed.length_mm(amounts) == pytest.approx(true, rel=2e-3)
    assert np.sqrt(amounts @ allowed.metric() @ amounts) == pytest.approx(true, rel=2e-3)


def test_a_unit_of_each_freedom_moves_voxels_by_about_a_millimetre():
    allowed = freedoms("affine", image(), flat=False, mask=None)
    lengths = [allowed.length_mm(row) for row in np.eye(12)]
    assert min(lengths) > 0.3
    assert max(lengths) <= 1.0 + 1e-9


@pytest.mark.parametrize("model", COUNTS)
def test_rates_are_the_derivative_of_the_index_map(model):
    rng = np.random.default_rng(4)
    one, two = image(5).grid, centred((7, 7, 9), (1.0, 2.0, 2.5), turn=orthogonal(rng))
    allowed = freedoms(model, image(5), flat=False, mask=None)
    start = moved(rng, angle_deg=20, shift_mm=10).matrix.numpy()
    rates = allowed.rates(start, one, two)
    index = rng.uniform(0, 6, 3)
    centre = one.to_index(torch.from_numpy(allowed.centre_mm)).numpy()

    def place(amounts):
        whole = np.linalg.inv(two.affine.numpy()) @ start @ allowed.step(amounts)
        return (whole @ one.affine.numpy() @ [*index, 1])[:3]

    there = np.array([1, *(index - centre)])
    for k, row in enumerate(np.eye(len(allowed.generators)) * 1e-5):
        slope = (place(row) - place(-row)) / 2e-5
        np.testing.assert_allclose(rates[:, k].reshape(3, 4) @ there, slope, atol=1e-7)


def test_the_centre_is_that_of_the_mask():
    given = image(6)
    mask = torch.zeros(1, 6, 8, 10)
    mask[0, 1:3, 2, 7] = 1
    allowed = freedoms("rigid", given, flat=False, mask=Image(mask, given.grid))
    true = given.grid.to_world(torch.tensor([1.5, 2.0, 7.0], dtype=torch.float64))
    np.testing.assert_allclose(allowed.centre_mm, true.numpy(), atol=1e-5)


def test_refuses_a_mask_that_misses_the_image():
    given = image()
    away = Image(torch.ones(1, 2, 2, 2), Grid.from_spacing((2, 2, 2), origin_mm=(900, 0, 0)))
    with pytest.raises(RegionError, match="the fixed mask must hold a voxel of the fixed image"):
        freedoms("rigid", given, flat=False, mask=away)


@settings(max_examples=25)
@given(st.tuples(*[st.floats(-100, 100)] * 3), st.tuples(*[st.floats(-50, 50)] * 3))
def test_rotation_and_shift_are_read_back(rotation, shift):
    if np.linalg.norm(rotation) > 179:
        return
    centre = (12.0, -5.0, 3.0)
    whole = Linear.translation(shift) @ Linear.rotation(rotation, centre_mm=centre)
    turn, back = rigid_parameters(whole, centre)
    np.testing.assert_allclose(turn, rotation, atol=1e-6)
    np.testing.assert_allclose(back, shift, atol=1e-8)


def test_the_rotation_vector_is_scipys():
    turn = Rotation.from_euler("xyz", (20, -35, 50), degrees=True)
    matrix = torch.eye(4, dtype=torch.float64)
    matrix[:3, :3] = torch.from_numpy(turn.as_matrix())
    found, _ = rigid_parameters(Linear(matrix), (0.0, 0.0, 0.0))
    np.testing.assert_allclose(found, np.degrees(turn.as_rotvec()), atol=1e-9)


def test_scales_do_not_change_the_rotation_that_is_read():
    turn = Linear.rotation((10.0, 20.0, -30.0), centre_mm=(0.0, 0.0, 0.0))
    grown = Linear(turn.matrix @ torch.diag(torch.tensor([1.1, 1.1, 1.1, 1.0]).double()))
    found, _ = rigid_parameters(grown, (0.0, 0.0, 0.0))
    np.testing.assert_allclose(found, (10, 20, -30), atol=1e-9)


def test_refuses_to_read_the_rotation_of_a_mirror():
    mirror = Linear(torch.diag(torch.tensor([-1.0, 1.0, 1.0, 1.0])))
    with pytest.raises(GeometryError, match="transform must not mirror to have a rotation"):
        rigid_parameters(mirror, (0.0, 0.0, 0.0))
