"""What written objects have in common: codes, UIDs, sources, dates."""

from pathlib import Path

import pydicom
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydicom.sr.codedict import codes as dictionary
from written import grids, write_source

from vesalius.core import Grid
from vesalius.errors import FormatError, UnitError
from vesalius.io.dicom import Caption
from vesalius.io.dicom._context import (
    anonymous,
    decimal,
    moment,
    planes_of,
    read_source,
    uid,
    upright,
)
from vesalius.io.dicom.codes import (
    AGGREGATIONS,
    ALTERATIONS,
    ALTERED,
    ANATOMY,
    ORGANS,
    TISSUE,
    UNKNOWN,
    meaning_of,
    ucum,
    unit_of,
)
from vesalius.measure import catalogue

# ---- codes


def test_codes_of_organs_are_those_of_the_standard() -> None:
    known = {entry.lower(): getattr(dictionary.SCT, entry) for entry in dir(dictionary.SCT)}
    for name, value in ORGANS.items():
        assert known[name.replace(" ", "")].value == value, name
    for code in (TISSUE, ANATOMY, ALTERED, *ALTERATIONS.values()):
        theirs = known[code.meaning.lower().replace(" ", "")]
        assert (theirs.value, theirs.meaning) == (code.value, code.meaning)


def test_a_name_is_coded_only_where_it_is_known_whole() -> None:
    assert meaning_of("Liver").kind.value == "10200004"
    assert meaning_of("spinal-cord").kind.value == "2748008"
    assert meaning_of("LESION").category == ALTERED
    for name in ("liver_lesion", "left kidney", "deliver", "", "label 3"):
        assert meaning_of(name) == UNKNOWN


UNITS = {
    "mm": "mm",
    "mm^2": "mm2",
    "mm^3": "mm3",
    "1/mm": "/mm",
    "mL": "ml",
    "HU": "[hnsf'U]",
    "HU^2": "[hnsf'U]2",
    "HU mm^3": "[hnsf'U].mm3",
    "SUV": "g/ml{SUVbw}",
    "SUV mL": "g/ml{SUVbw}.ml",
    "SUV^2": "(g/ml{SUVbw})2",
    "1": "1",
    "%": "%",
    "photon": "{photon}",
    "mm/s^2": "mm/s2",
    "Bq/mL": "Bq/ml",
}


@pytest.mark.parametrize("unit", list(UNITS))
def test_units_are_written_in_ucum(unit: str) -> None:
    code = ucum(unit)
    assert (code.value, code.scheme) == (UNITS[unit], "UCUM")
    assert unit_of(code.value, code.meaning) == unit


def test_units_agree_with_the_dictionary_of_pydicom() -> None:
    for unit, name in (
        ("mm", "Millimeter"),
        ("mm^2", "SquareMillimeter"),
        ("mm^3", "CubicMillimeter"),
        ("HU", "HounsfieldUnit"),
        ("SUV", "StandardizedUptakeValueBodyWeight"),
        ("SUL", "StandardizedUptakeValueLeanBodyMassJanma"),
        ("Bq/mL", "BecquerelsPerMilliliter"),
        ("1", "NoUnits"),
        ("%", "Percent"),
    ):
        assert ucum(unit).value == getattr(dictionary.UCUM, name).value


@pytest.mark.parametrize("image_unit", ["HU", "SUV", "1", "1/mm"])
def test_every_feature_has_a_unit_that_can_be_coded(image_unit: str) -> None:
    for feature in catalogue():
        unit = feature.unit.replace("{unit}", image_unit)
        if unit.count("/") <= 1:
            assert ucum(unit).value


def test_refuses_units_that_cannot_be_coded() -> None:
    with pytest.raises(UnitError, match="a unit must be words with powers and at most one stroke"):
        ucum("mm/s/s")
    with pytest.raises(UnitError, match="a unit must be made of words with whole powers"):
        ucum("µm")


def test_a_unit_of_others_stays_as_it_is() -> None:
    assert unit_of("um2/s", "square micrometre per second") == "um2/s"
    assert unit_of("ratio", "ratio") == "1"
    assert unit_of("mm2/s", "a/b/c") == "mm2/s"


def test_each_aggregation_has_a_code_of_four_letters() -> None:
    from typing import get_args

    from vesalius.measure._feature import Aggregation

    assert set(AGGREGATIONS) == set(get_args(Aggregation)) - {""}
    values = [code.value for code in AGGREGATIONS.values()]
    assert len(set(values)) == len(values)
    assert all(len(value) == 4 for value in values)
    assert not set(values) & {feature.code for feature in catalogue()}


# ---- UIDs and numbers


@given(st.lists(st.text(max_size=20), min_size=1, max_size=4))
def test_a_uid_is_valid_and_depends_on_its_parts(parts: list[str]) -> None:
    made = uid(*parts)
    assert pydicom.uid.UID(made).is_valid
    assert len(made) <= 44
    assert made == uid(*parts)
    assert made != uid(*parts, "x")
    number = int(made.removeprefix("2.25."))
    assert (number >> 76) & 0xF == 8
    assert (number >> 62) & 0x3 == 2


