"""``vesalius deidentify``: options, refusals, exit codes, and what is said."""

import json

import pydicom
import pytest
from deid_files import outputs, plain, write


@pytest.fixture
def scan(tmp_path):
    image = plain(StudyDate="20200301", StudyDescription="Chest of Smith", PatientAge="050Y")
    write(image, tmp_path / "in" / "Doe, Jane.dcm")
    return tmp_path


def words(folder, *more):
    return ["deidentify", folder / "in", "-o", folder / "out", "--key", folder / "key", *more]


def made(folder):
    (path,) = outputs(folder / "out")
    return pydicom.dcmread(path)


def test_writes_files_and_report(vesalius, scan):
    ended = vesalius(*words(scan))
    assert ended.code == 0
    assert "1 written, 0 duplicate, 0 refused, 0 skipped" in ended.out
    assert "Doe" not in ended.out + ended.err
    assert made(scan).StudyDate == ""
    report = json.loads((scan / "out" / "report" / "report.json").read_text())
    assert report["options"] == []
    assert (scan / "key").stat().st_mode & 0o777 == 0o600


def test_options_are_heard(vesalius, scan):
    more = ["--option", "clean-descriptors", "--option", "retain-patient-characteristics"]
    ended = vesalius(*words(scan, *more, "--keep-dates", "--words", "smith,jones", "-q"))
    assert (ended.code, ended.out, ended.err) == (0, "", "")
    assert made(scan).StudyDate == "20200301"
    assert made(scan).StudyDescription == "Chest of Smith"
    assert made(scan).PatientAge == "050Y"


def test_dates_are_shifted(vesalius, scan):
    assert vesalius(*words(scan, "--shift-dates")).code == 0
    assert made(scan).StudyDate[:3] in ("201", "202")
    assert made(scan).StudyDate != "20200301"


def test_pseudonyms_are_taken_from_a_table(vesalius, scan):
    (scan / "names.csv").write_text("secret-4711,CASE-7\n")
    assert vesalius(*words(scan, "--pseudonyms", scan / "names.csv")).code == 0
    assert made(scan).PatientID == "CASE-7"


def test_a_refused_file_ends_with_4_and_names_what_accepts_it(vesalius, tmp_path):
    write(plain(BurnedInAnnotation="YES"), tmp_path / "in" / "a.dcm")
    ended = vesalius(*words(tmp_path))
    assert ended.code == 4
    assert "accept: burned-in" in ended.out
    assert "error: 1 file was refused" in ended.err
    assert vesalius(*words(tmp_path, "--allow", "burned-in")).code == 0


def test_rectangles_are_blanked(vesalius, tmp_path):
    write(plain(BurnedInAnnotation="YES"), tmp_path / "in" / "a.dcm")
    more = ["--option", "clean-pixel-data", "--blank", "0,0,4,2", "--blank", "0,2,1,1"]
    assert vesalius(*words(tmp_path, *more)).code == 0
    assert made(tmp_path).PixelData[:18] == bytes(18)
    assert any(made(tmp_path).PixelData)


@pytest.mark.parametrize("box", ["1,2,3", "a,b,c,d", ""])
def test_a_rectangle_that_is_none_ends_with_2(vesalius, scan, box):
    ended = vesalius(*words(scan, "--option", "clean-pixel-data", "--blank", box))
    assert ended.code == 2
    assert "x,y,width,height in whole pixels" in ended.err


def test_two_kinds_of_dates_end_with_3(vesalius, scan):
    ended = vesalius(*words(scan, "--keep-dates", "--shift-dates"))
    assert ended.code == 3
    assert "dates must be kept or moved" in ended.err


def test_an_open_key_ends_with_3_and_no_path_is_shown(vesalius, scan):
    (scan / "key").write_text("ab" * 32)
    (scan / "key").chmod(0o644)
    ended = vesalius(*words(scan))
    assert ended.code == 3
    assert "chmod 600" in ended.err
    assert str(scan) not in ended.err


def test_the_help_says_what_is_not_done(vesalius):
    text = " ".join(vesalius("deidentify", "--help").out.split())
    assert "Pixels are not searched for text" in text
    assert "faces stay" in text
    assert "--shift-dates" in text


def test_a_folder_without_dicom_ends_with_3(vesalius, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "notes.txt").write_text("hello")
    ended = vesalius("deidentify", tmp_path / "in", "-o", tmp_path / "out", "--key", tmp_path / "k")
    assert ended.code == 3
    assert "there must be a DICOM file to de-identify, there is none" in ended.err
    assert "attributes:" not in ended.out
