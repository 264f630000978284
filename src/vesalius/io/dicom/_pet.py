"""PET units: what turns the stored values of a PET series into SUV or SUL."""
# SPDX-License-Identifier: Apache-2.0

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, final

from vesalius.errors import FormatError
from vesalius.io._handle import Finding
from vesalius.io.dicom._csa import private

SUV, SUL, ACTIVITY = "SUV", "SUL", "Bq/mL"
ASKED = {"": SUV, "suv": SUV, "suvbw": SUV, "g/ml": SUV, "sul": SUL, "bq/ml": ACTIVITY}
ASKED |= {"bqml": ACTIVITY}
HEAVIEST_KG = 500.0
"""Above it a PatientWeight is taken to be in grams."""
LEAST_BQ = 1e5
"""Below it a dose cannot be in Bq."""
LATEST = timedelta(hours=1)
"""A dynamic scan may begin so long before the dose is given."""
MOST_HALF_LIVES = 10
"""Nothing is left to be seen of a dose that decayed for longer."""
PHILIPS, GE = "Philips PET Private Group", "GEMS_PETD_01"
PHILIPS_SUV, PHILIPS_ACTIVITY = (0x7053, PHILIPS, 0x00), (0x7053, PHILIPS, 0x09)
GE_SCAN = (0x0009, GE, 0x0D)
"""Group, creator of the block, and element in it."""
Tag = tuple[int, str, int]


@final
@dataclass(frozen=True, slots=True)
class Scale:
    """What to multiply rescaled values with, and what they are then.

    Attributes:
        factor: The factor.
        unit: Unit after it.
        findings: What was assumed.
    """

    factor: float
    unit: str
    findings: tuple[Finding, ...] = ()


def pet_scale(header: Any, acquired: Sequence[tuple[str, str]], unit: str) -> Scale:
    """Find what turns the rescaled values of a PET series into SUV or SUL.

    SUV is normalised to body weight: activity concentration (Bq/mL) x weight (g) / dose (Bq). SUL
    takes the lean body mass of Janmahasatian instead of the weight. A dose is decayed to the time
    that the images are corrected to: the start of the series where DecayCorrection is START, the
    administration (no decay) where it is ADMIN. Series that were processed later have a time of
    their own; then the start comes from GE's private scan time or from the frame reference time.

    Args:
        header: pydicom dataset of one slice, without pixels.
        acquired: (AcquisitionDate, AcquisitionTime) of all slices, empty text where absent.
        unit: ``"SUV"``, ``"SUL"``, ``"Bq/mL"``, or empty: SUV where the header permits, else what
            is stored, with a finding.

    Returns:
        Factor, unit and findings.

    Raises:
        FormatError: The unit is another, or was asked for and cannot be had.

    References:
        PS3.3 C.8.9.1; QIBA FDG-PET/CT profile, appendix G (vendor-neutral SUV);
        Janmahasatian (2005), doi:10.2165/00003088-200544100-00004, eqs. for men and women.
    """
    wanted = ASKED.get(unit.strip().lower())
    if wanted is None:
        raise FormatError(f"the unit of a PET series must be SUV, SUL or Bq/mL, got {unit!r}")
    findings: list[Finding] = []
    try:
        factor = _factor(header, acquired, wanted, findings)
    except FormatError as missing:
        if unit:
            raise FormatError(
                f"a PET series must tell what {wanted} needs, it does not: {missing}: "
                'open it with unit="Bq/mL", or repair its header'
            ) from None
        text = f"the values are not {wanted}, they stay as stored: {missing}"
        return Scale(1.0, _stored_unit(header), (Finding("warning", "not-suv", text),))
    return Scale(factor, wanted, tuple(findings))


def _stored_unit(header: Any) -> str:
    return {"BQML": ACTIVITY, "GML": SUV}.get(str(header.get("Units", "")).upper(), "1")


