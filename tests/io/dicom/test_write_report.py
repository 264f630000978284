"""DICOM SR out: numbers, codes and units come back; each group names its segment."""

import math
from pathlib import Path

import highdicom
import pydicom
import pytest
from written import blobs, errors_of, grids, write_source

from vesalius.core import Labels
from vesalius.errors import FormatError, OutputError, UnitError
from vesalius.io.dicom import Caption, Measurement, save_report, save_seg
from vesalius.io.dicom._write_report import read_report

VOLUME = Measurement(
    "Volume", "RNU0", 1234.5678901234567, "mm^3", "liver", tag="morph_volume", low=1200.5, high=1300
)
CONTRAST = Measurement(
    *("Contrast", "ACUI", 7.25e-22, "1", "tumour"),
    tag="cm_contrast",
    aggregation="3D_comb",
    parameters=("filter: log", "discretisation: FBN 32"),
)
OWN = Measurement("SUV peak of ours", "", -3.5, "SUV", "tumour", tag="pet_suv_peak_with_long_tag")


@pytest.fixture
def study(tmp_path: Path) -> tuple[Path, Path]:
    """A series and its segmentation: a liver and a tumour."""
    grid = grids()["straight"]
    like = write_source(tmp_path / "ct", grid)
    labels = blobs(grid)
    labels = Labels(labels.data, grid, {(0, 1): "liver", (0, 2): "tumour"})
    save_seg(labels, tmp_path / "seg.dcm", like=like)
    return like, tmp_path / "seg.dcm"


def test_measurements_come_back(tmp_path: Path, study: tuple[Path, Path]) -> None:
    like, seg = study
    done = save_report((CONTRAST, VOLUME, OWN), tmp_path / "sr.dcm", like=like, seg=seg)
    assert (done.groups, done.numbers, done.left_out) == (2, 3, ())
    contrast, own, volume = read_report(tmp_path / "sr.dcm")
    assert (volume.code, volume.value, volume.unit) == ("RNU0", VOLUME.value, "mm3")
    assert (volume.region, volume.name) == ("liver", "Volume")
    assert (volume.low, volume.high) == pytest.approx((1200.5, 1300), abs=1e-9)
    assert (contrast.code, contrast.value) == ("ACUI", CONTRAST.value)
    assert (contrast.aggregation, contrast.parameters) == ("3D_comb", CONTRAST.parameters)
    assert (own.code, own.tag, own.value) == ("", OWN.tag, -3.5)
    assert own.unit == "g/ml{SUVbw}"
    assert math.isnan(own.low)


def test_agrees_with_highdicom(tmp_path: Path, study: tuple[Path, Path]) -> None:
    like, seg = study
    save_report((VOLUME, CONTRAST), tmp_path / "sr.dcm", like=like, seg=seg)
    report = highdicom.sr.srread(tmp_path / "sr.dcm")
    assert isinstance(report, highdicom.sr.Comprehensive3DSR)
    groups = report.content.get_volumetric_roi_measurement_groups()
    assert [group.tracking_identifier for group in groups] == ["liver", "tumour"]
    segments = pydicom.dcmread(seg).SegmentSequence
    assert [group.tracking_uid for group in groups] == [s.TrackingUID for s in segments]
    (volume,), (contrast,) = (group.get_measurements() for group in groups)
    assert (volume.value, volume.name.value, volume.unit.value) == (VOLUME.value, "RNU0", "mm3")
    assert volume.name.scheme_designator == "IBSI"
    assert contrast.method.value == "IAZD"
    assert groups[0].referenced_segment.referenced_sop_instance_uid == (
        pydicom.dcmread(seg).SOPInstanceUID
    )
    assert groups[0].finding_type.value == "10200004"
    bars = [item for item in volume[0].ContentSequence if item.ValueType == "NUM"]
    units = {b.MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0].CodeValue for b in bars}
    assert (len(bars), units) == (2, {"mm3"})


