"""De-identification: what is kept stays true, what is replaced stays together, runs repeat."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from itertools import pairwise
from pathlib import Path

import pydicom
import pytest
import torch
from deid_files import DAY, everything, outputs, plain, write
from pydicom.dataset import Dataset

from vesalius import io
from vesalius.errors import ConfigError, FormatError, OutputError
from vesalius.io._budget import Budget
from vesalius.io.dicom import DeidReport, Profile, deidentify, read_pseudonyms
from vesalius.io.dicom._annex_e import CODES, EDITION, rules, safe_private
from vesalius.io.dicom._deid_uids import Key, read_key

KEY = Key(bytes(range(32)))


def run(
    tmp_path: Path, *options: str, name: str = "out", allow: tuple[str, ...] = ()
) -> DeidReport:
    profile = Profile(options, allow)
    return deidentify(tmp_path / "in", tmp_path / name, key=tmp_path / "key", options=profile)


def only(tmp_path: Path, name: str = "out") -> Dataset:
    (path,) = outputs(tmp_path / name)
    return pydicom.dcmread(path)


def series(folder: Path, n: int = 4, **entries: object) -> None:
    for k in range(n):
        image = plain(
            SOPInstanceUID=f"1.2.3.{k}",
            ImagePositionPatient=[-10, 20, 30 + 2.5 * k],
            StudyInstanceUID="1.2.9",
            SeriesInstanceUID="1.2.8",
            **entries,
        )
        write(image, folder / f"{k}.dcm")


# ---- the table


def test_the_table_has_the_rows_of_its_edition():
    """PS3.15 2025e, Table E.1-1: 655 rows, three of them for groups and one for private."""
    assert EDITION == "2025e"
    assert len(rules()) == 655 - 4 + 1
    assert sum("retain-full-dates" in rule.options for rule in rules().values()) == 169
    assert sum("clean-descriptors" in rule.options for rule in rules().values()) == 140
    assert sum("retain-uids" in rule.options for rule in rules().values()) == 60
    assert len(safe_private()) == 347


@pytest.mark.parametrize(
    ("keyword", "basic", "options"),
    [
        ("PatientName", "Z", {}),
        ("PatientID", "Z/D", {}),
        ("StudyDate", "Z", {"retain-full-dates": "K", "retain-modified-dates": "C"}),
        ("PatientAge", "X", {"retain-patient-characteristics": "K"}),
        ("SOPInstanceUID", "U", {"retain-uids": "K"}),
        ("ReferencedImageSequence", "X/Z/U*", {"retain-uids": "K"}),
        ("StationName", "X/Z/D", {"retain-device-identity": "K"}),
        ("SeriesDescription", "X", {"clean-descriptors": "C"}),
        ("ContentSequence", "D", {"clean-structured-content": "C"}),
        ("InstitutionName", "X/Z/D", {"retain-institution-identity": "K"}),
    ],
)
def test_rows_are_those_of_the_standard(keyword, basic, options):
    rule = rules()[pydicom.datadict.tag_for_keyword(keyword)]
    assert (rule.basic, dict(rule.options)) == (basic, options)


def test_the_codes_are_those_of_the_standard():
    """PS3.16 CID 7050, whose meanings pydicom holds too."""
    from pydicom.sr.codedict import codes

    found = {getattr(codes.cid7050, name) for name in codes.cid7050.dir()}
    known = {(one.value, one.meaning) for one in found}
    assert set(CODES.values()) <= known


# ---- what is kept


def test_the_volume_is_the_same(tmp_path):
    series(tmp_path / "in")
    run(tmp_path)
    (patient,) = (tmp_path / "out").glob("P*")
    before, after = io.open(tmp_path / "in"), io.open(patient)
    assert torch.equal(before.grid.affine, after.grid.affine)
    assert torch.equal(before.read().data, after.read().data)
    assert (after.unit, after.findings) == (before.unit, before.findings)


def test_what_was_done_is_said_in_the_file(tmp_path):
    write(plain(BurnedInAnnotation="NO"), tmp_path / "in" / "a.dcm")
    run(tmp_path, "retain-modified-dates", "clean-descriptors")
    made = only(tmp_path)
    codes = [item.CodeValue for item in made.DeidentificationMethodCodeSequence]
    assert made.PatientIdentityRemoved == "YES"
    assert codes == ["113100", "113105", "113107"]
    assert made.LongitudinalTemporalInformationModified == "MODIFIED"
    assert made.DeidentificationMethod[1] == "PS3.15 2025e Annex E"
    assert made.file_meta.MediaStorageSOPInstanceUID == made.SOPInstanceUID
    assert made.file_meta.ImplementationVersionName == "VESALIUS"
    assert made.preamble == bytes(128)


@pytest.mark.parametrize(
    ("options", "told", "code"),
    [
        ((), "REMOVED", None),
        (("retain-full-dates",), "UNMODIFIED", "113106"),
        (("retain-modified-dates",), "MODIFIED", "113107"),
    ],
)
def test_kept_and_moved_dates_are_told_apart(tmp_path, options, told, code):
    image = plain(StudyDate=DAY, StudyTime="101112.5", AcquisitionDateTime=f"{DAY}101112.5+0100")
    image.PatientBirthDate = "19010203"
    write(image, tmp_path / "in" / "a.dcm")
    run(tmp_path, *options)
    made = only(tmp_path)
    values = [item.CodeValue for item in made.DeidentificationMethodCodeSequence]
    assert made.LongitudinalTemporalInformationModified == told
    assert values == (["113100", code] if code else ["113100"])
    assert bool(made.StudyDate) == bool(code)
    assert (made.StudyDate == DAY) == (code == "113106")
    assert made.StudyTime == ("101112.5" if code else "")
    assert str(made.AcquisitionDateTime)[8:] == ("101112.5+0100" if code else "")
    assert made.PatientBirthDate == ""


def test_days_between_scans_of_a_patient_stay_and_those_of_others_differ(tmp_path):
    days = ["20200228", "20200301", "20210301"]
    for patient in ("a", "b"):
        for k, day in enumerate(days):
            image = plain(PatientID=patient, StudyDate=day, SOPInstanceUID=f"1.{ord(patient)}.{k}")
            write(image, tmp_path / "in" / f"{patient}{k}.dcm")
    run(tmp_path, "retain-modified-dates")
    found: dict[str, list[int]] = {}
    from datetime import date

    for path in outputs(tmp_path / "out"):
        made = pydicom.dcmread(path)
        text = made.StudyDate
        day = date(int(text[:4]), int(text[4:6]), int(text[6:])).toordinal()
        found.setdefault(made.PatientID, []).append(day)
    gaps = [[b - a for a, b in pairwise(sorted(one))] for one in found.values()]
    first, second = (min(one) for one in found.values())
    assert gaps == [[2, 365], [2, 365]]
    assert first != second
    assert all(1 <= date(2020, 2, 28).toordinal() - day <= 365 for day in (first, second))


@pytest.mark.parametrize(
    ("age", "kept"), [("045Y", "045Y"), ("089Y", "089Y"), ("090Y", "090Y"), ("101Y", "090Y")]
)
def test_old_age_is_capped(tmp_path, age, kept):
    write(plain(PatientAge=age, PatientWeight=70.5), tmp_path / "in" / "a.dcm")
    run(tmp_path, "retain-patient-characteristics")
    assert only(tmp_path).PatientAge == kept
    assert only(tmp_path).PatientWeight == 70.5


def test_descriptions_keep_known_words_only(tmp_path):
    """The example of PS3.15 E.3.5."""
    image = plain(StudyDescription="CT chest abdomen pelvis - 55F Dr. Smith")
    image.SeriesDescription, image.ProtocolName = "Ax T2 FLAIR w/o 5mm 4711", "O'Hara Moonshot"
    write(image, tmp_path / "in" / "a.dcm")
    run(tmp_path, "clean-descriptors")
    made = only(tmp_path)
    assert made.StudyDescription == "CT chest abdomen pelvis"
    assert made.SeriesDescription == "Ax T2 FLAIR without 5mm"
    assert "ProtocolName" not in made
    profile = Profile(("clean-descriptors",), words=("moonshot",))
    deidentify(tmp_path / "in", tmp_path / "more", key=tmp_path / "key", options=profile)
    assert only(tmp_path, "more").ProtocolName == "Moonshot"


@pytest.mark.parametrize("option", ["retain-device-identity", "retain-institution-identity"])
def test_device_and_institution_are_kept_on_request_alone(tmp_path, option):
    image = plain(StationName="CT77", DeviceSerialNumber="4711", InstitutionName="St. Elsewhere")
    write(image, tmp_path / "in" / "a.dcm")
    run(tmp_path, option)
    made, device = only(tmp_path), option == "retain-device-identity"
    assert (made.StationName, made.DeviceSerialNumber) == (("CT77", "4711") if device else ("", ""))
    assert made.InstitutionName == ("" if device else "St. Elsewhere")


def test_pet_and_enhanced_objects_get_dummies_where_a_value_is_required(tmp_path):
    pet = plain("PT", SOPClassUID=pydicom.uid.PositronEmissionTomographyImageStorage)
    pet.SeriesDate, pet.SeriesTime = DAY, "101112"
    write(pet, tmp_path / "in" / "a.dcm")
    run(tmp_path)
    assert (only(tmp_path).SeriesDate, only(tmp_path).SeriesTime) == ("19000101", "000000")


# ---- references


def test_references_hold_across_a_study_and_across_runs(tmp_path):
    series(tmp_path / "in")
    contours = Dataset()
    for keyword in ("StudyInstanceUID", "FrameOfReferenceUID", "PatientID"):
        setattr(contours, keyword, pydicom.dcmread(tmp_path / "in" / "0.dcm")[keyword].value)
    contours.SOPClassUID = pydicom.uid.RTStructureSetStorage
    contours.SOPInstanceUID, contours.SeriesInstanceUID = "1.2.7.1", "1.2.7"
    contours.Modality, contours.StructureSetLabel = "RTSTRUCT", "Dr. Smith"
    image = Dataset()
    image.ReferencedSOPClassUID = pydicom.uid.CTImageStorage
    image.ReferencedSOPInstanceUID = "1.2.3.2"
    contour, roi, named = Dataset(), Dataset(), Dataset()
    contour.ContourImageSequence, contour.ContourGeometricType = [image], "CLOSED_PLANAR"
    contour.ContourData = [0, 0, 35, 1, 0, 35, 1, 1, 35]
    contour.NumberOfContourPoints = 3
    roi.ContourSequence, roi.ReferencedROINumber = [contour], 1
    named.ROINumber, named.ROIName = 1, "GTV Smith"
    named.ReferencedFrameOfReferenceUID = contours.FrameOfReferenceUID
    contours.ROIContourSequence, contours.StructureSetROISequence = [roi], [named]
    write(contours, tmp_path / "other" / "rt.dcm")
    run(tmp_path)
    options = Profile(("clean-descriptors",))
    second = tmp_path / "second"
    deidentify(tmp_path / "other", second, key=tmp_path / "key", options=options)
    made = only(tmp_path, "second")
    images = {
        pydicom.dcmread(p).SOPInstanceUID: pydicom.dcmread(p) for p in outputs(tmp_path / "out")
    }
    (row,) = made.ROIContourSequence[0].ContourSequence[0].ContourImageSequence
    target = images[row.ReferencedSOPInstanceUID]
    assert list(target.ImagePositionPatient) == [-10, 20, 35]
    assert row.ReferencedSOPClassUID == target.SOPClassUID
    for keyword in ("StudyInstanceUID", "FrameOfReferenceUID", "PatientID"):
        assert made[keyword].value == target[keyword].value
    assert made.StructureSetROISequence[0].ROIName == "GTV"
    assert made.StructureSetLabel == "REMOVED"


def test_uids_are_legal_stable_and_never_those_of_another_key():
    for number in range(200):
        uid = KEY.uid(f"1.2.{number}")
        assert pydicom.uid.UID(uid).is_valid
        assert KEY.uid(uid) == uid
        assert Key(bytes(32)).uid(f"1.2.{number}") != uid
    assert len({KEY.uid(f"1.2.{number}") for number in range(500)}) == 500


def test_it_is_idempotent(tmp_path):
    series(tmp_path / "in", StudyDate=DAY, PatientAge="095Y", StudyDescription="Chest Smith 5mm")
    options = ("retain-modified-dates", "retain-patient-characteristics", "clean-descriptors")
    run(tmp_path, *options)
    shutil.rmtree(tmp_path / "in")
    shutil.copytree(tmp_path / "out", tmp_path / "in")
    shutil.rmtree(tmp_path / "in" / "report")
    run(tmp_path, *options, name="again")
    once, twice = outputs(tmp_path / "out"), outputs(tmp_path / "again")
    names = [
        [p.relative_to(tmp_path / root) for p in found]
        for root, found in (("out", once), ("again", twice))
    ]
    assert names[0] == names[1]
    assert [p.read_bytes() for p in once] == [p.read_bytes() for p in twice]


# ---- names, runs


def test_equal_runs_give_equal_bytes_whatever_the_files_are_called(tmp_path):
    series(tmp_path / "in")
    run(tmp_path)
    (tmp_path / "in" / "3.dcm").rename(tmp_path / "in" / "a.dcm")
    (tmp_path / "in" / "0.dcm").rename(tmp_path / "in" / "z.dcm")
    run(tmp_path, name="second")
    first, second = ([p.read_bytes() for p in outputs(tmp_path / n)] for n in ("out", "second"))
    assert first == second


def test_names_carry_nothing(tmp_path):
    series(tmp_path / "in")
    run(tmp_path)
    for path in outputs(tmp_path / "out"):
        patient, study, series_, instance = path.relative_to(tmp_path / "out").parts
        assert patient[0] == "P"
        assert len(patient) == 17
        assert (study[:6], series_[:7]) == ("study-", "series-")
        int(instance.removesuffix(".dcm"), 16)


KILLED = """
import sys, time
from pathlib import Path
from vesalius.io.dicom import Profile, deidentify
source, out, key = map(Path, sys.argv[1:])
def told(step):
    print(step.done, flush=True)
    time.sleep(0.1)
