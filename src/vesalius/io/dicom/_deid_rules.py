"""The walk over a dataset: each element kept, cleaned, replaced, emptied or removed by its rule.

A new dataset is built; nothing passes that no rule lets pass. Beyond Table E.1-1: attributes that
PS3.6 does not know, values of another form than their VR or too many of them, and texts that no row
names are not trusted (PS3.15 E.1.1, note on retaining only what is known to be safe).
"""
# SPDX-License-Identifier: Apache-2.0

import re
import struct
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, final

from vesalius.io.dicom import _deid_values as values
from vesalius.io.dicom._annex_e import Rule, rules, safe_private
from vesalius.io.dicom._deid_refuse import STANDARD_CLASS, Family, Profile
from vesalius.io.dicom._deid_uids import Key

TEXT = frozenset({"LO", "SH", "ST", "LT", "UT", "UC"})
SHORT = frozenset({"LO", "SH"})
DATES = frozenset({"DA", "DT", "TM"})
STRINGS = TEXT | DATES | {"CS", "DS", "IS", "AS", "AE", "PN", "UI", "UR"}
NUMBERS = frozenset({"US", "SS", "UL", "SL", "UV", "SV", "FL", "FD", "AT"})
WIDTH = {"OB": 1, "OW": 2, "OF": 4, "OL": 4, "OD": 8, "OV": 8}
FORMATS = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d"}
OWN = frozenset({0x00080005, 0x00120062, 0x00120063, 0x00120064, 0x00280303})
"""Written anew by the de-identifier itself."""
DROPPED = frozenset({0x00080110, 0x00080300, 0x4FFE0001, 0x7FE00001, 0x7FE00002})
"""Schemes, private blocks and signatures that are gone are not described; offsets are made anew."""
PIXELS = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})
CODE = frozenset({0x00080100, 0x00080102, 0x00080104, 0x00080119, 0x00080120, 0x00080103})
PATIENT = frozenset({0x00100010, 0x00100020})
AGE, DOCUMENT, ZONE = 0x00101010, 0x00420011, 0x00080201
CONTENT, PERSON_CODES, ACQUISITION_CONTEXT = 0x0040A730, 0x00401101, 0x00400555
DEFINED = frozenset({0x00080060, 0x0040A010, 0x0040A040, 0x0040A043})
"""Codes that a file cannot do without: modality, relationship and kind of a content item."""
CLASSES = frozenset({0x00080016, 0x00081150, 0x0008001A, 0x0008001B, 0x00080062})
BULK = frozenset(
    {
        *(0x00281201 + k for k in range(4)),
        *(0x00281221 + k for k in range(4)),
        0x00283006,
        0x54001010,
        0x56000020,
        0x00640009,
        *(0x00660000 + k for k in (0x16, 0x21, 0x22, 0x23, 0x24, 0x25, 0x28, 0x29)),
        *(0x00660000 + k for k in (0x40, 0x41, 0x42, 0x43, 0x125, 0x129)),
        0x006A0011,
        0x00221531,
    }
)
"""Blocks of numbers that are data: tables of colours and values, signals, fields, surfaces."""
TABLES = {0x00283006: 0x00283002, **{0x00281201 + k: 0x00281101 + k for k in range(3)}}
"""Tables of values and colours, and what says how many entries they have."""
MACHINE_TEXT = frozenset(
    {
        0x00080070,
        0x00081090,
        0x00189524,
        0x00189525,
        0x00189526,
        *(0x00180000 + k for k in (0x24, 0x85, 0x1016, 0x1018, 0x1019, 0x1020, 0x1022, 0x1023)),
        *(0x00180000 + k for k in (0x1160, 0x1180, 0x11B0, 0x1210, 0x1250, 0x1251, 0x5010)),
        *(0x00180000 + k for k in (0x5020, 0x702A, 0x702B, 0x9005, 0x9041, 0x9047, 0x9050, 0x9320)),
        0x00209056,
        0x00281054,
        0x00283004,
        *(0x00540000 + k for k in (0x1101, 0x1103, 0x1104, 0x1105)),
        0x00420012,
        0x00620009,
    }
)
"""Texts that machines write: maker, model, software, kernels, coils, sequences, methods."""
REQUIRED: dict[Family, frozenset[int]] = {
    "plain": frozenset({0x00100020}),
    "pet": frozenset({0x00080021, 0x00080031}),
    "enhanced": frozenset({0x00080023, 0x00080033, 0x0008002A, 0x00181000, 0x00181030}),
    "rt": frozenset({0x300A0006, 0x30080054, 0x30080056, 0x30080250, 0x30080251, 0x30100077}),
    "xray": frozenset({0x0018700A, 0x0018700C}),
    "structured": frozenset({0x00080023, 0x00080033, 0x0040A032, 0x00181000}),
    "presentation": frozenset({0x00700084}),
}
"""Attributes that need a value in a family of objects (Type 1), where a row leaves the choice."""
DEMOGRAPHIC = frozenset({"121031", "121032", "121033"})
"""Birth date, sex and age of the subject (DCM), as content items of a report (Table E.3.4-1)."""


