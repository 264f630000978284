"""Objects from flows over whole images: numbering, tiles, axes, sizes, refusals.

The network is the identity: the channels of the image are the outputs themselves.
"""

import math
from dataclasses import replace

import pytest
import torch

from vesalius.core import Grid, Image
from vesalius.errors import ConfigError
from vesalius.io._weights import ModelCard
from vesalius.learn import UNet, UNetPlan
from vesalius.segment._flow_head import GAIN, FlowHead, found_share
from vesalius.segment._inference import Inference
from vesalius.segment._instances import predict_instances
from vesalius.segment._model import Model
from vesalius.segment._plan import Normalisation, Plan
from vesalius.segment._predict import predict

CARD = ModelCard("identity", "tests", "none", "none", "tests", "Apache-2.0")


def model(dims, *, diameter=0.0, patch=(1, 32, 32), **settings):
    k = dims + 1
    kernels = ((1,) * dims,)
    network = UNetPlan(
        dims, k, k, width=4, levels=1, norm="none", residual=True, kernels=kernels, bias=False
    )
    plan = Plan(
        head="flows",
        names={1: "nucleus"},
        channels=tuple("abcd"[:k]),
        spacing_mm=(0.0, 0.0, 0.0),
        normalisation=(Normalisation("none"),) * k,
        patch=patch,
        network=network,
        diameter=diameter,
        head_settings=settings,
    )
    return Model(plan, (UNet(network, generator=torch.Generator().manual_seed(0)).eval(),), CARD)


