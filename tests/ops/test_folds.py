"""Folds of a flow, beside loops over tetrahedra, torch's differences and closed forms."""

import math
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vesalius.errors import RegionError, ShapeError
from vesalius.ops._folds import fold_statistics
from vesalius.ops._jacobian import corner_determinants, determinants


def random_flow(seed, shape=(5, 6, 4), size=0.3):
    g = torch.Generator().manual_seed(seed)
    flow = size * torch.randn(3, *shape, generator=g, dtype=torch.float64)
    for axis, n in enumerate(shape):
        if n == 1:
            flow[axis] = 0
    return flow


def decomposed(corners):
    """Both cuttings of a cube (corner index a, b, c) into five, as signed volumes."""
    volumes = []
    for parity in (0, 1):
        apexes = [k for k in product((0, 1), repeat=3) if sum(k) % 2 == parity]
        for k in apexes:
            neighbours = [tuple(v ^ (a == axis) for a, v in enumerate(k)) for axis in range(3)]
            volumes.append(signed(k, neighbours, corners))
        volumes.append(signed(apexes[0], apexes[1:], corners))
    return volumes


def signed(apex, others, corners):
    """Volume of a tetrahedron, negative where the map has turned it over."""
    edges = np.array([corners[o] - corners[apex] for o in others])
    plain = np.array([np.subtract(o, apex) for o in others])
    return np.linalg.det(edges) * np.sign(np.linalg.det(plain)) / 6


@given(st.integers(0, 200))
@settings(max_examples=10)
def test_equals_a_loop_over_both_cuttings_of_each_cell(seed):
    flow = random_flow(seed, (3, 3, 4), 0.4)
    place = flow.numpy() + np.indices(flow.shape[1:])
    broken, lost = 0, 0.0
    for z, y, x in product(range(2), range(2), range(3)):
        corners = {k: place[:, z + k[0], y + k[1], x + k[2]] for k in product((0, 1), repeat=3)}
        volumes = np.array(decomposed(corners))
        broken += volumes.min() <= 0
        lost += -volumes[volumes < 0].sum() / 2
    found = fold_statistics(flow)
    assert found.cells == 12
    assert found.folded_cells == pytest.approx(broken / 12)
    assert found.lost_volume == pytest.approx(lost)


def test_both_cuttings_fill_the_cell():
    matrix = torch.randn(3, 3, generator=torch.Generator().manual_seed(1)).double().numpy()
    volumes = decomposed({k: matrix @ np.array(k) for k in product((0, 1), repeat=3)})
    assert sum(volumes) == pytest.approx(2 * np.linalg.det(matrix))


@pytest.mark.parametrize("shape", [(5, 6, 4), (1, 7, 6), (2, 2, 2)])
def test_samples_agree_with_central_differences(shape):
    flow = random_flow(2, shape)
    expected = determinants(flow)
    positive = expected[expected > 0]
    found = fold_statistics(flow)
    assert found.samples == expected.numel()
    assert found.folded == pytest.approx(float((expected <= 0).double().mean()))
    assert found.sd_log == pytest.approx(float(positive.log().std(unbiased=False)))
    assert found.smallest == pytest.approx(float(expected.min()))
    assert found.largest == pytest.approx(float(expected.max()))


def test_a_slice_is_cut_into_triangles():
    flow = random_flow(3, (1, 7, 6), 0.4)
    corners = corner_determinants(flow)
    found = fold_statistics(flow)
    assert found.cells == 30
    assert found.folded_cells == pytest.approx(float((corners.amin(0) <= 0).double().mean()))
    # eight corners are four triangles, twice; each is half its determinant; two cuttings
    assert found.lost_volume == pytest.approx(float((-corners).clamp(min=0).sum()) / 8)


def test_no_motion_has_no_folds():
    found = fold_statistics(torch.zeros(3, 4, 5, 6))
    assert (found.folded, found.folded_cells, found.lost_volume, found.sd_log) == (0, 0, 0, 0)
    assert (found.smallest, found.largest) == (1, 1)


def test_a_mirror_is_one_fold():
    flow = torch.zeros(3, 5, 5, 5, dtype=torch.float64)
    flow[2] = -2 * torch.arange(5.0)
    found = fold_statistics(flow)
    assert (found.folded, found.folded_cells) == (1, 1)
    assert found.lost_volume == pytest.approx(64)  # all of it
    assert found.smallest == pytest.approx(-1)


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_an_even_scale_has_no_spread(factor):
    flow = (factor - 1) * torch.from_numpy(np.indices((4, 5, 6)).astype(float))
    found = fold_statistics(flow)
    assert found.sd_log == pytest.approx(0, abs=1e-6)
    assert found.smallest == pytest.approx(factor**3)


def test_the_spread_does_not_see_a_linear_part():
    flow = random_flow(4, size=0.05)
    index = torch.from_numpy(np.indices(flow.shape[1:]).astype(float))
    grown = 1.3 * (index + flow) - index
    assert fold_statistics(grown).sd_log == pytest.approx(fold_statistics(flow).sd_log)


def test_a_mask_chooses_samples_and_whole_cells():
    flow = random_flow(5, (6, 6, 6))
    mask = torch.zeros(6, 6, 6, dtype=torch.bool)
    mask[1:4, 2:5, 1:3] = True
    inside = determinants(flow)[mask]
    found = fold_statistics(flow, mask)
    assert (found.samples, found.cells) == (18, 4)
    assert found.folded == pytest.approx(float((inside <= 0).double().mean()))
    assert found.largest == pytest.approx(float(inside.max()))


def test_a_single_sample_has_no_folds():
    found = fold_statistics(torch.zeros(3, 1, 1, 1))
    assert found.folded == 0
    assert found.cells == 1


def test_float32_and_float64_agree():
    flow = random_flow(6)
    single = fold_statistics(flow.float())
    double = fold_statistics(flow)
    assert single.sd_log == pytest.approx(double.sd_log, rel=1e-5)
    assert single.lost_volume == pytest.approx(double.lost_volume, rel=1e-5)


def test_any_number_of_threads_gives_the_same():
    flow = random_flow(7, (20, 40, 40))
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = fold_statistics(flow)
        torch.set_num_threads(2)
        assert fold_statistics(flow) == one
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_refuses_a_flow_that_is_not_finite(value):
    with pytest.raises(ShapeError, match="flow must be finite to look for folds"):
        fold_statistics(torch.full((3, 2, 2, 2), value))


def test_refuses_a_flow_without_samples():
    with pytest.raises(ShapeError, match="flow must have samples to look for folds"):
        fold_statistics(torch.zeros(3, 0, 2, 2))


def test_refuses_a_mask_of_another_shape():
    with pytest.raises(ShapeError, match="mask must have the shape of the lattice"):
        fold_statistics(torch.zeros(3, 4, 4, 4), torch.ones(4, 4, 5, dtype=torch.bool))


def test_refuses_an_empty_mask():
    with pytest.raises(RegionError, match="mask must have a sample inside to look for folds"):
        fold_statistics(torch.zeros(3, 4, 4, 4), torch.zeros(4, 4, 4, dtype=torch.bool))
