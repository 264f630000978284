"""Values after de-identification: texts reduced to known words, dates moved, codes made canonical.

What is kept is written anew from what was understood of it, never copied: so nothing hides behind
a padding, in a number that is no number, or in a code string that is none.
"""
# SPDX-License-Identifier: Apache-2.0

import re
from collections.abc import Callable
from datetime import date, timedelta
from functools import cache
from typing import Any

from vesalius.io.dicom._deid_uids import Key

DUMMY = "REMOVED"
LOCAL_SCHEME = "99LOCAL"
OLDEST = 89
DUMMIES: dict[str, object] = {
    "AE": DUMMY,
    "AS": "000Y",
    "CS": DUMMY,
    "DA": "19000101",
    "DS": "0",
    "DT": "19000101000000",
    "IS": "0",
    "LO": DUMMY,
    "LT": DUMMY,
    "OB": b"\0\0",
    "OW": b"\0\0",
    "PN": DUMMY,
    "SH": DUMMY,
    "ST": DUMMY,
    "TM": "000000",
    "UC": DUMMY,
    "UT": DUMMY,
}
"""What stands where a value is needed and must go; any other VR is removed instead."""
FORMS: dict[str, re.Pattern[str]] = {
    "AS": re.compile(r"\d{3}[DWMY]"),
    "CS": re.compile(r"[A-Z0-9_ ]{0,16}"),
    "DA": re.compile(r"\d{8}"),
    "DS": re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"),
    "DT": re.compile(r"\d{4}(\d\d){0,5}(\.\d{1,6})?([+-]\d{4})?"),
    "IS": re.compile(r"[+-]?\d{1,12}"),
    "TM": re.compile(r"\d\d(\d\d(\d\d(\.\d{1,6})?)?)?"),
    "UI": re.compile(r"[0-9.]{1,64}"),
}
"""Form of the values of each VR (PS3.5 table 6.2-1)."""
SCHEMES: dict[str, str] = {
    "DCM": r"\d{5,6}",
    "SCT": r"\d{6,18}",
    "SRT": r"[A-Z][0-9A-F]?-[0-9A-Z]{2,6}",
    "SNM3": r"[A-Z][0-9A-F]?-[0-9A-Z]{2,6}",
    "99SDM": r"[A-Z][0-9A-F]?-[0-9A-Z]{2,6}",
    "LN": r"\d{1,6}-\d",
    "FMA": r"\d{4,6}",
    "RADLEX": r"RID\d{1,6}",
    "NCIt": r"C\d{4,7}",
    "UMLS": r"C\d{7}",
    "IBSI": r"[0-9A-Z]{4}",
    "MDC": r"\d{1,8}",
    "UCUM": r"[A-Za-z0-9%./\[\]{}*^'-]{1,16}",
    "ISO3166_1": r"[A-Z]{2,3}|\d{3}",
    "RFC5646": r"[a-z]{2,3}(-[A-Z]{2})?",
}
"""Public coding schemes and the form of their values; codes of others are replaced."""
NUMBERS = frozenset({0x00080050, 0x00100020, 0x00101000})
"""Accession number, patient ID, other patient IDs."""
LONG = 6
_LETTERS = re.compile(r"[^\W_]+")
_WORD = re.compile(r"[A-Za-z0-9]+(?:\.[0-9]+[A-Za-z]*)?")
_MEASURE = re.compile(r"\d{1,4}(\.\d{1,3})?(mm|cm|ms|sec|min|kv|ma|mas|hz|mhz|ml)", re.I)


def clean_text(text: str, words: frozenset[str]) -> str:
    """Keep the words of a short text that are known to be harmless.

    Numbers are kept only with a unit (``5mm``, ``3D``): a bare one may be a record number.

    Args:
        text: A description, such as of a series.
        words: What is harmless besides the words known here, in lower case.

    Returns:
        The words that are left, with blanks between; empty where none is.
    """
    known = _vocabulary() | words
    found = _WORD.findall(re.sub(r"(?i)\bw/o\b", "without", text))
    kept = [word for word in found if word.lower() in known or _MEASURE.fullmatch(word)]
    return " ".join(kept)[:60].rstrip()


