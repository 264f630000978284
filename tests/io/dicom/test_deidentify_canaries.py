"""Canaries: words planted everywhere in a file are found nowhere after it was de-identified."""

import logging
import struct
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from deid_files import (
    BIG,
    CLOCK,
    DAY,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    ROOT,
    WORD,
    canary_of,
    everything,
    insert,
    leaks,
    outputs,
    plain,
    planted,
    raw_element,
    word,
    words_in,
    write,
)
from pydicom.dataset import Dataset

from vesalius.cli import main
from vesalius.io.dicom import Profile, deidentify
from vesalius.io.dicom._annex_e import CODES, rules
from vesalius.io.dicom._deid_rules import MACHINE_TEXT

KEEPING = [option for option in CODES if option.startswith("retain")]


def run(tmp_path: Path, *options: str, allow: tuple[str, ...] = ()) -> Path:
    out = tmp_path / "out"
    profile = Profile(options, allow)
    report = deidentify(tmp_path / "in", out, key=tmp_path / "key", options=profile)
    assert report.count("written") == 1, report.text
    return out


def test_more_than_sixty_tags_of_every_kind_hold_canaries():
    image, found = planted()
    kinds = {image[tag].VR for tag in found}
    assert len(found) > 1500
    assert sum(tag in rules() for tag in found) > 500
    assert kinds >= {"AE", "CS", "DA", "DT", "LO", "OB", "PN", "SH", "SQ", "TM", "UI", "UT"}


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG, DEFLATED])
def test_nothing_that_the_standard_knows_lets_a_canary_out(tmp_path, syntax):
    # every attribute once; the other encodings with those that the table lists
    image, found = planted(listed=syntax != IMPLICIT)
    write(image, tmp_path / "in" / "a.dcm", syntax)
    data = everything(run(tmp_path))
    machine = {canary_of(image[tag].value) for tag in MACHINE_TEXT & set(found)}
    assert words_in(data) == machine
    assert leaks(data, DAY, CLOCK, ROOT) == []


@pytest.mark.parametrize("option", KEEPING)
def test_an_option_lets_out_what_it_keeps_and_no_more(tmp_path, option):
    image, found = planted(listed=True)
    write(image, tmp_path / "in" / "a.dcm")
    data = everything(run(tmp_path, option))
    rows = [rules()[tag].under((option,)) for tag in found]
    kept = {text for text, action in zip(found.values(), rows, strict=True) if action == "K"}
    assert words_in(data) <= kept
    dates = option == "retain-full-dates"
    device = option == "retain-device-identity"  # dates of its calibration
    assert bool(leaks(data, DAY)) == (dates or device)
    assert bool(leaks(data, ROOT)) == (device or option == "retain-uids")
    if option in ("retain-device-identity", "retain-institution-identity"):
        assert len(words_in(data)) > 5


@pytest.mark.parametrize("option", [o for o in CODES if o.startswith("clean")])
def test_cleaning_lets_nothing_out(tmp_path, option):
    image, _ = planted(listed=True)
    write(image, tmp_path / "in" / "a.dcm")
    data = everything(run(tmp_path, option))
    assert words_in(data) == set()
    assert leaks(data, DAY, ROOT) == []


def test_moved_dates_are_not_the_dates(tmp_path):
    image, found = planted(frozenset({"DA", "DT"}))
    write(image, tmp_path / "in" / "a.dcm")
    out = run(tmp_path, "retain-modified-dates")
    assert leaks(everything(out), DAY) == []
    assert len([t for t in found if pydicom.dcmread(outputs(out)[0]).get(t)]) > 100


