"""Pixel classifier: learned on one image, used on another, kept and read again."""

import json

import pytest
import torch
from segment_scenes import PLANE, dice, marks, scene, truth

from vesalius.core import Grid, Image, Labels
from vesalius.errors import ConfigError, FormatError, RegionError, ShapeError
from vesalius.io._weights import ModelCard
from vesalius.segment import Hints, segment
from vesalius.segment import _pixels as pixels_module
from vesalius.segment.pixels import PixelClassifier, Pixels, load_pixels

SMALL = Pixels(sigmas_voxel=(1.0, 2.0), trees=8, depth=3)
CARD = ModelCard("ball", "tests", "made up", "none", "all", "Apache-2.0")


def fitted():
    return PixelClassifier(SMALL).fit([scene(PLANE)], [marks(PLANE)])


def test_labels_carry_the_values_of_the_marks():
    found = segment(scene(PLANE), SMALL, hints=Hints(marks=marks(PLANE)))
    assert found.labels.data.unique().tolist() == [1, 2]
    assert dice(found.labels.data[0] == 2, truth(PLANE)) > 0.9
    assert float(found.curves[0].y.sum()) == pytest.approx(1.0)


def test_what_was_learned_on_one_image_serves_another():
    other = scene(PLANE, noise=0.06)
    assert dice(fitted().predict(other).data[0] == 2, truth(PLANE)) > 0.9


def test_a_saved_classifier_predicts_the_same(tmp_path):
    model = fitted()
    model.save(tmp_path / "ball.safetensors", CARD)
    again = load_pixels(tmp_path / "ball.safetensors")
    one, two = (m.predict_probability(scene(PLANE)).data for m in (model, again))
    assert torch.equal(one, two)
    assert again.settings == SMALL
    assert again.classes_ == (1, 2)


def test_a_file_of_something_else_is_refused(tmp_path):
    from vesalius.io._weights import save_weights

    path = tmp_path / "net.safetensors"
    save_weights(path, {"w": torch.zeros(2)}, CARD)
    with pytest.raises(FormatError, match="must be a pixel classifier"):
        load_pixels(path)


def test_a_damaged_plan_is_refused(tmp_path):
    path = tmp_path / "ball.safetensors"
    fitted().save(path, CARD)
    card = json.loads(path.with_suffix(".json").read_text())
    card["plan"]["features"] = 1
    path.with_suffix(".json").write_text(json.dumps(card))
    with pytest.raises(FormatError, match="must be a pixel classifier"):
        load_pixels(path)


def test_slabs_give_what_the_whole_gives(monkeypatch):
    grid = Grid.from_spacing((1, 260, 40), (1.0, 1.0, 1.0))
    g = torch.Generator().manual_seed(0)
    image = Image(torch.rand(1, *grid.shape, generator=g), grid)
    drawn = torch.zeros(1, *grid.shape, dtype=torch.uint8)
    drawn[..., 100:120, :20], drawn[..., 100:120, 20:] = 1, 2
    model = PixelClassifier(SMALL).fit([image], [Labels(drawn, grid)])
    whole = model.predict_probability(image).data
    monkeypatch.setattr(pixels_module, "_SLAB_BYTES", 1)
    torch.testing.assert_close(model.predict_probability(image).data, whole, atol=1e-5, rtol=0)


def test_several_channels_and_images_are_learned_together():
    flat = scene(PLANE)
    two = Image(torch.cat([torch.zeros_like(flat.data), flat.data]), PLANE)
    model = PixelClassifier(SMALL).fit([two, two], [marks(PLANE), marks(PLANE)])
    assert dice(model.predict(two).data[0] == 2, truth(PLANE)) > 0.9
    with pytest.raises(ShapeError, match="image must have the 2 channels of training, got 1"):
        model.predict(flat)


def test_refuses_what_cannot_be_learned(tmp_path):
    image, drawn = scene(PLANE), marks(PLANE)
    one = Labels((drawn.data == 1).to(torch.uint8), PLANE)
    two = Image(torch.cat([image.data, image.data]), PLANE)
    with pytest.raises(RegionError, match="the pixel classifier needs marks"):
        segment(image, SMALL)
    with pytest.raises(RegionError, match="at least two classes must be marked"):
        PixelClassifier(SMALL).fit([image], [one])
    with pytest.raises(ShapeError, match="one image or more and marks for each"):
        PixelClassifier(SMALL).fit([], [])
    with pytest.raises(ShapeError, match="all images must have the same channels"):
        PixelClassifier(SMALL).fit([image, two], [drawn, drawn])
    with pytest.raises(ConfigError, match="the classifier must be fitted first"):
        PixelClassifier(SMALL).predict(image)
    with pytest.raises(ConfigError, match="the classifier must be fitted before it is saved"):
        PixelClassifier(SMALL).save(tmp_path / "a.safetensors", CARD)
