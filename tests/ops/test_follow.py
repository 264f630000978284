"""Following a flow: known fields, borders, spacing, refusals."""

import math

import pytest
import torch

from vesalius.errors import ConfigError, ShapeError
from vesalius.ops._follow import follow


def towards(shape, at, spacing=(1.0, 1.0, 1.0)):
    place = torch.stack(torch.meshgrid(*[torch.arange(float(n)) for n in shape], indexing="ij"))
    scale = torch.tensor(spacing).view(3, 1, 1, 1)
    way = (torch.tensor(at).view(3, 1, 1, 1) - place) * scale
    return way / way.norm(dim=0).clamp_min(1e-6)


@pytest.mark.parametrize(
    ("shape", "at"), [((1, 21, 24), (0.0, 8.0, 11.0)), ((9, 13, 14), (4.0, 6.0, 5.0))]
)
def test_everything_ends_where_the_flow_points(shape, at):
    ends = follow(towards(shape, at), torch.ones(shape, dtype=torch.bool))
    assert ends.shape == (math.prod(shape), 3)
    assert float((ends - torch.tensor(at)).norm(dim=1).max()) < 1


def test_anisotropic_samples_end_where_the_flow_of_the_world_points():
    spacing, at = (4.0, 1.0, 1.0), (3.0, 7.0, 8.0)
    shape = (7, 15, 17)
    ends = follow(towards(shape, at, spacing), torch.ones(shape, dtype=torch.bool), spacing=spacing)
    assert float((ends - torch.tensor(at)).norm(dim=1).max()) < 1


def test_a_constant_flow_is_followed_to_the_border_and_no_further():
    flow = torch.zeros(3, 1, 6, 20)
    flow[2] = 1
    ends = follow(flow, torch.ones(1, 6, 20, dtype=torch.bool), steps=50)
    assert bool((ends[:, 2] == 19).all())
    assert torch.equal(ends[:, 1], torch.arange(6.0).double().repeat_interleave(20))


def test_steps_are_one_sample_long():
    flow = torch.zeros(3, 1, 4, 40)
    flow[2] = 1
    mask = torch.zeros(1, 4, 40, dtype=torch.bool)
    mask[0, 1:3, :] = True
    ends = follow(flow, mask, steps=7)
    assert float(ends[0, 2]) == pytest.approx(7)


def test_long_vectors_count_as_one():
    flow = torch.zeros(3, 1, 4, 40)
    flow[2] = 9
    ends = follow(flow, torch.ones(1, 4, 40, dtype=torch.bool), steps=7)
    assert float(ends[0, 2]) == pytest.approx(7)


def test_nothing_moves_without_a_flow():
    mask = torch.rand(3, 5, 6) > 0.5
    ends = follow(torch.zeros(3, 3, 5, 6), mask)
    assert torch.equal(ends, mask.nonzero().double())


def test_the_flow_outside_the_mask_does_not_count():
    flow = torch.zeros(3, 1, 5, 12)
    flow[2] = 1
    mask = torch.zeros(1, 5, 12, dtype=torch.bool)
    mask[0, :, :6] = True
    ends = follow(flow, mask)
    assert float(ends[:, 2].max()) <= 6.0


def test_a_mask_with_nothing_in_it_gives_nothing():
    assert follow(torch.zeros(3, 1, 4, 4), torch.zeros(1, 4, 4, dtype=torch.bool)).shape == (0, 3)


@pytest.mark.parametrize("shape", [(1, 1, 7), (1, 7, 1), (2, 1, 1), (1, 1, 1)])
def test_thin_volumes_are_followed(shape):
    at = tuple(float(n // 2) for n in shape)
    ends = follow(towards(shape, at), torch.ones(shape, dtype=torch.bool))
    assert float((ends - torch.tensor(at)).norm(dim=1).max()) < 1


def test_leaves_its_input_as_it_is():
    flow, mask = torch.rand(3, 2, 5, 5), torch.rand(2, 5, 5) > 0.5
    kept = flow.clone()
    follow(flow, mask)
    assert torch.equal(flow, kept)


def test_refuses_a_flow_of_another_shape():
    with pytest.raises(ShapeError, match=r"flow must have shape \(3, \*mask\)"):
        follow(torch.zeros(3, 1, 4, 5), torch.zeros(1, 4, 4, dtype=torch.bool))


@pytest.mark.parametrize(
    "wrong", [{"steps": 0}, {"spacing": (1.0, 0.0, 1.0)}, {"spacing": (math.nan, 1.0, 1.0)}]
)
def test_refuses_steps_and_spacings_that_lead_nowhere(wrong):
    with pytest.raises(ConfigError, match="steps must be at least 1 and spacing positive"):
        follow(torch.zeros(3, 1, 4, 4), torch.zeros(1, 4, 4, dtype=torch.bool), **wrong)
