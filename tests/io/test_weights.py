"""Weights and model cards: what is written is read, what is damaged is refused by name."""

import json

import pytest
import torch

from vesalius.errors import ConfigError, FormatError, IntensityError, OutputError
from vesalius.io._weights import ModelCard, check_shapes, load_weights, save_weights

WORDS = {
    "name": "a",
    "purpose": "b",
    "data": "c",
    "training": "d",
    "limits": "e",
    "licence": "Apache-2.0",
}


def card(**more):
    return ModelCard(**{**WORDS, **more})


def tensors():
    g = torch.Generator().manual_seed(0)
    return {
        "a.weight": torch.randn(3, 4, generator=g),
        "b": torch.arange(5),
        "c": torch.randn(2, 3, 3, 3, generator=g).contiguous(memory_format=torch.channels_last),
    }


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "model.safetensors"
    save_weights(path, tensors(), card(plan={"width": 4}, metrics={"psnr": 31.5}))
    return path


def test_what_was_written_is_read(saved):
    found = load_weights(saved)
    assert set(found.tensors) == {"a.weight", "b", "c"}
    for name, value in tensors().items():
        assert torch.equal(found.tensors[name], value)
    assert found.card == card(plan={"width": 4}, metrics={"psnr": 31.5})


def test_the_card_is_json_that_a_person_can_read(saved):
    text = json.loads(saved.with_suffix(".json").read_text())
    assert text["limits"] == "e"
    assert len(text["sha256"]) == 64
    assert sorted(p.name for p in saved.parent.iterdir()) == [
        "model.json",
        "model.safetensors",
    ]


def test_writing_again_replaces_both(saved):
    save_weights(saved, {"z": torch.ones(1)}, card(name="second"))
    found = load_weights(saved)
    assert (list(found.tensors), found.card.name) == (["z"], "second")


def test_writes_nothing_into_an_absent_folder(tmp_path):
    with pytest.raises(OutputError, match="output folder must exist"):
        save_weights(tmp_path / "no" / "model.safetensors", tensors(), card())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("word", sorted(WORDS))
def test_refuses_a_card_that_does_not_say_everything(word):
    with pytest.raises(ConfigError, match=f"must say its {word} in words"):
        card(**{word: "  "})


def test_refuses_metrics_that_are_not_numbers():
    with pytest.raises(ConfigError, match="of a model card must be finite"):
        card(metrics={"psnr": float("nan")})
    with pytest.raises(ConfigError, match="of a model card must be a number"):
        card(metrics={"psnr": True})


def test_refuses_weights_that_are_not_finite(tmp_path):
    path = tmp_path / "model.safetensors"
    with pytest.raises(IntensityError, match="every weight must be finite, 'w' has NaN"):
        save_weights(path, {"w": torch.tensor([1.0, float("inf")])}, card())
    assert not path.exists()


def test_refuses_to_write_nothing(tmp_path):
    with pytest.raises(ConfigError, match="weights must have at least one tensor"):
        save_weights(tmp_path / "model.safetensors", {}, card())


@pytest.mark.parametrize("name", ["model.pt", "model", "model.pickle"])
def test_refuses_other_formats_by_name(tmp_path, name):
    with pytest.raises(ConfigError, match=r"must end in .safetensors"):
        load_weights(tmp_path / name)
    with pytest.raises(ConfigError, match=r"must end in .safetensors"):
        save_weights(tmp_path / name, tensors(), card())


def test_refuses_an_absent_file_and_an_absent_card(tmp_path, saved):
    with pytest.raises(FormatError, match="must be a readable file"):
        load_weights(tmp_path / "none.safetensors")
    saved.with_suffix(".json").unlink()
    with pytest.raises(FormatError, match="weights and card lie side by side"):
        load_weights(saved)


def test_refuses_a_file_that_is_too_long(saved):
    with pytest.raises(FormatError, match="must have at most 10 bytes"):
        load_weights(saved, most_bytes=10)


@pytest.mark.parametrize("place", [0, 9, 40, -1])
def test_refuses_a_single_changed_byte(saved, place):
    blob = bytearray(saved.read_bytes())
    blob[place] ^= 1
    saved.write_bytes(bytes(blob))
    with pytest.raises(FormatError, match="must hold the SHA-256 of these weights"):
        load_weights(saved)


def test_refuses_a_card_of_another_model(saved, tmp_path):
    other = tmp_path / "other.safetensors"
    save_weights(other, {"z": torch.ones(1)}, card())
    other.with_suffix(".json").replace(saved.with_suffix(".json"))
    with pytest.raises(FormatError, match="take card and weights from the same release"):
        load_weights(saved)


def test_refuses_a_damaged_file_even_where_its_sum_is_right(saved):
    import hashlib

    for blob in (b"", b"short", b"\xff" * 64, saved.read_bytes()[:-4]):
        saved.write_bytes(blob)
        text = {**WORDS, "sha256": hashlib.sha256(blob).hexdigest()}
        saved.with_suffix(".json").write_text(json.dumps(text))
        with pytest.raises(FormatError, match="must be a safetensors file"):
            load_weights(saved)


def test_refuses_nan_that_came_by_file(saved):
    import hashlib

    from safetensors.torch import save

    blob = save({"w": torch.tensor([float("nan")])})
    saved.write_bytes(blob)
    text = {**WORDS, "sha256": hashlib.sha256(blob).hexdigest()}
    saved.with_suffix(".json").write_text(json.dumps(text))
    with pytest.raises(IntensityError, match="every weight must be finite"):
        load_weights(saved)


@pytest.mark.parametrize("text", ["", "{", "\x00", "[" * 100_000])
def test_refuses_a_card_that_is_not_json(saved, text):
    saved.with_suffix(".json").write_text(text)
    with pytest.raises(FormatError, match="must be JSON, reading it failed"):
        load_weights(saved)


@pytest.mark.parametrize(
    "text",
    [[], 3, {}, {**WORDS, "plan": []}, {**WORDS, "surprise": 1}, {"name": "a"}],
    ids=["list", "number", "empty", "plan", "unknown", "short"],
)
def test_refuses_json_that_is_no_card(saved, text):
    saved.with_suffix(".json").write_text(json.dumps(text))
    with pytest.raises(FormatError, match="must be a model card with"):
        load_weights(saved)


def test_weights_that_fit_pass():
    check_shapes(tensors(), tensors())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"a.weight": torch.zeros(4, 3)}, r"weight 'a.weight' must be torch.float32 of shape"),
        ({"b": torch.zeros(5)}, "weight 'b' must be torch.int64"),
        ({"d": torch.zeros(5)}, "'d' is left over"),
    ],
    ids=["shape", "dtype", "extra"],
)
def test_refuses_weights_that_do_not_fit(change, words):
    with pytest.raises(FormatError, match=words):
        check_shapes({**tensors(), **change}, tensors())


def test_refuses_missing_weights():
    few = tensors()
    del few["b"]
    with pytest.raises(FormatError, match="'b' is missing"):
        check_shapes(few, tensors())