@final
@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """What one file is cleaned with.

    Attributes:
        profile: What was asked for.
        key: What UIDs and codes are hashed with.
        patient: Pseudonym of the patient.
        days: How far dates go back.
        family: What kind of object the file is.
        big: Whether the file is big endian.
        depth: Deepest nesting of sequences.
        hidden: Words of its names and numbers (``values.telling_words``), kept nowhere.
        actions: How often (attribute, action, reason) came.
    """

    profile: Profile
    key: Key
    patient: str
    days: int
    family: Family
    big: bool = False
    depth: int = 32
    hidden: frozenset[str] = frozenset()
    actions: Counter[tuple[str, str, str]] = field(default_factory=Counter)

    def has(self, option: str) -> bool:
        """Say whether an option was chosen."""
        return option in self.profile.options

    def note(self, tag: int, action: str, why: str) -> None:
        """Count an action."""
        self.actions[_name(tag), action, why] += 1


def clean_dataset(source: Any, case: Case, level: int = 0) -> Any:
    """Build the de-identified copy of a dataset, without its pixels.

    Args:
        source: A pydicom dataset.
        case: What it is cleaned with.
        level: How deep it is nested.

    Returns:
        A new dataset.

    Raises:
        ValueError: It is nested too deeply.
    """
    from pydicom.dataset import Dataset

    if level > case.depth:
        raise ValueError("sequences nested too deeply")
    made = Dataset()
    coded = _code(source, made, case)
    for tag in sorted(int(tag) for tag in source.keys()):  # noqa: SIM118 - values may be damaged
        if tag & 0xFFFF == 0 or (coded and tag in CODE) or tag in OWN:
            continue
        reason = _whole_group(tag)
        if reason:
            case.note(tag, "removed", reason)
        elif tag >> 16 & 1:
            _private(source, made, tag, case)
        else:
            _public(source, made, tag, case, level)
    _cut_tables(made)
    return made


def _cut_tables(made: Any) -> None:
    """Drop what stands behind the last entry of a table, and tables of no size (PS3.3 C.11.1.1)."""
    for tag, size in TABLES.items():
        if tag in made and isinstance(made[tag].value, bytes):
            told = made[size].value if size in made else None
            count = (int(told[0]) & 0xFFFF or 1 << 16) if told else 0
            made[tag].value = made[tag].value[: 2 * count]


def _whole_group(tag: int) -> str:
    group = tag >> 16
    if group in (0, 2, 4):
        return "commands, file meta information and directories do not belong here"
    if 0x5000 <= group <= 0x50FF:
        return "curve"
    if 0x6000 <= group <= 0x60FF:
        return "overlay"
    if tag in DROPPED:
        return "described what is gone"
    return "nested pixels" if tag in PIXELS else ""


