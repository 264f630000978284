"""Random walker: equal to scikit-image and to a dense solution, masks, spacing, refusals."""

import numpy as np
import pytest
import torch

from vesalius.errors import ConfigError, ConvergenceError, IntensityError, RegionError, ShapeError
from vesalius.ops._random_walker import Walk, random_walker

EVEN = (1.0, 1.0, 1.0)


def scene(shape, kinds=2, seed=0):
    rng = np.random.default_rng(seed)
    image = rng.random(shape)
    marks = np.zeros(shape, np.int64)
    marks.reshape(-1)[rng.choice(marks.size, 3 * kinds, replace=False)] = [
        k + 1 for k in range(kinds) for _ in range(3)
    ]
    return torch.from_numpy(image), torch.from_numpy(marks)


def dense(image, marks, pace, beta, inside):
    """Solve the Laplace equation of Grady's eq. (10) by a dense matrix."""
    image, marks = image.numpy(), marks.numpy()
    scaled = image / image[inside].std()
    n = image.size
    laplacian = np.zeros((n, n))
    index = np.arange(n).reshape(image.shape)
    for axis, ratio in enumerate(pace):
        ahead = np.take(index, range(1, image.shape[axis]), axis).ravel()
        here = np.take(index, range(image.shape[axis] - 1), axis).ravel()
        for i, j in zip(here, ahead, strict=True):
            if inside.flat[i] and inside.flat[j]:
                w = np.exp(-beta * (scaled.flat[i] - scaled.flat[j]) ** 2) + 1e-6
                laplacian[i, j] -= w * ratio**2
                laplacian[j, i] -= w * ratio**2
    laplacian -= np.diag(laplacian.sum(axis=1))
    flat = marks.ravel()
    free, known = np.flatnonzero((flat == 0) & inside.ravel()), np.flatnonzero(flat > 0)
    out = []
    for kind in np.unique(flat[known]):
        x = (flat == kind).astype(float)
        right = -laplacian[np.ix_(free, known)] @ x[known]
        x[free] = np.linalg.solve(laplacian[np.ix_(free, free)], right)
        out.append(x.reshape(image.shape))
    return np.stack(out)


@pytest.mark.parametrize("shape", [(1, 12, 13), (5, 6, 7)])
@pytest.mark.parametrize("kinds", [2, 3])
def test_agrees_with_a_dense_solution(shape, kinds):
    image, marks = scene(shape, kinds)
    found = random_walker(image, marks, (2.0, 1.0, 1.5), walk=Walk(2.0, tol=1e-9))
    pace = (0.0 if shape[0] == 1 else 0.5, 1.0, 1 / 1.5)
    expected = dense(image, marks, pace, 2.0, np.ones(shape, bool))
    np.testing.assert_allclose(found.probability.numpy(), expected, atol=1e-5)
    assert found.values == tuple(range(1, kinds + 1))


@pytest.mark.parametrize("shape", [(1, 40, 44), (10, 12, 14)])
def test_agrees_with_scikit_image(shape):
    from skimage.segmentation import random_walker as oracle

    image, marks = scene(shape, seed=3)
    spread = float(image.std(correction=0))
    found = random_walker(image, marks, EVEN, walk=Walk(20 * spread / 10, tol=1e-8))
    expected = oracle(
        image.squeeze(0).numpy() if shape[0] == 1 else image.numpy(),
        marks.squeeze(0).numpy() if shape[0] == 1 else marks.numpy(),
        beta=20,
        mode="cg_j",
        tol=1e-8,
        return_full_prob=True,
    ).reshape(2, *shape)
    np.testing.assert_allclose(found.probability.numpy(), expected, atol=2e-4)


def test_without_edges_a_line_gives_the_distance():
    marks = torch.zeros(1, 1, 11, dtype=torch.int64)
    marks[0, 0, 0], marks[0, 0, 10] = 4, 9
    found = random_walker(torch.zeros(1, 1, 11), marks, EVEN, walk=Walk(tol=1e-9))
    expected = torch.linspace(1, 0, 11)
    assert found.values == (4, 9)
    torch.testing.assert_close(found.probability[0, 0, 0], expected, atol=1e-5, rtol=0)


