"""Landmarks and labels that guide a search: their values, their pull, what they refuse."""

import pytest
import torch

from vesalius.core import Grid, Image, Labels, Linear, Points
from vesalius.errors import ConfigError, RegionError, ShapeError
from vesalius.register._level import make_level
from vesalius.register.similarity import LabelOverlap, LandmarkDistance

GRID = Grid.from_spacing((10, 12, 14), (2.0, 1.0, 1.5), origin_mm=(5.0, -3.0, 8.0))
ORIGIN = Linear.identity()


def moved_by(z, y, x):
    matrix = torch.eye(4, dtype=torch.float64)
    matrix[:3, 3] = torch.tensor([x, y, z])
    return Linear(matrix)


def level(start=ORIGIN, grid=GRID):
    image = Image(torch.rand(1, *grid.shape), grid)
    return make_level(image, image, 0.0, start=start)


def points(generator, n=5):
    index = torch.rand(n, 3, generator=generator, dtype=torch.float64) * 6 + 2
    return Points(GRID.to_world(index))


def flow_mm(z, y, x, grid=GRID):
    mm = torch.tensor([z, y, x]) / torch.tensor(grid.spacing_mm)
    return mm.float()[:, None, None, None].expand(3, *grid.shape).clone()


def test_landmarks_in_place_cost_nothing_and_others_their_squared_distance(generator):
    fixed = points(generator)
    moving = Points(fixed.data + torch.tensor([3.0, 2.0, 1.0]))  # L, P, S = x, y, z
    term = LandmarkDistance(fixed, moving, ORIGIN, weight=0.5)
    assert float(term(flow_mm(0, 0, 0), level())) == pytest.approx(0.5 * 14, rel=1e-5)
    assert float(term(flow_mm(1, 2, 3), level())) == pytest.approx(0, abs=1e-6)


def test_landmarks_are_seen_from_the_start(generator):
    fixed = points(generator)
    start = moved_by(4.0, 5.0, 6.0)
    term = LandmarkDistance(fixed, Points(start(fixed.data)), start)
    assert float(term(flow_mm(0, 0, 0), level(start))) == pytest.approx(0, abs=1e-8)


def test_the_pull_of_landmarks_is_the_derivative_of_their_loss(generator):
    fixed = points(generator, 3)
    term = LandmarkDistance(fixed, Points(fixed.data + 1), ORIGIN)
    at = level()
    flow = (0.3 * torch.rand(3, *GRID.shape, generator=generator)).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda f: term(f, at), (flow,), fast_mode=True)


def test_landmarks_that_do_not_pair_are_refused(generator):
    fixed = points(generator)
    with pytest.raises(ShapeError, match="landmarks must pair one to one, got 5 fixed and 2"):
        LandmarkDistance(fixed, points(generator, 2), ORIGIN)
    with pytest.raises(RegionError, match="at least one pair"):
        LandmarkDistance(points(generator, 0), points(generator, 0), ORIGIN)
    with pytest.raises(ConfigError, match="weight must be 0 or more, got -1"):
        LandmarkDistance(fixed, fixed, ORIGIN, weight=-1.0)


def box(start, grid=GRID, value=3):
    data = torch.zeros(1, *grid.shape, dtype=torch.int64)
    z, y, x = start
    data[0, z : z + 4, y : y + 4, x : x + 4] = value
    return Labels(data, grid)


def test_labels_in_place_cost_nothing_and_disjoint_ones_their_weight():
    one = box((3, 4, 5))
    assert float(LabelOverlap(one, one, ORIGIN)(flow_mm(0, 0, 0), level())) == pytest.approx(0)
    term = LabelOverlap(one, box((3, 4, 9)), ORIGIN, weight=0.25)
    assert float(term(flow_mm(0, 0, 0), level())) == pytest.approx(0.25)
    assert float(term(flow_mm(0, 0, 4 * 1.5), level())) == pytest.approx(0, abs=1e-6)


def test_labels_are_seen_from_the_start():
    term = LabelOverlap(box((3, 4, 5)), box((3, 6, 5)), moved_by(0.0, 2.0, 0.0))
    assert float(term(flow_mm(0, 0, 0), level())) == pytest.approx(0, abs=1e-6)


def test_labels_follow_from_one_level_to_the_next():
    term = LabelOverlap(box((3, 4, 5)), box((3, 6, 5)), ORIGIN)
    image = Image(torch.rand(1, *GRID.shape), GRID)
    coarse = make_level(image, image, 3.0, start=ORIGIN)
    fine = make_level(image, image, 0.0, start=ORIGIN)
    still = [torch.zeros(3, *at.grid.shape) for at in (fine, coarse, fine)]
    losses = [float(term(f, at)) for f, at in zip(still, (fine, coarse, fine), strict=True)]
    assert losses[0] == losses[2] == pytest.approx(0.5)
    assert 0.1 < losses[1] < 0.5  # soft outlines overlap more


def test_the_pull_of_labels_is_the_derivative_of_their_loss(generator):
    term = LabelOverlap(box((3, 4, 5)), box((3, 6, 6)), ORIGIN)
    at = level()
    flow = (0.1 + 0.3 * torch.rand(3, *GRID.shape, generator=generator)).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda f: term(f, at), (flow,), fast_mode=True, atol=1e-4)


def test_labels_without_a_shared_value_are_refused():
    with pytest.raises(RegionError, match="must share a value other than 0"):
        LabelOverlap(box((3, 4, 5)), box((3, 4, 5), value=2), ORIGIN)
    with pytest.raises(ConfigError, match="weight must be 0 or more, got nan"):
        LabelOverlap(box((3, 4, 5)), box((3, 4, 5)), ORIGIN, weight=float("nan"))


def test_landmarks_pull_within_a_slice_and_not_out_of_it():
    grid = Grid.from_spacing((1, 12, 14), (2.0, 1.0, 1.5))
    fixed = Points(grid.to_world(torch.tensor([[0.0, 4.0, 5.0], [0.0, 8.0, 3.0]]).double()))
    moving = Points(fixed.data + torch.tensor([1.0, 0.0, 5.0]))  # 5 mm off the plane
    term = LandmarkDistance(fixed, moving, ORIGIN, weight=1.0)
    flow = torch.zeros(3, *grid.shape, requires_grad=True)
    loss = term(flow, level(grid=grid))
    (slope,) = torch.autograd.grad(loss, flow)
    assert float(loss.detach()) == pytest.approx(1.0, rel=1e-5)
    assert float(slope[0].abs().max()) == 0
    assert float(slope[2].abs().max()) > 0
