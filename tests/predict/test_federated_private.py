"""Differential privacy: what releases cost by published figures, and that noise is what it says."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vesalius.errors import ConfigError
from vesalius.predict import _private as private
from vesalius.predict.federate import Accountant, Privacy, noise_for


def test_the_moments_accountant_of_abadi():
    """Abadi et al. (2016), doi:10.1145/2976749.2978318, section 5.1: epsilon 1.26.

    Sampling 0.01, noise 4, delta 1e-5, 10,000 steps.
    """
    account = Accountant().spend(Privacy("record", 1.0, 4.0, 0.01), 10_000)
    assert account.epsilon(1e-5) == pytest.approx(1.26, abs=0.005)


def test_the_example_of_tensorflow_privacy():
    """McMahan et al. (2018), doi:10.48550/arXiv.1812.06210, and its tutorial: epsilon 3.01.

    60,000 images in batches of 256, noise 1.1, 60 epochs, delta 1e-5.
    """
    steps = 60 * 60_000 // 256
    account = Accountant().spend(Privacy("record", 1.0, 1.1, 256 / 60_000), steps)
    assert account.epsilon(1e-5) == pytest.approx(3.01, abs=0.01)


@pytest.mark.parametrize(("noise", "rounds"), [(1.0, 1), (2.0, 10), (20.0, 100), (50.0, 1000)])
def test_gaussian_noise_agrees_with_its_closed_form(noise, rounds):
    """Mironov (2017), proposition 3 with corollary 3, at the best real order."""
    exact = rounds / (2 * noise**2) + math.sqrt(2 * rounds * math.log(1e5)) / noise
    found = Accountant().spend(Privacy("record", 1.0, noise), rounds).epsilon(1e-5)
    assert exact <= found <= exact * 1.01


def test_sampling_agrees_with_an_integral_over_the_line():
    """The definition: the divergence of a mixture of two normal densities from one of them."""
    noise, sampling, order = 1.5, 0.2, 4
    x = np.linspace(-20, 20, 200_001)
    null = np.exp(-(x**2) / (2 * noise**2)) / math.sqrt(2 * math.pi) / noise
    shifted = np.exp(-((x - 1) ** 2) / (2 * noise**2)) / math.sqrt(2 * math.pi) / noise
    ratio = ((1 - sampling) + sampling * shifted / null) ** order
    exact = math.log(np.trapezoid(null * ratio, x)) / (order - 1)
    found = private.divergence(noise, sampling)[private.ORDERS.index(order)]
    assert found == pytest.approx(exact, rel=1e-6)


@given(st.floats(0.5, 20), st.integers(1, 500), st.floats(1.01, 3))
def test_more_noise_costs_less_and_more_rounds_cost_more(noise, rounds, factor):
    cost = Accountant().spend(Privacy("record", 1.0, noise), rounds).epsilon(1e-5)
    quieter = Accountant().spend(Privacy("record", 1.0, noise * factor), rounds).epsilon(1e-5)
    longer = Accountant().spend(Privacy("record", 1.0, noise), rounds + 1).epsilon(1e-5)
    assert quieter < cost < longer


def test_nothing_released_costs_nothing_and_no_noise_costs_all():
    assert Accountant().epsilon(1e-5) == 0.0
    assert Accountant().spend(Privacy()).epsilon(1e-5) == math.inf


def test_an_account_is_not_changed_by_what_is_planned():
    account = Accountant()
    account.spend(Privacy("record", 1.0, 1.0))
    assert account.epsilon(1e-5) == 0.0


@pytest.mark.parametrize(
    ("epsilon", "rounds", "sampling"), [(1, 10, 1.0), (3, 200, 1.0), (2, 50, 0.1)]
)
def test_the_noise_found_keeps_the_budget_closely(epsilon, rounds, sampling):
    noise = noise_for(epsilon, 1e-5, rounds=rounds, sampling=sampling)

    def cost(scale):
        privacy = Privacy("record", 1.0, scale, sampling)
        return Accountant().spend(privacy, rounds).epsilon(1e-5)

    assert cost(noise) <= epsilon < cost(noise / 1.002)


def test_noise_has_the_spread_that_was_asked_for(generator):
    drawn = private.noisy(np.full(40_000, 5.0), Privacy("record", 2.0, 1.5), generator)
    assert drawn.mean() == pytest.approx(5.0, abs=0.06)  # 4 standard errors
    assert drawn.std() == pytest.approx(3.0, abs=0.05)


def test_noise_of_one_generator_repeats():
    first, second = (
        private.noisy(np.zeros(3), Privacy("record", 1.0, 1.0), torch.Generator().manual_seed(3))
        for _ in range(2)
    )
    assert first.tolist() == second.tolist()


@pytest.mark.parametrize(("clip", "noise"), [(0.0, 1.0), (-1.0, 1.0), (1.0, -1.0), (math.inf, 1.0)])
def test_refuses_a_clip_or_noise_out_of_range(clip, noise):
    with pytest.raises(ConfigError, match="clip must be positive and noise not negative"):
        Privacy("record", clip, noise)


@pytest.mark.parametrize(("sampling", "delta"), [(0.0, 1e-5), (1.1, 1e-5), (0.5, 0.0), (0.5, 1.0)])
def test_refuses_chances_out_of_range(sampling, delta):
    with pytest.raises(ConfigError, match="sampling must lie above 0"):
        Privacy("record", 1.0, 1.0, sampling, delta)


def test_refuses_privacy_without_noise():
    with pytest.raises(ConfigError, match="privacy of a record must have noise"):
        Privacy("record")


def test_refuses_sampling_of_clients():
    with pytest.raises(ConfigError, match="sampling is for level"):
        Privacy("client", 1.0, 1.0, 0.5)


@pytest.mark.parametrize(("epsilon", "delta", "rounds"), [(0, 1e-5, 1), (1, 0, 1), (1, 1e-5, 0)])
def test_refuses_a_budget_that_is_none(epsilon, delta, rounds):
    with pytest.raises(ConfigError, match="a budget must have epsilon > 0"):
        noise_for(epsilon, delta, rounds=rounds)


def test_refuses_a_budget_that_no_noise_keeps():
    with pytest.raises(ConfigError, match="must leave room above the least"):
        noise_for(1e-4, 1e-5, rounds=10)