def discs(shape, pitch, radius):
    """Discs or balls on a lattice of their own, each with its number."""
    place = torch.meshgrid(*[torch.arange(n) for n in shape], indexing="ij")
    labels = torch.zeros(shape, dtype=torch.int32)
    felt = [a for a in range(3) if shape[a] > 1]
    centres = [place[a] // pitch * pitch + pitch // 2 for a in felt]
    far = sum((place[a] - c) ** 2 for a, c in zip(felt, centres, strict=True))
    whole = torch.ones(shape, dtype=torch.bool)
    number = torch.zeros(shape, dtype=torch.int64)
    for a, c in zip(felt, centres, strict=True):
        number = number * 100 + c // pitch + 1
        whole &= c + radius < shape[a]
    inside = (far <= radius**2) & whole
    _, order = torch.unique(number[inside], return_inverse=True)
    labels[inside] = order.int() + 1
    return labels


def picture(labels, head, affine=None):
    targets = head.targets(labels, (1.0, 1.0, 1.0))
    d = head.dims
    data = torch.cat([GAIN * targets[:d], 12 * targets[d:] - 6])
    grid = Grid.from_spacing(labels.shape) if affine is None else Grid(labels.shape, affine)
    return Image(data, grid)


PLANE = discs((1, 150, 170), 23, 9)
VOLUME = discs((26, 38, 40), 13, 5)


@pytest.mark.parametrize(("labels", "dims"), [(PLANE, 2), (VOLUME, 3)])
def test_finds_all_objects_with_one_numbering(labels, dims):
    patch = (1, 32, 32) if dims == 2 else (16, 16, 16)
    found = predict(model(dims, patch=patch), picture(labels, FlowHead(dims)))
    assert found_share(found.labels.data[0], labels, 0.9) == 1.0
    numbers = found.labels.data.unique().tolist()
    assert numbers == list(range(int(labels.max()) + 1))
    assert found.values["objects"] == int(labels.max())
    assert found.values["mean flow error"] < 0.01
    assert found.labels.name(1) == "nucleus"
    assert found.curves[0].x.numel() == int(labels.max())


def test_median_diameter_is_that_of_the_objects():
    found = predict(model(2), picture(PLANE, FlowHead(2)))
    area = (PLANE == 1).sum().item()
    assert found.values["median diameter"] == pytest.approx(2 * math.sqrt(area / math.pi), rel=0.02)


@pytest.mark.parametrize("patch", [(1, 24, 24), (1, 40, 64), (1, 32, 200)])
def test_tiled_equals_untiled(patch):
    image = picture(PLANE, FlowHead(2))
    whole = predict(model(2), image, inference=Inference(patch=(1, 150, 170)))
    tiled = predict(model(2), image, inference=Inference(patch=patch, overlap=0.25))
    assert torch.equal(whole.labels.data, tiled.labels.data)


def test_tiled_equals_untiled_in_a_volume():
    image = picture(VOLUME, FlowHead(3))
    made = model(3, patch=(16, 16, 16))
    whole = predict(made, image, inference=Inference(patch=(26, 38, 40)))
    tiled = predict(made, image, inference=Inference(patch=(8, 16, 24), overlap=0.4))
    assert torch.equal(whole.labels.data, tiled.labels.data)


def test_mirrors_turn_vectors_back():
    image = picture(PLANE, FlowHead(2))
    plain = predict(model(2), image)
    mirrored = predict(model(2), image, inference=Inference(mirrors=True))
    # the identity says the same of every mirror image only if vectors are not turned: the mean of
    # a vector and its turned mirror images is 0, and no object is found
    assert plain.values["objects"] > mirrored.values["objects"] == 0


def test_gives_labels_on_the_axes_of_a_turned_file():
    head = FlowHead(3)
    upright = picture(VOLUME, head)
    straight = predict(model(3, patch=(16, 16, 16)), upright)
    order, flips = (2, 0, 1), (0, 2)
    affine = upright.grid.affine[:, [*order, 3]].clone()
    data = upright.data.permute(0, *(1 + a for a in order))
    for axis in flips:
        affine[:3, 3] += affine[:3, axis] * (data.shape[1 + axis] - 1)
        affine[:3, axis] *= -1
    turned = Image(data.flip([1 + a for a in flips]).contiguous(), Grid(data.shape[1:], affine))
    found = predict(model(3, patch=(16, 16, 16)), turned)
    assert found.labels.grid is turned.grid
    wanted = straight.labels.data[0].permute(order).flip(flips)
    assert torch.equal(found.labels.data[0], wanted)


def test_a_given_diameter_sets_the_lattice_and_labels_come_on_that_of_the_image():
    image = picture(PLANE, FlowHead(2))
    made = model(2, diameter=9.0)  # half of what they measure: the lattice is twice as coarse
    found = predict(made, image, inference=Inference(diameter="18px"))
    assert found.settings["zoom"] == pytest.approx(0.5, rel=0.02)
    assert found.labels.data.shape[1:] == PLANE.shape
    assert found_share(found.labels.data[0], PLANE, 0.75) >= 0.95


def test_objects_of_another_size_are_measured_and_brought_to_the_trained_one():
    made = model(2, diameter=9.0)
    found = predict(made, picture(PLANE, FlowHead(2)))
    assert found.settings["zoom"] == pytest.approx(0.5, rel=0.1)
    assert found_share(found.labels.data[0], PLANE, 0.75) >= 0.95


def test_objects_of_about_the_trained_size_are_left_alone():
    found = predict(model(2, diameter=20.0), picture(PLANE, FlowHead(2)))
    assert found.settings["zoom"] == 1.0


def test_an_empty_image_has_no_object_and_says_so():
    image = Image(torch.full((3, 1, 40, 40), -5.0), Grid.from_spacing((1, 40, 40)))
    found = predict(model(2, diameter=9.0), image)
    assert int(found.labels.data.max()) == 0
    assert any("no object was found" in remark for remark in found.remarks)


def test_contradicted_objects_are_left_out_and_counted():
    image = picture(PLANE, FlowHead(2))
    image.data[:2][:, PLANE == 5] *= 0.3
    found = predict(model(2, most_error=0.3), image)
    assert found.values["refused objects"] == 1
    assert int(found.labels.data[0][PLANE == 5].max()) == 0
    assert any("contradicts" in remark for remark in found.remarks)


def test_tells_of_its_tiles():
    steps = []
    inference = Inference(patch=(1, 64, 64))
    predict(model(2), picture(PLANE, FlowHead(2)), inference=inference, on_step=steps.append)
    assert steps[-1].done == steps[-1].total > 4


def test_refuses_a_model_of_classes():
    made = model(2)
    plan = replace(made.plan, head="classes", names={1: "a", 2: "b"}, head_settings={})
    other = Model(plan, made.networks, CARD)
    with pytest.raises(ConfigError, match="objects are found by a model of flows"):
        predict_instances(other, _prepared(), Inference())


def test_refuses_where_the_memory_is_too_small():
    with pytest.raises(ConfigError, match="must fit in memory"):
        predict(model(2), picture(PLANE, FlowHead(2)), inference=Inference(ram_gb=1e-6))


def _prepared():
    from vesalius.segment._prepare import Prepared

    grid = Grid.from_spacing((1, 8, 8))
    return Prepared(torch.zeros(3, 1, 8, 8), grid, grid)
