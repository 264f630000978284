"""``vesalius convert`` to DICOM objects and outlines: the same voxels come back."""

from pathlib import Path

import pytest
import torch

from vesalius import io
from vesalius.core import Grid, Image, Labels, Series
from vesalius.io.dicom import save_series

GRID = Grid.from_spacing((6, 20, 24), (3.0, 0.8, 0.8), origin_mm=(-9.0, 12.0, -30.0))


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A CT series and labels on its grid, one of them with a hole."""
    generator = torch.Generator().manual_seed(3)
    data = torch.randint(-900, 900, (1, *GRID.shape), generator=generator, dtype=torch.int16)
    save_series(Image(data, GRID, "HU"), tmp_path / "ct")
    labels = torch.zeros(1, *GRID.shape, dtype=torch.uint8)
    labels[0, 1:4, 3:12, 4:15] = 1
    labels[0, 2, 6:9, 7:10] = 0
    labels[0, 3:5, 14:18, 16:22] = 2
    names = {(0, 1): "GTV-1", (0, 2): "node"}
    io.save(Labels(labels, GRID, names), tmp_path / "regions.nii.gz")
    return tmp_path


def same(first: Labels, second: Labels) -> bool:
    names = {name: key for key, name in first.names.items()}
    other = {name: key for key, name in second.names.items()}
    return names.keys() == other.keys() and all(
        torch.equal(first.data[a] == v, second.data[b] == w)
        for (a, v), (b, w) in ((names[n], other[n]) for n in names)
    )


@pytest.mark.parametrize("word", ["dicom", "seg", "rtstruct"])
def test_labels_come_back_from_dicom(vesalius, study: Path, word: str) -> None:
    words = ["--to", word, "--source", study / "ct"]
    ended = vesalius("convert", study / "regions.nii.gz", study / "out.dcm", *words)
    assert (ended.code, ended.err) == (0, "[1/1] convert: out.dcm\n")
    back = io.open_labels(study / "out.dcm", like=GRID)
    assert same(io.open_labels(study / "regions.nii.gz"), back)


@pytest.mark.parametrize("name", ["out.geojson", "out.roi.zip"])
def test_labels_come_back_from_outlines(vesalius, study: Path, name: str) -> None:
    assert vesalius("convert", study / "regions.nii.gz", study / name).code == 0
    back = io.open_labels(study / name, like=GRID)
    wanted = io.open_labels(study / "regions.nii.gz")
    assert torch.equal(back.data.amax(0) > 0, wanted.data.amax(0) > 0)


def test_an_image_becomes_a_series_of_the_same_study(vesalius, study: Path) -> None:
    io.save(io.open(study / "ct").read(), study / "ct.nii.gz")
    words = ["--to", "dicom", "--source", study / "ct"]
    ended = vesalius("convert", study / "ct.nii.gz", study / "out", *words)
    assert ended.code == 0
    assert len(list((study / "out" / "ct").glob("*.dcm"))) == 6
    first = io.open(study / "ct", patient=True)
    second = io.open(study / "out" / "ct", patient=True)
    assert torch.equal(first.read().data, second.read().data)
    assert second.unit == "HU"
    assert first.meta["StudyInstanceUID"] == second.meta["StudyInstanceUID"]
    torch.testing.assert_close(first.grid.affine, second.grid.affine, rtol=0, atol=1e-4)


def test_an_image_becomes_a_parametric_map(vesalius, study: Path) -> None:
    words = ["--to", "map", "--source", study / "ct"]
    assert vesalius("convert", study / "ct", study / "map.dcm", *words).code == 0
    assert torch.equal(
        io.open(study / "map.dcm").read().data, io.open(study / "ct").read().data.double()
    )


def test_a_series_holds_rounded_values_only_when_told(vesalius, study: Path) -> None:
    fine = io.open(study / "ct").read().map(lambda x: x.double() + 0.123 * torch.rand(x.shape))
    io.save(fine, study / "fine.nii.gz")
    ended = vesalius("convert", study / "fine.nii.gz", study / "out", "--to", "dicom")
    assert ended.code == 3
    assert "quantise" in ended.err
    words = ["--to", "dicom", "--quantise"]
    assert vesalius("convert", study / "fine.nii.gz", study / "out", *words).code == 0


def test_outlines_are_drawn_on_the_volume_beside_them(vesalius, study: Path) -> None:
    words = ["--to", "rtstruct", "--source", study / "ct"]
    vesalius("convert", study / "regions.nii.gz", study / "ct" / "rs.dcm", *words)
    assert vesalius("convert", study / "ct", study / "all").code == 0
    drawn = io.open_labels(study / "all" / "rs.nii.gz")
    assert same(io.open_labels(study / "regions.nii.gz"), drawn)
    alone = vesalius("convert", study / "ct" / "rs.dcm", study / "alone.nii.gz")
    assert alone.code == 3
    assert "must have a grid to be drawn on" in alone.err
    words = ["--like", study / "ct", "--roi", "GTV.*"]
    assert vesalius("convert", study / "ct" / "rs.dcm", study / "a.nii.gz", *words).code == 0
    assert list(io.open_labels(study / "a.nii.gz").names.values()) == ["GTV-1"]


def test_refuses_what_a_format_does_not_hold(vesalius, study: Path) -> None:
    ended = vesalius("convert", study / "ct", study / "a.geojson")
    assert ended.code == 3
    assert ".geojson must be made of labels, got an image" in ended.err
    ended = vesalius("convert", study / "regions.nii.gz", study / "a.dcm", "--to", "rtstruct")
    assert ended.code == 3
    assert "rtstruct must refer to a DICOM series" in ended.err
    ended = vesalius("convert", study / "ct", study / "a.dcm")
    assert ended.code == 3
    assert "an image becomes a folder of DICOM files" in ended.err
    ended = vesalius("convert", study / "ct", study / "out", "--to", ".xyz")
    assert ended.code == 3
    assert "the format must be dicom, seg, rtstruct, map" in ended.err

    frames = Series(torch.zeros(2, 1, *GRID.shape), GRID, (0.0, 1.0))
    io.save(frames, study / "frames.nii")
    ended = vesalius("convert", study / "frames.nii", study / "out", "--to", "dicom")
    assert "must be one volume to be written as DICOM" in ended.err
