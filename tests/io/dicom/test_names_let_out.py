"""Canaries in whatever may hold a name: none is in what is shown, unless that was asked for."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest
from pydicom.dataelem import DataElement
from written import blobs, write_source

from vesalius import io
from vesalius.cli import main
from vesalius.core import Grid
from vesalius.io.dicom import save_rtstruct, save_seg
from vesalius.io.dicom._reason import reason_of

CANARY = "QXZCANARY"
GRID = Grid.from_spacing((4, 6, 7), (2.0, 1.0, 1.0))
PATIENT = {
    "PatientName": f"{CANARY}^Jane",
    "PatientID": f"{CANARY}1",
    "AccessionNumber": f"{CANARY}2",
    "StudyDescription": f"{CANARY}3",
    "SeriesDescription": f"{CANARY}4",
    "PatientComments": f"{CANARY}5",
    "InstitutionName": f"{CANARY}6",
    "OperatorsName": f"{CANARY}7",
    "StudyID": f"{CANARY}8",
    "ReferringPhysicianName": f"{CANARY}9",
    "ImageComments": f"{CANARY}10",
    "StationName": f"{CANARY}11",
}
Break = Callable[[pydicom.Dataset], None]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A series, a segmentation and a structure set with canaries, in a folder of that name."""
    folder = tmp_path_factory.mktemp(CANARY)
    series = write_source(folder / "ct", GRID, **PATIENT)
    labels = blobs(io.open(series).grid)
    save_seg(labels, folder / "seg.dcm", like=series)
    save_rtstruct(labels, folder / "rs.dcm", like=series)
    file = pydicom.dcmread(folder / "rs.dcm")
    file.StructureSetLabel = file.StructureSetName = file.StructureSetDescription = CANARY
    file.StructureSetROISequence[0].ROIDescription = file.ApprovalStatus = CANARY
    file.save_as(folder / "rs.dcm")
    return folder


def shown(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    with pytest.raises(SystemExit):
        main([str(word) for word in words])
    return "".join(capsys.readouterr())


def put(tag: int, vr: str, value: object) -> Callable[[pydicom.Dataset], None]:
    def change(item: pydicom.Dataset) -> None:
        item[tag] = DataElement(tag, vr, value)

    return change


def roi_number(file: pydicom.Dataset) -> None:
    put(0x30060022, "LO", CANARY)(file.StructureSetROISequence[0])


def contour_text(file: pydicom.Dataset) -> None:
    put(0x30060050, "OB", CANARY.encode() + b" ")(file.ROIContourSequence[0].ContourSequence[0])


def contour_kind(file: pydicom.Dataset) -> None:
    file.ROIContourSequence[0].ContourSequence[0].ContourGeometricType = CANARY


def kind(file: pydicom.Dataset) -> None:
    file.SegmentationType = CANARY


def segment_number(file: pydicom.Dataset) -> None:
    put(0x00620004, "LO", CANARY)(file.SegmentSequence[0])


def direction(file: pydicom.Dataset) -> None:
    group = file.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0]
    put(0x00200037, "LO", [CANARY] * 6)(group)


def rows(file: pydicom.Dataset) -> None:
    put(0x00280010, "LO", CANARY)(file)


def position(file: pydicom.Dataset) -> None:
    put(0x00200032, "LO", [CANARY] * 3)(file)


def intercept(file: pydicom.Dataset) -> None:
    put(0x00281052, "LO", CANARY)(file)


BROKEN: list[tuple[str, Break]] = [
    *(("rs.dcm", one) for one in (roi_number, contour_text, contour_kind)),
    *(("seg.dcm", one) for one in (kind, segment_number, direction, rows)),
    *(("ct/0.dcm", one) for one in (rows, position, intercept)),
]


@pytest.mark.parametrize(("name", "how"), BROKEN, ids=lambda v: getattr(v, "__name__", str(v)))
def test_a_damaged_value_is_not_quoted(study, tmp_path, capsys, name: str, how: Break) -> None:
    source = sorted((study / "ct").iterdir())[0] if name.startswith("ct") else study / name
    file = pydicom.dcmread(source)
    how(file)
    file.save_as(tmp_path / "a.dcm")
    for words in (["info"], ["info", "--json"]):
        text = shown(capsys, *words, tmp_path / "a.dcm")
        assert "a.dcm" in text
        assert CANARY not in text
        assert str(tmp_path) not in text


@pytest.mark.parametrize("name", ["rs.dcm", "seg.dcm", "ct"])
def test_no_canary_is_shown_unless_asked_for(study: Path, capsys, name: str) -> None:
    for words in (["info"], ["info", "--json"]):
        assert CANARY not in shown(capsys, *words, study / name)
    assert CANARY in shown(capsys, "info", "--json", "--patient", study / name)
    handles = () if name == "rs.dcm" else io.scan(study / name)
    assert not any(CANARY in repr(handle) for handle in handles)


def test_an_archive_and_what_is_made_of_it_name_nobody(study: Path, tmp_path, capsys) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for path in study.rglob("*.dcm"):
            archive.write(path, path.relative_to(study))
    found = json.loads(shown(capsys, "info", "--json", tmp_path / "all.zip"))
    assert len(found["volumes"]) == 2
    assert CANARY not in str(found)
    assert "/" not in " ".join(v["name"] for v in found["volumes"])
    shown(capsys, "convert", tmp_path / "all.zip", tmp_path / "out", "--to", ".nrrd")
    words = ["measure", study / "ct", tmp_path / "all.zip", "--roi", "region 1.*"]
    shown(capsys, *words, "-o", tmp_path / "measured", "--quiet")
    made = [p for part in ("out", "measured") for p in (tmp_path / part).rglob("*") if p.is_file()]
    assert made
    for path in made:
        content = path.read_bytes()
        assert CANARY.encode() not in content, path.name
        assert str(study).encode() not in content, path.name


def test_a_name_that_steers_the_terminal_is_shown_as_question_marks(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = pydicom.dcmread(study / "rs.dcm")
    put(0x30060026, "LO", "GTV\x1b[2J\nREFUSED")(file.StructureSetROISequence[0])
    file.save_as(tmp_path / "rs.dcm")
    text = shown(capsys, "info", tmp_path / "rs.dcm")
    assert "\x1b" not in text
    assert "GTV?[2J?REFUSED" in text


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ("invalid literal for int() with base 10: 'Doe'", "invalid literal for int() with base 10"),
        ('bad value "O\'Brien" in DS', "bad value (a value) in DS"),
        ("no float: b'Doe^J'\nsecond line", "no float: (a value)"),
        ("", "ValueError"),
    ],
)
def test_reasons_quote_nothing(said: str, wanted: str) -> None:
    found = reason_of(ValueError(said), Path("a.dcm"))
    assert found.startswith(wanted)
    assert not any(word in found for word in ("Doe", "Brien", "second"))


def test_reasons_tell_no_folders() -> None:
    error = OSError(f"cannot open /home/{CANARY}/a.dcm")
    assert reason_of(error, Path(f"/home/{CANARY}/a.dcm")) == "cannot open a.dcm"