def test_the_places_that_are_no_attributes_let_nothing_out(tmp_path):
    """Preamble, file meta, private, curves, overlays, groups 4 and 0, paddings, names."""
    number = iter(range(7000, 8000))
    image = plain()
    for group in (0x0009, 0x0019, 0x0029, 0x7053, 0x7FE1):
        image.add_new((group, 0x10), "LO", word(next(number)))
        image.add_new((group, 0x1001), "UN", word(next(number)).encode() + b"_")
        image.add_new((group, 0x1002), "LO", word(next(number)))
        image.add_new((group, 0x1003), "OB", word(next(number)).encode("utf-16-le"))
    for group in (0x5000, 0x5002, 0x50FE):
        image.add_new((group, 0x0022), "LO", word(next(number)))
        image.add_new((group, 0x3000), "OW", word(next(number)).encode() + b"_")
    for group in (0x6000, 0x6002, 0x60FE):
        image.add_new((group, 0x3000), "OW", word(next(number)).encode() + b"_")
        image.add_new((group, 0x0022), "LO", word(next(number)))
        image.add_new((group, 0x1500), "LO", word(next(number)))
        image.add_new((group, 0x4000), "LT", word(next(number)))
    image.PixelData += word(next(number)).encode() + b"_"
    path = tmp_path / "in" / f"{word(1)}-dir" / f"{word(2)}.dcm"
    write(
        image,
        path,
        preamble=(word(next(number)).encode() * 20)[:128],
        SourceApplicationEntityTitle=word(next(number)),
        SendingApplicationEntityTitle=word(next(number)),
        ImplementationVersionName=word(next(number)),
        ImplementationClassUID=f"{ROOT}.77",
        PrivateInformationCreatorUID=f"{ROOT}.78",
        PrivateInformation=word(next(number)).encode() + b"_",
    )
    (path.parent / f"{word(3)}.txt").write_text(word(4))
    insert(
        path,
        raw_element(0x00080000, b"UL", b"\4\0\0\0"),
        raw_element(0x00041130, b"CS", word(next(number)).encode() + b"_"),
        raw_element(0x00080064, b"CS", b"WSD\0" + word(next(number)).encode() + b"_"),
        raw_element(0x00080070, b"LO", b"ACME\0" + word(next(number)).encode()),
        raw_element(0x00180050, b"DS", b"2.5\0" + word(next(number)).encode() + b"_"),
        raw_element(0x00180060, b"DS", b"120 " + word(next(number)).encode() + b" "),
        raw_element(0x00181110, b"US", (word(next(number)) + "_").encode()),
        raw_element(0x00181151, b"IS", b"9 " + word(next(number)).encode() + b"_"),
        raw_element(0x00200052, b"UI", f"{ROOT}\0{WORD}!".encode() + b"\0"),
        raw_element(0x00280008, b"IS", b"1 "),
        raw_element(0x00280120, b"US", (word(next(number)) + "_").encode()),
        raw_element(0x00282110, b"CS", b"00\\" + word(next(number)).encode().lower()),
    )
    out = run(tmp_path)
    assert leaks(everything(out), WORD, ROOT) == []
    assert pydicom.dcmread(outputs(out)[0]).Manufacturer == "ACME"


def test_safe_private_attributes_are_kept_and_their_neighbours_are_not(tmp_path):
    image = plain("PT")
    block = image.private_block(0x7053, "Philips PET Private Group", create=True)
    block.add_new(0x00, "DS", "0.001234")
    block.add_new(0x09, "DS", "5.5")
    block.add_new(0x0A, "LO", word(1))
    siemens = image.private_block(0x0019, "SIEMENS MR HEADER", create=True)
    siemens.add_new(0x0C, "UN", b"1000")
    siemens.add_new(0x0D, "UN", word(2).lower().encode() + b"_")
    siemens.add_new(0x0E, "UN", struct.pack("<3d", 0.5, -0.5, 0.25))
    siemens.add_new(0x27, "LO", word(3))
    other = image.private_block(0x0019, word(4), create=True)
    other.add_new(0x0C, "IS", "77")
    item = Dataset()
    item.private_block(0x0043, "GEMS_PARM_01", create=True).add_new(0x39, "IS", [800, 1, 2, 3])
    image.ReferencedImageSequence = [item]
    write(image, tmp_path / "in" / "a.dcm")
    out = run(tmp_path, "retain-safe-private")
    made = pydicom.dcmread(outputs(out)[0])
    assert leaks(everything(out), WORD) == []
    assert made[0x70531000].value == 0.001234
    assert made[0x0019100C].value == 1000
    assert list(made[0x0019100E].value) == [0.5, -0.5, 0.25]
    assert made.ReferencedImageSequence[0][0x00431039].value == [800, 1, 2, 3]
    assert 0x0019110C not in made
    assert 0x70531000 not in pydicom.dcmread(outputs(run_again(tmp_path, "plain"))[0])