def _name(tag: int) -> str:
    from pydicom.datadict import keyword_for_tag

    group = tag >> 16
    if group & 1:
        return "private attributes"
    if 0x5000 <= group <= 0x50FF or 0x6000 <= group <= 0x60FF:
        return f"group {group & 0xFF00:04X}"
    return keyword_for_tag(tag) or f"({group:04X},{tag & 0xFFFF:04X})"


# ---- public elements


def _public(source: Any, made: Any, tag: int, case: Case, level: int) -> None:
    rule = rules().get(tag)
    try:
        element = source[tag]
        vr = _vr(element)
    except Exception:  # pydicom raises whatever a damaged value meets first
        case.note(tag, "removed", "unreadable, or of another kind than its attribute")
        return
    action, why = _action(rule, tag, vr, case)
    if tag in PATIENT:
        _put(made, tag, vr, case.patient)
        case.note(tag, "replaced", "pseudonym")
        return
    value = _value(element, vr, action, case, level)
    if value is None:
        case.note(tag, "removed", why)
        return
    _put(made, tag, vr, value)
    verb = {"K": "kept", "C": "cleaned", "U": "UID replaced", "D": "replaced", "Z": "emptied"}
    if rule or action != "K":
        case.note(tag, verb[action], why)


def _vr(element: Any) -> str:
    """Give the VR that the standard gives an element.

    Raises:
        ValueError: It has one of quite another kind.
        KeyError: The standard does not know it.
    """
    from pydicom.datadict import dictionary_VM, dictionary_VR

    told = dictionary_VR(element.tag).split(" or ")
    vr: str = element.VR if element.VR in told else told[0]
    if vr != element.VR and not {vr, element.VR} <= STRINGS:
        raise ValueError("another VR")
    most = dictionary_VM(element.tag).split("-")[-1]
    if vr != "SQ" and most.isdigit() and int(most) < element.VM:
        raise ValueError("too many values")
    return vr


def _action(rule: Rule | None, tag: int, vr: str, case: Case) -> tuple[str, str]:
    """Give one of D, Z, X, K, C, U, and the reason."""
    if rule is None:
        return _unlisted(tag, vr, case)
    action = rule.under(case.profile.options)
    if action in ("K", "C"):
        return _possible(action, rule, vr), "option"
    return _by_type(action, tag, vr, case), "basic profile"


def _by_type(action: str, tag: int, vr: str, case: Case) -> str:
    """Choose between the actions of a row by the type of the attribute (Table E.1-1a)."""
    if "/" not in action:
        return action
    if action.endswith("U*"):
        return "U"
    if tag in REQUIRED[case.family] and "D" in action:
        return "D"
    optional = vr == "SQ" and tag != ACQUISITION_CONTEXT  # these may not be empty
    return "Z" if "Z" in action and not optional else "X"


def _possible(action: str, rule: Rule, vr: str) -> str:
    """Cleaning needs a value whose meaning is understood; else the basic profile stands."""
    understood = vr in DATES or vr in SHORT or vr == "SQ"
    return action if action == "K" or understood else rule.basic.split("/")[0]


def _unlisted(tag: int, vr: str, case: Case) -> tuple[str, str]:
    from pydicom.datadict import dictionary_is_retired

    if vr in DATES:
        chosen = {"K": case.has("retain-full-dates"), "C": case.has("retain-modified-dates")}
        action = next((name for name, there in chosen.items() if there), "Z")
        return action, "date or time of no row"
    if vr == "UI":
        return ("K" if case.has("retain-uids") else "U"), "UID of no row"
    if vr in TEXT and tag not in MACHINE_TEXT:
        return "C", "text of no row"
    if vr == "CS" and dictionary_is_retired(tag):
        return "X", "retired"
    if vr in ("PN", "AE", "UR", "UN") or (vr in WIDTH and tag not in BULK):
        return "X", "of no row, and of a kind that may identify"
    return "K", "attribute that identifies nobody"


