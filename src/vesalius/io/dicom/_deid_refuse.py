"""What is refused unless asked: files whose identifying content no table of attributes reaches."""
# SPDX-License-Identifier: Apache-2.0

import re
from dataclasses import dataclass
from typing import Any, Literal, final

from vesalius.errors import ConfigError
from vesalius.io.dicom._annex_e import Option
from vesalius.io.dicom._deid_pixels import PIXELS, Box, Mask, known_mask

Accept = Literal[
    "burned-in",
    "document",
    "secondary-capture",
    "ultrasound",
    "private-class",
    "photograph",
]
"""What can be accepted that is refused otherwise."""
Family = Literal["plain", "pet", "enhanced", "rt", "xray", "structured", "presentation"]
STANDARD_CLASS = re.compile(r"1\.2\.840\.10008\.5\.1\.4\.[0-9.]{1,40}")
DICOMDIR = "1.2.840.10008.1.3.10"
SCREENS = frozenset({"OT", "DOC", "SC", "HC"})
CONVERTED = frozenset({"DV", "DF", "SD", "SI", "DRW", "WSD"})
"""Conversion types (PS3.3 C.8.6.1) of films, videos, drawings and screens."""
CAMERAS = frozenset({"XC", "ES", "DMS"})
HEAD = re.compile(
    r"HEAD|BRAIN|SKULL|FACE|FACIAL|ORBIT|SINUS|JAW|MAXILLA|MANDIB|NEURO|CEREB|CRANI|HIPPOCAMP", re.I
)
WHOLE = re.compile(r"WHOLE|BODY|NECK", re.I)
TOLD = ("BodyPartExamined", "StudyDescription", "SeriesDescription", "ProtocolName")


@final
@dataclass(frozen=True, slots=True)
class Profile:
    """What is kept, what is cleaned, and what is accepted.

    Attributes:
        options: Options besides the basic profile (PS3.15 E.3).
        allow: What is accepted, with its risk, that is refused otherwise.
        blank: Rectangles (x, y, width, height) blanked in every frame of every picture that may
            have text burned in; needs ``clean-pixel-data``.
        words: Words that descriptions may keep besides those known here.
    """

    options: tuple[Option, ...] = ()
    allow: tuple[Accept, ...] = ()
    blank: tuple[Box, ...] = ()
    words: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        dates = {"retain-full-dates", "retain-modified-dates"}
        if dates <= set(self.options):
            raise ConfigError(
                "dates must be kept or moved, both were asked for: choose retain-full-dates or "
                "retain-modified-dates"
            )
        if any(min(box) < 0 or min(box[2:]) < 1 for box in self.blank):
            raise ConfigError(
                f"a rectangle must be x,y,width,height with a size, in pixels, got {self.blank}: "
                "mend it"
            )
        if self.blank and "clean-pixel-data" not in self.options:
            raise ConfigError(
                "rectangles are blanked under the option clean-pixel-data, it was not chosen: "
                "add it"
            )


