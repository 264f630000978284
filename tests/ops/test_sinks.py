"""Sinks: what gathers in one place is one object, whatever the order."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vesalius.errors import ConfigError, ShapeError
from vesalius.ops._sinks import SinkRules, ends_to_bins, sinks

PLANE = (1, 20, 30)


def at(y, x, count):
    return torch.full((count,), y * 30 + x)


def test_two_places_are_two_sinks_in_the_order_of_the_array():
    bins = torch.cat([at(15, 20, 40), at(4, 5, 60)])
    found = sinks(bins, PLANE)
    assert found.tolist() == [2] * 40 + [1] * 60


def test_places_that_touch_a_peak_belong_to_it():
    bins = torch.cat([at(8, 8, 30), at(8, 9, 5), at(9, 10, 4), at(10, 11, 3)])
    assert sinks(bins, PLANE).tolist() == [1] * 42


def test_a_ridge_is_one_sink_as_far_as_it_reaches():
    bins = torch.cat([at(8, x, 20 + (x == 12)) for x in range(4, 22)])
    near = sinks(bins, PLANE, rules=SinkRules(reach=5))
    there = ((bins - 8 * 30) >= 7) & ((bins - 8 * 30) <= 17)
    assert len(near[there].unique()) == 1
    assert int(near[there][0]) not in near[~there].unique().tolist()
    assert sinks(bins, PLANE, rules=SinkRules(reach=20)).unique().tolist() == [1]


def test_few_samples_make_no_sink():
    bins = torch.cat([at(3, 3, 7), at(10, 10, 8)])
    assert sinks(bins, PLANE, rules=SinkRules(least=8)).tolist() == [0] * 7 + [1] * 8


def test_stray_ends_belong_to_nothing():
    bins = torch.cat([at(8, 8, 30), at(8, 9, 1)])
    assert sinks(bins, PLANE, rules=SinkRules(few=1)).tolist() == [1] * 30 + [0]


@given(st.integers(0, 1000))
def test_the_order_of_the_samples_does_not_matter(seed):
    draw = torch.Generator().manual_seed(seed)
    bins = (torch.randn(300, generator=draw) * 30 + 300).long().clamp(0, 599)
    order = torch.randperm(300, generator=draw)
    rules = SinkRules(least=2)
    whole = sinks(bins, PLANE, rules=rules)
    assert torch.equal(sinks(bins[order], PLANE, rules=rules), whole[order])
    used = whole.unique()
    assert used[used > 0].tolist() == list(range(1, int(whole.max()) + 1))


def test_a_coarse_axis_has_a_shorter_reach():
    shape = (9, 9, 9)
    ends = torch.tensor([[2.0, 4, 4]] * 20 + [[4.0, 4, 4]] * 20)
    bins = ends_to_bins(ends, shape)
    assert sinks(bins, shape).unique().tolist() == [0, 1]  # too near: the first of equals
    assert sinks(bins, shape, spacing=(3.0, 1.0, 1.0)).unique().tolist() == [1, 2]


def test_no_sample_no_sink():
    assert sinks(torch.zeros(0, dtype=torch.int64), PLANE).shape == (0,)


def test_ends_are_rounded_to_the_nearest_sample():
    ends = torch.tensor([[0.0, 1.4, 2.6], [0.0, 3.0, 29.4]])
    assert ends_to_bins(ends, PLANE).tolist() == [33, 119]


@pytest.mark.parametrize("end", [[0.0, 20.0, 1.0], [0.0, -0.6, 1.0], [1.0, 3.0, 3.0]])
def test_refuses_ends_outside_of_the_volume(end):
    with pytest.raises(ShapeError, match="ends must lie inside the volume"):
        ends_to_bins(torch.tensor([end]), PLANE)


@pytest.mark.parametrize("wrong", [{"apart": 0}, {"least": 0}, {"reach": -1}, {"few": -1}])
def test_refuses_rules_that_cannot_hold(wrong):
    with pytest.raises(ConfigError, match="apart and least must be at least 1"):
        SinkRules(**wrong)
