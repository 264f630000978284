"""The chest phantom: organs with exact volumes, nodules inside the lungs."""

import pytest
import torch

from vesalius.errors import GeometryError
from vesalius.physics import Ellipsoid, chest_grid, chest_phantom, phantom_labels, rasterise, truth


def test_every_organ_has_an_exact_volume_and_its_labels_agree():
    phantom, grid = chest_phantom(), chest_grid((2.5, 2.0, 2.0))
    labels = phantom_labels(phantom, grid)
    for part in truth(phantom)[1:]:  # the body is longer than the grid
        value = phantom.names.index(part.name) + 1
        volume = int(labels.mask(value).sum()) * grid.voxel_volume_mm3
        assert volume == pytest.approx(part.volume_mm3, rel=0.15 if "nodule" in part.name else 0.02)


def test_organs_are_where_a_patient_has_them():
    phantom = chest_phantom()
    centre = {e.name: e.centre_mm for e in phantom.solids}
    assert centre["liver"][0] < 0 < centre["spleen"][0]  # patient's right is -L
    assert centre["lung_right"][0] < 0 < centre["lung_left"][0]
    assert centre["heart"][1] < centre["aorta"][1] < centre["vertebrae"][1]  # P grows backwards


def test_intensities_are_hounsfield_units():
    image = rasterise(chest_phantom(), chest_grid((10.0, 4.0, 4.0)))
    assert image.unit == "HU"
    assert float(image.data.min()) == -1000.0
    assert 200 < float(image.data.max()) <= 400


def test_own_nodules_replace_the_default_ones():
    nodule = Ellipsoid.sphere((-80.0, 0.0, 40.0), 20.0, value=0.0, name="big")
    assert chest_phantom(nodules=(nodule,)).names[-1] == "big"
    assert truth(chest_phantom(nodules=(nodule,)))[-1].volume_mm3 == nodule.volume_mm3


def test_a_nodule_on_the_pleura_has_no_exact_truth():
    nodule = Ellipsoid.sphere((-30.0, 0.0, 40.0), 20.0, value=0.0)
    with pytest.raises(GeometryError, match="cuts or swallows"):
        truth(chest_phantom(nodules=(nodule,)))


def test_the_default_grid_holds_the_lungs():
    grid = chest_grid()
    corners = torch.tensor([[-132.0, -90.0, -55.0], [132.0, 75.0, 135.0]], dtype=torch.float64)
    index = grid.to_index(corners)
    assert (index >= 0).all()
    assert (index <= torch.tensor(grid.shape) - 1).all()