def telling_words(header: Any) -> frozenset[str]:
    """Give the words of a header that tell who somebody is, in lower case.

    They are the parts of its names, and its numbers of patients and orders. Words of descriptions
    and of makers are not among them: a phantom may have such a name.

    Args:
        header: A pydicom dataset; nested ones are not looked into.

    Returns:
        The words, of three letters or more; numbers of four or more.
    """
    from pydicom.datadict import dictionary_VR

    found: set[str] = set()
    for tag in list(header.keys()):
        try:
            vr = "" if tag.is_private else dictionary_VR(tag)
            text = str(header[tag].value or "") if vr == "PN" or int(tag) in NUMBERS else ""
        except Exception:  # what cannot be read is removed elsewhere
            continue
        words = _LETTERS.findall(text.casefold()) if vr == "PN" else [text.strip().casefold()]
        found |= {word for word in words if len(word) >= (3 if vr == "PN" else 4)}
    return frozenset(found - _vocabulary() - set(_COMMON.split()))


def tells(text: str, hidden: frozenset[str]) -> bool:
    """Say whether one of the words stands in a text; long ones may be part of a word."""
    low = text.casefold()
    words = {*_LETTERS.findall(low), *low.split()}
    return not hidden.isdisjoint(words) or any(len(h) >= LONG and h in low for h in hidden)


