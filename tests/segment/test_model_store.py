"""Store: plans as JSON, models as folders; what is damaged is refused by name."""

import json
from dataclasses import replace

import pytest
import torch

from vesalius.errors import ConfigError, FormatError
from vesalius.io._weights import ModelCard
from vesalius.learn import UNet, UNetPlan
from vesalius.segment._model import Model
from vesalius.segment._plan import Normalisation, Plan
from vesalius.segment._store import load_model, plan_from_json, plan_to_json, save_model

NETWORK = UNetPlan(
    3, 1, 2, width=2, levels=2, anisotropy=((1, 2, 2),), kernels=((1, 3, 3), (3,) * 3)
)
PLAN = Plan(
    "classes",
    {1: "a"},
    ("T1",),
    (2.0, 1.0, 1.0),
    (Normalisation("percentiles", 1, 99),),
    (8, 8, 8),
    NETWORK,
    reasons={"patch": "because"},
)


def model(count=1):
    networks = tuple(
        UNet(NETWORK, generator=torch.Generator().manual_seed(i)).eval() for i in range(count)
    )
    card = ModelCard("a", "b", "c", "d", "e", "CC0-1.0", metrics={"Dice": 0.9})
    return Model(PLAN, networks, card, {"seen": [1, 2]}, {"temperature": 1.5})


def test_a_plan_survives_json():
    assert plan_from_json(json.loads(json.dumps(plan_to_json(PLAN)))) == PLAN


def test_a_plan_of_an_earlier_version_takes_the_settings_of_today():
    text = plan_to_json(PLAN)
    del text["precision"]
    assert plan_from_json(text) == PLAN


@pytest.mark.parametrize("count", [1, 3])
def test_a_model_survives_its_folder(tmp_path, count):
    made = model(count)
    save_model(tmp_path / "m", made)
    found = load_model(tmp_path / "m")
    assert found.plan == PLAN
    assert dict(found.fingerprint) == {"seen": [1, 2]}
    assert dict(found.calibration) == {"temperature": 1.5}
    assert dict(found.card.metrics) == {"Dice": 0.9}
    assert len(found.networks) == count
    x = torch.randn(1, 1, 8, 8, 8)
    for one, two in zip(made.networks, found.networks, strict=True):
        torch.testing.assert_close(one(x), two(x), rtol=0, atol=0)


def test_half_weights_are_half_as_long_and_nearly_the_same(tmp_path):
    made = model()
    save_model(tmp_path / "a", made)
    save_model(tmp_path / "b", made, half=True)
    sizes = [(tmp_path / n / "fold_0.safetensors").stat().st_size for n in "ab"]
    assert sizes[1] < 0.75 * sizes[0]
    x = torch.randn(1, 1, 8, 8, 8)
    torch.testing.assert_close(
        made.networks[0](x), load_model(tmp_path / "b").networks[0](x), rtol=2e-2, atol=2e-2
    )


def test_fewer_networks_leave_none_of_the_old_ones(tmp_path):
    save_model(tmp_path, model(3))
    save_model(tmp_path, model(1))
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "fold_0.json", "fold_0.safetensors", "model.json",
    ]  # fmt: skip


def test_refuses_a_plan_with_a_word_it_does_not_know():
    with pytest.raises(FormatError, match=r"got \['colour'\] too"):
        plan_from_json({**plan_to_json(PLAN), "colour": 1})


def test_refuses_half_a_plan():
    with pytest.raises(FormatError, match=r"a plan must be as vesalius train writes it"):
        plan_from_json({"head": "classes"})


def test_refuses_a_folder_without_a_model(tmp_path):
    with pytest.raises(FormatError, match=r"must be a folder with model.json"):
        load_model(tmp_path)


def changed(tmp_path, **words):
    save_model(tmp_path, model())
    path = tmp_path / "model.json"
    text = json.loads(path.read_text())
    text.update(words)
    path.write_text(json.dumps({k: v for k, v in text.items() if v is not None}))
    return tmp_path


def test_refuses_a_damaged_description(tmp_path):
    with pytest.raises(FormatError, match=r"model.json of .* must be as vesalius train wrote it"):
        load_model(changed(tmp_path, fingerprint=None))


def test_refuses_a_description_without_metrics(tmp_path):
    with pytest.raises(FormatError, match=r"must have the metrics of the model"):
        load_model(changed(tmp_path, metrics=None))


@pytest.mark.parametrize("count", [0, 1000])
def test_refuses_too_many_networks_and_none(tmp_path, count):
    with pytest.raises(ConfigError, match=f"1 to 100 networks, got {count}"):
        load_model(changed(tmp_path, networks=count))


def test_refuses_a_description_with_endless_numbers(tmp_path):
    with pytest.raises(FormatError, match=r"must be as vesalius train wrote it"):
        load_model(changed(tmp_path, networks=float("inf")))


@pytest.mark.parametrize("name", ["plan", "training"])
def test_refuses_networks_of_several_trainings(tmp_path, name):
    made = model(2)
    save_model(tmp_path / "a", made)
    plan = replace(PLAN, spacing_mm=(1.0, 1.0, 1.0)) if name == "plan" else PLAN
    text = "again" if name == "training" else made.card.training
    other = replace(made, plan=plan, card=replace(made.card, training=text))
    save_model(tmp_path / "b", other)
    for suffix in ("json", "safetensors"):  # as if the second saving was killed half way
        (tmp_path / "b" / f"fold_0.{suffix}").replace(tmp_path / "a" / f"fold_0.{suffix}")
    with pytest.raises(FormatError, match=f"fold_0.json and model.json differ in {name}"):
        load_model(tmp_path / "a")


def test_a_model_whose_metrics_were_being_added_when_it_was_killed_is_still_whole(tmp_path):
    made = model(2)
    save_model(tmp_path / "a", made)
    scored = replace(made, card=replace(made.card, metrics={"Dice": 0.5}))
    save_model(tmp_path / "b", scored)
    for suffix in ("json", "safetensors"):
        (tmp_path / "b" / f"fold_0.{suffix}").replace(tmp_path / "a" / f"fold_0.{suffix}")
    assert dict(load_model(tmp_path / "a").card.metrics) == {"Dice": 0.9}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("patch", [8, 8]),
        ("patch", [0, 8, 8]),
        ("batch", "two"),
        ("batch", True),
        ("batch", 0),
        ("head", "rays"),
        ("learning_rate", float("nan")),
        ("channels", ["T1", "T2"]),
        ("spacing_mm", [1.0, None, 1.0]),
        ("spacing_mm", [-1.0, 1.0, 1.0]),
        ("names", {"1": 2, "x": "y"}),
        ("head_settings", {"across": "far"}),
        ("normalisation", [{"scheme": "magic"}]),
        ("normalisation", []),
    ],
)
def test_refuses_a_plan_that_cannot_be_trained(name, value):
    with pytest.raises(FormatError, match=r"a plan must be as vesalius train writes it, got"):
        plan_from_json({**plan_to_json(PLAN), name: value})


def test_refuses_a_plan_of_the_wrong_axes():
    flat = {**plan_to_json(PLAN)["network"], "dims": 2, "anisotropy": [], "kernels": []}
    with pytest.raises(FormatError, match=r"patches of \(8, 8, 8\) in 2-D"):
        plan_from_json({**plan_to_json(PLAN), "network": flat})