def test_probabilities_sum_to_one_and_marks_keep_theirs():
    image, marks = scene((4, 9, 10), kinds=3)
    found = random_walker(image, marks, EVEN, walk=Walk())
    torch.testing.assert_close(found.probability.sum(dim=0), torch.ones(4, 9, 10))
    for k, value in enumerate(found.values):
        assert bool((found.probability[k][marks == value] == 1).all())


def test_a_weak_edge_is_found_through_noise():
    y, x = torch.meshgrid(torch.arange(48.0), torch.arange(48.0), indexing="ij")
    disk = ((y - 24) ** 2 + (x - 24) ** 2 <= 14**2)[None]
    g = torch.Generator().manual_seed(1)
    image = disk.float() + 0.2 * torch.randn(1, 48, 48, generator=g)
    marks = torch.zeros(1, 48, 48, dtype=torch.int64)
    marks[0, 20:28, 20:28], marks[0, :2], marks[0, -2:] = 1, 2, 2
    found = random_walker(image, marks, EVEN, walk=Walk(beta=4.0))
    inside = found.probability[0] > 0.5
    assert 2 * int((inside & disk).sum()) / int(inside.sum() + disk.sum()) > 0.97


def test_walks_do_not_pass_the_mask_and_what_is_not_reached_has_no_chance():
    image, marks = torch.zeros(1, 8, 12), torch.zeros(1, 8, 12, dtype=torch.int64)
    marks[0, 0, 0], marks[0, 7, 5] = 1, 2
    mask = torch.ones(1, 8, 12, dtype=torch.bool)
    mask[:, :, 6] = False
    found = random_walker(image, marks, EVEN, walk=Walk(), mask=mask)
    assert not bool(found.probability[:, :, :, 6:].any())
    torch.testing.assert_close(found.probability.sum(dim=0)[:, :, :6], torch.ones(1, 8, 6))


def test_solves_a_large_plane_in_few_steps():
    from scipy.ndimage import gaussian_filter

    image, marks = scene((1, 200, 200), seed=5)
    smooth = torch.from_numpy(gaussian_filter(image.numpy(), (0, 3, 3)))
    assert random_walker(smooth, marks, EVEN, walk=Walk()).steps < 350


@pytest.mark.parametrize("beta", [-1.0, float("nan")])
def test_refuses_a_negative_beta(beta):
    with pytest.raises(ConfigError, match="beta must be 0 or a positive number"):
        Walk(beta)


@pytest.mark.parametrize(("steps", "tol"), [(0, 0.1), (5, 0.0), (5, 1.0)])
def test_refuses_steps_and_tolerances_out_of_range(steps, tol):
    with pytest.raises(ConfigError, match="steps must be at least 1 and tol lie between 0 and 1"):
        Walk(1.0, steps, tol)


def test_refuses_marks_of_another_shape():
    with pytest.raises(ShapeError, match="marks must have the shape of the image"):
        random_walker(torch.zeros(1, 4, 4), torch.ones(1, 4, 5).long(), EVEN, walk=Walk())


@pytest.mark.parametrize("values", [(1, 1), (0, 0), (-1, 2)])
def test_refuses_marks_of_one_value(values):
    marks = torch.zeros(1, 4, 4, dtype=torch.int64)
    marks[0, 0, 0], marks[0, 3, 3] = values
    with pytest.raises(RegionError, match="a random walk needs marks of two positive values"):
        random_walker(torch.zeros(1, 4, 4), marks, EVEN, walk=Walk())


def test_refuses_values_that_are_not_finite():
    image, marks = scene((1, 6, 6))
    image[0, 2, 2] = float("inf")
    with pytest.raises(IntensityError, match="values must be finite for a random walk"):
        random_walker(image, marks, EVEN, walk=Walk())


def test_says_when_it_did_not_converge():
    image, marks = scene((1, 60, 60))
    with pytest.raises(ConvergenceError, match=r"must reach a residual of 1e-09, it did not in 2"):
        random_walker(image, marks, EVEN, walk=Walk(3.0, 2, 1e-9))