@final
@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a file is not written.

    Attributes:
        code: One hyphenated word.
        reason: What was found, without a value of the file.
        allow: What accepts it, or an option that cleans it; empty where nothing does.
    """

    code: str
    reason: str
    allow: str = ""


def family(header: Any) -> Family:
    """Say what kind of object a dataset is, as far as its required attributes differ."""
    name = _class_name(header)
    if name.endswith("SRStorage") or name in _STRUCTURED:
        return "structured"
    if "PresentationState" in name or name in ("HangingProtocolStorage",):
        return "presentation"
    if name.startswith("RT"):
        return "rt"
    if name == "PositronEmissionTomographyImageStorage":
        return "pet"
    if any(word in name for word in ("Enhanced", "Segmentation", "Parametric", "Legacy", "3D")):
        return "enhanced"
    return "xray" if name.startswith(("DigitalXRay", "DigitalMammo", "DigitalIntra")) else "plain"


_STRUCTURED = (
    "KeyObjectSelectionDocumentStorage",
    "SpectaclePrescriptionReportStorage",
    "MacularGridThicknessAndVolumeReportStorage",
)


def refusals(header: Any, profile: Profile) -> tuple[list[Refusal], Mask | None]:
    """Say why a file is refused, and what of its pixels is blanked.

    Args:
        header: Its dataset.
        profile: What was asked for.

    Returns:
        The refusals, none where it may be written; the mask, or None where pixels stay.
    """
    found = [one for one in _content(header, profile) if one.allow not in profile.allow]
    unread = [one for one in burned(header) if one.allow not in profile.allow]
    if "clean-pixel-data" not in profile.options or not any(k in header for k in PIXELS):
        return found + unread, None
    suspect = bool(burned(header))
    mask = known_mask(header, profile.blank) if suspect else Mask()
    if suspect and not mask.why:
        reason = "no layout is known for pictures of this scanner and size"
        found += [Refusal("no-layout", reason, "burned-in")] if unread else []
    return found, mask if mask.why else None


def recognisable(header: Any) -> bool:
    """Say whether a face may be seen in, or rendered from, the pixels (PS3.15 E.3.2)."""
    if not any(keyword in header for keyword in PIXELS):
        return False
    if str(header.get("RecognizableVisualFeatures", "") or "").upper() == "YES":
        return True
    told = " ".join(str(header.get(keyword, "") or "") for keyword in TOLD)
    regions = header.get("AnatomicRegionSequence", None) or []
    told += " ".join(str(item.get("CodeMeaning", "")) for item in regions)
    volume = str(header.get("Modality", "")) in ("CT", "MR", "PT", "NM")
    if HEAD.search(told):
        return True
    return volume and (not told.strip() or bool(WHOLE.search(told)))


def _content(header: Any, profile: Profile) -> list[Refusal]:
    found = []
    uid = str(header.get("SOPClassUID", "") or "")
    if not STANDARD_CLASS.fullmatch(uid):
        found.append(Refusal("private-class", "its SOP class is no standard one", "private-class"))
    name, modality = _class_name(header), str(header.get("Modality", ""))
    if "EncapsulatedDocument" in header or name.startswith("Encapsulated"):
        found.append(Refusal("document", "it holds a document (PDF, CDA, STL)", "document"))
    structured = family(header) == "structured"
    if structured and "clean-structured-content" not in profile.options:
        reason = "it is a structured report: choose the option clean-structured-content"
        found.append(Refusal("structured", reason))
    if "Audio" in name or modality == "AU":
        found.append(Refusal("sound", "it holds sound, in which names may be said", "document"))
    photographs = ("VLPhotographic", "VideoPhotographic", "VideoEndo", "VLEndo", "Dermoscopic")
    if name.startswith(photographs) or modality in CAMERAS:
        found.append(Refusal("photograph", "it is a photograph or a video", "photograph"))
    return found


def burned(header: Any) -> list[Refusal]:
    """Say why text may be burned in to the pixels; what accepts it stands with each reason."""
    if not any(keyword in header for keyword in PIXELS):
        return []
    found = []
    name, modality = _class_name(header), str(header.get("Modality", ""))
    words = [str(word).upper() for word in header.get("ImageType", None) or []]
    if str(header.get("BurnedInAnnotation", "") or "").upper() == "YES":
        found.append(Refusal("burned-in", "its header says that text is burned in", "burned-in"))
    labelled = str(header.get("SpecimenLabelInImage", "")).upper() == "YES"
    if labelled or {"LABEL", "OVERVIEW"} & set(words):
        found.append(Refusal("label", "it may show the label of a slide", "burned-in"))
    screen = any("SCREEN" in word or "DOSE" in word for word in words)
    screen |= modality in SCREENS or str(header.get("ConversionType", "")).upper() in CONVERTED
    if "SecondaryCapture" in name or screen:
        reason = "it is a secondary capture or a picture of a screen"
        found.append(Refusal("secondary-capture", reason, "secondary-capture"))
    if "Ultrasound" in name or modality in ("US", "IVUS"):
        found.append(Refusal("ultrasound", "it is ultrasound, which burns text in", "ultrasound"))
    return found


def _class_name(header: Any) -> str:
    from pydicom.uid import UID

    return str(UID(str(header.get("SOPClassUID", "") or "")).keyword)
