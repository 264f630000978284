"""Attacks on de-identification: places that hold a person though no table of attributes says so."""

import itertools
import struct
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest
from deid_files import (
    DAY,
    EXPLICIT,
    ROOT,
    everything,
    insert,
    leaks,
    outputs,
    plain,
    planted,
    raw_element,
    samples,
    word,
    words_in,
    write,
)
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate

from vesalius.io._budget import DEFAULT
from vesalius.io.dicom import Profile, deidentify
from vesalius.io.dicom._annex_e import CODES, rules
from vesalius.io.dicom._deid_file import Run
from vesalius.io.dicom._deid_rules import MACHINE_TEXT, Case, clean_dataset
from vesalius.io.dicom._deid_uids import Key, read_key
from vesalius.io.dicom._deid_values import telling_words, tells

NAME = word(1)
PAIRS = [
    pair
    for pair in itertools.combinations(CODES, 2)
    if set(pair) != {"retain-full-dates", "retain-modified-dates"}
]


def run(folder: Path, *options: str, allow: tuple[str, ...] = ()):
    profile = Profile(options, allow)
    return deidentify(folder / "in", folder / "out", key=folder / "key", options=profile)


def cleaned(folder: Path, image: Dataset, *raw: bytes, syntax: str = EXPLICIT) -> Dataset:
    """Clean one file, check that no canary is left, and read it."""
    insert(write(image, folder / "in" / "a.dcm", syntax), *raw)
    done = run(folder)
    assert done.count("written") == 1, done.text
    assert words_in(everything(folder / "out")) == set()
    return pydicom.dcmread(outputs(folder / "out")[0])


def test_a_name_does_not_hide_in_a_code_string_or_the_name_of_a_machine(tmp_path):
    image = plain(
        PatientName=f"{NAME}^Jane",
        OperatorsName=f"Roe=={word(2)}^Ann",
        BodyPartExamined=f"CHEST {NAME}",
        ImageType=["ORIGINAL", "PRIMARY", "AXIAL", word(2)],
        Manufacturer=f"ACME for {NAME.lower()}",
        ManufacturerModelName=f"scanner{word(2)}x",
        SoftwareVersions=["VB17", "secret-4711"],
    )
    made = cleaned(tmp_path, image)
    assert list(made.ImageType) == ["ORIGINAL", "PRIMARY", "AXIAL"]
    assert made.Manufacturer == made.ManufacturerModelName == made.SoftwareVersions == "REMOVED"
    assert "BodyPartExamined" not in made


@pytest.mark.parametrize("name", ["SIEMENS^PHANTOM", "Head^Patient", "CT^Lung", "Li^Yu"])
def test_phantoms_named_after_machines_and_organs_keep_their_codes(tmp_path, name):
    image = plain(PatientName=name, BodyPartExamined="HEAD", Manufacturer="SIEMENS")
    made = cleaned(tmp_path, image)
    assert (made.BodyPartExamined, made.Manufacturer, made.Modality) == ("HEAD", "SIEMENS", "CT")
    assert list(made.ImageType) == ["ORIGINAL", "PRIMARY", "AXIAL"]


def test_telling_words_are_those_of_names_and_numbers():
    image = plain(PatientName="Müller^Eva=Äß^X", PatientID=" AB-99 ", AccessionNumber="77")
    assert telling_words(image) == {"müller", "eva", "äss", "ab-99"}
    assert tells("für Dr. MÜLLER", telling_words(image))
    assert tells("scan_AB-99", frozenset({"scan"}))
    assert not tells("evaluation", telling_words(image))


@pytest.mark.parametrize("tag", [0x00203101, 0x00203402])
def test_retired_numbers_of_images_go(tmp_path, tag):
    made = cleaned(tmp_path, plain(), raw_element(tag, b"CS", NAME.encode() + b"_"))
    assert tag not in made


@pytest.mark.parametrize("tag", [0x00091001, 0x00081140, 0x00089215, 0x00101002])
def test_sequences_without_a_kind_or_a_length_are_cleaned(tmp_path, tag):
    name = struct.pack("<HHI", 0x10, 0x10, 10) + NAME.encode() + b" "
    item = b"\xfe\xff\x00\xe0\xff\xff\xff\xff" + name + b"\xfe\xff\x0d\xe0" + bytes(4)
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF) + b"UN\0\0\xff\xff\xff\xff"
    cleaned(tmp_path, plain(), head + item + b"\xfe\xff\xdd\xe0" + bytes(4))


