"""The training loop: it learns, it stops and goes on, it says what is wrong."""

import itertools
import math

import pytest
import torch
from torch import nn

from vesalius.errors import ConfigError, ConvergenceError, IntensityError
from vesalius.learn import Schedule, UNet, UNetPlan, load_average, train

PLAN = UNetPlan(2, width=4, levels=2, norm="none", residual=True)


def net(seed=0):
    return UNet(PLAN, generator=torch.Generator().manual_seed(seed))


def noisy(seed=0, sigma=0.3):
    """Endless batches of noisy and clean squares."""
    g = torch.Generator().manual_seed(seed)
    while True:
        clean = torch.zeros(4, 1, 16, 16)
        for i, (y, x) in enumerate(torch.randint(0, 8, (4, 2), generator=g).tolist()):
            clean[i, 0, y : y + 8, x : x + 8] = 1.0
        yield clean + sigma * torch.randn(clean.shape, generator=g), clean


def squared(model, batch):
    return (model(batch[0]) - batch[1]).square().mean()


def test_a_denoiser_learns_to_halve_the_error():
    model = net()
    told = []
    done = train(
        model, noisy(), squared, schedule=Schedule(150, learning_rate=1e-2), on_step=told.append
    )
    noise, clean = next(noisy(seed=99))
    with torch.no_grad():
        after = float((model(noise) - clean).square().mean())
    assert after < 0.5 * float((noise - clean).square().mean())
    assert len(done.loss) == 150
    assert (told[-1].done, told[-1].total) == (150, 150)
    assert not model.training


def test_a_run_that_was_stopped_ends_as_one_that_was_not():
    schedule = Schedule(12, warm_up=3, save_every=5)
    whole, states = net(), []
    first = train(whole, noisy(), squared, schedule=schedule, save=states.append)
    assert [int(s["step"]) for s in states] == [5, 10, 12]
    again = net(seed=7)
    second = train(
        again, itertools.islice(noisy(), 5, None), squared, schedule=schedule, resume=states[0]
    )
    assert first.loss[5:] == second.loss
    for (name, a), b in zip(whole.named_parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b), name
    assert set(first.state) == set(second.state)


def test_a_finished_state_needs_no_more_batches():
    schedule = Schedule(3)
    done = train(net(), noisy(), squared, schedule=schedule)
    model = net(seed=3)
    again = train(model, (), squared, schedule=schedule, resume=done.state)
    assert again.loss == ()
    other = net(seed=4)
    load_average(other, done.state)
    for a, b in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_state_is_flat_tensors_that_safetensors_can_hold():
    from safetensors.torch import load, save

    done = train(net(), noisy(), squared, schedule=Schedule(2))
    back = load(save({k: v.contiguous() for k, v in done.state.items()}))
    assert all(torch.equal(back[k], v) for k, v in done.state.items())


def test_the_rate_rises_then_falls_to_nothing():
    schedule = Schedule(100, learning_rate=0.1, warm_up=10)
    rates = [schedule.rate(i) for i in range(101)]
    assert rates[0] == pytest.approx(0.01)
    assert max(rates) == pytest.approx(0.1)
    assert rates[55] == pytest.approx(0.05)
    assert rates[100] == pytest.approx(0.0)
    assert all(a >= b for a, b in itertools.pairwise(rates[10:]))


def test_the_average_is_of_the_weights_and_not_the_last_ones():
    model = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(model.weight)
    seen = []

    def loss(m, batch):
        seen.append(float(m.weight.detach()))
        return (m.weight - 1).square().sum()

    done = train(
        model, itertools.repeat((torch.zeros(1),)), loss, schedule=Schedule(30, average=0.9)
    )
    last = float(done.state["model.weight"])
    assert min(seen) < float(model.weight.detach()) < last


def test_weights_decay_and_biases_do_not():
    model = nn.Linear(3, 3)
    nn.init.ones_(model.weight)
    nn.init.ones_(model.bias)
    schedule = Schedule(10, learning_rate=0.1, warm_up=0, weight_decay=0.5, average=0.0)
    train(model, itertools.repeat(()), lambda m, _: 0 * m(torch.ones(3)).sum(), schedule=schedule)
    expected = math.prod(1 - 0.5 * schedule.rate(i) for i in range(10))
    torch.testing.assert_close(model.weight, torch.full((3, 3), expected), rtol=1e-4, atol=0)
    torch.testing.assert_close(model.bias, torch.ones(3))


def test_a_loss_that_is_not_finite_stops_the_run():
    model = net()
    before = [p.detach().clone() for p in model.parameters()]
    with pytest.raises(ConvergenceError, match="the loss must stay finite, got nan at step 0"):
        train(model, noisy(), lambda m, b: squared(m, b) * math.nan, schedule=Schedule(3))
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_a_gradient_that_is_not_finite_stops_the_run():
    model = nn.Linear(1, 1)

    def loss(m, batch):
        return (m(torch.zeros(1)) - m.bias).abs().sqrt().sum()

    with pytest.raises(ConvergenceError, match="the gradient must stay finite"):
        train(model, itertools.repeat(()), loss, schedule=Schedule(3))


def test_batches_that_end_too_early_are_refused():
    with pytest.raises(ConfigError, match="batches must last for 5 steps, they ended after 2"):
        train(net(), itertools.islice(noisy(), 2), squared, schedule=Schedule(5))


def test_a_state_of_another_model_is_refused():
    done = train(net(), noisy(), squared, schedule=Schedule(1))
    other = UNet(UNetPlan(2, width=8), generator=torch.Generator())
    with pytest.raises(ConfigError, match="the state must hold the"):
        train(other, noisy(), squared, schedule=Schedule(2), resume=done.state)
    with pytest.raises(ConfigError, match="weights must fit the model's"):
        load_average(other, done.state)
    spoilt = {k: torch.full_like(v, math.nan) if "mean" in k else v for k, v in done.state.items()}
    with pytest.raises(IntensityError, match="weights must be finite"):
        load_average(net(), spoilt)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"steps": 0}, "steps and save_every must be at least 1"),
        ({"steps": 1, "warm_up": -1}, "warm_up not negative"),
        ({"steps": 1, "learning_rate": 0.0}, "learning_rate and clip must be positive"),
        ({"steps": 1, "average": 1.0}, r"average in \[0, 1\)"),
    ],
)
def test_refuses_a_schedule_out_of_range(fields, message):
    with pytest.raises(ConfigError, match=message):
        Schedule(**fields)