def _factor(
    header: Any, acquired: Sequence[tuple[str, str]], wanted: str, findings: list[Finding]
) -> float:
    units = str(header.get("Units", "")).upper()
    if units == "GML":
        return _from_suv(header, wanted, findings)
    factor = 1.0
    if units == "CNTS":
        suv, activity = (_private(header, tag) for tag in (PHILIPS_SUV, PHILIPS_ACTIVITY))
        if suv > 0 and wanted != ACTIVITY:
            text = f"counts were multiplied with the private SUV factor {suv:g}"
            findings.append(Finding("info", "philips-suv", text))
            return suv * _mass_ratio(header, wanted, findings)
        if not activity > 0:
            raise FormatError("Units is CNTS and neither (7053,1000) nor (7053,1009) is there")
        text = f"counts were multiplied with the private activity factor {activity:g}"
        findings.append(Finding("info", "philips-activity", text))
        factor = activity
    elif units != "BQML":
        raise FormatError(f"Units is {units or 'absent'}, not BQML, GML or CNTS")
    if wanted == ACTIVITY:
        return factor
    mass = _mass_g(header, wanted, findings)
    return factor * mass / _dose_bq(header, acquired, findings)


def _from_suv(header: Any, wanted: str, findings: list[Finding]) -> float:
    """Units GML: already normalised to a mass, which SUVType names (PS3.3 C.8.9.1)."""
    kind = str(header.get("SUVType", "") or "BW").upper()
    if kind not in ("BW", "LBMJANMA"):
        raise FormatError(f"it is stored as SUV of type {kind}, not BW")
    if wanted == ACTIVITY:
        raise FormatError("it is stored as SUV, from which the activity is not recovered")
    stored = SUV if kind == "BW" else SUL
    if stored == wanted:
        return 1.0
    ratio = _mass_ratio(header, SUL, findings)
    return ratio if wanted == SUL else 1.0 / ratio


def _mass_ratio(header: Any, wanted: str, findings: list[Finding]) -> float:
    if wanted == SUV:
        return 1.0
    return _mass_g(header, SUL, findings) / _mass_g(header, SUV, [])


def _mass_g(header: Any, wanted: str, findings: list[Finding]) -> float:
    weight = _number(header, "PatientWeight")
    if not weight > 0:
        raise FormatError("PatientWeight is absent")
    if weight > HEAVIEST_KG:
        text = f"PatientWeight {weight:g} cannot be in kg: taken to be in grams"
        findings.append(Finding("warning", "weight-in-grams", text))
        weight /= 1000.0
    if wanted == SUV:
        return weight * 1000.0
    height, sex = _number(header, "PatientSize"), str(header.get("PatientSex", ""))
    if not 0.3 < height < 2.8 or sex not in ("M", "F"):
        raise FormatError("a lean body mass needs PatientSize (m) and PatientSex (M or F)")
    first, second = (6680.0, 216.0) if sex == "M" else (8780.0, 244.0)
    return 1000.0 * 9270.0 * weight / (first + second * weight / height**2)


def _dose_bq(header: Any, acquired: Sequence[tuple[str, str]], findings: list[Finding]) -> float:
    """Dose at the time that the images are decay corrected to, Bq."""
    items = header.get("RadiopharmaceuticalInformationSequence")
    if not items:
        raise FormatError("RadiopharmaceuticalInformationSequence is absent")
    if len(items) > 1:
        raise FormatError(f"{len(items)} radiopharmaceuticals are listed")
    drug = items[0]
    dose, half_life = (_number(drug, k) for k in ("RadionuclideTotalDose", "RadionuclideHalfLife"))
    if not dose > LEAST_BQ:
        raise FormatError(f"RadionuclideTotalDose {dose:g} is absent or not in Bq")
    if not half_life > 0:
        raise FormatError("RadionuclideHalfLife is absent")
    correction = str(header.get("DecayCorrection", "")).upper()
    if correction == "ADMIN":
        return dose
    if correction != "START":
        raise FormatError(f"DecayCorrection is {correction or 'absent'}, not START or ADMIN")
    scan = _scan_start(header, acquired, half_life, findings)
    elapsed = (scan - _injection(drug, scan, findings)).total_seconds()
    if elapsed > MOST_HALF_LIVES * half_life:
        raise FormatError(
            f"the dose would have decayed for {elapsed / half_life:.3g} half-lives before the "
            "scan: its time or that of the series is wrong"
        )
    if elapsed < 0:
        text = f"the dose was given {-elapsed:g} s after the scan began, as for a dynamic scan"
        findings.append(Finding("info", "injection-late", text))
    return dose * math.exp2(-elapsed / half_life)


