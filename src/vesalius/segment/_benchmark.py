"""Benchmark: what one step of training takes on this machine, by making some."""
# SPDX-License-Identifier: Apache-2.0

import time
from itertools import pairwise

import torch

from vesalius.learn import Drawn, Schedule, UNet, train
from vesalius.segment._plan import Plan

STEPS = 3


def seconds_per_step(plan: Plan) -> float:
    """Time three steps of a plan on samples of chance, after one that warms up.

    Args:
        plan: Its network, patch, batch and precision count.

    Returns:
        Seconds of the fastest one: on the CPU its work divided by the threads, which is what it
        takes when nothing else runs; on the GPU by the clock.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    generator = torch.Generator().manual_seed(0)
    network = UNet(plan.network, generator=generator).to(device)
    taught = 2 if plan.consistency else 1  # as many patches without labels, seen by a teacher too
    shape = (taught * plan.batch, plan.network.inputs, *plan.patch[3 - plan.dims :])
    data = torch.randn(shape, generator=generator).to(device)
    times: list[float] = []
    train(
        network,
        Drawn(lambda g: (data,), generator),
        lambda model, batch: _step(model, batch[0], free=(taught - 1) * plan.batch),
        schedule=Schedule(1 + STEPS, warm_up=0, precision=plan.precision),
        on_step=lambda step: times.append(_now(device)),
    )
    return min(b - a for a, b in pairwise(times))


def _step(model: torch.nn.Module, data: torch.Tensor, *, free: int) -> torch.Tensor:
    """Some loss of all levels; ``free`` patches are seen once more, as by a teacher."""
    assert isinstance(model, UNet)
    total = torch.stack([y.float().square().mean() for y in model.deep(data)]).sum()
    if not free:
        return total
    with torch.no_grad():
        again: torch.Tensor = model(data[:free]).float().mean()
    return total + again


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
        return time.monotonic()
    return time.process_time() / torch.get_num_threads()
