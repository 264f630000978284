"""Codes: the coded words of written objects: anatomy (SNOMED CT), units (UCUM), IBSI features."""
# SPDX-License-Identifier: Apache-2.0

import re
from dataclasses import dataclass, field
from typing import Any, Literal, final

from vesalius.errors import UnitError
from vesalius.io.dicom._context import highdicom


@final
@dataclass(frozen=True, slots=True)
class Code:
    """A coded word, PS3.3 section 8.

    Attributes:
        value: Code value, such as ``"10200004"``.
        scheme: Coding scheme designator, such as ``"SCT"``.
        meaning: What a reader sees, at most 64 characters.
    """

    value: str
    scheme: str
    meaning: str

    def concept(self) -> Any:
        """Give the code as an item that highdicom takes."""
        return highdicom().sr.CodedConcept(self.value, self.scheme, self.meaning[:64])


@final
@dataclass(frozen=True, slots=True)
class Meaning:
    """What a segment is, PS3.3 C.8.20.4.

    Attributes:
        category: Segmented property category, from CID 7150.
        kind: Segmented property type.
    """

    category: Code
    kind: Code


@final
@dataclass(frozen=True, slots=True)
class Algorithm:
    """How the segments came to be, PS3.3 C.8.20.4 and 10.16.

    Attributes:
        kind: Done by hand, by a person with a program, or by a program alone.
        name: Name of the program.
        version: Its version.
        family: What kind of method it is, from CID 7162.
    """

    kind: Literal["MANUAL", "SEMIAUTOMATIC", "AUTOMATIC"] = "SEMIAUTOMATIC"
    name: str = "not stated"
    version: str = "not stated"
    family: Code = field(default=Code("123109", "DCM", "Manual Processing"))


TISSUE = Code("85756007", "SCT", "Tissue")
ANATOMY = Code("91723000", "SCT", "Anatomical Structure")
ALTERED = Code("49755003", "SCT", "Morphologically Abnormal Structure")
UNKNOWN = Meaning(TISSUE, TISSUE)
ORGANS = {
    "adrenal gland": "23451007",
    "aorta": "15825003",
    "bone": "272673000",
    "brain": "12738006",
    "breast": "76752008",
    "cerebellum": "113305005",
    "colon": "71854001",
    "duodenum": "38848004",
    "esophagus": "32849002",
    "femur": "71341001",
    "gallbladder": "28231008",
    "heart": "80891009",
    "hippocampus": "5366008",
    "kidney": "64033007",
    "liver": "10200004",
    "lung": "39607008",
    "mandible": "91609006",
    "pancreas": "15776009",
    "parotid gland": "45289007",
    "prostate": "41216001",
    "rectum": "34402009",
    "skin": "39937001",
    "small intestine": "30315005",
    "spinal cord": "2748008",
    "spleen": "78961009",
    "stomach": "69695003",
    "trachea": "44567001",
}
"""SNOMED CT codes of organs, by the name that a label must have, whole and in any case."""
ALTERATIONS = {
    "lesion": Code("52988006", "SCT", "Lesion"),
    "neoplasm": Code("108369006", "SCT", "Neoplasm"),
    "tumor": Code("108369006", "SCT", "Neoplasm"),
    "tumour": Code("108369006", "SCT", "Neoplasm"),
    "edema": Code("79654002", "SCT", "Edema"),
    "necrosis": Code("6574001", "SCT", "Necrosis"),
}


def meaning_of(name: str) -> Meaning:
    """Give the codes of a label by its name; a name that is not known whole is just tissue.

    Nothing is guessed from a part of a name: a wrong organ is worse than none.

    Args:
        name: Name of the label.

    Returns:
        Category and type.
    """
    word = " ".join(re.split(r"[\s_\-]+", name.strip().lower()))
    if word in ORGANS:
        return Meaning(ANATOMY, Code(ORGANS[word], "SCT", word.capitalize()))
    return Meaning(ALTERED, ALTERATIONS[word]) if word in ALTERATIONS else UNKNOWN


