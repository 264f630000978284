"""``vesalius measure --dicom``: from a DICOM series to a segmentation and a report in DICOM."""

from pathlib import Path

import pandas as pd
import pydicom
import pytest
import torch

from vesalius import io
from vesalius.core import Grid, Image, Labels
from vesalius.errors import FormatError
from vesalius.io.dicom import save_rtstruct, save_series
from vesalius.io.dicom._write_report import read_report

GRID = Grid.from_spacing((8, 24, 24), (3.0, 1.0, 1.0))


@pytest.fixture
def study(tmp_path: Path) -> Path:
    generator = torch.Generator().manual_seed(8)
    data = torch.randint(-100, 300, (1, *GRID.shape), generator=generator, dtype=torch.int16)
    labels = torch.zeros(1, *GRID.shape, dtype=torch.uint8)
    labels[0, 2:6, 4:14, 5:17] = 1
    labels[0, 3:5, 16:21, 4:9] = 2
    save_series(Image(data, GRID, "HU"), tmp_path / "ct")
    named = Labels(labels, GRID, {(0, 1): "GTV-1", (0, 2): "node"})
    save_rtstruct(named, tmp_path / "rs.dcm", like=tmp_path / "ct")
    io.save(Labels(labels, GRID), tmp_path / "unnamed.nii.gz")
    (tmp_path / "c.yaml").write_text("features: {families: [morphology, statistics]}")
    return tmp_path


@pytest.mark.parametrize("labels", ["rs.dcm", "unnamed.nii.gz"])
def test_writes_a_segmentation_and_a_report_that_refers_to_it(vesalius, study, labels) -> None:
    words = ["measure", study / "ct", study / labels, "-o", study / "out", "--dicom"]
    ended = vesalius(*words, "--config", study / "c.yaml")
    assert (ended.code, "error" in ended.err) == (0, False)
    back = io.open_labels(study / "out" / "segmentation.dcm")
    wanted = io.open_labels(study / labels, like=GRID)
    assert torch.equal(back.data, wanted.data)
    report = pydicom.dcmread(study / "out" / "measurements.dcm")
    assert report.SOPClassUID.name == "Comprehensive 3D SR Storage"
    source = pydicom.dcmread(next((study / "ct").glob("*.dcm")))
    assert report.StudyInstanceUID == source.StudyInstanceUID
    table = pd.read_csv(study / "out" / "features.csv").dropna(subset="value")
    told = read_report(study / "out" / "measurements.dcm")
    assert len(told) == len(table)
    assert {m.region for m in told} == set(table["label"])
    means = table[table["feature"] == "stat_mean"].set_index("label")["value"]
    found = {m.region: m.value for m in told if m.code == "Q4LE"}
    assert found == pytest.approx(means.to_dict())


def test_refuses_an_image_that_is_no_dicom(vesalius, study: Path) -> None:
    io.save(io.open(study / "ct").read(), study / "ct.nii.gz")
    words = ["measure", study / "ct.nii.gz", study / "unnamed.nii.gz", "-o", study / "out"]
    ended = vesalius(*words, "--dicom", "--config", study / "c.yaml")
    assert ended.code == 3
    assert "'ct.nii.gz' must be a DICOM series for a DICOM report" in ended.err


def test_refuses_a_report_of_nothing(study: Path) -> None:
    from vesalius.study import Heading, Outcome, failed_report
    from vesalius.study._dicom_case import save_dicom_case

    nothing = Outcome(failed_report(Heading("x", "y"), "z"), (), ())
    with pytest.raises(FormatError, match="a DICOM report must hold measurements"):
        save_dicom_case(nothing, io.open_labels(study / "unnamed.nii.gz"), study, like=study)
