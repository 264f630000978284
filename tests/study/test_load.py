"""Loading a pair: unit, findings, and grids that differ."""

import pytest
import torch

from vesalius import io
from vesalius.core import Grid, Labels, differences
from vesalius.errors import FormatError
from vesalius.measure import Config
from vesalius.study import load_pair


@pytest.fixture
def files(scan, tmp_path):
    image, labels = scan
    io.save(image, tmp_path / "i.nii.gz")
    io.save(labels, tmp_path / "l.nii.gz")
    return tmp_path / "i.nii.gz", tmp_path / "l.nii.gz"


def test_a_ct_without_unit_is_in_hounsfield_units(files):
    assert load_pair(*files, config=Config(modality="CT")).image.unit == "HU"
    assert load_pair(*files, config=Config()).image.unit == io.open(files[0]).unit
    assert load_pair(*files, config=Config(modality="CT"), unit="1/mm").image.unit == "1/mm"


def test_labels_on_another_grid_stay_or_are_resampled(files, scan):
    _image, labels = scan
    coarse = Grid.from_spacing((12, 8, 10), (2.0, 2.0, 2.0), origin_mm=(0.5, 0.5, 0.0))
    io.save(Labels(labels.data[:, :, ::2, ::2].contiguous(), coarse), files[1])
    left = load_pair(*files, config=Config())
    assert differences(left.image.grid, left.labels.grid)
    done = load_pair(*files, config=Config(), on_mismatch="resample")
    assert not differences(done.image.grid, done.labels.grid)
    assert any("resampled" in text and "spacing differs" in text for text in done.findings)
    assert {value for _, value in done.labels.values} == {3, 5}


def test_labels_that_are_not_whole_are_refused(files, scan):
    image, _ = scan
    io.save(image.map(lambda x: x.abs() + 0.5), files[1])
    with pytest.raises(FormatError, match="whole"):
        load_pair(*files, config=Config())
    assert torch.isfinite(image.data).all()