def shift(text: str, vr: str, days: int) -> str:
    """Move a date, or the date of a date and time, back by whole days; the clock stays.

    Args:
        text: A value of the VR in its form.
        vr: DA, DT or TM.
        days: How far.

    Returns:
        The moved value, as long as it was; empty where no such day exists.
    """
    if vr == "TM" or days == 0:
        return text
    match = re.match(r"\d{4,8}", text)
    digits = match[0][: len(match[0]) // 2 * 2] if match else ""
    padded = (digits + "0101")[:8] if len(digits) < 8 else digits
    try:
        moved = date(int(padded[:4]), int(padded[4:6]), int(padded[6:8])) - timedelta(days=days)
    except (ValueError, OverflowError):
        return ""
    return f"{moved:%Y%m%d}".rjust(8, "0")[: len(digits)] + text[len(digits) :]


def capped_age(text: str) -> str:
    """Give an age, those above 89 years as 90 years."""
    years = {"Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}[text[3]]
    return text if int(text[:3]) * years < OLDEST + 1 else f"{OLDEST + 1:03d}Y"


def printable(text: str) -> str:
    """Keep what stands before the first NUL, without control characters and outer blanks."""
    kept = text.split("\0", 1)[0]
    return "".join(c for c in kept if c.isprintable()).strip()


def uid_values(texts: list[str], replace: Callable[[str], str]) -> list[str]:
    """Replace UIDs; those that the standard itself defines stay (PS3.6 annex A).

    Args:
        texts: What stood there.
        replace: What becomes of the others.

    Returns:
        As many UIDs.
    """
    return [uid if is_standard_uid(uid) else replace(uid) for uid in texts if uid]


def is_standard_uid(uid: str) -> bool:
    """Say whether a UID is one of those that PS3.6 defines."""
    from pydicom.uid import UID

    return uid.startswith("1.2.840.10008.") and UID(uid).name != uid


def code(scheme: str, value: str, key: Key) -> tuple[str, str, str]:
    """Give scheme, value and meaning of a code with nothing in it that a person wrote.

    The meaning of a public code is that of the standard where it is known here, else the value
    again, which says as much. A code of any other scheme is replaced by a keyed hash, so that equal
    codes stay equal.

    Args:
        scheme: Coding Scheme Designator.
        value: Code Value.
        key: What local codes are hashed with.

    Returns:
        The three.
    """
    form = SCHEMES.get(scheme)
    if form is None or not re.fullmatch(form, value):
        own = scheme == LOCAL_SCHEME and re.fullmatch(r"[0-9A-F]{12}", value)
        hashed = value if own else key.short("code", f"{scheme}\0{value}").upper()
        return LOCAL_SCHEME, hashed, DUMMY
    return scheme, value, _meanings().get((scheme, value), value)


@cache
def _meanings() -> dict[tuple[str, str], str]:
    from pydicom.sr.codedict import codes

    found: dict[tuple[str, str], str] = {}
    for name in ("DCM", "SCT", "LN", "UCUM", "FMA", "NCIt"):
        try:
            scheme = getattr(codes, name)
        except AttributeError:
            continue
        for keyword in dir(scheme):
            one: Any = getattr(scheme, keyword, None)
            if hasattr(one, "meaning") and len(one.meaning) <= 64:
                found.setdefault((name, one.value), one.meaning)
    return found


@cache
def _vocabulary() -> frozenset[str]:
    """Give the words of image descriptions that name nobody and no place."""
    return frozenset(_WORDS.split())


_COMMON = """
siemens philips ge medical systems healthcare healthineers toshiba canon hitachi fujifilm agfa
carestream hologic varian elekta accuray bruker united imaging shimadzu samsung esaote patient
anonymous anonymized none unknown removed other yes
"""
"""Words that stand in for names, and those of makers."""
_WORDS = """
ct mr mri pet pt us xa cr dx mg nm spect cbct dsa angio angiography cta mra mrv ctv fmri dti dwi
adc swi swan flair stir tse fse se ge gre epi mprage spgr vibe lava thrive dixon bold asl tof pc
cine ssfp haste space cube fiesta trufi fast ffe tfe ir tirm pd t1 t2 t1w t2w pdw t2star w fs
fatsat fat water sat spair suppressed suppression in out opp phase phased opposed ip op b0 b50
b400 b500 b800 b1000 trace fa map maps perfusion diffusion weighted dynamic dyn contrast enhanced
enhancement gd gad gadolinium pre post plain native without with no non wo iv oral arterial portal
venous delayed delay early late equilibrium phases baseline follow up followup scout localizer
localiser topogram surview scanogram survey loc axial ax sagittal sag coronal cor oblique obl tra
transverse transversal reformat reformatted mpr mip minip vr vrt rendering recon reconstruction
reconstructed multiplanar curved thin thick slice slices slab iso isotropic kernel sharp soft
smooth standard std bone lung lungs mediastinum tissue window ac nac attenuation corrected
correction uncorrected emission transmission wb whole body head brain skull neuro orbit orbits
face facial sinus sinuses neck cervical spine thoracic lumbar sacrum sacral chest thorax heart
cardiac coronary coronaries aorta aortic pulmonary artery arteries vein veins vessel vessels
carotid circle abdomen abdominal pelvis pelvic liver hepatic kidney kidneys renal adrenal pancreas
spleen gallbladder biliary mrcp bladder prostate uterus ovary breast breasts shoulder elbow wrist
hand finger hip femur knee ankle foot leg legs arm arms thigh calf extremity extremities upper
lower left right l r bilateral both side ap pa lateral lat lao rao hippocampus pituitary iac
temporal frontal cortex cerebral nerve muscle joint tumor tumour lesion nodule mass gtv ptv roi
rtstruct structure structures segmentation seg contour contours volume external organ risk oar
dose plan series study image images scan acquisition acq protocol routine high low resolution res
hr hrct uhr inspiration expiration insp exp breath hold breathhold free breathing gated gating ecg
ekg retrospective prospective triggered navigator supine prone fdg f18 fluorine ga68 tc99m
dotatate psma fdopa fluorodeoxyglucose fluciclovine flt fmiso naf rubidium ammonia static list
mode frame frames echo echoes multi multiecho single shot spin gradient inversion recovery turbo
fluid attenuated steady state balanced parallel sense grappa first feet coil array original
derived primary secondary average mean sum difference subtraction sub registered fused fusion test
phantom qa quality control calibration reference noise field b1 shim 2d 3d 4d 1st 2nd 3rd second
third part of the and to for from at by per 3t 1.5t 7t
"""
