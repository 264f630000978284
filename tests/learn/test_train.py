"""The training loop: it learns, it stops and goes on, it says what is wrong."""

import itertools
import math
import os
import subprocess
import sys

import pytest
import torch
from torch import nn

from vesalius.errors import ConfigError, ConvergenceError, IntensityError
from vesalius.learn import Drawn, Schedule, Taught, UNet, UNetPlan, load_average, train

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
        ({"steps": 1, "accumulate": 0}, "accumulate must be at least 1, got 0"),
        ({"steps": 1, "seconds": 0.0}, "seconds and save_seconds must be positive"),
        ({"steps": 1, "momentum": 1.0}, "momentum between 0 and 1"),
    ],
)
def test_refuses_a_schedule_out_of_range(fields, message):
    with pytest.raises(ConfigError, match=message):
        Schedule(**fields)


def drawn_squares(generator):
    """One batch of noisy and clean squares, from the generator alone."""
    clean = torch.zeros(2, 1, 8, 8)
    y, x = torch.randint(0, 4, (2,), generator=generator).tolist()
    clean[..., y : y + 4, x : x + 4] = 1.0
    return clean + 0.3 * torch.randn(clean.shape, generator=generator), clean


def seeded(seed=0):
    return Drawn(drawn_squares, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("optimiser", ["adamw", "sgd"])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_resumed_run_draws_the_batches_the_first_would_have_had(optimiser, accumulate):
    schedule = Schedule(
        7, warm_up=2, save_every=3, optimiser=optimiser, momentum=0.9, accumulate=accumulate
    )
    whole, states = net(), []
    first = train(whole, seeded(), squared, schedule=schedule, save=states.append)
    again = net(seed=7)
    second = train(again, seeded(99), squared, schedule=schedule, resume=states[0])
    assert [int(s["step"]) for s in states] == [3, 6, 7]
    assert first.loss[3:] == second.loss
    assert all(torch.equal(v, second.state[k]) for k, v in first.state.items() if k != "seconds")


CHILD = """
import sys, time, torch
sys.path.insert(0, sys.argv[1])
from test_train import KILLED, net, seeded, squared
from safetensors.torch import save_file
from vesalius.learn import train
from pathlib import Path
torch.set_num_threads(1)
def save(state):
    part = Path(sys.argv[2] + ".part")
    save_file({k: v.contiguous() for k, v in state.items()}, part)
    part.replace(sys.argv[2])
    if int(state["step"]) == 10:
        print("saved", flush=True)
        time.sleep(60)
train(net(), seeded(), squared, schedule=KILLED, save=save)
"""
KILLED = Schedule(25, warm_up=2, save_every=5)


def test_a_run_killed_without_warning_goes_on_to_the_same_weights(tmp_path):
    from safetensors.torch import load_file

    file = tmp_path / "state.safetensors"
    here = os.path.dirname(__file__)  # noqa: PTH120
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, here, str(file)],
        stdout=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        child.kill()
    assert child.returncode == -9
    state = load_file(file)
    assert int(state["step"]) == 10
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        resumed, whole = net(seed=3), net()
        train(resumed, seeded(5), squared, schedule=KILLED, resume=state)
        train(whole, seeded(), squared, schedule=KILLED)
    finally:
        torch.set_num_threads(threads)
    for (name, a), b in zip(whole.named_parameters(), resumed.parameters(), strict=True):
        assert torch.equal(a, b), name


def test_a_state_without_the_chance_of_the_batches_is_refused():
    done = train(net(), noisy(), squared, schedule=Schedule(1))
    with pytest.raises(ConfigError, match="the state must hold the generator"):
        train(net(), seeded(), squared, schedule=Schedule(2), resume=done.state)


def test_batches_that_say_so_end_the_training_early():
    calls = []

    def draw(generator):
        calls.append(1)
        return drawn_squares(generator) if len(calls) <= 4 else None

    states = []
    done = train(
        net(), Drawn(draw, torch.Generator()), squared, schedule=Schedule(50), save=states.append
    )
    assert len(done.loss) == 4
    assert [int(s["step"]) for s in states] == [4]