def run_again(tmp_path: Path, name: str, *options: str) -> Path:
    deidentify(tmp_path / "in", tmp_path / name, key=tmp_path / "key", options=Profile(options))
    return tmp_path / name


def test_codes_of_persons_become_hashes_and_public_ones_their_own_meaning(tmp_path):
    image = plain()
    codes = (
        ("T-28000", "SRT", word(1)),
        (word(2), "99MINE", word(3)),
        ("39607008", "SCT", word(4)),
    )
    image.AnatomicRegionSequence = [Dataset() for _ in codes]
    for item, (value, scheme, meaning) in zip(image.AnatomicRegionSequence, codes, strict=True):
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    identification = Dataset()
    identification.CodingSchemeDesignator = word(5)
    identification.CodingSchemeResponsibleOrganization = word(6)
    image.CodingSchemeIdentificationSequence = [identification]
    write(image, tmp_path / "in" / "a.dcm")
    out = run(tmp_path)
    first, local, lung = pydicom.dcmread(outputs(out)[0]).AnatomicRegionSequence
    assert leaks(everything(out), WORD) == []
    assert (first.CodeValue, first.CodeMeaning) == ("T-28000", "T-28000")
    assert (local.CodingSchemeDesignator, local.CodeMeaning) == ("99LOCAL", "REMOVED")
    assert len(local.CodeValue) == 12
    assert lung.CodeMeaning == "Lung"


def test_a_report_loses_its_words_and_keeps_its_numbers(tmp_path):
    write(report(), tmp_path / "in" / "a.dcm")
    out = run(tmp_path, "clean-structured-content")
    made = pydicom.dcmread(outputs(out)[0])
    assert leaks(everything(out), WORD, DAY, ROOT, "^") == []
    kinds = [item.ValueType for item in made.ContentSequence]
    assert kinds == ["TEXT", "PNAME", "DATE", "UIDREF", "NUM"]
    assert made.ContentSequence[0].TextValue == "REMOVED"
    assert made.ContentSequence[4].MeasuredValueSequence[0].NumericValue == 17.5
    assert made.VerifyingObserverSequence[0].VerifyingOrganization == "REMOVED"


def report() -> Dataset:
    made = Dataset()
    made.SOPClassUID = pydicom.uid.EnhancedSRStorage
    made.SOPInstanceUID, made.StudyInstanceUID = f"{ROOT}.1.7", f"{ROOT}.2.1"
    made.SeriesInstanceUID = f"{ROOT}.3.7"
    made.Modality, made.PatientID, made.PatientName = "SR", "secret-4711", "Doe^Jane"
    made.ContentDate, made.ContentTime = DAY, CLOCK
    made.ValueType = "CONTAINER"
    observer = Dataset()
    observer.VerifyingObserverName, observer.VerifyingOrganization = "Smith^Ann", word(1)
    observer.VerificationDateTime = DAY + CLOCK
    made.VerifyingObserverSequence = [observer]
    rows = [
        ("121071", "TEXT", "TextValue", word(2)),
        ("121008", "PNAME", "PersonName", f"{WORD}^Ann"),
        ("121031", "DATE", "Date", DAY),
        ("111018", "DATE", "Date", DAY),
        ("112002", "UIDREF", "UID", f"{ROOT}.5"),
        ("121033", "NUM", "", ""),
        ("121207", "NUM", "", ""),
    ]
    made.ContentSequence = [content(*row) for row in rows]
    return made