def _scan_start(
    header: Any, acquired: Sequence[tuple[str, str]], half_life: float, findings: list[Finding]
) -> datetime:
    series = _moment(header.get("SeriesDate"), header.get("SeriesTime"))
    frames = [m for m in (_moment(*pair) for pair in acquired) if m is not None]
    if series is not None and frames and series <= min(frames):
        return series
    private = _stamp(_plain(header, GE_SCAN))
    if private is not None:
        text = "the series was made after the scan: GE's private scan time was taken"
        findings.append(Finding("info", "scan-time", text))
        return private
    own = _moment(header.get("AcquisitionDate"), header.get("AcquisitionTime"))
    reference, span = (_number(header, k) for k in ("FrameReferenceTime", "ActualFrameDuration"))
    if own is None or not reference > 0 or not span > 0:
        raise FormatError("neither the start of the scan nor FrameReferenceTime is told")
    # the reference time of a frame is when its activity equals the mean over the frame
    rate = math.log(2) / half_life
    turns = rate * span / 1000.0
    mean = math.log(turns / -math.expm1(-turns)) / rate
    text = "the series was made after the scan: its start comes from the frame reference time"
    findings.append(Finding("info", "scan-time", text))
    return own + timedelta(seconds=mean - reference / 1000.0)


def _injection(drug: Any, scan: datetime, findings: list[Finding]) -> datetime:
    """When the dose was given; a date of its own that cannot be right gives way to the clock."""
    told = _stamp(drug.get("RadiopharmaceuticalStartDateTime"))
    if told is not None and -LATEST <= scan - told < timedelta(days=1):
        return told
    clock = _moment(scan.strftime("%Y%m%d"), drug.get("RadiopharmaceuticalStartTime"))
    if clock is None and told is not None:
        clock = datetime.combine(scan.date(), told.time())
    if clock is None:
        raise FormatError("RadiopharmaceuticalStartTime is absent")
    if told is not None:
        text = "the date of injection is not before the scan: only its time of day was taken"
        findings.append(Finding("warning", "injection-date", text))
    return clock if clock <= scan + LATEST else clock - timedelta(days=1)


def _moment(date: object, time: object) -> datetime | None:
    words = str(date or "").replace(".", ""), str(time or "").replace(":", "")
    return _stamp("".join(words)) if all(words) else None


def _stamp(value: object) -> datetime | None:
    """Read a DICOM date and time; a zone at its end is dropped, both ends of a span have it."""
    text = str(value or "").strip().split("+")[0].split("-")[0]
    whole, _, fraction = text.partition(".")
    try:
        moment = datetime.strptime(whole[:14].ljust(14, "0"), "%Y%m%d%H%M%S")
        return moment + timedelta(seconds=float(f"0.{fraction}") if fraction else 0.0)
    except ValueError:
        return None


def _number(header: Any, keyword: str) -> float:
    """Give a number, NaN where it is absent or none."""
    try:
        return float(header.get(keyword))
    except (TypeError, ValueError):
        return math.nan


def _private(header: Any, tag: Tag) -> float:
    try:
        return float(_plain(header, tag))
    except ValueError:
        return math.nan


def _plain(header: Any, tag: Tag) -> str:
    """Give the text of a private element, also where its number type is not known."""
    value = private(header, *tag)
    text = value.decode("ascii", "replace") if isinstance(value, bytes) else str(value or "")
    return text.strip("\0 ")