@given(st.floats(-1e12, 1e12))
def test_a_decimal_string_is_short_and_near(value: float) -> None:
    text = decimal(value)
    assert len(text) <= 16
    assert float(text) == pytest.approx(value, rel=1e-8, abs=1e-14)


# ---- place


def test_planes_against_the_normal_are_turned_round() -> None:
    grid = grids()["against"]
    data = torch.arange(5).reshape(1, 5, 1, 1).expand(1, *grid.shape)
    flipped, other = upright(data, grid)
    same, again = upright(flipped, other)
    assert torch.equal(same, flipped)
    assert again is other
    for k in range(5):
        index = torch.tensor([float(k), 2.0, 3.0], dtype=torch.float64)
        mirrored = torch.tensor([float(4 - k), 2.0, 3.0], dtype=torch.float64)
        turned = not torch.equal(flipped, data)
        there = other.to_world(mirrored if turned else index)
        assert float((grid.to_world(index) - there).norm()) < 1e-9


def test_gives_planes_of_a_tilted_grid() -> None:
    planes = planes_of(grids()["tilted"])
    assert planes.step_mm == pytest.approx(2.5)
    assert planes.spacing_mm == (0.75, 0.5)
    assert planes.orientation == [1, 0, 0, 0, 1, 0]
    assert planes.positions_mm[1][1] > planes.positions_mm[0][1]


# ---- sources


def test_a_source_is_sorted_and_one_series(tmp_path: Path) -> None:
    like = write_source(tmp_path / "ct", grids()["oblique"])
    (like / "notes.txt").write_text("no image")
    source = read_source(like)
    numbers = [int(h.SOPInstanceUID.rpartition(".")[2]) for h in source.headers]
    assert numbers in ([1, 2, 3, 4, 5], [5, 4, 3, 2, 1])
    assert source.is_real
    write_source(like / "other", grids()["oblique"], SeriesInstanceUID="9.9")
    with pytest.raises(FormatError, match="must hold one series of images, it holds 2"):
        read_source(like)


def test_refuses_sources_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="the source series 'gone' must exist"):
        read_source(tmp_path / "gone")
    with pytest.raises(FormatError, match="must hold one series of images, it holds 0"):
        read_source(tmp_path)
    like = write_source(tmp_path / "ct", grids()["straight"])
    first = sorted(like.iterdir())[0]
    whole = first.read_bytes()
    first.write_bytes(whole[:300])
    with pytest.raises(FormatError, match="of the source series must be a readable DICOM file"):
        read_source(like)
    first.write_bytes(whole)
    file = pydicom.dcmread(first)
    del file.SOPInstanceUID
    file.save_as(first)
    with pytest.raises(FormatError, match="every file of the source series must have SOPInstance"):
        read_source(like)


def test_refuses_a_source_of_too_many_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    like = write_source(tmp_path / "ct", grids()["straight"])
    monkeypatch.setattr("vesalius.io.dicom._context.MOST_FILES", 3)
    with pytest.raises(FormatError, match="the source 'ct' must hold at most 3 files, it holds 5"):
        read_source(like)


def test_an_anonymous_context_depends_on_the_content_alone() -> None:
    grid = Grid.from_spacing((2, 3, 4))
    first, again, other = (anonymous(grid, torch.full((1, 2, 3, 4), v), "CT") for v in (1, 1, 2))
    assert first.first.StudyInstanceUID == again.first.StudyInstanceUID
    assert first.first.StudyInstanceUID != other.first.StudyInstanceUID
    assert not first.is_real
    assert len(first.headers) == 2


# ---- captions


@pytest.mark.parametrize("when", ["2026", "2026-11-21", "20261121 "])
def test_refuses_odd_dates(when: str) -> None:
    with pytest.raises(FormatError, match="when must be YYYYMMDD or YYYYMMDDHHMMSS"):
        Caption(when=when)


def test_refuses_captions_that_do_not_fit() -> None:
    with pytest.raises(FormatError, match="a caption must have a positive series number"):
        Caption(number=0)
    with pytest.raises(FormatError, match="at most 64 characters, got 900 and 65"):
        Caption("x" * 65)


def test_the_date_is_that_of_the_source_or_none(tmp_path: Path) -> None:
    like = write_source(tmp_path / "ct", grids()["straight"], AcquisitionDate="20190304")
    source = read_source(like)
    assert moment(source, Caption()) == ("20190304", "000000")
    assert moment(source, Caption(when="20261121")) == ("20261121", "000000")
    bare = anonymous(Grid.from_spacing((1, 2, 2)), torch.ones(1, 1, 2, 2), "CT")
    assert moment(bare, Caption()) == ("19000101", "000000")