@pytest.mark.parametrize("clock", ["wall", "cpu"])
def test_the_clock_ends_a_training_and_counts_what_went_before(clock):
    schedule = Schedule(10**6, warm_up=1, seconds=0.2, save_seconds=1e-9, clock=clock)
    told, states = [], []
    done = train(
        net(), seeded(), squared, schedule=schedule, save=states.append, on_step=told.append
    )
    assert 1 <= len(done.loss) < 10**5
    assert float(done.state["seconds"]) >= 0.2
    assert (told[-1].done, told[-1].total) == (len(done.loss), len(done.loss))
    assert all(step.total >= step.done for step in told)
    assert [int(s["step"]) for s in states] == list(range(1, len(done.loss) + 1))
    again = train(net(), seeded(), squared, schedule=schedule, resume=done.state)
    assert again.loss == ()


def test_the_rate_falls_with_steps_or_time_whichever_is_further():
    schedule = Schedule(100, learning_rate=0.1, warm_up=0, seconds=10.0)
    assert schedule.share(20, 1.0) == pytest.approx(0.2)
    assert schedule.share(20, 5.0) == pytest.approx(0.5)
    assert schedule.share(20, 50.0) == 1.0
    assert schedule.rate_at(20, 1.0) == pytest.approx(0.0)
    assert schedule.expected(10, 2.0) == 50
    assert schedule.expected(50, 2.0) == 100
    assert schedule.expected(7, 11.0) == 7
    assert schedule.expected(1, 0.0) == 100
    power = Schedule(100, learning_rate=0.1, warm_up=0, decay="polynomial")
    assert power.rate(50) == pytest.approx(0.1 * 0.5**0.9)


def test_accumulated_batches_make_the_step_of_one_large_batch():
    large = list(itertools.islice(noisy(), 6))
    small = [(a[i : i + 2], b[i : i + 2]) for a, b in large for i in (0, 2)]
    one, two = net(), net()
    train(one, large, squared, schedule=Schedule(6, warm_up=1))
    train(two, small, squared, schedule=Schedule(6, warm_up=1, accumulate=2))
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=2e-5, rtol=1e-3)
    with pytest.raises(ConfigError, match="batches must last for 6 steps, they ended after 2"):
        train(net(), small[:5], squared, schedule=Schedule(6, accumulate=2))


def test_half_precision_learns_with_weights_in_full():
    seen = []

    def loss(model, batch):
        y = model(batch[0])
        seen.append(y.dtype)
        return (y.float() - batch[1]).square().mean()

    plan = UNetPlan(2, width=4, levels=2)
    model = UNet(plan, generator=torch.Generator().manual_seed(0))
    done = train(
        model, noisy(), loss, schedule=Schedule(60, learning_rate=1e-2, precision="bfloat16")
    )
    assert set(seen) == {torch.bfloat16}
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert sum(done.loss[-5:]) < 0.6 * sum(done.loss[:5])


def test_the_teacher_is_the_average_and_gets_no_gradient():
    seen, shares = [], []

    def loss(student, teacher, batch, done):
        shares.append(done)
        seen.append([p.clone() for p in teacher.parameters()])
        assert not any(p.requires_grad for p in teacher.parameters())
        with torch.no_grad():
            goal = teacher(batch[0])
        return squared(student, batch) + (student(batch[0]) - goal).square().mean()

    model, first = net(), [p.detach().clone() for p in net().parameters()]
    done = train(model, noisy(), Taught(loss), schedule=Schedule(4, warm_up=1, average=0.9))
    assert shares == [0, 0.25, 0.5, 0.75]
    assert all(torch.equal(a, b) for a, b in zip(first, seen[0], strict=True))
    assert any(not torch.equal(a, b) for a, b in zip(seen[0], seen[-1], strict=True))
    means = [done.state[f"mean.{name}"] for name, _ in model.named_parameters()]
    assert any(not torch.equal(a, b) for a, b in zip(means, seen[-1], strict=True))
    assert all(torch.equal(a, b) for a, b in zip(means, model.parameters(), strict=True))
