"""Green's operators equal dense matrices built from their stencils, and are their own adjoints."""

import numpy as np
import pytest
import torch

from vesalius.ops._axis_maps import along_axes
from vesalius.ops._green import Medium, solve_lame, solve_neumann

SHAPES = [(8, 8, 8), (5, 6, 7), (1, 8, 7)]
SPACING = (3.0, 1.0, 0.7)


def one_axis(n: int, h: float, *, odd: bool) -> tuple[np.ndarray, np.ndarray]:
    """Give second and central differences of n samples, odd or even about walls half a step off."""
    second, central = np.zeros((n, n)), np.zeros((n, n))
    if n == 1:
        return second, central
    sign = -1.0 if odd else 1.0
    for i in range(n):
        second[i, i] -= 2 / h**2
        for j, side in ((i - 1, -1), (i + 1, 1)):
            inside = 0 <= j < n
            value = 1.0 if inside else sign
            second[i, j if inside else i] += value / h**2
            central[i, j if inside else i] += side * value / (2 * h)
    return second, central


def along(matrix: np.ndarray, axis: int, shape: tuple[int, ...]) -> np.ndarray:
    """Give the matrix on the whole volume that acts along one axis."""
    parts = [matrix if a == axis else np.eye(n) for a, n in enumerate(shape)]
    return np.kron(parts[0], np.kron(parts[1], parts[2]))


def dense_laplacian(shape, spacing, odd: int = -1) -> np.ndarray:
    return sum(
        along(one_axis(n, h, odd=axis == odd)[0], axis, shape)
        for axis, (n, h) in enumerate(zip(shape, spacing, strict=True))
    )


def dense_lame(shape, spacing, medium: Medium) -> np.ndarray:
    """Give identity - mu Lap - (lambda + mu) grad div as 3 x 3 blocks."""
    size = int(np.prod(shape))
    out = np.zeros((3 * size, 3 * size))
    for a in range(3):
        rows = slice(a * size, (a + 1) * size)
        out[rows, rows] += medium.identity * np.eye(size)
        out[rows, rows] -= medium.mu * dense_laplacian(shape, spacing, odd=a)
        # the divergence is even about every wall
        grad = along(one_axis(shape[a], spacing[a], odd=False)[1], a, shape)
        for b in range(3):
            columns = slice(b * size, (b + 1) * size)
            div = along(one_axis(shape[b], spacing[b], odd=True)[1], b, shape)
            out[rows, columns] -= (medium.lame + medium.mu) * grad @ div
    return out


def noise(shape, generator) -> torch.Tensor:
    return torch.randn(3, *shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    "symbol", [lambda k: 1 + 0.8 * k, lambda k: 1 + 0.3 * k * k, lambda k: (1 + 0.5 * k) ** 3]
)
def test_a_polynomial_of_the_laplacian_equals_a_dense_solve(shape, symbol, generator):
    field = noise(shape, generator)
    eigenvalues, vectors = np.linalg.eigh(-dense_laplacian(shape, SPACING))
    gain = 1 / symbol(torch.from_numpy(eigenvalues)).numpy()
    dense = vectors * gain @ vectors.T
    expected = field.flatten(1).numpy() @ dense
    found = solve_neumann(field, SPACING, symbol).flatten(1).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-10)


@pytest.mark.parametrize("shape", SHAPES[1:])
def test_the_biharmonic_equation_is_solved_but_for_its_free_mean(shape, generator):
    field = noise(shape, generator)
    field -= field.mean(dim=(1, 2, 3), keepdim=True)
    found = solve_neumann(field, SPACING, lambda k: 2.0 * k * k)
    lap = dense_laplacian(shape, SPACING)
    back = 2.0 * found.flatten(1).numpy() @ (lap @ lap).T
    np.testing.assert_allclose(back, field.flatten(1).numpy(), atol=1e-9)
    torch.testing.assert_close(found.mean(dim=(1, 2, 3)), torch.zeros(3).double())


@pytest.mark.parametrize(
    ("shape", "medium"),
    [
        ((8, 8, 8), Medium(0.7, 2.0, 0.0)),
        ((4, 5, 6), Medium(1.0, 0.0, 0.0)),
        ((5, 4, 3), Medium(2.0, 1.0, 1.0)),
        ((1, 8, 7), Medium(0.7, 2.0, 0.0)),
        ((1, 8, 7), Medium(2.0, 1.0, 1.0)),
    ],
)
def test_the_equation_of_navier_equals_a_dense_solve(shape, medium, generator):
    force = noise(shape, generator)
    if shape[0] == 1:
        force[0] = 0  # nothing is solved along an axis of one sample
    dense = dense_lame(shape, SPACING, medium)
    if shape[0] == 1:
        dense[: len(dense) // 3] += np.eye(len(dense))[: len(dense) // 3]  # any value will do
    expected = np.linalg.solve(dense, force.flatten().numpy())
    found = solve_lame(force, SPACING, medium)
    np.testing.assert_allclose(found.flatten().numpy(), expected, atol=1e-9)
    np.testing.assert_allclose(dense @ found.flatten().numpy(), force.flatten(), atol=1e-8)


def test_nothing_moves_along_an_axis_of_one_sample(generator):
    found = solve_lame(noise((1, 6, 5), generator), SPACING, Medium(1.0, 1.0, 1.0))
    assert not found[0].any()
    assert found[1:].abs().min() > 0


def test_a_stiff_medium_lets_hardly_any_volume_change(generator):
    force = noise((5, 5, 5), generator)
    soft, stiff = (solve_lame(force, (1, 1, 1), Medium(1.0, lame, 0.1)) for lame in (0.0, 1e4))
    div = [along(one_axis(5, 1.0, odd=True)[1], a, (5, 5, 5)) for a in range(3)]
    change = [
        np.abs(sum(d @ f.flatten().numpy() for d, f in zip(div, v, strict=True))).mean()
        for v in (soft, stiff)
    ]
    assert change[1] < 0.01 * change[0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtype_is_kept_and_constants_pass_an_implicit_step(dtype):
    field = torch.full((3, 4, 5, 6), 2.5, dtype=dtype)
    found = solve_neumann(field, SPACING, lambda k: 1 + k)
    torch.testing.assert_close(found, field)


def test_axes_are_multiplied_one_by_one(generator):
    x = noise((2, 3, 4), generator)
    z, y, w = (torch.randn(m, n, dtype=torch.float64) for m, n in ((5, 2), (6, 3), (7, 4)))
    expected = torch.einsum("czyx,az,by,dx->cabd", x, z, y, w)
    torch.testing.assert_close(along_axes(x, (z, y, w)), expected)