def test_refers_to_images_of_its_source(tmp_path: Path, study: tuple[Path, Path]) -> None:
    like, seg = study
    save_report((VOLUME,), tmp_path / "sr.dcm", like=like, seg=seg, caption=Caption("Numbers", 8))
    file = pydicom.dcmread(tmp_path / "sr.dcm")
    assert (file.PatientID, file.StudyInstanceUID) == ("secret", "1.2.9")
    assert (file.SeriesDescription, file.SeriesNumber) == ("Numbers", 8)
    assert (file.ContentDate, file.CompletionFlag) == ("20200102", "COMPLETE")
    assert file.VerificationFlag == "UNVERIFIED"
    (evidence,) = file.CurrentRequestedProcedureEvidenceSequence
    named = {
        one.ReferencedSOPInstanceUID
        for series in evidence.ReferencedSeriesSequence
        for one in series.ReferencedSOPSequence
    }
    assert {"1.2.3.1", "1.2.3.4", pydicom.dcmread(seg).SOPInstanceUID} <= named
    assert file.preamble == b"\0" * 128


def test_a_missing_value_is_left_out_and_named(tmp_path: Path, study: tuple[Path, Path]) -> None:
    like, seg = study
    gone = Measurement("Contrast", "ACUI", math.nan, "1", "tumour")
    done = save_report((VOLUME, gone), tmp_path / "sr.dcm", like=like, seg=seg)
    assert (done.numbers, done.left_out) == (1, (("tumour", "Contrast"),))
    assert [one.code for one in read_report(tmp_path / "sr.dcm")] == ["RNU0"]


def test_equal_inputs_give_equal_bytes(tmp_path: Path, study: tuple[Path, Path]) -> None:
    like, seg = study
    for name in "ab":
        save_report((VOLUME, OWN), tmp_path / name, like=like, seg=seg)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    save_report((VOLUME,), tmp_path / "c", like=like, seg=seg)
    uids = {pydicom.dcmread(tmp_path / name).SOPInstanceUID for name in "ac"}
    assert len(uids) == 2


def test_passes_dciodvfy(tmp_path: Path, study: tuple[Path, Path]) -> None:
    like, seg = study
    save_report((VOLUME, CONTRAST, OWN), tmp_path / "sr.dcm", like=like, seg=seg)
    assert errors_of(tmp_path / "sr.dcm") == []


def test_refuses_what_cannot_be_reported(tmp_path: Path, study: tuple[Path, Path]) -> None:
    like, seg = study
    target = tmp_path / "sr.dcm"
    with pytest.raises(FormatError, match="a report must hold at least one measurement"):
        save_report((), target, like=like, seg=seg)
    lost = Measurement("Volume", "RNU0", 1.0, "mm^3", "spleen")
    with pytest.raises(FormatError, match=r"must hold one segment 'spleen' .* 'liver', 'tumour'"):
        save_report((lost,), target, like=like, seg=seg)
    with pytest.raises(FormatError, match="must be a DICOM segmentation, it is CT Image Storage"):
        save_report((VOLUME,), target, like=like, seg=next(like.iterdir()))
    odd = Measurement("Volume", "RNU0", 1.0, "a/b/c", "liver")
    with pytest.raises(UnitError, match="words with powers and at most one stroke"):
        save_report((odd,), target, like=like, seg=seg)
    assert not target.exists()


def test_refuses_to_read_what_is_no_report(study: tuple[Path, Path]) -> None:
    with pytest.raises(FormatError, match="must be a readable DICOM measurement report"):
        read_report(study[1])


def test_a_difference_on_disk_is_noticed(
    tmp_path: Path, study: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = pydicom.Dataset.save_as

    def faulty(file: pydicom.Dataset, path: Path, *, enforce_file_format: bool) -> None:
        group = file.ContentSequence[-1].ContentSequence[0]
        numbers = [item for item in group.ContentSequence if item.ValueType == "NUM"]
        numbers[0].MeasuredValueSequence[0].FloatingPointValue = 0.0
        real(file, path, enforce_file_format=enforce_file_format)

    monkeypatch.setattr(pydicom.Dataset, "save_as", faulty)
    with pytest.raises(OutputError, match="must hold what was measured, its numbers read back"):
        save_report((VOLUME,), tmp_path / "sr.dcm", like=study[0], seg=study[1])
    assert not (tmp_path / "sr.dcm").exists()


def test_a_segmentation_of_others_without_tracking_gets_a_uid(
    tmp_path: Path, study: tuple[Path, Path]
) -> None:
    like, seg = study
    file = pydicom.dcmread(seg)
    for item in file.SegmentSequence:
        del item.TrackingUID
    file.save_as(seg)
    save_report((VOLUME,), tmp_path / "sr.dcm", like=like, seg=seg)
    report = highdicom.sr.srread(tmp_path / "sr.dcm")
    (group,) = report.content.get_volumetric_roi_measurement_groups()
    assert group.tracking_uid.startswith("2.25.")