NO_UNIT = Code("1", "UCUM", "no units")
_NAMED = {
    "": NO_UNIT,
    "1": NO_UNIT,
    "%": Code("%", "UCUM", "Percent"),
    "HU": Code("[hnsf'U]", "UCUM", "Hounsfield unit"),
    "SUV": Code("g/ml{SUVbw}", "UCUM", "Standardized Uptake Value body weight"),
    "SUL": Code("g/ml{SUVlbm(Janma)}", "UCUM", "Standardized Uptake Value lean body mass (Janma)"),
    "Bq/mL": Code("Bq/ml", "UCUM", "Becquerels/milliliter"),
}
_ATOMS = {"mL": "ml", "um": "um", "deg": "deg", "HU": "[hnsf'U]", "SUV": "g/ml{SUVbw}"} | {
    word: word for word in ("m", "cm", "mm", "nm", "s", "ms", "min", "h", "g", "kg", "mg", "Bq")
}
_FACTOR = re.compile(r"([^\s^/*]+)(?:\^(-?\d+))?")


def ucum(unit: str) -> Code:
    """Give the UCUM code of a unit of the house.

    Args:
        unit: Such as ``"mm^3"``, ``"1/mm"``, ``"HU^2"``, ``"SUV mL"``, ``"1"``. A word that UCUM
            does not have becomes an annotation, such as ``"{photon}"``.

    Returns:
        The code; its meaning is the unit as the house writes it.

    Raises:
        UnitError: It is not made of words with powers, with at most one stroke.
    """
    if unit in _NAMED:
        return _NAMED[unit]
    sides = unit.split("/")
    if len(sides) > 2 or not all(side.strip() for side in sides):
        raise UnitError(
            f"a unit must be words with powers and at most one stroke to be coded, got {unit!r}: "
            "write it such as 'mm^2', '1/mm' or 'HU mm^3'"
        )
    above, below = (_product(side, unit) for side in (*sides, "1")[:2])
    return Code(above + (f"/{below}" if below else ""), "UCUM", unit)


def unit_of(value: str, meaning: str) -> str:
    """Give the house's unit for a UCUM code; the code itself where the house has no word.

    Args:
        value: The code.
        meaning: What the file says that it means; the house's own files say the house's word.

    Returns:
        A unit.
    """
    if value in ("1", "", "ratio"):
        return "1"
    named = {code.value: unit for unit, code in _NAMED.items() if unit}
    if value in named:
        return named[value]
    try:
        return meaning if ucum(meaning).value == value else value
    except UnitError:
        return value


def _product(side: str, unit: str) -> str:
    factors = []
    for word in re.split(r"[\s*]+", side.strip()):
        found = _FACTOR.fullmatch(word)
        if found is None or not word.isascii():
            raise UnitError(
                f"a unit must be made of words with whole powers to be coded, got {word!r} in "
                f"{unit!r}: write it such as 'mm^2'"
            )
        if word != "1":
            atom = _ATOMS.get(found[1], "{" + re.sub(r"[{}]", "", found[1]) + "}")
            power = found[2] or ""
            compound = "/" in atom and power
            factors.append(f"({atom}){power}" if compound else atom + power)
    return ".".join(factors)


AGGREGATIONS = {
    "2D_avg": Code("BTW3", "IBSI", "2D, by slice and direction, averaged"),
    "2D_comb": Code("SUJT", "IBSI", "2D, merged by slice, averaged"),
    "2_5D_avg": Code("JJUI", "IBSI", "2.5D, merged by direction, averaged"),
    "2_5D_comb": Code("ZW7Z", "IBSI", "2.5D, merged over all"),
    "3D_avg": Code("ITBB", "IBSI", "3D, by direction, averaged"),
    "3D_comb": Code("IAZD", "IBSI", "3D, merged"),
    "2D": Code("8QNN", "IBSI", "2D, by slice, averaged"),
    "2_5D": Code("62GR", "IBSI", "2.5D, merged over slices"),
    "3D": Code("KOBO", "IBSI", "3D, as a volume"),
}
"""How texture matrices are put together, doi:10.48550/arXiv.1612.07003, section 3.6 on."""
