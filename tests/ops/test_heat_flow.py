"""The flow of heat in objects: direction, length, independence, and its round trip to objects."""

import math

import numpy as np
import pytest
import torch

from vesalius.errors import ConfigError, ShapeError
from vesalius.ops._follow import follow
from vesalius.ops._heat_flow import flow_errors, heat_flow

NO = (1.0, 1.0, 1.0)


def disc(radius, shape=(1, 31, 31), at=(0, 15, 15), spacing=NO):
    place = torch.stack(torch.meshgrid(*[torch.arange(n) for n in shape], indexing="ij"), -1)
    offset = (place - torch.tensor(at)) * torch.tensor(spacing)
    return (offset.square().sum(-1) <= radius**2).int()


def simulated(labels, value, steps):
    """Cellpose's own recipe: heat in at the middle, mean of nine neighbours, log, gradient."""
    inside = np.pad((labels[0] == value).numpy(), 2)
    where = np.argwhere(inside)
    middle = where[((where - where.mean(0)) ** 2).sum(1).argmin()]
    heat = np.zeros(inside.shape)
    for _ in range(steps):
        heat[tuple(middle)] += 1
        shifted = [np.roll(heat, (i, j), (0, 1)) for i in (-1, 0, 1) for j in (-1, 0, 1)]
        heat = np.where(inside, sum(shifted) / 9, 0)
    slope = np.stack(np.gradient(np.log1p(heat)))
    slope /= np.maximum(np.sqrt((slope**2).sum(0)), 1e-20)
    return torch.from_numpy(np.where(inside, slope, 0)[:, 2:-2, 2:-2]).float()


def bent():
    """A horseshoe, whose centroid lies outside of it."""
    ring = disc(13) - disc(7)
    ring[0, 15:, :] = 0
    return ring


@pytest.mark.parametrize("labels", [disc(9), bent()], ids=["disc", "horseshoe"])
def test_agrees_with_the_simulated_diffusion(labels):
    ours, theirs = heat_flow(labels)[1:, 0], simulated(labels, 1, 4000)
    inside = (labels[0] > 0) & (theirs.norm(dim=0) > 0.5)
    cosine = (ours * theirs).sum(0)[inside]
    assert float(cosine.mean()) > 0.98
    assert float((cosine > 0.8).float().mean()) > 0.97


def test_vectors_of_a_disc_point_to_its_centre():
    labels = disc(10)
    flow = heat_flow(labels)
    y, x = torch.meshgrid(torch.arange(31.0), torch.arange(31.0), indexing="ij")
    inward = torch.stack([15 - y, 15 - x])
    far = (labels[0] > 0) & (inward.norm(dim=0) > 2)
    cosine = (flow[1:, 0] * inward / inward.norm(dim=0).clamp_min(1)).sum(0)[far]
    assert float(cosine.min()) > 0.96


def test_vectors_have_length_one_or_zero_and_are_zero_outside():
    labels = disc(6) + 2 * disc(4, at=(0, 4, 26))
    length = heat_flow(labels).norm(dim=0)
    assert float(length[labels == 0].max()) == 0
    rest = length[labels > 0]
    assert bool(((rest - 1).abs().lt(1e-5) | (rest == 0)).all())


def test_each_object_is_by_itself():
    one, two = disc(6, at=(0, 10, 10)), disc(6, at=(0, 10, 23))
    both = heat_flow(one + 5 * two)
    torch.testing.assert_close(both, heat_flow(one) + heat_flow(two))


def test_numbers_of_the_objects_do_not_matter():
    labels = disc(6, at=(0, 10, 10)) + 2 * disc(6, at=(0, 10, 23))
    renamed = torch.tensor([0, 9, 4])[labels.long()]
    torch.testing.assert_close(heat_flow(labels), heat_flow(renamed))


def test_unknown_voxels_are_no_object():
    labels = disc(6)
    unknown = torch.where(labels > 0, labels, -1)
    torch.testing.assert_close(heat_flow(labels), heat_flow(unknown))


