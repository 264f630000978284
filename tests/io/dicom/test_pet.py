"""PET units: SUV by hand calculation, every rule of decay and every way the header fails."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from vesalius.errors import FormatError
from vesalius.io.dicom._pet import pet_scale

F18_S = 6586.2
ACQUIRED = [("20240305", "101500.00"), ("20240305", "101000.00")]


def header(**entries: object) -> Dataset:
    """80 kg, 1.80 m, 350 MBq of F-18 injected at 09:10:00, series at 10:10:00."""
    drug = Dataset()
    drug.RadiopharmaceuticalStartTime = "091000.00"
    drug.RadionuclideTotalDose = 3.5e8
    drug.RadionuclideHalfLife = F18_S
    one = Dataset()
    one.Units, one.DecayCorrection = "BQML", "START"
    one.SeriesDate, one.SeriesTime = "20240305", "101000.00"
    one.AcquisitionDate, one.AcquisitionTime = "20240305", "101500.00"
    one.PatientWeight, one.PatientSize, one.PatientSex = 80.0, 1.8, "M"
    one.RadiopharmaceuticalInformationSequence = [drug]
    for name, value in entries.items():
        target = drug if (name.startswith("Radio") and name in drug) or name in DRUG else one
        if value is None:
            delattr(target, name)
        else:
            setattr(target, name, value)
    return one


DRUG = ("RadiopharmaceuticalStartDateTime",)


MAKERS = {0x0009: "GEMS_PETD_01", 0x7053: "Philips PET Private Group"}


def private(one: Dataset, group: int, element: int, value: object, kind: str) -> Dataset:
    one.add_new((group, 0x0010), "LO", MAKERS[group])
    one.add_new((group, element), kind, value)
    return one


def test_start_decays_the_dose_to_the_start_of_the_series() -> None:
    scale = pet_scale(header(), ACQUIRED, "")
    # 80 kg = 80000 g; one hour is 3600 / 6586.2 = 0.546597 half lives; 2^-0.546597 = 0.684632
    assert scale.factor == pytest.approx(80000 / (3.5e8 * 0.684632), rel=1e-5)
    assert scale.unit == "SUV"
    assert scale.findings == ()


def test_a_dynamic_scan_begins_before_the_dose_is_given() -> None:
    """30 s are 0.004555 half lives, in which the dose at the start would have lost 0.3152%."""
    late = header(RadiopharmaceuticalStartTime="101030")
    scale = pet_scale(late, ACQUIRED, "")
    assert scale.factor == pytest.approx(80000 / (3.5e8 * 2 ** (30 / 6586.2)), rel=1e-5)
    assert [(f.severity, f.code) for f in scale.findings] == [("info", "injection-late")]


def test_a_dose_that_is_long_gone_gives_no_suv() -> None:
    """Two hours after the start must be the day before: 12 half lives of fluorine."""
    wrong = header(RadiopharmaceuticalStartTime="121000")
    scale = pet_scale(wrong, ACQUIRED, "")
    assert [f.code for f in scale.findings] == ["not-suv"]
    assert "decayed for 12 half-lives" in scale.findings[0].message


def test_admin_takes_the_dose_as_it_was_given() -> None:
    scale = pet_scale(header(DecayCorrection="ADMIN"), ACQUIRED, "SUVbw")
    assert scale.factor == pytest.approx(80000 / 3.5e8)


def test_sul_takes_the_lean_body_mass_of_janmahasatian() -> None:
    # BMI 80 / 3.24 = 24.6914; man: 9270 x 80 / (6680 + 216 x 24.6914) = 61.7314 kg
    men = pet_scale(header(DecayCorrection="ADMIN"), ACQUIRED, "sul")
    assert men.unit == "SUL"
    assert men.factor == pytest.approx(61731.4 / 3.5e8, rel=1e-5)
    # woman: 9270 x 80 / (8780 + 244 x 24.6914) = 50.0923 kg
    women = pet_scale(header(DecayCorrection="ADMIN", PatientSex="F"), ACQUIRED, "SUL")
    assert women.factor == pytest.approx(50092.3 / 3.5e8, rel=1e-5)


def test_a_weight_in_grams_is_seen_and_said() -> None:
    scale = pet_scale(header(PatientWeight=80000.0), ACQUIRED, "SUV")
    assert scale.factor == pytest.approx(pet_scale(header(), ACQUIRED, "SUV").factor)
    assert [f.code for f in scale.findings] == ["weight-in-grams"]


@given(minutes=st.integers(0, 1097))  # ten half lives
def test_an_injection_before_midnight_belongs_to_the_day_before(minutes: int) -> None:
    clock = (10 * 60 + 10 - minutes) % (24 * 60)
    told = f"{clock // 60:02d}{clock % 60:02d}00"
    scale = pet_scale(header(RadiopharmaceuticalStartTime=told), ACQUIRED, "")
    decayed = 3.5e8 * 0.5 ** (minutes * 60 / F18_S)
    assert scale.factor == pytest.approx(80000 / decayed, rel=1e-9)


def test_a_full_date_of_injection_is_taken_where_it_can_be_right() -> None:
    one = header(RadiopharmaceuticalStartDateTime="20240305094000.00+0100")
    scale = pet_scale(one, ACQUIRED, "")
    assert scale.factor == pytest.approx(80000 / (3.5e8 * 0.5 ** (1800 / F18_S)))
    assert scale.findings == ()


def test_a_date_of_injection_after_the_scan_gives_way_to_the_clock() -> None:
    one = header(RadiopharmaceuticalStartDateTime="20240306091000.00")
    scale = pet_scale(one, ACQUIRED, "")
    assert scale.factor == pytest.approx(pet_scale(header(), ACQUIRED, "").factor)
    assert [f.code for f in scale.findings] == ["injection-date"]
    del one.RadiopharmaceuticalInformationSequence[0].RadiopharmaceuticalStartTime
    assert pet_scale(one, ACQUIRED, "").factor == pytest.approx(scale.factor)


def test_a_series_made_later_starts_at_ges_private_time() -> None:
    one = private(header(SeriesTime="180000"), 0x0009, 0x100D, "20240305101000.00", "DT")
    scale = pet_scale(one, ACQUIRED, "")
    assert scale.factor == pytest.approx(pet_scale(header(), ACQUIRED, "").factor)
    assert [f.code for f in scale.findings] == ["scan-time"]
    one = private(header(SeriesTime="180000"), 0x0009, 0x100D, b"20240305101000.00 ", "UN")
    assert pet_scale(one, ACQUIRED, "").factor == pytest.approx(scale.factor)


def test_a_series_made_later_starts_by_its_frame_reference_time() -> None:
    # acquired 300 s after the start; a frame of 180 s has its mean activity near its middle
    rate = math.log(2) / F18_S
    mean = math.log(rate * 180 / (1 - math.exp(-rate * 180))) / rate
    assert mean == pytest.approx(90, abs=0.2)
    one = header(SeriesTime="180000")
    one.FrameReferenceTime, one.ActualFrameDuration = (300 + mean) * 1000, 180000
    scale = pet_scale(one, ACQUIRED, "")
    assert scale.factor == pytest.approx(pet_scale(header(), ACQUIRED, "").factor, rel=1e-6)
    assert [f.code for f in scale.findings] == ["scan-time"]


def test_philips_counts_take_the_private_factors() -> None:
    one = header(Units="CNTS")
    private(one, 0x7053, 0x1000, "0.000551", "DS")
    private(one, 0x7053, 0x1009, "1.5", "DS")
    scale = pet_scale(one, ACQUIRED, "SUV")
    assert (scale.factor, scale.unit) == (pytest.approx(0.000551), "SUV")
    lean = pet_scale(one, ACQUIRED, "SUL")
    assert lean.factor == pytest.approx(0.000551 * 61.7314 / 80, rel=1e-5)
    activity = pet_scale(one, ACQUIRED, "Bq/mL")
    assert (activity.factor, activity.unit) == (1.5, "Bq/mL")
    one[0x7053, 0x1000].value = "0"
    through = pet_scale(one, ACQUIRED, "SUV")
    assert through.factor == pytest.approx(1.5 * pet_scale(header(), ACQUIRED, "").factor)
    assert [f.code for f in through.findings] == ["philips-activity"]


def test_what_is_already_suv_is_left_alone() -> None:
    assert pet_scale(header(Units="GML"), ACQUIRED, "").factor == 1.0
    assert pet_scale(header(Units="GML", SUVType="BW"), ACQUIRED, "SUV").unit == "SUV"
    lean = pet_scale(header(Units="GML"), ACQUIRED, "SUL")
    assert lean.factor == pytest.approx(61.7314 / 80, rel=1e-5)
    one = header(Units="GML", SUVType="LBMJANMA")
    assert pet_scale(one, ACQUIRED, "SUL").factor == 1.0
    assert pet_scale(one, ACQUIRED, "SUV").factor == pytest.approx(80 / 61.7314, rel=1e-5)


def test_activity_is_given_as_stored() -> None:
    scale = pet_scale(header(), ACQUIRED, "BQML")
    assert (scale.factor, scale.unit) == (1.0, "Bq/mL")


CASES = {
    "PatientWeight is absent": {"PatientWeight": None},
    "Units is CNTS and neither": {"Units": "CNTS"},
    "Units is PROPCPS, not BQML, GML or CNTS": {"Units": "PROPCPS"},
    "Units is absent, not BQML": {"Units": None},
    "stored as SUV of type BSA, not BW": {"Units": "GML", "SUVType": "BSA"},
    "RadiopharmaceuticalInformationSequence is absent": {
        "RadiopharmaceuticalInformationSequence": None
    },
    "RadionuclideTotalDose 350 is absent or not in Bq": {"RadionuclideTotalDose": 350.0},
    "RadionuclideHalfLife is absent": {"RadionuclideHalfLife": None},
    "DecayCorrection is NONE, not START or ADMIN": {"DecayCorrection": "NONE"},
    "neither the start of the scan nor FrameReferenceTime": {"SeriesTime": "180000"},
    "RadiopharmaceuticalStartTime is absent": {"RadiopharmaceuticalStartTime": None},
}


@pytest.mark.parametrize("message", CASES)
def test_an_incomplete_header_keeps_stored_values_or_refuses(message: str) -> None:
    one = header(**CASES[message])
    scale = pet_scale(one, ACQUIRED, "")
    assert scale.factor == 1.0
    assert scale.unit == {"BQML": "Bq/mL", "GML": "SUV"}.get(str(one.get("Units")), "1")
    assert [f.code for f in scale.findings] == ["not-suv"]
    assert message in scale.findings[0].message
    with pytest.raises(FormatError, match=f"must tell what SUV needs, it does not: .*{message}"):
        pet_scale(one, ACQUIRED, "SUV")


def test_refuses_what_cannot_be_had() -> None:
    with pytest.raises(FormatError, match="lean body mass needs PatientSize"):
        pet_scale(header(PatientSize=180.0), ACQUIRED, "SUL")
    with pytest.raises(FormatError, match="lean body mass needs PatientSize"):
        pet_scale(header(PatientSex="O"), ACQUIRED, "SUL")
    with pytest.raises(FormatError, match="from which the activity is not recovered"):
        pet_scale(header(Units="GML"), ACQUIRED, "Bq/mL")
    with pytest.raises(FormatError, match="unit of a PET series must be SUV, SUL or Bq/mL"):
        pet_scale(header(), ACQUIRED, "HU")
    one = header()
    one.RadiopharmaceuticalInformationSequence.append(Dataset())
    with pytest.raises(FormatError, match="2 radiopharmaceuticals are listed"):
        pet_scale(one, ACQUIRED, "SUV")