deidentify(source, out, key=key, on_step=told)
"""


def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(tmp_path):
    series(tmp_path / "in", 8)
    run(tmp_path, name="whole")
    words = [str(tmp_path / name) for name in ("in", "out", "key")]
    child = subprocess.Popen([sys.executable, "-c", KILLED, *words], stdout=subprocess.PIPE)
    assert child.stdout is not None
    for _ in range(3):
        child.stdout.readline()
    child.send_signal(signal.SIGKILL)
    child.wait()
    done = outputs(tmp_path / "out")
    (done[0].parent / f".{done[0].name}.0123abcd.tmp").write_bytes(b"half")
    before = {path: path.stat().st_mtime_ns for path in done}
    assert 3 <= len(done) < 8
    run(tmp_path)
    assert everything(tmp_path / "out") == everything(tmp_path / "whole")
    assert {path: path.stat().st_mtime_ns for path in done} == before


def test_a_damaged_output_is_written_again(tmp_path):
    series(tmp_path / "in")
    run(tmp_path)
    whole = everything(tmp_path / "out")
    outputs(tmp_path / "out")[0].write_bytes(b"half")
    run(tmp_path)
    assert everything(tmp_path / "out") == whole


def test_the_same_file_twice_is_written_once_and_another_of_its_uid_refused(tmp_path):
    write(plain(), tmp_path / "in" / "a.dcm")
    write(plain(), tmp_path / "in" / "b.dcm")
    write(plain(KVP=100), tmp_path / "in" / "c.dcm")
    done = run(tmp_path)
    assert [row.status for row in done.files] == ["written", "duplicate", "refused"]
    assert done.files[2].reasons == ("duplicate: another file of this instance has other contents",)


def test_the_report_counts_what_was_done(tmp_path):
    series(tmp_path / "in", 2, PatientAddress="Elm Street 5")
    (tmp_path / "in" / "notes.txt").write_text("nothing")
    done = run(tmp_path)
    saved = json.loads((tmp_path / "out" / "report" / "report.json").read_text())
    actions = {(row.attribute, row.action): row.count for row in done.actions}
    assert actions["PatientAddress", "removed"] == 2
    assert actions["SOPInstanceUID", "UID replaced"] == 2
    assert saved["edition"] == "2025e"
    assert [row["status"] for row in saved["files"]] == ["written", "written", "skipped"]
    assert "2 written, 0 duplicate, 0 refused, 1 skipped" in done.text
    tables = sorted(path.name for path in (tmp_path / "out" / "report").iterdir())
    assert tables == ["actions.csv", "files.csv", "report.json", "summary.txt"]


def test_steps_are_told(tmp_path):
    series(tmp_path / "in", 2)
    steps = []
    deidentify(tmp_path / "in", tmp_path / "out", key=tmp_path / "key", on_step=steps.append)
    assert [(step.done, step.total) for step in steps] == [(1, 2), (2, 2)]


# ---- pseudonyms and keys


def test_pseudonyms_come_from_a_table(tmp_path):
    write(plain(), tmp_path / "in" / "a.dcm")
    write(plain(PatientID="other", SOPInstanceUID="1.5"), tmp_path / "in" / "b.dcm")
    table = tmp_path / "names.csv"
    table.write_text("secret-4711, CASE-01\n")
    names = read_pseudonyms(table)
    done = deidentify(tmp_path / "in", tmp_path / "out", key=tmp_path / "key", pseudonyms=names)
    assert only(tmp_path).PatientID == only(tmp_path).PatientName == "CASE-01"
    assert [row.status for row in done.files] == ["written", "refused"]
    assert done.files[1].reasons == ("no-pseudonym: its patient is not in the table",)


@pytest.mark.parametrize("text", ["a", "a,b,c", "a,b\na,c", "a,b\nc,b", ",b", "\x00"])
def test_refuses_a_table_that_is_none(tmp_path, text):
    (tmp_path / "names.csv").write_text(text)
    with pytest.raises(ConfigError, match="must be lines 'patient ID,pseudonym', each used once"):
        read_pseudonyms(tmp_path / "names.csv")


@pytest.mark.parametrize("text", ["a,../b", "a,b/c", "a,b c", "a," + "b" * 40])
def test_refuses_a_pseudonym_that_is_no_folder(tmp_path, text):
    (tmp_path / "names.csv").write_text(text)
    with pytest.raises(ConfigError, match="must be up to 32 letters, digits"):
        read_pseudonyms(tmp_path / "names.csv")


def test_patients_without_a_number_are_told_apart_by_their_studies(tmp_path):
    for k in range(4):
        image = plain(PatientID="", StudyInstanceUID=f"1.9.{k // 2}", SOPInstanceUID=f"1.8.{k}")
        write(image, tmp_path / "in" / f"{k}.dcm")
    run(tmp_path)
    found = [pydicom.dcmread(path).PatientID for path in outputs(tmp_path / "out")]
    assert len(set(found)) == 2


def test_a_key_is_made_for_its_owner_only_and_kept(tmp_path):
    path = tmp_path / "key"
    first = read_key(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_key(path).secret == first.secret
    assert len(first.secret) == 32
    assert "secret" not in repr(first)
    assert [p.name for p in tmp_path.iterdir()] == ["key"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o777])
def test_refuses_a_key_that_others_may_read(tmp_path, mode):
    read_key(tmp_path / "key")
    (tmp_path / "key").chmod(mode)
    with pytest.raises(ConfigError, match="must be readable by its owner only"):
        read_key(tmp_path / "key")


@pytest.mark.parametrize("text", ["", "abc", "zz" * 32, "ab" * 31])
def test_refuses_a_key_that_is_none(tmp_path, text):
    (tmp_path / "key").write_text(text)
    (tmp_path / "key").chmod(0o600)
    with pytest.raises(ConfigError, match="must hold at least 64 hexadecimal digits"):
        read_key(tmp_path / "key")


def test_refuses_a_key_where_nothing_can_be_written(tmp_path):
    with pytest.raises(OutputError, match="key file must be writable"):
        read_key(tmp_path / "absent" / "key")


# ---- what is refused


def refused(image: Dataset, tmp_path: Path, *options: str, allow: tuple[str, ...] = ()) -> str:
    write(image, tmp_path / "in" / "a.dcm")
    done = run(tmp_path, *options, allow=allow)
    (row,) = done.files
    return "; ".join(row.reasons)


@pytest.mark.parametrize(
    ("entries", "code"),
    [
        ({"BurnedInAnnotation": "YES"}, "burned-in"),
        ({"SOPClassUID": pydicom.uid.SecondaryCaptureImageStorage}, "secondary-capture"),
        ({"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]}, "secondary-capture"),
        ({"SOPClassUID": pydicom.uid.UltrasoundImageStorage, "Modality": "US"}, "ultrasound"),
        ({"SOPClassUID": pydicom.uid.EncapsulatedPDFStorage}, "document"),
        ({"EncapsulatedDocument": b"%PDF"}, "document"),
        ({"SOPClassUID": "1.3.12.2.1107.5.9.1"}, "private-class"),
        ({"SOPClassUID": pydicom.uid.VLPhotographicImageStorage}, "photograph"),
    ],
)
def test_is_refused_unless_asked(tmp_path, entries, code):
    assert refused(plain(**entries), tmp_path).startswith(f"{code}: ")
    assert outputs(tmp_path / "out") == []
    assert refused(plain(**entries), tmp_path, allow=(code,)) == ""
    assert len(outputs(tmp_path / "out")) == 1


def test_a_report_is_refused_unless_it_is_cleaned(tmp_path):
    image = plain(SOPClassUID=pydicom.uid.ComprehensiveSRStorage, Modality="SR")
    del image.PixelData
    assert "choose the option clean-structured-content" in refused(image, tmp_path)
    assert refused(image, tmp_path, "clean-structured-content") == ""


def test_a_name_that_stands_elsewhere_is_found(tmp_path):
    image = plain(PatientID="QUIMBYZELDA", ValueType="QUIMBYZELDA")
    assert refused(image, tmp_path).startswith("left-over: a name or number of the patient")


def test_what_another_tool_left_is_found(tmp_path):
    image = plain(PatientID="QUIMBYZELDA", ValueType="QUIMBYZELDA")
    image.PatientIdentityRemoved = "YES"
    assert refused(image, tmp_path).startswith("left-over: ")


def test_a_journal_of_other_options_is_not_taken(tmp_path):
    from vesalius.io.dicom._deid_journal import NAME

    series(tmp_path / "in", 2, StudyDate=DAY)
    run(tmp_path)
    whole = everything(tmp_path / "out")
    (tmp_path / "out" / NAME).write_text('"0123"\n{"row": 1}\nnonsense\n')
    run(tmp_path)
    assert everything(tmp_path / "out") == whole


def test_a_file_without_uids_is_refused(tmp_path):
    assert refused(plain(StudyInstanceUID=""), tmp_path).startswith("no-uids: ")


def test_a_file_beyond_the_budget_is_refused(tmp_path):
    write(plain(), tmp_path / "in" / "a.dcm")
    budget = Budget(bytes=100)
    done = deidentify(tmp_path / "in", tmp_path / "out", key=tmp_path / "key", budget=budget)
    assert done.files[0].reasons == ("too-large: it is larger than the budget",)


def test_a_deflated_bomb_is_refused_at_once(tmp_path):
    import zlib

    head = write(plain(), tmp_path / "a.dcm", pydicom.uid.DeflatedExplicitVRLittleEndian)
    from vesalius.io.dicom._deid_file import _meta_end

    data = head.read_bytes()
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = b"".join(packer.compress(bytes(1 << 24)) for _ in range(4)) + packer.flush()
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.dcm").write_bytes(data[: _meta_end(data)] + packed)
    begun = time.monotonic()
    budget = Budget(free_bytes=1 << 24)
    done = deidentify(tmp_path / "in", tmp_path / "out", key=tmp_path / "key", budget=budget)
    assert done.count("refused") == 1
    assert time.monotonic() - begun < 2


def test_a_directory_of_a_disc_is_left_out(tmp_path):
    path = write(plain(), tmp_path / "in" / "DICOMDIR")
    image = pydicom.dcmread(path)
    image.SOPClassUID = pydicom.uid.MediaStorageDirectoryStorage
    write(image, path)
    assert run(tmp_path).files[0].reasons == ("directory: DICOMDIR, whose files are elsewhere",)


def test_links_are_not_followed(tmp_path):
    write(plain(), tmp_path / "away" / "a.dcm")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link").symlink_to(tmp_path / "away")
    (tmp_path / "in" / "a.dcm").symlink_to(tmp_path / "away" / "a.dcm")
    assert run(tmp_path).files == ()


@pytest.mark.parametrize(
    ("entries", "flagged"),
    [
        ({"BodyPartExamined": "HEAD"}, True),
        ({"BodyPartExamined": "CHEST"}, False),
        ({"BodyPartExamined": "", "Modality": "MR"}, True),
        ({"SeriesDescription": "t1 brain"}, True),
        ({"BodyPartExamined": "WHOLEBODY", "Modality": "PT"}, True),
    ],
)
def test_heads_are_flagged(tmp_path, entries, flagged):
    write(plain(**entries), tmp_path / "in" / "a.dcm")
    done = run(tmp_path)
    assert any("face" in flag for flag in done.files[0].flags) == flagged
    assert only(tmp_path).get("RecognizableVisualFeatures", "") == ("YES" if flagged else "")
    assert ("face removal comes with registration" in done.text) == flagged


def test_refuses_two_kinds_of_dates():
    with pytest.raises(ConfigError, match="dates must be kept or moved"):
        Profile(("retain-full-dates", "retain-modified-dates"))


def test_refuses_rectangles_without_the_option_or_a_size():
    with pytest.raises(ConfigError, match="blanked under the option clean-pixel-data"):
        Profile(blank=((0, 0, 5, 5),))
    with pytest.raises(ConfigError, match="must be x,y,width,height with a size"):
        Profile(("clean-pixel-data",), blank=((0, 0, 0, 5),))


def test_refuses_places_that_are_in_each_others_way(tmp_path):
    series(tmp_path / "in", 1)
    with pytest.raises(ConfigError, match="must lie apart"):
        deidentify(tmp_path / "in", tmp_path / "in" / "out", key=tmp_path / "key")
    with pytest.raises(ConfigError, match="key must not lie in the output"):
        deidentify(tmp_path / "in", tmp_path / "out", key=tmp_path / "out" / "key")
    with pytest.raises(FormatError, match="source must exist to be de-identified"):
        deidentify(tmp_path / "absent", tmp_path / "out", key=tmp_path / "key")
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="output must be a folder"):
        deidentify(tmp_path / "in", tmp_path / "file", key=tmp_path / "key")
    budget = Budget(files=0)
    with pytest.raises(FormatError, match="must hold at most 0 files"):
        deidentify(tmp_path / "in", tmp_path / "out", key=tmp_path / "key", budget=budget)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_refuses_an_output_that_cannot_be_written(tmp_path):
    series(tmp_path / "in", 1)
    (tmp_path / "out").mkdir(mode=0o500)
    with pytest.raises(OutputError, match="output folder must be writable"):
        run(tmp_path)


def test_refuses_an_output_whose_place_is_taken(tmp_path):
    series(tmp_path / "in", 1)
    run(tmp_path)
    (path,) = outputs(tmp_path / "out")
    shutil.rmtree(path.parent)
    path.parent.write_text("in the way")
    with pytest.raises(OutputError, match="output folder must be writable, the system says"):
        run(tmp_path)


# ---- real scans


@pytest.mark.parametrize("case", ["mr_t1_hfs", "ct_philips_localizer"])
def test_real_scans_stay_the_same_volumes(tmp_path, data_dir, case):
    (archive,) = (data_dir / "dicom" / case).glob("*.tar.xz")
    with tarfile.open(archive) as tar:
        tar.extractall(tmp_path / "in", filter="data")
    done = run(tmp_path)
    before, after = io.scan(tmp_path / "in"), io.scan(tmp_path / "out")
    assert done.count("written") == len(outputs(tmp_path / "out")) > 0
    assert len(before) == len(after)

    def order(handle: io.Handle) -> list[float]:
        return handle.grid.affine.reshape(-1).tolist()

    for old, new in zip(sorted(before, key=order), sorted(after, key=order), strict=True):
        assert torch.equal(old.grid.affine, new.grid.affine)
        if not old.refusal:
            assert torch.equal(old.read_series().data, new.read_series().data)


def test_a_mosaic_is_flagged(tmp_path):
    write(plain("MR", ImageType=["ORIGINAL", "PRIMARY", "M", "MOSAIC"]), tmp_path / "in" / "a.dcm")
    assert "convert it first" in run(tmp_path).files[0].flags[0]


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy is not installed")
@pytest.mark.parametrize("case", ["mr_orient_axial", "ct_philips_localizer"])
def test_real_scans_break_no_more_rules_than_before(tmp_path, data_dir, case):
    (archive,) = (data_dir / "dicom" / case).glob("*.tar.xz")
    with tarfile.open(archive) as tar:
        tar.extractall(tmp_path / "in", filter="data")
    run(tmp_path)
    before = max(errors(p) for p in (tmp_path / "in").rglob("*") if p.is_file())
    assert max(errors(p) for p in outputs(tmp_path / "out")) <= before


def errors(path: Path) -> int:
    told = subprocess.run(["dciodvfy", str(path)], capture_output=True, check=False).stderr
    return sum(line.startswith(b"Error") for line in told.splitlines())


@pytest.fixture(scope="module")
def sarcoma(data_dir, tmp_path_factory) -> Path:
    """CT, MR, PET and three structure sets of one patient, as DICOM."""
    folder = tmp_path_factory.mktemp("sts")
    archives = [p for p in (data_dir / "sts_dicom").iterdir() if p.suffix in (".xz", ".gz", ".zip")]
    for archive in archives:
        shutil.unpack_archive(archive, folder, filter="data")
    return folder


@pytest.mark.slow
def test_a_real_study_keeps_its_values_and_its_structure_sets(tmp_path, sarcoma):
    options = ("retain-modified-dates", "retain-patient-characteristics", "clean-descriptors")
    profile = Profile(options)
    done = deidentify(sarcoma, tmp_path / "out", key=tmp_path / "key", options=profile)
    before, after = io.survey(sarcoma), io.survey(tmp_path / "out")
    assert done.count("written") == len(done.files) == 159
    assert len(after.handles) == len(after.contours) == 3
    old = {handle.unit: handle.read() for handle in before.handles}
    new = {handle.unit: handle.read() for handle in after.handles}
    assert set(old) == set(new) == {"SUV", "HU", "1"}
    for unit, image in old.items():
        assert torch.equal(image.data, new[unit].data)
        assert torch.equal(image.grid.affine, new[unit].grid.affine)


@pytest.mark.slow
def test_a_segmentation_still_refers_to_its_images(tmp_path, data_dir):
    from vesalius.core import Labels
    from vesalius.io.dicom._write_seg import save_seg

    (archive,) = (data_dir / "dicom" / "mr_t1_hfs").glob("*.tar.xz")
    with tarfile.open(archive) as tar:
        tar.extractall(tmp_path / "in", filter="data")
    image = io.open(tmp_path / "in").read()
    mask = (image.data > image.data.float().mean()).to(torch.uint8)
    labels = Labels(mask, image.grid, {(0, 1): "lung"})
    (tmp_path / "seg").mkdir()
    save_seg(labels, tmp_path / "seg" / "a.dcm", like=tmp_path / "in")
    run(tmp_path)
    profile = Profile(("clean-descriptors",))
    deidentify(tmp_path / "seg", tmp_path / "segs", key=tmp_path / "key", options=profile)
    (path,) = outputs(tmp_path / "segs")
    made = io.open_labels(path)
    uids = {
        pydicom.dcmread(p, stop_before_pixels=True).SOPInstanceUID
        for p in outputs(tmp_path / "out")
    }
    header = pydicom.dcmread(path)
    rows = header.ReferencedSeriesSequence[0].ReferencedInstanceSequence
    assert {row.ReferencedSOPInstanceUID for row in rows} == uids
    assert torch.equal(made.data > 0, labels.data > 0)
    assert torch.allclose(made.grid.affine, image.grid.affine, atol=1e-4)
    assert header.SegmentSequence[0].SegmentLabel == "lung"
