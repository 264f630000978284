"""Stars from plan to objects of whole images: the driver, tiles, lattices, slices, refusals."""

import pytest
import torch
from made_cases import make_dataset

from vesalius import io
from vesalius.core import Grid, Image, Labels
from vesalius.errors import ConfigError
from vesalius.io._weights import ModelCard
from vesalius.learn import UNet, UNetPlan
from vesalius.segment._dataset import read_dataset
from vesalius.segment._fingerprint import fingerprint
from vesalius.segment._flow_head import found_share
from vesalius.segment._heads import make_head
from vesalius.segment._inference import Inference
from vesalius.segment._model import Model
from vesalius.segment._plan import Normalisation, Plan
from vesalius.segment._planner import Budget, plan_training
from vesalius.segment._predict import predict
from vesalius.segment._regime import Regime
from vesalius.segment._star_field import StarField
from vesalius.segment._star_head import GAIN, StarHead
from vesalius.segment._training import train_model

CARD = ModelCard("identity", "tests", "none", "none", "tests", "Apache-2.0")
RAYS = 16
HEAD = StarHead(rays=RAYS)


@pytest.fixture(autouse=True)
def one_thread():
    """Sums in one order, so that weights are the same everywhere."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def discs(shape=(1, 90, 110), pitch=23, radius=8):
    """Discs on a lattice, each with its number; some are cut by the border."""
    y, x = torch.meshgrid(torch.arange(shape[1]), torch.arange(shape[2]), indexing="ij")
    far = (y % pitch - pitch // 2) ** 2 + (x % pitch - pitch // 2) ** 2
    number = y // pitch * (1 + shape[2] // pitch) + x // pitch + 1
    return torch.where(far <= radius**2, number, 0).int()[None].expand(shape).contiguous()


def picture(labels, head=HEAD):
    """The image whose channels are the outputs for these objects."""
    slices = []
    for plane in labels:
        sampled = head.targets(plane[None], (1.0, 1.0, 1.0))[:, 0][None]
        targets = head.turned(sampled, torch.eye(2)[None])[0]
        likely = torch.logit(targets[-1:].clamp(1e-4, 1 - 1e-4))
        slices.append(torch.cat([targets[:-1].abs() / GAIN, likely]))
    return Image(torch.stack(slices, dim=1), Grid.from_spacing(labels.shape))


def model(*, diameter=0.0):
    """The network is the identity."""
    k = RAYS + 1
    network = UNetPlan(
        2, k, k, width=4, levels=1, norm="none", residual=True, kernels=((1, 1),), bias=False
    )
    plan = Plan(
        head="stars",
        names={1: "nucleus"},
        channels=tuple(str(i) for i in range(k)),
        spacing_mm=(0.0, 0.0, 0.0),
        normalisation=(Normalisation("none"),) * k,
        patch=(1, 32, 32),
        network=network,
        diameter=diameter,
        head_settings={"rays": float(RAYS)},
    )
    return Model(plan, (UNet(network, generator=torch.Generator().manual_seed(0)).eval(),), CARD)


def test_finds_all_objects_with_one_numbering():
    labels = discs()
    found = predict(model(), picture(labels))
    assert found_share(found.labels.data[0], labels, 0.85) == 1.0
    count = len(labels.unique()) - 1
    assert sorted(found.labels.data.unique().tolist()) == list(range(count + 1))
    assert found.values["objects"] == count
    assert 0.9 < found.values["mean probability"] <= 1.0
    assert found.labels.name(1) == "nucleus"


@pytest.mark.parametrize("patch", [(1, 24, 24), (1, 32, 64)])
def test_tiled_equals_untiled(patch):
    image = picture(discs())
    whole = predict(model(), image, inference=Inference(patch=(1, 90, 110)))
    tiled = predict(model(), image, inference=Inference(patch=patch, overlap=0.25))
    assert torch.equal(whole.labels.data, tiled.labels.data)


@pytest.mark.parametrize("rows", [1, 2, 5, 90])
def test_candidates_do_not_depend_on_how_many_rows_come_at_once(rows):
    image = picture(discs())
    all_at_once, some = (StarField(image.grid, image.grid, HEAD) for _ in range(2))
    all_at_once.add(0, image.data)
    for start in range(0, 90, rows):
        some.add(start, image.data[:, :, start : start + rows])
    wanted, found = all_at_once.candidates(), some.candidates()
    order = [c[0].double() @ torch.tensor([1e6, 1e3, 1.0]).double() for c in (wanted, found)]
    assert len(wanted[0]) >= 20
    for one, two in zip(wanted, found, strict=True):
        torch.testing.assert_close(one[order[0].argsort()], two[order[1].argsort()])


def test_labels_come_on_the_lattice_of_the_image():
    labels = discs()
    made = model(diameter=8.0)  # half of what they measure: the lattice is twice as coarse
    halved = picture(labels)
    halved.data[:RAYS] /= 2  # a network would see distances of the coarse lattice
    found = predict(made, halved, inference=Inference(diameter="16px"))
    assert found.settings["zoom"] == pytest.approx(0.5, rel=0.02)
    assert found.labels.data.shape[1:] == labels.shape
    assert found_share(found.labels.data[0], labels, 0.7) >= 0.9


def test_mirrors_turn_rays_back():
    image = picture(discs((1, 46, 46)))
    image.data[0] *= 1.5  # towards larger x alone
    plain = predict(model(), image).labels.data[0, 0] > 0
    mirrored = predict(model(), image, inference=Inference(mirrors=True)).labels.data[0, 0] > 0
    assert bool(plain[11, 20])
    assert not bool(plain[11, 2])
    # the identity says the same of every mirror image: both sides get the mean of the two rays
    assert torch.equal(mirrored, mirrored.flip(1))


def test_each_slice_of_a_stack_has_its_own_objects():
    labels = torch.cat([discs((1, 46, 69)), discs((1, 46, 69), pitch=30, radius=10)])
    found = predict(model(), picture(labels))
    wanted = torch.cat([labels[:1], torch.where(labels[1:] > 0, labels[1:] + 100, 0)])
    assert found_share(found.labels.data[0], wanted, 0.85) == 1.0


def test_an_empty_image_has_no_object_and_says_so():
    image = Image(torch.full((RAYS + 1, 1, 40, 40), -5.0), Grid.from_spacing((1, 40, 40)))
    found = predict(model(diameter=9.0), image)
    assert int(found.labels.data.max()) == 0
    assert "mean probability" not in found.values
    assert any("no object was found" in remark for remark in found.remarks)


def test_a_field_that_saw_no_row_has_no_object():
    grid = Grid.from_spacing((1, 8, 8))
    assert int(StarField(grid, grid, HEAD).objects().labels.max()) == 0


@pytest.fixture
def nuclei(tmp_path):
    """Pictures with discs, numbered from 1, another number in each."""
    root = tmp_path / "nuclei"
    for name in ("images", "labels"):
        (root / name).mkdir(parents=True)
    for i in range(3):
        labels = discs((1, 60 + 8 * i, 64), pitch=15 + i, radius=6).to(torch.uint8)[None]
        grid = Grid.from_spacing(labels.shape[1:])
        io.save(Image((labels > 0).to(torch.uint8) * 99, grid), root / "images" / f"a{i}.png")
        io.save(Labels(labels, grid), root / "labels" / f"a{i}.png")
    return read_dataset(root)


def test_a_plan_for_stars_has_stars(nuclei):
    plan = plan_training(fingerprint(nuclei), Budget(task="stars", steps=10), measure=lambda p: 0.1)
    assert plan.head == "stars"
    assert plan.network.outputs == make_head(plan).outputs == 33
    assert plan.reasons["head"] == "stars, as asked for"


def test_refuses_stars_for_volumes_before_anything_is_trained(tmp_path):
    found = fingerprint(read_dataset(make_dataset(tmp_path, cases=2)))
    with pytest.raises(ConfigError, match=r"stars are polygons in 2 axes, .*--task flows"):
        plan_training(found, Budget(task="stars", steps=10), measure=lambda p: 0.1)


def test_the_driver_trains_stars_that_find_the_objects(nuclei, tmp_path):
    plan = Plan(
        head="stars",
        names={1: "object"},
        channels=("1",),
        spacing_mm=(0.0, 0.0, 0.0),
        normalisation=(Normalisation("percentiles", 1.0, 99.8),),
        patch=(1, 48, 48),
        network=UNetPlan(2, 1, 17, width=8, levels=3, norm="batch", block="residual"),
        steps=180,
        learning_rate=1e-2,
        augment="microscopy",
        head_settings={"rays": 16.0, "probability": 0.3},  # so few steps leave it unsure
    )
    run = train_model(nuclei, plan, folder=tmp_path / "m", regime=Regime(hold_out=("a2",)))
    assert run.looks[0][-1].loss < 0.7 * run.looks[0][0].loss
    image = io.open(nuclei.cases[2].images[0]).read()
    found = predict(run.model, image)
    truth = discs((1, 76, 64), pitch=17, radius=6)
    assert found_share(found.labels.data[0], truth, 0.5) >= 0.6