# ---- values


def _value(element: Any, vr: str, action: str, case: Case, level: int) -> Any:
    """Give the new value, or None where the element goes."""
    if int(element.tag) == DOCUMENT and level == 0 and "document" in case.profile.allow:
        return bytes(element.value or b"")
    if action == "X":
        return None
    if vr == "SQ":
        return _sequence(element, action, case, level)
    if action == "Z":
        return ""
    if action == "D":
        dummy = _uid(element, case) if vr == "UI" else values.DUMMIES.get(vr)
        return dummy
    if vr == "UI":
        return _uid(element, case, keep=action == "K")
    if vr in WIDTH:
        return _block(element, vr, case)
    if vr in NUMBERS:
        return element.value
    return _string(element, vr, action, case)


def _sequence(element: Any, action: str, case: Case, level: int) -> Any:
    """Clean the items of a sequence; it goes where its row asks for dummies that make no sense."""
    if action == "Z":
        return []
    if action == "D" and int(element.tag) == PERSON_CODES:
        return [_dummy_code()]
    if action == "D" and case.family != "structured":
        return None
    items = list(element.value or [])
    if int(element.tag) == CONTENT and not case.has("retain-patient-characteristics"):
        items = [item for item in items if _concept(item) not in DEMOGRAPHIC]
    return [clean_dataset(item, case, level + 1) for item in items]


def _concept(item: Any) -> str:
    for one in item.get("ConceptNameCodeSequence", None) or []:
        if str(one.get("CodingSchemeDesignator", "")).strip() == "DCM":
            return str(one.get("CodeValue", "")).strip()
    return ""


def _uid(element: Any, case: Case, *, keep: bool = False) -> list[str]:
    texts = [str(text).strip() for text in _several(element.value)]
    form = STANDARD_CLASS if int(element.tag) in CLASSES else values.FORMS["UI"]
    stays = keep or int(element.tag) in CLASSES

    def replace(uid: str) -> str:
        return uid if stays and form.fullmatch(uid) else case.key.uid(uid)

    return values.uid_values(texts, replace)


