"""Values after de-identification: fixed points, moved dates, and files damaged at random."""

import tempfile
from datetime import date, timedelta
from pathlib import Path

from deid_files import leaks, plain, word, write
from hypothesis import given, settings
from hypothesis import strategies as st

from vesalius.io.dicom import deidentify
from vesalius.io.dicom._deid_uids import Key
from vesalius.io.dicom._deid_values import FORMS, capped_age, clean_text, code, printable, shift

KEY = Key(bytes(range(32)))
NOTHING: frozenset[str] = frozenset()


@given(st.text(max_size=80))
def test_cleaning_a_text_again_changes_nothing(text):
    once = clean_text(text, NOTHING)
    assert clean_text(once, NOTHING) == once
    assert len(once) <= 60
    assert once.isascii()


@given(st.from_regex(r"[A-Z][a-z]{9,14}", fullmatch=True), st.integers(1000, 10**10))
def test_names_and_numbers_do_not_stay_in_a_text(name, number):
    cleaned = clean_text(f"chest {name} {number}", frozenset({"thorax"}))
    assert str(number) not in cleaned
    assert set(cleaned.split()) <= {"chest"} or clean_text(name, NOTHING) == name


@given(st.dates(date(1902, 1, 1), date(2100, 1, 1)), st.integers(1, 365))
def test_dates_move_by_whole_days(day, days):
    moved = day - timedelta(days=days)
    assert shift(f"{day:%Y%m%d}", "DA", days) == f"{moved:%Y%m%d}"
    assert shift(f"{day:%Y%m%d}1011.5+0100", "DT", days) == f"{moved:%Y%m%d}1011.5+0100"
    assert shift("101112.5", "TM", days) == "101112.5"


def test_days_that_do_not_exist_go():
    assert shift("20210230", "DA", 1) == ""
    assert shift("00010101", "DA", 1) == ""
    assert shift("2021", "DT", 1) == "2020"
    assert shift("202103", "DT", 31) == "202101"


@given(st.integers(0, 999), st.sampled_from("YMWD"))
def test_no_age_is_above_ninety_years(number, unit):
    text = capped_age(f"{number:03d}{unit}")
    assert FORMS["AS"].fullmatch(text)
    years = int(text[:3]) * {"Y": 1, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}[text[3]]
    assert years <= 90


@given(st.text(max_size=20), st.text(max_size=20))
def test_codes_are_fixed_points(scheme, value):
    once = code(scheme, value, KEY)
    assert code(once[0], once[1], KEY) == once
    assert len(once[1]) <= 18


@given(st.text(max_size=40))
def test_nothing_behind_a_nul_is_kept(text):
    assert printable(f"kept\0{text}") == "kept"


@settings(max_examples=40)
@given(st.data())
def test_files_damaged_at_random_end_in_a_row_of_the_report(data):
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        path = write(plain(OtherPatientNames=word(1)), root / "in" / "a.dcm")
        raw = bytearray(path.read_bytes())
        for _ in range(data.draw(st.integers(1, 6))):
            raw[data.draw(st.integers(132, len(raw) - 1))] = data.draw(st.integers(0, 255))
        path.write_bytes(raw[: data.draw(st.integers(200, len(raw)))])
        done = deidentify(root / "in", root / "out", key=root / "key")
        assert len(done.files) == 1
        report = (root / "out" / "report" / "report.json").read_bytes()
        assert leaks(report, word(1)) == []
