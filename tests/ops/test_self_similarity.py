"""Self-similarity: a slow loop from the definition, invariances, slices, constants, refusals."""

import itertools

import numpy as np
import pytest
import torch

from vesalius.errors import ConfigError
from vesalius.ops._self_similarity import mind_ssc


def slow(x, distance, radius):
    """Descriptors of one volume as the paper defines them, each patch visited by itself."""
    sizes = x.shape
    distance = [d if n > 1 else 0 for d, n in zip(distance, sizes, strict=True)]
    radius = [r if n > 1 else 0 for r, n in zip(radius, sizes, strict=True)]

    def value(at):
        return x[tuple(np.clip(a, 0, n - 1) for a, n in zip(at, sizes, strict=True))]

    neighbours = [
        (axis, sign * distance[axis] * np.eye(3, dtype=int)[axis])
        for axis in range(3)
        for sign in (1, -1)
    ]
    pairs = [(a, b) for (i, a), (j, b) in itertools.combinations(neighbours, 2) if i != j]
    assert len(pairs) == 12
    patch = np.array(list(itertools.product(*[range(-r, r + 1) for r in radius])))
    apart = np.zeros((12, *sizes))
    for at in np.ndindex(*sizes):
        for k, (a, b) in enumerate(pairs):
            apart[(k, *at)] = np.mean([(value(at + a + q) - value(at + b + q)) ** 2 for q in patch])
    noise = np.maximum(apart.mean(0), 1e-3 * apart.mean())
    return np.exp(-(apart - apart.min(0)) / noise)


@pytest.mark.parametrize(
    ("shape", "distance", "radius"),
    [((4, 5, 6), (1, 2, 2), (1, 0, 1)), ((1, 6, 5), (2, 2, 2), (1, 1, 1))],
)
def test_agrees_with_a_slow_loop_up_to_the_order_of_the_pairs(shape, distance, radius, generator):
    x = torch.rand(1, *shape, generator=generator, dtype=torch.float64)
    found = mind_ssc(x, distance=distance, radius=radius).numpy()
    expected = slow(x[0].numpy(), distance, radius)
    np.testing.assert_allclose(np.sort(found, 0), np.sort(expected, 0), atol=1e-12)


def test_each_pair_of_neighbours_comes_once(generator):
    x = torch.rand(1, 7, 7, 7, generator=generator, dtype=torch.float64)
    found = mind_ssc(x, distance=(1, 1, 1), radius=(0, 0, 0))[:, 3, 3, 3]
    near = [x[0, 3 + s, 3, 3] for s in (1, -1)], [x[0, 3, 3 + s, 3] for s in (1, -1)]
    near = (*near, [x[0, 3, 3, 3 + s] for s in (1, -1)])
    pairs = itertools.combinations(near, 2)
    apart = [(a - b) ** 2 for one, two in pairs for a in one for b in two]
    apart = torch.stack(apart)
    expected = torch.exp((apart.min() - apart) / apart.mean())
    torch.testing.assert_close(found.sort().values, expected.sort().values)


@pytest.mark.parametrize(("scale", "shift"), [(3.0, 5.0), (-2.0, 1.0)])
def test_a_rising_or_falling_line_of_values_changes_nothing(scale, shift, generator):
    x = torch.rand(1, 6, 7, 8, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(mind_ssc(scale * x + shift), mind_ssc(x))


def test_moves_along_with_the_image(generator):
    x = torch.rand(1, 12, 12, 12, generator=generator, dtype=torch.float64)
    settings = {"distance": (1, 1, 1), "radius": (1, 1, 1)}
    moved = mind_ssc(x[:, 1:, 2:, :], **settings)
    inner = mind_ssc(x, **settings)[:, 1:, 2:, :]
    # the floor of the noise is a mean over the image, and is not reached here
    torch.testing.assert_close(moved[:, 3:-3, 3:-3, 3:-3], inner[:, 3:-3, 3:-3, 3:-3])


def test_channels_are_described_one_after_the_other(generator):
    x = torch.rand(2, 5, 5, 5, generator=generator)
    torch.testing.assert_close(mind_ssc(x), torch.cat([mind_ssc(x[:1]), mind_ssc(x[1:])]))


def test_lies_above_zero_and_reaches_one_everywhere(generator):
    found = mind_ssc(torch.rand(1, 6, 7, 8, generator=generator))
    assert float(found.min()) > 0
    assert bool((found.amax(0) == 1).all())


def test_a_constant_is_all_ones():
    assert bool((mind_ssc(torch.full((1, 5, 5, 5), 7.0)) == 1).all())


def test_is_differentiable(generator):
    x = torch.rand(1, 3, 3, 3, generator=generator, dtype=torch.float64).requires_grad_()
    settings = {"distance": (1, 1, 1), "radius": (1, 1, 1)}
    assert torch.autograd.gradcheck(lambda t: mind_ssc(t, **settings), (x,), fast_mode=True)


def test_refuses_a_negative_distance_or_radius():
    x = torch.zeros(1, 3, 3, 3)
    with pytest.raises(ConfigError, match="distance and radius must be 0 samples"):
        mind_ssc(x, distance=(-1, 1, 1))
    with pytest.raises(ConfigError, match="distance and radius must be 0 samples"):
        mind_ssc(x, radius=(1, -1, 1))


@pytest.mark.gpu
def test_the_gpu_describes_as_the_cpu_does(generator):
    x = torch.rand(1, 9, 9, 9, generator=generator)
    torch.testing.assert_close(mind_ssc(x.cuda()).cpu(), mind_ssc(x), rtol=1e-4, atol=1e-5)
