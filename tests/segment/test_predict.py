"""Prediction: any orientation and spacing, tiled, streamed; equal to doing it all at once."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from vesalius.core import Grid, Image, Labels
from vesalius.errors import ConfigError, ShapeError
from vesalius.io._weights import ModelCard
from vesalius.learn import UNet, UNetPlan
from vesalius.learn._sliding_window import Window
from vesalius.segment import segment
from vesalius.segment._familiarity import appearance, reference
from vesalius.segment._hints import Hints
from vesalius.segment._inference import Inference, zoom_of
from vesalius.segment._model import Model
from vesalius.segment._plan import Normalisation, Plan
from vesalius.segment._predict import Stream, Trained, predict, streamed
from vesalius.segment._prepare import prepare
from vesalius.segment._tiles import empty_samples, needed_bytes, windows

CARD = ModelCard("test", "tests", "none", "none", "not for use", "Apache-2.0")
CLIPPED = Normalisation("clip and standardise", 0, 1000, 0, 1000)
CT = Normalisation("clip and standardise", 0, 100, 50, 20)
NAMES = {1: "low", 4: "high"}


def plan_of(dims: int = 3, spacing: float = 0.0, names: dict[int, str] | None = None) -> Plan:
    names = NAMES if names is None else names
    network = UNetPlan(dims, 1, 1 + len(names), width=4, levels=2, norm="none")
    return Plan(
        "classes",
        names,
        ("value",),
        (spacing,) * 3,
        (Normalisation("none"),),
        (8, 8, 8) if dims == 3 else (1, 8, 8),
        network,
    )


def pointwise(plan: Plan) -> UNet:
    """A U-Net that looks at one voxel alone: the tent about 0, 0.5 and 1 for its classes."""
    network = UNet(plan.network, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        first, second = (m for m in network.enter.modules() if hasattr(m, "weight"))
        middle = (0, 0, *(1,) * plan.dims)
        first.weight[middle] = 1.0  # rectified x, kept by the second convolution
        second.weight[middle] = 1.0
        merge = [m for m in network.up[0].modules() if hasattr(m, "weight")]
        merge[0].weight[(0, 4, *(1,) * plan.dims)] = 1.0  # the skip comes after what rises
        merge[1].weight[middle] = 1.0
        network.leave.weight[:, 0] = torch.tensor([0.0, 10.0, 20.0])[: 1 + len(plan.names)].reshape(
            -1, *(1,) * plan.dims
        )
        network.leave.bias[:] = torch.tensor([0.0, -2.5, -10.0])[: 1 + len(plan.names)]
    return network.eval()


def model_of(plan: Plan, networks: int = 1) -> Model:
    return Model(plan, tuple(pointwise(plan) for _ in range(networks)), CARD)


def ramp(grid: Grid) -> Image:
    """Values that rise along P, from 0 to 1 in world coordinates, so that truth is known."""
    axes = [torch.arange(n, dtype=torch.float64) for n in grid.shape]
    index = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)
    world = grid.to_world(index)[..., 1]
    return Image(((world + 10.45) / 20).clamp(0, 1).float()[None], grid)


def truth(image: Image) -> Tensor:
    x = image.data[0]
    labels = torch.zeros(x.shape, dtype=torch.uint8)
    labels[x > 0.25] = 1
    labels[x > 0.75] = 4
    return labels


def grid_of(kind: str) -> Grid:
    if kind == "straight":
        return Grid.from_spacing((9, 20, 11), (1, 1, 1), origin_mm=(-5, -10, -4))
    if kind == "anisotropic":
        return Grid.from_spacing((5, 27, 11), (3, 0.7, 1.1), origin_mm=(-5, -9, -4))
    turned = torch.eye(4, dtype=torch.float64)
    if kind == "other axes":  # array (x, z, y), two of them backwards
        turned[:3, :3] = torch.tensor([[0, 0, -1.2], [1.0, 0, 0], [0, -2.0, 0]])
        turned[:3, 3] = torch.tensor([6.0, -10.0, 5.0])
        return Grid((21, 6, 10), turned)
    a = math.radians(20)  # oblique
    turned[:3, :3] = torch.tensor(
        [[0, -math.sin(a), math.cos(a)], [0, math.cos(a), math.sin(a)], [1.5, 0, 0]]
    ).double()
    turned[:3, 3] = torch.tensor([-5.0, -10.0, -4.0])
    return Grid((7, 20, 11), turned)


@pytest.mark.parametrize("kind", ["straight", "anisotropic", "other axes", "oblique"])
@pytest.mark.parametrize("spacing", [0.0, 0.8])
def test_labels_come_back_to_the_grid_of_any_image(kind, spacing):
    image = ramp(grid_of(kind))
    found = predict(model_of(plan_of(spacing=spacing)), image)
    assert found.labels.grid is image.grid
    wrong = (found.labels.data[0] != truth(image)).float().mean()
    assert wrong <= (0.0 if spacing == 0 else 0.02)
    assert found.labels.names == {(0, 1): "low", (0, 4): "high"}


def test_a_world_seen_in_two_orientations_has_the_same_labels():
    image = ramp(grid_of("straight"))
    flipped = torch.eye(4, dtype=torch.float64)
    flipped[1, 1], flipped[1, 3] = -1, 19
    other = Image(image.data.flip(2), Grid((9, 20, 11), image.grid.affine @ flipped))
    model = model_of(plan_of(spacing=0.8))
    one, two = predict(model, image).labels, predict(model, other).labels
    assert torch.equal(one.data, two.data.flip(2))


def random_model(plan: Plan, networks: int = 1) -> Model:
    made = (
        UNet(plan.network, generator=torch.Generator().manual_seed(s)).eval()
        for s in range(networks)
    )
    return Model(plan, tuple(made), CARD)


def noise(*shape: int) -> Image:
    data = torch.randn(1, *shape, generator=torch.Generator().manual_seed(1))
    return Image(data, Grid.from_spacing(shape, (1, 1, 1)))


def test_slabs_give_what_the_whole_network_gives_in_one_patch():
    image, model = noise(8, 12, 8), random_model(plan_of())
    wanted = Inference(patch=(8, 12, 8), probabilities=True, uncertainty=True)
    found = predict(model, image, inference=wanted)
    with torch.no_grad():
        p = model.networks[0](image.data[None])[0].softmax(dim=0)
    values = torch.tensor([0, 1, 4], dtype=torch.uint8)
    assert torch.equal(found.labels.data[0], values[p.argmax(dim=0)])
    torch.testing.assert_close(found.maps["probability"].data, p, atol=1e-5, rtol=1e-4)
    entropy = torch.special.entr(p).sum(dim=0, keepdim=True)
    torch.testing.assert_close(found.maps["entropy"].data, entropy, atol=1e-5, rtol=1e-4)
    assert found.maps["probability"].channels == ("background", "low", "high")


def test_folds_and_mirrors_are_averaged_and_their_information_is_not_negative():
    image, model = noise(8, 8, 8), random_model(plan_of(), networks=2)
    wanted = Inference(mirrors=True, uncertainty=True, probabilities=True)
    found = predict(model, image, inference=wanted)
    votes = []
    with torch.no_grad():
        for network in model.networks:
            for axes in [(), (2,), (3,), (4,), (2, 3), (2, 4), (3, 4), (2, 3, 4)]:
                votes.append(network(image.data[None].flip(axes)).flip(axes)[0].softmax(dim=0))
    p = torch.stack(votes)
    torch.testing.assert_close(found.maps["probability"].data, p.mean(0), atol=1e-5, rtol=1e-4)
    mutual = torch.special.entr(p.mean(0)).sum(0) - torch.special.entr(p).sum(1).mean(0)
    there = found.maps["mutual information"].data
    torch.testing.assert_close(there[0], mutual, atol=1e-5, rtol=1e-3)
    assert found.settings["members"] == 16


def test_one_fold_alone_can_be_asked_for():
    image, model = noise(8, 8, 8), random_model(plan_of(), networks=2)
    alone = Model(model.plan, model.networks[1:], CARD)
    one = predict(model, image, inference=Inference(folds=(1,), probabilities=True))
    two = predict(alone, image, inference=Inference(probabilities=True))
    torch.testing.assert_close(one.maps["probability"].data, two.maps["probability"].data)


def test_a_flat_model_takes_images_and_stacks_of_slices():
    model = model_of(plan_of(dims=2))
    flat = ramp(Grid.from_spacing((1, 20, 11), (1, 1, 1), origin_mm=(-5, -10, 0)))
    stack = ramp(Grid.from_spacing((3, 20, 11), (1, 1, 1), origin_mm=(-5, -10, 0)))
    one, three = predict(model, flat), predict(model, stack)
    assert torch.equal(one.labels.data[0], truth(flat))
    assert torch.equal(three.labels.data[0], truth(stack))
    assert one.settings["patch"] == [1, 8, 8]


def test_integers_and_a_mask_are_taken_by_the_front():
    image = ramp(grid_of("straight"))
    whole = Image((image.data * 1000).to(torch.int16), image.grid)
    plan = replace(
        plan_of(), normalisation=(Normalisation("clip and standardise", 0, 1000, 0, 1000),)
    )
    found = segment(whole, Trained(model_of(plan)))
    wrong = (found.labels.data[0] != truth(image)).float().mean()
    assert wrong < 0.01
    again = segment(whole, Trained(model_of(plan)))
    assert torch.equal(found.labels.data, again.labels.data)


def test_leaving_out_empty_patches_changes_nothing_where_air_is_air():
    grid = Grid.from_spacing((8, 40, 8), (1, 1, 1), origin_mm=(0, -30, 0))
    image = ramp(grid)
    model = model_of(plan_of())
    steps: list[int] = []
    found = predict(model, image, on_step=lambda s: steps.append(s.total))
    every: list[int] = []
    slow = predict(
        model,
        image,
        inference=Inference(skip_empty=False),
        on_step=lambda s: every.append(s.total),
    )
    assert torch.equal(found.labels.data, slow.labels.data)
    assert steps[-1] < every[-1]


def test_air_below_the_clipped_range_is_empty_and_noise_above_is_not():
    plan = replace(
        plan_of(), normalisation=(Normalisation("clip and standardise", 0, 100, 50, 20),)
    )
    data = torch.full((1, 4, 4, 4), -1000.0)
    data[0, 0] = -3.0
    data[0, 1] = 1.0
    prepared = prepare(Image(data, Grid.from_spacing((4, 4, 4), (1, 1, 1))), plan)
    empty = empty_samples(prepared, plan)
    assert empty[0].all()
    assert not empty[1].any()
    assert empty[2:].all()


def test_only_the_constant_surroundings_of_an_mr_are_empty():
    plan = replace(plan_of(), normalisation=(Normalisation("standardise"),))
    data = 5 + torch.rand(1, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    data[0, 2:] = 0.0
    empty = empty_samples(prepare(Image(data, grid4()), plan), plan)
    assert empty[2:].all()
    assert not empty[:2].any()


def grid4() -> Grid:
    return Grid.from_spacing((4, 4, 4), (1, 1, 1))


def test_short_memory_takes_smaller_patches_and_says_so():
    plan = replace(plan_of(), patch=(32, 32, 32))
    image, model = noise(32, 32, 32), random_model(plan)
    less = needed_bytes(plan, (32, 32, 32), (16, 32, 32), outputs=3)
    found = predict(model, image, inference=Inference(ram_gb=less * 1.01 / 1e9))
    assert found.settings["patch"] == [16, 32, 32]
    assert found.remarks[0].startswith("memory was short: patches of (16, 32, 32) samples")


def test_no_memory_at_all_is_refused_with_the_need_and_the_supply():
    with pytest.raises(ConfigError, match=r"it needs 0\.\d+ GB even with patches of"):
        predict(model_of(plan_of()), noise(8, 8, 8), inference=Inference(ram_gb=1e-6))


def stream_for(patches: tuple[int, ...]) -> tuple[object, Stream]:
    from vesalius.segment._predict import _arrays

    model = model_of(plan_of())
    prepared = prepare(noise(8, 8, 8), model.plan)
    wanted = _arrays(model, prepared, Inference(), spread=False)
    tried = iter([Window((n, n, n)) for n in patches])
    return prepared, Stream(tried, None, wanted)


def short_of_memory(limit: int):
    def network(x: Tensor) -> Tensor:
        if x.shape[-1] > limit:
            raise torch.OutOfMemoryError("tried to allocate more than there is")
        return torch.cat([x, -x, x - 100], dim=1).softmax(dim=1)

    return network


def test_patches_that_run_out_of_memory_are_tried_smaller():
    prepared, stream = stream_for((8, 4, 2))
    used = streamed(short_of_memory(4), prepared, stream)
    assert used.patch == (4, 4, 4)
    expected = (prepared.data[0] < 0).to(torch.uint8)
    assert torch.equal(torch.from_numpy(stream.wanted.labels), expected)


def test_running_out_of_memory_at_every_size_is_told():
    prepared, stream = stream_for((8, 4))
    with pytest.raises(ConfigError, match="patches of every size ran out of it"):
        streamed(short_of_memory(2), prepared, stream)


def test_another_failure_of_the_network_is_not_taken_for_lack_of_memory():
    prepared, stream = stream_for((8, 4))

    def network(x: Tensor) -> Tensor:
        raise RuntimeError("something else")

    with pytest.raises(RuntimeError, match="something else"):
        streamed(network, prepared, stream)


def test_patches_to_try_shrink_to_what_the_network_can_halve():
    plan = replace(plan_of(), patch=(20, 32, 32))
    prepared = prepare(noise(20, 32, 32), plan)
    sizes = [w.patch for w in windows(Inference(batch=2), plan, prepared, 3)]
    assert sizes[:4] == [(20, 32, 32), (20, 32, 32), (20, 16, 32), (20, 16, 16)]
    assert all(n % 2 == 0 and n >= 4 for size in sizes for n in size)


def test_says_when_mutual_information_cannot_be_had():
    found = predict(model_of(plan_of()), noise(8, 8, 8), inference=Inference(uncertainty=True))
    assert "mutual information needs several members" in found.remarks[0]
    assert set(found.maps) == {"entropy"}


def test_the_diameter_is_read_with_its_unit():
    plan = replace(plan_of(), diameter=30.0, spacing_mm=(0.0, 0.0, 0.0))
    grid = Grid.from_spacing((1, 64, 64), (1.0, 5e-4, 5e-4))
    assert zoom_of(Inference(diameter="15px"), plan, grid) == pytest.approx(2.0)
    assert zoom_of(Inference(diameter="7.5um"), plan, grid) == pytest.approx(2.0)
    assert zoom_of(Inference(), plan, grid) == 1.0
    fixed = replace(plan, spacing_mm=(1.0, 2.5e-4, 2.5e-4))
    assert zoom_of(Inference(diameter="7.5um"), fixed, grid) == pytest.approx(1.0)


def test_refuses_a_diameter_for_a_model_of_classes():
    with pytest.raises(ConfigError, match="a diameter belongs to models of objects, got '9um'"):
        predict(model_of(plan_of()), noise(8, 8, 8), inference=Inference(diameter="9um"))


@pytest.mark.parametrize("text", ["9", "um", "0um", "-3mm", "9 miles"])
def test_refuses_a_diameter_that_is_no_length(text):
    with pytest.raises(ConfigError, match="a diameter must be a positive number with one of px"):
        Inference(diameter=text)


@pytest.mark.parametrize("wrong", [{"overlap": 1.0}, {"batch": 0}])
def test_refuses_an_overlap_or_batch_out_of_range(wrong):
    with pytest.raises(ConfigError, match=r"overlap must lie in \[0, 1\) and batch"):
        Inference(**wrong)


def test_refuses_a_patch_of_two_sizes():
    with pytest.raises(ConfigError, match="patch must be three sizes"):
        Inference(patch=(8, 8))


def test_refuses_memory_that_is_no_amount():
    with pytest.raises(ConfigError, match="ram_gb must be a number of GB"):
        Inference(ram_gb=-1.0)


def test_refuses_a_thick_patch_for_a_flat_model():
    image = noise(1, 8, 8)
    with pytest.raises(ConfigError, match="patch must have one slice for a model of two axes"):
        predict(model_of(plan_of(dims=2)), image, inference=Inference(patch=(8, 8, 8)))


def test_refuses_a_fold_that_is_not_there():
    with pytest.raises(ConfigError, match="folds must be among the 1 networks of the model"):
        predict(model_of(plan_of()), noise(8, 8, 8), inference=Inference(folds=(1,)))


def test_refuses_a_temperature_that_is_none():
    model = replace(model_of(plan_of()), calibration={"temperature": -1.0})
    with pytest.raises(ConfigError, match="the temperature of a model must be a positive number"):
        predict(model, noise(8, 8, 8))


def test_refuses_an_image_with_other_channels():
    image = Image(torch.zeros(2, 8, 8, 8), Grid.from_spacing((8, 8, 8), (1, 1, 1)))
    with pytest.raises(ShapeError, match="must have the 1 channels of the model"):
        predict(model_of(plan_of()), image)


def test_what_lies_outside_of_a_mask_is_not_counted():
    image = ramp(grid_of("straight"))
    mask = torch.zeros(1, *image.grid.shape, dtype=torch.uint8)
    mask[:, :4] = 1
    model = replace(
        model_of(plan_of()), calibration={"coverage": 0.9, "volumes": {"1": [0.8, 1.2]}}
    )
    whole = segment(image, Trained(model))
    part = segment(image, Trained(model), hints=Hints(mask=Labels(mask, image.grid)))
    inside = truth(image)[:4]
    assert [q.value for q in part.quantities] == [float((inside == v).sum()) for v in (1, 4)]
    assert whole.quantities[0].coverage == 0.9
    assert part.quantities[0].coverage == 0.0


def test_pixels_of_a_diameter_are_those_of_x_in_a_volume_of_any_orientation():
    plan = replace(plan_of(), diameter=20.0)
    sagittal = torch.eye(4, dtype=torch.float64)  # array (x, z, y)
    sagittal[:3, :3] = torch.tensor([[3.0, 0, 0], [0, 0, 1.0], [0, 1.0, 0]])
    grid = Grid((12, 9, 9), sagittal)
    wanted = Inference(diameter="10px")
    assert zoom_of(wanted, plan, grid) == 2.0
    straight = replace(plan, spacing_mm=(1.0, 1.0, 1.0))
    assert zoom_of(wanted, straight, grid) == pytest.approx(20 * 1.0 / 30)


def test_a_deviation_of_zero_says_nothing_about_air():
    how = Normalisation("clip and standardise", 0, 100, 0, 0.0)
    plan = replace(plan_of(), normalisation=(how,))
    prepared = prepare(Image(torch.zeros(1, 4, 4, 4), grid4()), plan)
    assert empty_samples(prepared, plan).all()


def test_an_image_of_another_kind_has_a_remark_and_no_infinite_distance():
    usual = reference([appearance(torch.rand(1, 1, 9, 9 + i), (1.0, 1.0, 1.0)) for i in range(8)])
    model = replace(model_of(plan_of(dims=2)), fingerprint={"appearance": usual})
    stack = ramp(Grid.from_spacing((3, 20, 11), (1, 1, 1), origin_mm=(-5, -10, 0)))
    found = predict(model, stack)
    assert "which none of them has" in found.remarks[0]
    assert all(math.isfinite(value) for value in found.values.values())


@pytest.mark.parametrize("diameter", ["9um", "1.5px", "500px"])
def test_a_diameter_that_no_image_like_this_can_hold_is_refused(diameter):
    plan = replace(plan_of(), diameter=30.0, spacing_mm=(0.0, 0.0, 0.0))
    grid = Grid.from_spacing((1, 64, 64), (1.0, 1.0, 1.0))
    with pytest.raises(ConfigError, match=r"a diameter must be from 2 samples .* such as 20px"):
        zoom_of(Inference(diameter=diameter), plan, grid)