def test_originals_of_what_was_changed_and_private_items_go(tmp_path):
    before, change, derivation = Dataset(), Dataset(), Dataset()
    before.PatientName = before.SourceOfPreviousValues = NAME
    before.add_new(0x00090010, "LO", NAME)
    before.add_new(0x00091001, "LO", NAME)
    change.ModifiedAttributesSequence = [before]
    derivation.add_new(0x00090010, "LO", NAME)
    derivation.add_new(0x00091001, "SQ", [before])
    cleaned(
        tmp_path,
        plain(OriginalAttributesSequence=[change], DerivationCodeSequence=[derivation]),
        raw_element(0x00080014, b"UI", f"{ROOT}.5\\{NAME}".encode()),
        raw_element(0x00080021, b"UT", NAME.encode() + b"_"),
        raw_element(0x00189345, b"UT", NAME.encode() + b"_"),
    )


SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"
SKIN = "1.2.840.10008.5.1.4.1.1.77.1.7"
VOICE = "1.2.840.10008.5.1.4.1.1.9.4.1"


@pytest.mark.parametrize(
    ("entries", "code"),
    [
        ({"SOPClassUID": SLIDE, "ImageType": ["ORIGINAL", "PRIMARY", "LABEL", "NONE"]}, "label"),
        ({"SOPClassUID": SLIDE, "ImageType": ["ORIGINAL", "PRIMARY", "OVERVIEW"]}, "label"),
        ({"SOPClassUID": SLIDE, "SpecimenLabelInImage": "YES"}, "label"),
        ({"SOPClassUID": SKIN}, "photograph"),
        ({"Modality": "ES"}, "photograph"),
        ({"Modality": "XC"}, "photograph"),
        ({"Modality": "HC"}, "secondary-capture"),
        ({"ConversionType": "WSD"}, "secondary-capture"),
        ({"ConversionType": "DF"}, "secondary-capture"),
        ({"SOPClassUID": VOICE, "Modality": "AU"}, "sound"),
    ],
)
def test_pictures_of_labels_screens_and_people_and_sound_are_refused(tmp_path, entries, code):
    write(plain(**entries), tmp_path / "in" / f"{NAME}.dcm")
    done = run(tmp_path)
    assert [row.reasons[0].split(":")[0] for row in done.files] == [code]
    assert outputs(tmp_path / "out") == []
    assert leaks(everything(tmp_path / "out"), NAME) == []
    risk = done.files[0].reasons[0].split("accept: ")[1].rstrip(")")
    assert run(tmp_path, allow=(risk,)).count("written") == 1


def test_what_a_machine_calls_recognisable_is_flagged(tmp_path):
    write(plain(RecognizableVisualFeatures="YES"), tmp_path / "in" / "a.dcm")
    assert "face" in run(tmp_path).files[0].flags[0]


def test_a_document_inside_a_sequence_goes_even_where_documents_are_accepted(tmp_path):
    item = Dataset()
    item.EncapsulatedDocument = (NAME + "_").encode()
    write(plain(ReferencedImageSequence=[item]), tmp_path / "in" / "a.dcm")
    assert run(tmp_path, allow=("document",)).count("written") == 1
    assert words_in(everything(tmp_path / "out")) == set()


def _j2k(a: np.ndarray) -> bytes:
    return bytes(imagecodecs.jpeg2k_encode(a, codecformat="j2k", reversible=True, level=0))


ENCODERS = {
    pydicom.uid.JPEG2000Lossless: _j2k,
    pydicom.uid.JPEGLSLossless: imagecodecs.jpegls_encode,
    pydicom.uid.JPEGLosslessSV1: imagecodecs.ljpeg_encode,
    pydicom.uid.RLELossless: None,
}


@pytest.mark.parametrize("syntax", ENCODERS)
@pytest.mark.parametrize("above", [0, 0xF000])
def test_overlays_in_the_bits_of_compressed_pixels_go(tmp_path, syntax, above):
    values = np.tile(samples(), (8, 8))
    image = plain(Rows=values.shape[0], Columns=values.shape[1])
    image.PixelData = encapsulate([_packed(values | above, ENCODERS[syntax])])
    image["PixelData"].is_undefined_length = True
    made = cleaned(tmp_path, image, syntax=syntax)
    assert made.file_meta.TransferSyntaxUID == (EXPLICIT if above else syntax)
    if above:
        np.testing.assert_array_equal(np.frombuffer(made.PixelData, "<u2"), values.ravel())


def _packed(values: np.ndarray, encode) -> bytes:
    if encode is not None:
        return bytes(encode(values))
    planes = [(values >> 8).astype(np.uint8), values.astype(np.uint8)]
    coded = [b"".join(bytes([len(row) - 1, *row]) for row in plane) for plane in planes]
    coded = [segment + b"\0" * (len(segment) % 2) for segment in coded]
    head = struct.pack("<16I", 2, 64, 64 + len(coded[0]), *[0] * 13)
    return head + b"".join(coded)


