"""A cohort summed up, and two runs against each other."""

import math

import pytest
import torch

from vesalius.core import Grid, Labels
from vesalius.errors import RegionError
from vesalius.measure._compare import MEAN
from vesalius.measure.evaluate import compare, compare_objects, contest, summarise

GRID = Grid.from_spacing((4, 20, 20), (1.0, 1.0, 1.0))


def block(shift, *, second=True):
    data = torch.zeros(1, 4, 20, 20, dtype=torch.uint8)
    data[0, 1:3, 2:8, 2 + shift : 8 + shift] = 1
    if second:
        data[0, 1:3, 12:18, 2 + shift : 8 + shift] = 2
    return Labels(data, GRID, {(0, 1): "left", (0, 2): "right"})


def cases(shifts, *, lost=()):
    return {
        f"case {k}": compare(block(s, second=k not in lost), block(0)) for k, s in enumerate(shifts)
    }


def seeded():
    return torch.Generator().manual_seed(0)


def test_sums_up_each_label_and_their_mean_over_the_cases():
    scored = cases((0, 1, 2, 3))
    table = {(s.label, s.score): s for s in summarise(scored, generator=seeded())}
    dice = [c.labels[0].dice for c in scored.values()]
    left = table["left", "dice"]
    assert left.interval.mean == pytest.approx(sum(dice) / 4)
    assert left.median == pytest.approx((dice[1] + dice[2]) / 2)
    assert left.interval.low < left.interval.mean < left.interval.high
    assert table[MEAN, "dice"].interval.mean == pytest.approx(left.interval.mean)
    assert next(iter(table))[0] == MEAN


def test_a_lost_label_costs_overlap_and_is_counted_where_it_is_infinite():
    table = {
        (s.label, s.score): s for s in summarise(cases((0, 1, 2), lost=(2,)), generator=seeded())
    }
    right = table["right", "hd95_mm"]
    assert (right.infinite, right.interval.count, right.absent) == (1, 2, 0)
    assert right.interval.mean == pytest.approx(0.5)
    assert table["right", "dice"].interval.count == 3
    assert table["right", "precision"].absent == 1


def test_a_label_that_only_one_case_has_is_absent_in_the_others():
    one = compare(block(1, second=False), block(0, second=False))
    table = {
        (s.label, s.score): s
        for s in summarise({"a": one, "b": compare(block(1), block(0))}, generator=seeded())
    }
    assert table["right", "dice"].absent == 1
    assert table["right", "dice"].interval.count == 1
    assert math.isnan(table["right", "dice"].interval.low)


def test_objects_are_summed_up_the_same_way():
    scored = {"a": compare_objects(block(1), block(0)), "b": compare_objects(block(5), block(0))}
    table = {(s.label, s.score): s for s in summarise(scored, generator=seeded())}
    assert table["objects", "AP@0.5"].interval.mean == pytest.approx(0.5)
    assert table["objects", "coco_ap"].absent == 2
    assert math.isnan(table["objects", "coco_ap"].median)


def test_the_better_run_wins_on_the_cases_that_both_have():
    good, bad = cases((0, 1, 1, 0, 1, 0)), cases((2, 2, 3, 1, 2, 3, 1))
    found = {(c.label, c.score): c.test for c in contest(good, bad, generator=seeded())}
    dice = found["left", "dice"]
    assert dice.difference.count == 6
    assert dice.wins == 6
    assert dice.difference.low > 0
    assert dice.p_value == pytest.approx(2 / 2**6)
    assert found[MEAN, "hd95_mm"].difference.mean < 0


def test_cases_that_are_infinite_in_one_run_are_left_out_of_its_distances():
    found = {
        (c.label, c.score): c.test
        for c in contest(cases((1, 1, 1), lost=(0,)), cases((2, 2, 2)), generator=seeded())
    }
    assert found["right", "hd95_mm"].difference.count == 2
    assert found["right", "dice"].difference.count == 3


def test_refuses_no_cases_and_none_in_common():
    with pytest.raises(RegionError, match="at least one case to be summed up"):
        summarise({}, generator=seeded())
    one = compare(block(1), block(0))
    with pytest.raises(RegionError, match="must have a case in common"):
        contest({"a": one}, {"b": one}, generator=seeded())
