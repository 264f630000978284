"""Determinants of a flow beside an exact matrix, a slow loop and each other."""

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vesalius.errors import ShapeError
from vesalius.ops import _jacobian
from vesalius.ops._jacobian import corner_determinants, determinants, folding

SHAPES = [(4, 5, 6), (1, 5, 6), (4, 1, 6), (4, 5, 1), (1, 1, 3), (1, 1, 1)]


def affine_flow(matrix, shape):
    axes = [torch.arange(n, dtype=torch.float64) for n in shape]
    index = torch.stack(torch.meshgrid(*axes, indexing="ij"))
    return torch.einsum("ab,bzyx->azyx", matrix - torch.eye(3, dtype=torch.float64), index)


def slow_corners(flow):
    """The eight corners of each cell, one by one, by NumPy's determinant."""
    _, nz, ny, nx = flow.shape
    z, y, x = np.indices((nz, ny, nx))
    place = np.stack([z, y, x]).astype(float) + flow.numpy()
    out = np.empty((8, nz - 1, ny - 1, nx - 1))
    for k, j, i in product(range(nz - 1), range(ny - 1), range(nx - 1)):
        for n, (a, b, c) in enumerate(product((0, 1), repeat=3)):
            here = place[:, k + a, j + b, i + c]
            along_z = (place[:, k + 1 - a, j + b, i + c] - here) * (1 - 2 * a)
            along_y = (place[:, k + a, j + 1 - b, i + c] - here) * (1 - 2 * b)
            along_x = (place[:, k + a, j + b, i + 1 - c] - here) * (1 - 2 * c)
            out[n, k, j, i] = np.linalg.det(np.stack([along_z, along_y, along_x], axis=1))
    return out


@settings(max_examples=25)
@given(st.lists(st.floats(-1, 1), min_size=9, max_size=9))
def test_a_linear_map_has_its_determinant_everywhere(entries):
    matrix = torch.tensor(entries, dtype=torch.float64).reshape(3, 3) + 2 * torch.eye(3).double()
    flow = affine_flow(matrix, (4, 5, 3))
    expected = torch.linalg.det(matrix)
    for found in (determinants(flow), corner_determinants(flow), folding(flow)):
        torch.testing.assert_close(found, expected.expand_as(found))


def test_corners_agree_with_a_slow_loop(generator):
    flow = torch.randn(3, 4, 3, 5, generator=generator, dtype=torch.float64)
    assert np.abs(corner_determinants(flow).numpy() - slow_corners(flow)).max() < 1e-12


@pytest.mark.parametrize("shape", SHAPES)
def test_the_smallest_corner_needs_no_list_of_them(shape, generator):
    flow = torch.randn(3, *shape, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(folding(flow), corner_determinants(flow).amin(dim=0))
    assert folding(flow).shape == tuple(max(n - 1, 1) for n in shape)


@pytest.mark.parametrize("shape", SHAPES)
def test_no_motion_keeps_every_volume(shape):
    flow = torch.zeros(3, *shape)
    assert torch.equal(determinants(flow), torch.ones(shape))
    assert torch.equal(folding(flow), torch.ones([max(n - 1, 1) for n in shape]))


def test_central_differences_agree_with_numpy(generator):
    flow = torch.randn(3, 5, 6, 4, generator=generator, dtype=torch.float64)
    slope = np.stack([np.stack(np.gradient(f)) for f in flow.numpy()]) + np.eye(3).reshape(
        3, 3, 1, 1, 1
    )
    theirs = np.linalg.det(np.moveaxis(slope, (0, 1), (-2, -1)))
    assert np.abs(determinants(flow).numpy() - theirs).max() < 1e-12


def test_one_slice_has_the_determinant_of_the_plane(generator):
    flow = torch.randn(3, 1, 6, 7, generator=generator, dtype=torch.float64)
    flow[0] = 0
    dy = torch.gradient(flow[1:, 0], dim=1)[0]
    dx = torch.gradient(flow[1:, 0], dim=2)[0]
    expected = (1 + dy[0]) * (1 + dx[1]) - dy[1] * dx[0]
    torch.testing.assert_close(determinants(flow)[0], expected)


def test_both_have_derivatives(generator):
    flow = torch.randn(3, 3, 3, 3, generator=generator, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(determinants, (flow,), fast_mode=True)
    assert torch.autograd.gradcheck(corner_determinants, (flow,), fast_mode=True)


def test_gives_the_same_on_two_threads(generator, monkeypatch):
    monkeypatch.setattr(_jacobian, "LEAST", 1)
    flow = torch.randn(3, 8, 9, 10, generator=generator)
    had = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        torch.testing.assert_close(folding(flow), corner_determinants(flow).amin(dim=0))
    finally:
        torch.set_num_threads(had)


@pytest.mark.parametrize("measure", [determinants, corner_determinants, folding])
def test_refuses_an_empty_flow(measure):
    with pytest.raises(ShapeError, match="flow must have samples"):
        measure(torch.zeros(3, 0, 4, 4))


@pytest.mark.gpu
def test_the_gpu_agrees_with_the_cpu(generator):
    flow = torch.randn(3, 8, 9, 10, generator=generator)
    for measure in (determinants, corner_determinants, folding):
        torch.testing.assert_close(measure(flow.cuda()).cpu(), measure(flow), rtol=1e-4, atol=1e-4)