def test_segments_that_jpeg_2000_does_not_know_do_not_pass(tmp_path):
    values = np.tile(samples(), (8, 8))
    stream = _j2k(values)
    at = 4 + struct.unpack_from(">H", stream, 4)[0]
    foreign = b"\xff\x7e" + struct.pack(">H", 2 + len(NAME)) + NAME.encode()
    image = plain(Rows=values.shape[0], Columns=values.shape[1])
    image.PixelData = encapsulate([stream[:at] + foreign + stream[at:]])
    image["PixelData"].is_undefined_length = True
    write(image, tmp_path / "in" / "a.dcm", pydicom.uid.JPEG2000Lossless)
    assert run(tmp_path).count("refused") == 1
    assert words_in(everything(tmp_path / "out")) == set()


def test_options_in_pairs_let_out_what_each_lets_out_and_no_more(tmp_path):
    image, found = planted(listed=True)
    header = pydicom.dcmread(write(image, tmp_path / "a.dcm"))
    machine = {found[tag] for tag in MACHINE_TEXT & set(found)}
    for pair in PAIRS:
        case = Case(Profile(pair), Key(bytes(32)), "P", 3, "plain")
        made = clean_dataset(header, case)
        data = " ".join(str(element.value) for element in made.iterall()).encode()
        kept = {found[tag] for tag in found if rules()[tag].under(pair) == "K"}
        assert words_in(data) <= kept | machine, pair
        if not {"retain-full-dates", "retain-device-identity"} & set(pair):
            assert DAY.encode() not in data, pair
        if {"retain-device-identity", "retain-institution-identity"} & set(pair):
            assert words_in(data) > machine, pair


def test_two_patients_of_one_name_stay_two_and_one_patient_stays_one(tmp_path):
    for number, patient in enumerate(["A-100001", "B-100002", "A-100001"]):
        image = plain(PatientName="Doe^Jane", PatientID=patient, StudyDate=f"2020010{number + 1}")
        image.SOPInstanceUID += f".{number}"
        image.SeriesDate, image.AcquisitionDateTime = image.StudyDate, image.StudyDate + "231500"
        image.DateOfSecondaryCapture = [image.StudyDate]
        image.add_new(0x00181200, "DA", [image.StudyDate, f"2020020{number + 1}"])
        write(image, tmp_path / "in" / f"{number}.dcm")
    run(tmp_path, "retain-modified-dates", "retain-device-identity")
    first = {path: pydicom.dcmread(path) for path in outputs(tmp_path / "out")}
    assert len({made.PatientID for made in first.values()}) == 2
    for made in first.values():
        day = made.StudyDate
        assert made.SeriesDate == day == made.AcquisitionDateTime[:8]
        assert made.AcquisitionDateTime[8:] == "231500"
        assert not day.startswith("2020010")
    a, b = sorted((made.StudyDate for made in first.values() if _twice(made, first)), key=str)
    distance = pydicom.valuerep.DA(b) - pydicom.valuerep.DA(a)
    assert distance.days == 2


def _twice(made: Dataset, all_: dict[Path, Dataset]) -> bool:
    return sum(other.PatientID == made.PatientID for other in all_.values()) == 2


def test_nothing_of_the_key_or_the_table_is_shown(tmp_path):
    (tmp_path / "key").write_text("ab" * 32 + "\n")
    (tmp_path / "key").chmod(0o600)
    made = Run(tmp_path, read_key(tmp_path / "key"), Profile(), {NAME: "P1"}, DEFAULT)
    assert "abab" not in f"{made!r} {made.key!r} {made.key} {made.fingerprint}"
    assert NAME not in repr(made)
    write(plain(), tmp_path / "in" / "a.dcm")
    run(tmp_path)
    assert leaks(everything(tmp_path / "out"), "ab" * 8) == []


@pytest.mark.parametrize("sized", [True, False])
def test_tables_end_with_their_last_entry(tmp_path, sized):
    lut = Dataset()
    lut.LUTDescriptor, lut.LUTExplanation = [4, 0, 16], NAME
    lut.add_new(0x00283006, "OW", bytes(range(8)) + (NAME + "_").encode())
    image = plain(ModalityLUTSequence=[lut])
    image.add_new(0x00281201, "OW", bytes(range(8)) + (NAME + "_").encode())
    if sized:
        image.RedPaletteColorLookupTableDescriptor = [4, 0, 16]
    made = cleaned(tmp_path, image)
    assert made.ModalityLUTSequence[0].LUTData == bytes(range(8))
    assert made.RedPaletteColorLookupTableData == (bytes(range(8)) if sized else None)
