"""Contours and floods on real nuclei and a real CT, beside scikit-image where it has the method."""

import numpy as np
import pytest
import torch
from segment_scenes import dice

import vesalius
from vesalius.core import Labels
from vesalius.segment import Hints, segment
from vesalius.segment.contours import ChanVese, DistanceRegularised, GeodesicContour, MultiPhase
from vesalius.segment.regions import Watershed


@pytest.fixture(scope="module")
def nuclei(data_dir):
    """A quarter of the picture of nuclei, and its objects."""
    folder = data_dir / "segmentation" / "stardist"
    image, truth = (vesalius.open(folder / f"{name}2d.tif").read() for name in ("img", "mask"))
    size = (1, 256, 256)
    return image.crop((0, 0, 0), size), truth.crop((0, 0, 0), size).data[0].long()


@pytest.fixture(scope="module")
def chest(data_dir):
    """A block of a CT of the body, with air, fat and soft tissue."""
    path = data_dir / "segmentation" / "ct_totalseg" / "example_ct.nii.gz"
    return vesalius.open(path).read().crop((40, 20, 20), (28, 60, 64))


@pytest.mark.parametrize("method", [ChanVese(), MultiPhase()])
def test_regions_without_edges_find_the_nuclei(nuclei, method):
    image, truth = nuclei
    found = segment(image, method)
    assert dice(found.labels.data[0] > 0, truth > 0) > 0.8


def test_touching_nuclei_are_split_into_about_as_many_as_there_are(nuclei):
    image, truth = nuclei
    start = Labels((truth > 0).to(torch.uint8)[None], image.grid)
    fine = image.grid.spacing_mm[2]
    found = segment(image, Watershed(depth_mm=fine), hints=Hints(start=start))
    assert found.values["objects"] == pytest.approx(len(truth.unique()) - 1, abs=3)
    assert torch.equal(found.labels.data[0] > 0, truth > 0)


@pytest.mark.parametrize(
    ("method", "least"),
    [
        (GeodesicContour(edge_percentile=60.0, radius_mm=4.0), 0.7),
        (DistanceRegularised(edge_percentile=60.0, radius_mm=4.0), 0.78),
    ],
)
def test_a_seed_and_a_box_find_most_nuclei(nuclei, method, least):
    image, truth = nuclei
    scores = []
    for value in (torch.bincount(truth.flatten())[1:].argsort(descending=True)[:8] + 1).tolist():
        at = torch.nonzero(truth == value)
        low, high = (at.min(dim=0).values - 8).clamp(min=0), at.max(dim=0).values + 9
        box = torch.zeros(image.grid.shape, dtype=torch.uint8)
        box[:, low[1] : high[1], low[2] : high[2]] = 1
        seed = tuple(image.grid.to_world(at.double().mean(dim=0)).tolist())
        hints = Hints(seeds_mm=(seed,), mask=Labels(box[None], image.grid))
        found = segment(image, method, hints=hints)
        scores.append(dice(found.labels.data[0] > 0, truth == value))
    assert float(np.median(scores)) > least


def test_a_ct_is_parted_as_scikit_image_parts_it(chest):
    from skimage.segmentation import morphological_chan_vese as oracle

    values = chest.data[0].numpy().astype(np.float64)
    expected = oracle(values, 20, init_level_set=values > values.mean())
    found = segment(chest, ChanVese())
    # its smoothing takes walls of one sample away, which are many at 3 mm
    assert dice(found.labels.data[0] == 1, torch.from_numpy(expected > 0)) > 0.87


def test_four_phases_of_a_ct_are_air_to_bone(chest):
    found = segment(chest, MultiPhase())
    means = [found.values[f"mean of region {k}"] for k in range(4)]
    assert means[0] < -600
    assert means == sorted(means)
    assert means[3] > 0