def _block(element: Any, vr: str, case: Case) -> Any:
    value = bytes(element.value or b"")
    width = WIDTH[vr]
    value = value[: len(value) // width * width]
    if case.big and width > 1:
        import numpy as np

        return np.frombuffer(value, f">u{width}").astype(f"<u{width}").tobytes()
    return value


def _string(element: Any, vr: str, action: str, case: Case) -> Any:
    tag = int(element.tag)
    if vr in TEXT:
        return _text(element, vr, action, case)
    texts = [_number_text(value, vr) for value in _several(element.value)]
    form = values.FORMS.get(vr)
    if form is None:
        return " ".join(values.printable(text) for text in texts)
    if not all(form.fullmatch(text) for text in texts if text):
        return None
    if vr in DATES and action == "C":
        texts = [values.shift(text, vr, case.days) for text in texts if text]
    if vr == "CS" and tag not in DEFINED and tag >> 16 != 0x28:
        texts = [text for text in texts if not values.tells(text, case.hidden)] if texts else [""]
        if not texts:
            return None
    if tag == AGE:
        texts = [values.capped_age(text) for text in texts if text]
    return texts[0] if len(texts) == 1 else texts


def _number_text(value: Any, vr: str) -> str:
    """Give a value as text; whole numbers without a point, long decimals as their VR fits them."""
    text = str(value).strip(" \0")
    if vr == "IS":
        return re.sub(r"\.0*$", "", text)
    if vr == "DS" and len(text) > 16 and values.FORMS["DS"].fullmatch(text):
        return f"{float(text):.10g}"
    return text


def _text(element: Any, vr: str, action: str, case: Case) -> Any:
    texts = [values.printable(str(value)) for value in _several(element.value)]
    tag = int(element.tag)
    if action == "K" and any(values.tells(text, case.hidden) for text in texts):
        return values.DUMMY
    if action == "K":
        return [text[:64] if vr in SHORT else text for text in texts] or ""
    if tag == ZONE:
        return texts[0] if texts and len(texts[0]) == 5 and texts[0][1:].isdigit() else None
    if not any(texts):
        return ""
    words = frozenset(word.lower() for word in case.profile.words)
    kept = [values.clean_text(text, words) for text in texts] if vr in SHORT else []
    if vr == "SH":
        kept = [text[:16].rstrip() for text in kept]
    if any(kept):
        return kept if len(kept) > 1 else kept[0]
    rule = rules().get(tag)
    left = _by_type(rule.basic, tag, vr, case) if rule else "D"
    return {"X": None, "Z": ""}.get(left, values.DUMMY)


def _several(value: Any) -> list[Any]:
    if value is None or isinstance(value, str | bytes):
        return [] if value in (None, "", b"") else [value]
    return list(value) if hasattr(value, "__iter__") else [value]


def _put(made: Any, tag: int, vr: str, value: Any) -> None:
    if value == "" and vr in NUMBERS | set(WIDTH):
        value = None
    made.add_new(tag, vr, value)


# ---- codes and private elements


def _code(source: Any, made: Any, case: Case) -> bool:
    """Write the code of a code item anew; say whether there was one."""
    names = ("CodeValue", "LongCodeValue", "URNCodeValue")
    try:
        found = [str(source.get(name, "") or "").strip() for name in names]
        scheme = str(source.get("CodingSchemeDesignator", "") or "").strip()
    except Exception:  # see _public
        found, scheme = ["?"], ""
    if not any(found) and not scheme:
        return False
    value = next((text for text in found if text), "")
    scheme, value, meaning = values.code(scheme, value, case.key)
    made.add_new(*((0x00080119, "UC") if len(value) > 16 else (0x00080100, "SH")), value)
    made.add_new(0x00080102, "SH", scheme)
    made.add_new(0x00080104, "LO", meaning)
    if scheme == values.LOCAL_SCHEME:
        case.actions["codes of local schemes", "replaced", "may be a word of a person"] += 1
    return True


def _dummy_code() -> Any:
    from pydicom.dataset import Dataset

    item = Dataset()
    item.CodeValue = item.CodeMeaning = values.DUMMY
    item.CodingSchemeDesignator = values.LOCAL_SCHEME
    return item


def _private(source: Any, made: Any, tag: int, case: Case) -> None:
    """Keep a private element that is listed as safe, with its creator; nothing else."""
    group, number = tag >> 16, tag & 0xFFFF
    if number < 0x1000:
        return
    creator_tag = group << 16 | number >> 8
    try:
        creator = str(source[creator_tag].value).strip() if creator_tag in source else ""
        vr = safe_private().get((creator, group, number & 0xFF), "")
        value = _safe_value(source[tag], vr, case) if case.has("retain-safe-private") else None
    except Exception:  # see _public
        value = None
    if value in (None, "", b"", []):
        case.note(tag, "removed", "private")
        return
    made.add_new(creator_tag, "LO", creator)
    made.add_new(tag, vr, value)
    case.note(tag, "kept", f"safe: {creator}")


def _safe_value(element: Any, vr: str, case: Case) -> Any:
    if not vr:
        return None
    if element.VR == "UN":
        raw = bytes(element.value or b"")
        if vr in FORMATS:
            order = ">" if case.big else "<"
            count = len(raw) // struct.calcsize(FORMATS[vr])
            return list(struct.unpack(f"{order}{count}{FORMATS[vr]}", raw))
        texts = raw.decode("ascii").strip(" \0").split("\\")
    elif vr in FORMATS:
        return element.value if vr == element.VR else None
    else:
        texts = [str(value).strip(" \0") for value in _several(element.value)]
    return texts if all(values.FORMS[vr].fullmatch(text) for text in texts) else None
