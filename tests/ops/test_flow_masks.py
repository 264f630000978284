"""Flow to objects: the round trip from truth, on made and on real objects."""

import math

import numpy as np
import pytest
import torch

from vesalius.errors import ConfigError, ShapeError
from vesalius.ops._contingency import contingency
from vesalius.ops._flow_masks import FlowRules, flow_masks
from vesalius.ops._heat_flow import heat_flow
from vesalius.ops._matching import detection, match_objects, object_overlaps


def precision(found, truth, threshold=0.9):
    overlaps = object_overlaps(contingency(found, truth))
    return detection(match_objects(overlaps, threshold)).average_precision


def packed(shape, spacing, count, seed):
    """Convex cells that touch: the nearest of random points, with a gap here and there."""
    draw = np.random.default_rng(seed)
    size = np.array(shape) * spacing
    points = draw.uniform(size=(count, 3)) * size
    place = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), -1) * spacing
    far = np.linalg.norm(place[..., None, :] - points, axis=-1)
    nearest = far.argmin(-1)
    labels = np.where(far.min(-1) < 0.8 * np.sort(far, -1)[..., 1], nearest + 1, 0)
    return torch.from_numpy(labels.astype(np.int32))


@pytest.mark.parametrize(
    ("shape", "spacing", "count"),
    [((1, 90, 100), (1.0, 1.0, 1.0), 25), ((12, 30, 32), (2.0, 1.0, 1.0), 12)],
)
def test_touching_objects_come_back(shape, spacing, count):
    truth = packed(shape, np.array(spacing), count, 3)
    sizes = torch.bincount(truth.flatten())
    truth[sizes[truth.long()] < 20] = 0
    flow = heat_flow(truth, spacing)
    found = flow_masks(flow, truth > 0, spacing=spacing, rules=FlowRules(most_error=math.inf))
    assert precision(found.labels, truth) >= 0.98
    assert float(found.errors.median()) < 0.02


@pytest.mark.parametrize(("name", "spacing"), [("mask2d", (1.0, 1, 1)), ("mask3d", (2.0, 1, 1))])
def test_real_nuclei_of_stardist_come_back(data_dir, name, spacing):
    import tifffile

    truth = tifffile.imread(data_dir / "segmentation" / "stardist" / f"{name}.tif").astype(np.int32)
    truth = torch.from_numpy(truth).reshape(-1, *truth.shape[-2:])
    found = flow_masks(heat_flow(truth, spacing), truth > 0, spacing=spacing)
    assert precision(found.labels, truth) >= 0.98


def test_real_nuclei_of_the_science_bowl_come_back(data_dir):
    from PIL import Image as Picture

    scores = []
    folder = data_dir / "segmentation" / "nuclei_dsb2018" / "labels"
    for path in sorted(folder.iterdir())[::30]:
        truth = torch.from_numpy(np.asarray(Picture.open(path)).astype(np.int32))[None]
        found = flow_masks(heat_flow(truth), truth > 0, rules=FlowRules(least_size=4))
        scores.append(precision(found.labels, truth))
    assert sum(scores) / len(scores) >= 0.98


def test_objects_that_the_flow_contradicts_are_refused():
    truth = packed((1, 60, 60), np.ones(3), 9, 1)
    flow = heat_flow(truth)
    draw = torch.Generator().manual_seed(0)
    third = torch.nn.functional.normalize(torch.randn(3, 1, 60, 60, generator=draw), dim=0)
    wrong = torch.where(truth == 4, 0.45 * flow + 0.05 * third, flow)  # it points well but weakly
    found = flow_masks(wrong, truth > 0, rules=FlowRules(most_error=0.2))
    assert found.refused == 1
    assert int(found.labels[truth == 4].max()) == 0
    assert bool((found.errors < 0.2).all())
    assert len(found.errors) == int(found.labels.max())


def test_objects_at_the_border_are_not_judged():
    truth = torch.zeros(1, 30, 40, dtype=torch.int32)
    truth[0, 5:15, :9], truth[0, 5:15, 20:30] = 1, 2
    flow = torch.where(truth > 0, torch.zeros(3, 1, 30, 40), 0)
    middle = torch.tensor([[9.5, -3.0], [9.5, 24.5]])  # that of the first lies outside
    for value, at in ((1, middle[0]), (2, middle[1] + torch.tensor([0.0, 25.0]))):
        where = (truth[0] == value).nonzero()
        way = torch.nn.functional.normalize(at - where, dim=1)
        flow[1:, 0, where[:, 0], where[:, 1]] = way.T
    found = flow_masks(flow, truth > 0, rules=FlowRules(most_error=0.1))
    assert int(found.labels[truth == 1].max()) == 1
    assert int(found.labels[truth == 2].max()) == 0


def test_an_empty_foreground_has_no_object():
    found = flow_masks(torch.zeros(3, 1, 9, 9), torch.zeros(1, 9, 9, dtype=torch.bool))
    assert int(found.labels.max()) == 0
    assert found.errors.shape == (0,)


def test_gives_the_same_objects_again():
    truth = packed((1, 70, 70), np.ones(3), 16, 5)
    flow = heat_flow(truth) + 0.2 * torch.randn(3, 1, 70, 70, generator=torch.Generator())
    first = flow_masks(flow, truth > 0).labels
    assert torch.equal(flow_masks(flow, truth > 0).labels, first)


def test_refuses_a_flow_of_another_shape():
    with pytest.raises(ShapeError, match="flow must have shape"):
        flow_masks(torch.zeros(2, 1, 4, 4), torch.zeros(1, 4, 4, dtype=torch.bool))


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"least_size": 0}, {"most_error": 0.0}])
def test_refuses_rules_that_cannot_hold(wrong):
    with pytest.raises(ConfigError, match="steps and least_size must be at least 1"):
        FlowRules(**wrong)
