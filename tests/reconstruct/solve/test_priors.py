"""Priors: Moreau's identity, firm non-expansiveness, total variation against scikit-image."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.restoration import denoise_tv_chambolle

from vesalius.core import Identity
from vesalius.errors import ConfigError, ShapeError
from vesalius.ops._total_variation import Variation, duality_gap
from vesalius.physics.sparse import Dct, Dft, Wavelet
from vesalius.reconstruct.solve import L0, L1, TGV, TV, Box, Huber

SHAPE = (4, 6)
CONVEX = {
    "box": Box(-0.5, 0.7),
    "l1": L1(),
    "l1 of dct": L1(Dct(SHAPE)),
    "l1 of dft": L1(Dft(SHAPE)),
    "l1 of wavelets": L1(Wavelet(SHAPE, "haar"), Wavelet(SHAPE, "haar").details),
    "l1 of groups": L1(group=-2),
    "tv": TV((1.0, 0.7), steps=600, tol=1e-7),
    "tv in a box": TV((1.0, 0.7), lower=-0.5, upper=0.9, steps=600, tol=1e-7),
    "huber": Huber(0.3, (1.0, 0.7), steps=600, tol=1e-7),
    "tgv": TGV(2.0, steps=300),
}
each = pytest.mark.parametrize("prior", CONVEX.values(), ids=CONVEX)


def draw(seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, *SHAPE, generator=generator, dtype=torch.float64)


@each
@settings(max_examples=5)
@given(seed=st.integers(0, 2**31), step=st.floats(0.05, 2.0))
def test_is_firmly_non_expansive(prior, seed, step):
    a, b = draw(seed)
    moved = prior(a, step) - prior(b, step)
    assert float((moved * moved).sum()) <= float((moved * (a - b)).sum()) + 1e-3


@each
def test_no_other_point_does_better(prior):
    x = draw(5)[0]
    z = prior(x, 0.4)

    def cost(v):
        return 0.5 * float((v - x).square().sum()) + 0.4 * prior.value(v)

    for seed in range(4):
        other = z + 0.05 * draw(seed)[1]
        if isinstance(prior, Box) or getattr(prior, "lower", -math.inf) > -math.inf:
            other = other.clamp(prior.lower, prior.upper)
        assert cost(z) <= cost(other) + 1e-3


@each
def test_moreau_splits_a_point_between_a_prior_and_its_conjugate(prior):
    x = draw(7)[0]
    torch.testing.assert_close(prior(x, 1.0) + prior.conjugate(x, 1.0), x)
    half = prior.conjugate(x, 0.5)
    torch.testing.assert_close(half + 0.5 * prior(x / 0.5, 2.0), x)


def test_the_conjugate_of_the_sum_of_moduli_is_a_box():
    x = 3 * draw(1)[0]
    torch.testing.assert_close(L1().conjugate(x, 0.7), x.clamp(-1.0, 1.0))


@each
def test_a_batch_is_many_single_problems(prior):
    pair = draw(3)
    together = prior(pair, 0.3)
    for one, found in zip(pair, together, strict=True):
        torch.testing.assert_close(prior(one, 0.3), found, atol=2e-5, rtol=0)


def test_hard_threshold_keeps_what_costs_less_than_it_gives():
    x = torch.tensor([0.5, -0.9, 1.1, -3.0], dtype=torch.float64)
    assert L0()(x, 0.5).tolist() == [0.0, 0.0, 1.1, -3.0]
    assert L0().value(x) == 4.0
    spared = L0(Identity((4,)), torch.tensor([0.0, 1.0, 1.0, 1.0], dtype=torch.float64))
    assert spared(x, 0.5).tolist() == [0.5, 0.0, 1.1, -3.0]
    assert spared.value(x) == 3.0


def test_complex_coefficients_shrink_by_their_modulus():
    x = torch.tensor([3 + 4j, 0.3j], dtype=torch.complex128)
    torch.testing.assert_close(L1()(x, 1.0), torch.tensor([2.4 + 3.2j, 0j], dtype=torch.complex128))


def test_total_variation_agrees_with_scikit_image():
    x = draw(11)[0] + torch.linspace(0, 3, 6, dtype=torch.float64).round()
    mine = TV((1.0, 1.0), steps=2000, tol=0.0)(x, 0.3)
    theirs = torch.from_numpy(denoise_tv_chambolle(x.numpy(), weight=0.3, eps=0, max_num_iter=4000))
    torch.testing.assert_close(mine, theirs, atol=2e-3, rtol=0)


def test_the_gap_proves_how_near_the_minimum_is():
    x = draw(13)[0]
    exact = TV(steps=4000, tol=0.0)(x, 0.4)
    rough, dual = TV(steps=20, tol=0.0).warm(x, 0.4, None)
    gap = duality_gap(x, rough, dual, Variation((1.0, 1.0), 0.4))
    assert float((rough - exact).square().sum()) <= 2 * gap + 1e-9
    again, _ = TV(steps=20, tol=0.0).warm(x, 0.4, dual)
    assert float((again - exact).norm()) < float((rough - exact).norm())


def test_compiled_and_torch_ways_agree_in_three_dimensions():
    generator = torch.Generator().manual_seed(4)
    x = torch.randn(3, 4, 5, generator=generator, dtype=torch.float64)
    prior = TV((2.0, 1.0, 0.5), steps=40, tol=0.0)
    torch.testing.assert_close(prior(x, 0.3), prior(x.to(torch.complex128), 0.3).real)


def test_a_constant_costs_nothing_and_stays():
    x = torch.full(SHAPE, 2.5, dtype=torch.float64)
    for prior in (TV(), Huber(0.1), TGV()):
        assert prior.value(x) == pytest.approx(0.0, abs=1e-12)
        torch.testing.assert_close(prior(x, 1.0), x)
        torch.testing.assert_close(prior(x, 0.0), x)


def test_hubers_prior_has_two_derivatives():
    x = draw(17)[0].requires_grad_()
    assert torch.autograd.gradcheck(Huber(0.3).penalty, (x,))
    assert torch.autograd.gradgradcheck(Huber(0.3).penalty, (x,))


def test_refuses_priors_that_cannot_be():
    with pytest.raises(ConfigError, match="lower must not be above upper"):
        Box(1.0, 0.0)
    with pytest.raises(ConfigError, match="transform must be orthonormal"):
        L1(2.0 * Identity((3,)))
    with pytest.raises(ConfigError, match="group must be a negative axis"):
        L1(group=0)
    with pytest.raises(ShapeError, match="weights must have the shape"):
        L0(Identity((3,)), torch.ones(2))
    with pytest.raises(ConfigError, match="spacing must be 1 to 3 positive distances"):
        TV((0.0, 1.0))
    with pytest.raises(ConfigError, match="lower must be below upper in a prior's box"):
        TV(lower=1.0, upper=0.0)
    with pytest.raises(ConfigError, match="corner must be positive"):
        Huber(0.0)
    with pytest.raises(ConfigError, match="ratio must be positive"):
        TGV(0.0)
