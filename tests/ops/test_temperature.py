"""Temperature: found where the likelihood is best; makes sure what was too sure."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from torch import Tensor

from vesalius.errors import IntensityError, ShapeError
from vesalius.ops._calibration import reliability
from vesalius.ops._temperature import fit_temperature, tempered


def drawn(n: int, warmth: float, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Classes drawn from honest probabilities, which are then made ``warmth`` times too sure."""
    g = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(3, n, generator=g, dtype=torch.float64)
    truth = torch.multinomial(logits.softmax(dim=0).T, 1, generator=g)[:, 0]
    return (warmth * logits).softmax(dim=0), truth


def ece(p: Tensor, truth: Tensor) -> float:
    best = p.max(dim=0)
    return reliability(best.values, best.indices == truth).ece


@pytest.mark.parametrize("warmth", [0.5, 1.0, 2.5])
def test_finds_how_much_too_sure_probabilities_are(warmth):
    p, truth = drawn(20000, warmth)
    assert fit_temperature(p, truth).value == pytest.approx(warmth, rel=0.04)


@given(seed=st.integers(0, 50), warmth=st.floats(0.3, 4))
def test_agrees_with_scipy(seed, warmth):
    p, truth = drawn(300, warmth, seed)

    def loss(log_t: float) -> float:
        return float(torch.nn.functional.nll_loss(tempered(p, math.exp(log_t)).log().T, truth))

    bounds = (math.log(0.05), math.log(20))
    best = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-9})
    found = fit_temperature(p, truth)
    assert found.value == pytest.approx(math.exp(best.x), rel=1e-4)
    assert found.after == pytest.approx(best.fun, rel=1e-6)
    assert found.before == pytest.approx(loss(0.0), rel=1e-6)


@pytest.mark.parametrize("warmth", [0.4, 3.0])
def test_lowers_likelihood_loss_and_calibration_error_on_new_samples(warmth):
    p, truth = drawn(4000, warmth, 1)
    found = fit_temperature(p, truth)
    new, answer = drawn(4000, warmth, 2)
    assert found.after < found.before
    assert ece(tempered(new, found.value), answer) < 0.3 * ece(new, answer)


@given(seed=st.integers(0, 20), temperature=st.floats(0.1, 10))
def test_the_order_of_the_classes_never_changes(seed, temperature):
    p, _ = drawn(50, 1.0, seed)
    q = tempered(p, temperature)
    torch.testing.assert_close(q.sum(dim=0), torch.ones(50, dtype=torch.float64))
    assert torch.equal(q.argmax(dim=0), p.argmax(dim=0))


def test_probabilities_that_are_always_right_are_made_as_cold_as_allowed():
    p = torch.tensor([[0.9, 0.2], [0.1, 0.8]])
    assert fit_temperature(p, torch.tensor([0, 1])).value == pytest.approx(0.05, rel=1e-3)


def test_a_certain_error_stays_finite():
    p = torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
    found = fit_temperature(p, torch.tensor([0, 1, 1]))
    assert math.isfinite(found.after)
    assert found.value > 1


@pytest.mark.parametrize("n", [0, 3])
def test_refuses_another_number_of_true_classes(n):
    with pytest.raises(ShapeError, match="samples must have one true class"):
        fit_temperature(torch.full((2, 2 if n else 0), 0.5), torch.zeros(n, dtype=torch.long))


def test_refuses_a_class_without_a_channel():
    with pytest.raises(IntensityError, match="true classes lie in 0 to 1, got classes 0 to 2"):
        fit_temperature(torch.full((2, 2), 0.5), torch.tensor([0, 2]))
