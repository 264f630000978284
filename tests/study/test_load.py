"""Loading a pair: unit, findings, and grids that differ."""

import pytest
import torch

from vesalius import io
from vesalius.core import Grid, Labels, differences
from vesalius.errors import FormatError
from vesalius.measure import Config
from vesalius.study import load_pair, read_names


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


@pytest.mark.parametrize(
    "text",
    [
        "value,name\n3,heart\n5,lower lobe\n",
        "3\theart\n5\tlower lobe\n",
        "3; heart\n\n5; lower lobe",
        '# ITK-SnAP\n  0 0 0 0 0 0 0 "Clear"\n  3 255 0 0 1 1 1 "heart"\n'
        '  5 0 255 0 0.5 1 1 "lower lobe"\n',
    ],
)
def test_names_of_labels_are_read(tmp_path, text):
    (tmp_path / "names.txt").write_text(text)
    assert read_names(tmp_path / "names.txt") == {3: "heart", 5: "lower lobe"}


def test_names_replace_those_of_the_file(files):
    pair = load_pair(*files, config=Config(), names={3: "heart", 99: "not there"})
    assert (pair.labels.name(3), len(pair.labels.values)) == ("heart", 2)


def test_a_line_without_a_name_is_refused(tmp_path):
    (tmp_path / "names.csv").write_text("value,name\n3 heart\n")
    with pytest.raises(FormatError, match=r"must hold a label and its name.*line 2 is '3 heart'"):
        read_names(tmp_path / "names.csv")


def test_two_names_for_one_label_are_refused(tmp_path):
    (tmp_path / "names.csv").write_text("3,heart\n3,liver\n")
    with pytest.raises(FormatError, match=r"label 3 must have one name.*'heart' and 'liver'"):
        read_names(tmp_path / "names.csv")


def test_names_that_cannot_be_read_are_refused(tmp_path):
    with pytest.raises(FormatError, match="names must be a readable text file"):
        read_names(tmp_path / "none.csv")