def content(code: str, kind: str, keyword: str, value: str) -> Dataset:
    item, name = Dataset(), Dataset()
    name.CodeValue, name.CodingSchemeDesignator, name.CodeMeaning = code, "DCM", word(9)
    item.RelationshipType, item.ValueType = "CONTAINS", kind
    item.ConceptNameCodeSequence = [name]
    if keyword:
        setattr(item, keyword, value)
    else:
        measured = Dataset()
        measured.NumericValue = "17.5"
        item.MeasuredValueSequence = [measured]
    return item


@pytest.mark.parametrize("depth", [1, 5, 20])
def test_sequences_are_cleaned_to_the_bottom(tmp_path, depth):
    item = Dataset()
    item.PatientName, item.PatientID = word(1), word(2)
    item.InstitutionName, item.ReferencedSOPInstanceUID = word(3), f"{ROOT}.5"
    for _ in range(depth):
        outer = Dataset()
        outer.OperatorsName = word(4)
        outer.ReferencedInstanceSequence = [item]
        item = outer
    write(plain(ReferencedInstanceSequence=[item]), tmp_path / "in" / "a.dcm")
    out = run(tmp_path)
    assert leaks(everything(out), WORD, ROOT) == []


def test_sequences_beyond_the_budget_are_refused(tmp_path):
    item = Dataset()
    for _ in range(40):
        outer = Dataset()
        outer.ReferencedInstanceSequence = [item]
        item = outer
    write(plain(ReferencedInstanceSequence=[item]), tmp_path / "in" / "a.dcm")
    done = deidentify(tmp_path / "in", tmp_path / "out", key=tmp_path / "key")
    assert [row.status for row in done.files] == ["refused"]


@pytest.mark.parametrize("tail", [b"QZXKJ0001" * 30, b"\x10\x00\x10\x21LO\x0a\x00QZXKJ0001_"])
def test_bytes_behind_the_dataset_do_not_pass(tmp_path, tail):
    path = write(plain(), tmp_path / "in" / "a.dcm")
    path.write_bytes(path.read_bytes() + tail)
    done = deidentify(tmp_path / "in", tmp_path / "out", key=tmp_path / "key")
    data = everything(tmp_path / "out")
    assert done.count("refused") == 1 or leaks(data, WORD) == []
    assert leaks(data, WORD) == []


def test_the_command_line_and_the_log_name_nothing(tmp_path, capfd, caplog):
    caplog.set_level(logging.DEBUG)
    folder = tmp_path / "in" / word(1)
    write(plain(PatientName=word(2), PatientID=word(3)), folder / f"{word(4)}.dcm")
    broken = write(plain(PatientName=word(5)), folder / f"{word(6)}.dcm")
    broken.write_bytes(broken.read_bytes()[:-9])
    strange = write(plain(), folder / f"{word(7)}.dcm")
    insert(strange, raw_element(0x00180050, b"DS", word(8).encode() + b"_"))
    insert(strange, raw_element(0x00100030, b"DA", word(8).encode() + b"_"))
    (folder / f"{word(9)}.dcm").write_bytes(bytes(128) + b"DICM" + word(10).encode() * 50)
    (folder / f"{word(11)}.txt").write_text(word(12))
    words = ["deidentify", str(tmp_path / "in"), "-o", str(tmp_path / "out")]
    with pytest.raises(SystemExit) as stop:
        main([*words, "--key", str(tmp_path / "key"), "--progress", "json"])
    said = "".join(capfd.readouterr()) + caplog.text
    assert stop.value.code == 4
    assert "1 skipped" in said
    assert WORD not in said
    assert "Doe" not in said
    assert leaks(everything(tmp_path / "out"), WORD) == []


def test_the_output_can_be_read_by_pydicom_with_its_strictest_rules(tmp_path):
    image, _ = planted(listed=True)
    write(image, tmp_path / "in" / "a.dcm")
    path = outputs(run(tmp_path))[0]
    before = pydicom.config.settings.reading_validation_mode
    pydicom.config.settings.reading_validation_mode = pydicom.config.RAISE
    try:
        header = pydicom.dcmread(BytesIO(path.read_bytes()))
        assert len(str(header)) > 1000
    finally:
        pydicom.config.settings.reading_validation_mode = before
