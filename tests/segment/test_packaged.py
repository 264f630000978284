"""Packaged models: each has its card, licence and size, works offline, and knows what it is for."""

from pathlib import Path

import pytest
import torch

import vesalius
from vesalius.core import Image
from vesalius.errors import ConfigError
from vesalius.measure.evaluate import compare
from vesalius.ops._contingency import contingency
from vesalius.ops._matching import detection, match_objects, object_overlaps
from vesalius.segment import networks, segment
from vesalius.segment.networks import Inference, Trained, load_packaged, packaged_models

WEIGHTS = Path(networks.__file__).parent / "weights"
# of the 30 cases and 33 images that were held out
HELD_OUT = ("hippocampus_006", "hippocampus_024", "hippocampus_037")


def test_there_are_models_for_nuclei_and_hippocampus():
    assert {"hippocampus", "nuclei"} <= set(packaged_models())


@pytest.mark.parametrize("name", packaged_models())
def test_each_model_has_card_licence_and_at_most_four_megabytes(name):
    model = load_packaged(name)
    assert model.card.name == name
    assert "Not a medical device" in model.card.limits
    assert model.card.metrics
    assert model.fingerprint
    assert (WEIGHTS / name / "LICENSE").read_text().strip()
    weights = sorted((WEIGHTS / name).glob("*.safetensors"))
    assert len(weights) == len(model.networks)
    assert all(path.stat().st_size <= 4_000_000 for path in weights)


def test_the_hippocampus_keeps_the_licence_of_its_data():
    assert load_packaged("hippocampus").card.licence == "CC-BY-SA-4.0"
    assert "by-sa/4.0" in (WEIGHTS / "hippocampus" / "LICENSE").read_text()


def test_an_unknown_name_is_refused():
    with pytest.raises(ConfigError, match=r"a packaged model must be one of .*got 'liver'"):
        load_packaged("liver")


@pytest.mark.parametrize("case", HELD_OUT)
def test_held_out_hippocampi_are_found(data_dir, case):
    folder = data_dir / "segmentation" / "hippocampus"
    image = vesalius.open(folder / "images" / f"{case}.nii.gz").read()
    truth = vesalius.io.open_labels(folder / "labels" / f"{case}.nii.gz")
    found = segment(image, Trained(load_packaged("hippocampus"), Inference(uncertainty=True)))
    for row in compare(found.labels, truth).labels:
        assert row.dice > 0.8
    for one in found.quantities:
        assert one.low < one.value < one.high
        assert one.coverage == 0.9
    assert not any("unlike" in text for text in found.remarks)


def test_a_ct_is_unlike_what_the_hippocampus_model_knows(data_dir):
    path = data_dir / "segmentation" / "ct_totalseg" / "example_ct_sm.nii.gz"
    image = vesalius.open(path).read()
    part = image.crop((4, 20, 20), (24, 44, 36)) if image.grid.shape[0] > 28 else image
    found = segment(part.map(lambda x: x.float()), Trained(load_packaged("hippocampus")))
    assert any("unlike" in text for text in found.remarks)


def test_nuclei_of_another_laboratory_are_found(data_dir):
    folder = data_dir / "segmentation" / "stardist"
    image = vesalius.open(folder / "img2d.tif").read()
    truth = vesalius.io.open_labels(folder / "mask2d.tif").data[0]
    found = segment(image, Trained(load_packaged("nuclei"))).labels.data[0]
    overlaps = object_overlaps(contingency(found, truth))
    assert detection(match_objects(overlaps, 0.5)).average_precision > 0.8


def test_a_diameter_brings_other_sizes_to_that_of_the_training(data_dir):
    folder = data_dir / "segmentation" / "stardist"
    image = vesalius.open(folder / "img2d.tif").read()
    large = torch.nn.functional.interpolate(image.data.float(), scale_factor=2.0, mode="bilinear")
    grid = vesalius.Grid.from_spacing((1, *large.shape[-2:]), (1.0, 0.5, 0.5))
    truth = vesalius.io.open_labels(folder / "mask2d.tif").data[0]
    inference = Inference(diameter="40px")
    found = segment(Image(large, grid), Trained(load_packaged("nuclei"), inference)).labels
    small = found.data[0, :, ::2, ::2].contiguous()
    overlaps = object_overlaps(contingency(small, truth))
    assert detection(match_objects(overlaps, 0.5)).average_precision > 0.7