def test_a_flat_volume_has_no_flow_across():
    assert float(heat_flow(disc(7))[0].abs().max()) == 0


def test_turns_with_the_object():
    labels = bent()
    ours = heat_flow(labels.transpose(1, 2))
    theirs = heat_flow(labels).transpose(2, 3)[[0, 2, 1]]
    cosine = (ours * theirs).sum(0)[labels.transpose(1, 2) > 0]
    assert float(cosine.mean()) > 0.97  # the middle of a symmetric object is one of two equals


def test_anisotropic_ball_points_to_its_centre_in_the_world():
    spacing = (3.0, 1.0, 1.0)
    labels = disc(9, (9, 25, 25), (4, 12, 12), spacing)
    flow = heat_flow(labels, spacing)
    place = torch.stack(torch.meshgrid(*[torch.arange(n) for n in labels.shape], indexing="ij"))
    inward = (torch.tensor([4, 12, 12]).view(3, 1, 1, 1) - place) * torch.tensor(spacing).view(
        3, 1, 1, 1
    )
    far = (labels > 0) & (inward.norm(dim=0) > 3.5)
    cosine = (flow * inward / inward.norm(dim=0).clamp_min(1)).sum(0)[far]
    assert float(cosine.mean()) > 0.98
    blind = (heat_flow(labels) * inward / inward.norm(dim=0).clamp_min(1)).sum(0)[far]
    assert float(blind.mean()) < float(cosine.mean())


def test_unit_of_the_spacing_does_not_matter():
    labels = disc(5, (5, 13, 13), (2, 6, 6), (2.0, 1.0, 1.0))
    torch.testing.assert_close(
        heat_flow(labels, (2.0, 1.0, 1.0)), heat_flow(labels, (2e-4, 1e-4, 1e-4))
    )


def test_a_single_sample_is_level():
    labels = torch.zeros(1, 3, 3, dtype=torch.int32)
    labels[0, 1, 1] = 4
    assert float(heat_flow(labels).abs().max()) == 0


def test_a_touching_border_is_no_special_case():
    labels = torch.ones(1, 8, 8, dtype=torch.int32)
    flow = heat_flow(labels)
    assert float(flow[1, 0, 0, 3]) > 0.9
    assert float(flow[1, 0, -1, 3]) < -0.9


def test_all_of_an_object_ends_in_one_place():
    labels = bent()
    ends = follow(heat_flow(labels), labels > 0)
    assert float((ends - ends.median(dim=0).values).norm(dim=1).max()) < 2


def test_error_of_the_own_flow_is_nothing_and_of_the_opposite_four():
    labels = disc(6) + 7 * disc(4, at=(0, 4, 26))
    flow = heat_flow(labels)
    assert flow_errors(flow, labels).tolist() == pytest.approx([0, 0], abs=1e-4)
    away = flow_errors(-flow, labels)
    assert all(3.8 < e < 4.05 for e in away.tolist())
    still = flow_errors(torch.zeros_like(flow), labels)
    assert all(0.95 < e < 1.01 for e in still.tolist())


def test_error_names_the_object_whose_flow_is_wrong():
    labels = disc(6, at=(0, 10, 10)) + 2 * disc(6, at=(0, 10, 23))
    flow = heat_flow(labels)
    flow = torch.where(labels == 2, -flow, flow)
    good, bad = flow_errors(flow, labels).tolist()
    assert good < 1e-4 < 0.5 < bad


def test_refuses_a_flow_of_another_shape():
    with pytest.raises(ShapeError, match=r"must have shape \(3, \*mask\)"):
        flow_errors(torch.zeros(2, 1, 4, 4), torch.zeros(1, 4, 4, dtype=torch.int32))


@pytest.mark.parametrize("spacing", [(0.0, 1.0, 1.0), (1.0, -1.0, 1.0), (1.0, math.inf, 1.0)])
def test_refuses_a_spacing_that_is_no_size(spacing):
    with pytest.raises(ConfigError, match="spacing must be positive"):
        heat_flow(torch.zeros(1, 4, 4, dtype=torch.int32), spacing)
