"""Calibration: temperature, volume intervals and error detection from cases not learned from."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

import vesalius
from vesalius.core import Grid, Image, Labels
from vesalius.errors import FormatError, GeometryError, RegionError
from vesalius.io._weights import ModelCard
from vesalius.learn import UNet, UNetPlan
from vesalius.segment._calibrate import Unseen, calibrate, error_detection, unseen_cases
from vesalius.segment._dataset import read_dataset
from vesalius.segment._familiarity import appearance, reference
from vesalius.segment._inference import Inference
from vesalius.segment._model import Model
from vesalius.segment._plan import Normalisation, Plan
from vesalius.segment._predict import predict
from vesalius.segment._prepare import prepare
from vesalius.segment._regime import Split
from vesalius.segment._volumes import volumes

CARD = ModelCard("test", "tests", "none", "none", "not for use", "Apache-2.0")
PLAN = Plan(
    "classes",
    {2: "blob"},
    ("value",),
    (0.0, 0.0, 0.0),
    (Normalisation("none"),),
    (10, 10, 10),
    UNetPlan(3, 1, 2, width=2, levels=1, norm="none"),
)


def network(slope: float) -> UNet:
    """A network whose logit of the foreground is ``slope * value``, voxel by voxel."""
    made = UNet(PLAN.network, generator=torch.Generator().manual_seed(0))
    first, second = (m for m in made.enter.modules() if hasattr(m, "weight"))
    with torch.no_grad():
        for p in made.parameters():
            p.zero_()
        for channel, sign in enumerate((1.0, -1.0)):  # the rectified value and its negative
            first.weight[channel, 0, 1, 1, 1] = sign
            second.weight[channel, channel, 1, 1, 1] = 1.0
        both = slope / (1 - 0.01**2)  # two rectifiers of leak 0.01, undone: relu(x) - relu(-x)
        made.leave.weight[1, :, 0, 0, 0] = torch.tensor([both, -both])
    return made.eval()


def model(slope: float, networks: int = 1) -> Model:
    return Model(PLAN, tuple(network(slope) for _ in range(networks)), CARD)


def case(seed: int, fold: int = -1, *, size: int = 10) -> Unseen:
    """Values whose sigmoid is the honest chance of foreground."""
    g = torch.Generator().manual_seed(seed)
    grid = Grid.from_spacing((size, size, size), (2.0, 1.0, 1.0))
    value = 2 * torch.randn(1, size, size, size, generator=g) + 0.5 * torch.randn(1, generator=g)
    truth = torch.rand(value.shape, generator=g) < value.sigmoid()
    return Unseen(Image(value, grid), Labels(2 * truth.to(torch.int32), grid), fold)


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("slope", [0.5, 3.0])
def test_the_temperature_undoes_how_much_too_sure_a_network_is(slope):
    found = calibrate(model(slope), [case(s) for s in range(20)], generator=seeded())
    told = found.calibration
    assert told["temperature"] == pytest.approx(slope, rel=0.05)
    assert told["nll"][1] < told["nll"][0]
    assert told["ece"][1] < 0.35 * told["ece"][0]
    assert told["cases"] == 20


def test_maps_of_a_calibrated_model_are_those_of_honest_probabilities():
    calibrated = calibrate(model(3.0), [case(s) for s in range(20)], generator=seeded())
    new = case(99)
    found = predict(calibrated, new.image, inference=Inference(probabilities=True))
    honest = new.image.data[0].sigmoid()
    assert (found.maps["probability"].data[1] - honest).abs().max() < 0.03
    bare = predict(model(3.0), new.image)
    assert torch.equal(found.labels.data, bare.labels.data)


def test_volumes_of_new_cases_lie_in_their_intervals_as_often_as_stated():
    calibrated = calibrate(model(1.0), [case(s, size=6) for s in range(60)], generator=seeded())
    inside = []
    for seed in range(100, 200):
        new = case(seed, size=6)
        (found,) = predict(calibrated, new.image).quantities
        inside.append(found.low <= 2.0 * int((new.labels.data == 2).sum()) <= found.high)
        assert found.low <= found.value * 1.2
        assert (found.what, found.unit, found.name, found.coverage) == (
            "volume",
            "mm3",
            "blob",
            0.9,
        )
    assert 0.82 <= sum(inside) / 100 <= 1.0
    assert 0.8 <= calibrated.calibration["observed_coverage"]["2"] <= 1.0


def test_each_case_is_judged_by_the_network_of_its_fold():
    right, wrong = network(1.0), network(-1.0)
    two = Model(PLAN, (right, wrong), CARD)
    good = calibrate(two, [case(s, 0) for s in range(6)], generator=seeded())
    bad = calibrate(two, [case(s, 1) for s in range(6)], generator=seeded())
    assert good.calibration["nll"][0] < 0.6 < bad.calibration["nll"][0]


def test_too_few_cases_give_a_temperature_and_no_interval():
    found = calibrate(model(2.0), [case(s) for s in range(5)], generator=seeded())
    assert found.calibration["volumes"] == {}
    (quantity,) = predict(found, case(9).image).quantities
    assert quantity.coverage == 0.0
    assert quantity.low == quantity.value == quantity.high


def test_unknown_voxels_count_for_nothing():
    cases = [case(s) for s in range(20)]
    masked = []
    for one in cases:
        labels = one.labels.data.clone()
        labels[:, :5] = -1
        masked.append(replace(one, labels=Labels(labels, one.labels.grid)))
    found = calibrate(model(3.0), masked, generator=seeded())
    assert found.calibration["temperature"] == pytest.approx(3.0, rel=0.07)
    assert found.calibration["volumes"] == {}


def test_is_the_same_again_and_tells_of_each_case():
    steps: list[int] = []
    cases = [case(s) for s in range(3)]
    one = calibrate(
        model(2.0), cases, generator=seeded(), on_step=lambda step: steps.append(step.done)
    )
    assert one.calibration == calibrate(model(2.0), cases, generator=seeded()).calibration
    assert steps == [1, 2, 3]


def test_every_case_of_a_training_goes_to_the_network_that_has_not_seen_it(tmp_path):
    for part in ("images", "labels"):
        (tmp_path / part).mkdir()
    for k in range(5):
        one = case(k, size=4)
        vesalius.save(one.image, tmp_path / "images" / f"c{k}.nii.gz")
        vesalius.save(one.labels, tmp_path / "labels" / f"c{k}.nii.gz")
    dataset = read_dataset(tmp_path)
    splits = (
        Split(0, ("c2", "c3"), ("c0", "c1")),
        Split(1, ("c0", "c1"), ("c2", "c3")),
    )
    found = list(unseen_cases(dataset, splits, hold_out=("c4",)))
    assert [one.fold for one in found] == [0, 0, 1, 1, -1]
    torch.testing.assert_close(found[2].image.data, case(2, size=4).image.data)
    assert torch.equal(found[4].labels.data.long(), case(4, size=4).labels.data.long())
    alone = (Split(0, ("c0", "c1", "c2", "c3"), ("c3",)),)
    assert [one.fold for one in unseen_cases(dataset, alone, hold_out=("c4",))] == [-1]


def ball(radius: float) -> Tensor:
    at = torch.stack(torch.meshgrid(*[torch.arange(16.0)] * 3, indexing="ij")) - 7.5
    return (at.norm(dim=0) < radius).to(torch.int64)


def test_doubt_where_the_errors_are_detects_them():
    found, truth = ball(5), ball(6)
    assert error_detection((found != truth).float(), found, truth) == 1.0
    assert error_detection((found == truth).float(), found, truth) == 0.0
    assert error_detection(torch.zeros(found.shape), found, truth) == 0.5


def test_errors_far_from_the_boundary_and_unknown_voxels_are_not_looked_at():
    found, truth = ball(3), ball(3)
    truth[0, 0, 0] = 1  # far away
    truth[7, 7, 11] = 1
    doubt = torch.zeros(found.shape)
    doubt[7, 7, 11] = 1.0
    assert error_detection(doubt, found, truth) == 1.0
    truth[7, 7, 11] = -1
    assert math.isnan(error_detection(doubt, found, truth))


def test_without_a_boundary_there_is_nothing_to_detect():
    nothing = torch.zeros(4, 4, 4, dtype=torch.int64)
    assert math.isnan(error_detection(torch.zeros(4, 4, 4), nothing, nothing))
    all_unknown = torch.full((16, 16, 16), -1)
    assert math.isnan(error_detection(torch.zeros(16, 16, 16), ball(4), all_unknown))


def test_an_unlike_image_is_told_of_first():
    cases = [case(s).image for s in range(20)]
    rows = [appearance(prepare(i, PLAN).data, i.grid.spacing_mm) for i in cases]
    known = replace(model(1.0), fingerprint={"appearance": reference(rows)})
    fine = predict(known, case(50).image)
    assert fine.remarks == ()
    assert fine.values["distance from training data"] <= fine.values["training data reach"]
    other = case(50).image.map(lambda x: x.abs().sqrt())
    assert "unlike the training data" in predict(known, other).remarks[0]


def test_areas_of_images_and_volumes_of_scans_are_counted():
    grid = Grid.from_spacing((1, 4, 4), (7.0, 0.5, 0.25))
    data = torch.zeros(1, 1, 4, 4, dtype=torch.uint8)
    data[0, 0, :2, :3] = 1
    (flat,) = volumes(Labels(data, grid), {1: "cell"}, {})
    assert (flat.what, flat.unit, flat.value) == ("area", "mm2", 6 * 0.125)
    calibration = {"coverage": 0.8, "volumes": {"3": [0.9, 1.2]}}
    solid = Labels(3 * torch.ones(1, 2, 2, 2, dtype=torch.uint8), Grid.from_spacing((2, 2, 2)))
    absent, present = volumes(solid, {3: "b", 1: "a"}, calibration)
    assert (absent.value, absent.low, absent.high, absent.coverage) == (0.0, 0.0, 0.0, 0.0)
    assert present.low == pytest.approx(7.2)
    assert present.high == pytest.approx(9.6)
    assert present.coverage == 0.8


@pytest.mark.parametrize(
    "calibration",
    [
        {"volumes": {"1": [1.2, 0.9]}, "coverage": 0.9},
        {"volumes": {"1": [0.9]}, "coverage": 0.9},
        {"volumes": {"1": [0.9, 1.1]}},
        {"volumes": {"1": [0.9, 1.1]}, "coverage": 90},
        {"volumes": 3},
    ],
)
def test_refuses_a_calibration_that_is_none(calibration):
    labels = Labels(torch.ones(1, 2, 2, 2, dtype=torch.uint8), Grid.from_spacing((2, 2, 2)))
    with pytest.raises(FormatError, match="the calibration of a model must have coverage"):
        volumes(labels, {1: "a"}, calibration)


def test_refuses_to_calibrate_by_no_case():
    with pytest.raises(RegionError, match="a model is calibrated by at least one case"):
        calibrate(model(1.0), [], generator=seeded())


def test_refuses_labels_on_another_grid():
    one, other = case(0), case(1, size=6)
    with pytest.raises(GeometryError, match="labels must lie on the grid of their image"):
        calibrate(model(1.0), [Unseen(one.image, other.labels)], generator=seeded())
