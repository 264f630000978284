"""Remarks: what is odd about the slices of a volume, and what is mixed in it."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Sequence
from itertools import pairwise

from vesalius.io._handle import Allow, Finding
from vesalius.io.dicom._frames import Arranged
from vesalius.io.dicom._group import KINDS, REFERENCE
from vesalius.io.dicom._slice import Slice

LOSSY = ("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51")
"""Transfer syntaxes that are always lossy: JPEG with a cosine transform."""
UNITS = ("rescaled", "RescaleType", "Units", "DecayCorrection")
"""What says the unit of a slice's values."""


def remarks(slices: list[Slice], allow: tuple[Allow, ...]) -> list[Finding]:
    """Tell what is odd about the slices of a volume.

    Args:
        slices: All slices, of all frames.
        allow: Words that were allowed.

    Returns:
        Findings, in any order.
    """
    return _of_samples(slices) + _of_place(slices, allow)


def _of_samples(slices: list[Slice]) -> list[Finding]:
    found = []
    if any(one.packed.photometric == "MONOCHROME1" for one in slices):
        text = "MONOCHROME1: meant to be shown with low values bright; the values are kept"
        found.append(Finding("info", "monochrome1", text))
    high = next((s.packed for s in slices if s.packed.high_bit != s.packed.bits_stored - 1), None)
    if high is not None:
        text = (
            f"HighBit is {high.high_bit} for {high.bits_stored} stored bits, PS3.5 8.1.1 wants "
            f"{high.bits_stored - 1}: values are the bits below it, and a slice with bits set "
            "below those is refused when it is read"
        )
        found.append(Finding("warning", "high-bit", text))
    longer = [one for one in slices if "ExtraBytes" in one.acquisition]
    if longer:
        text = (
            f"{len(longer)} files hold more bytes than their headers describe, such as "
            f"{longer[0].path.name!r} ({longer[0].acquisition['ExtraBytes']} more): they were left"
        )
        found.append(Finding("warning", "extra-bytes", text))
    if any(_is_lossy(one) for one in slices):
        text = "the samples went through lossy compression: values are not what was measured"
        found.append(Finding("warning", "lossy", text))
    if len({(one.slope, one.intercept) for one in slices}) > 1:
        text = "slope and intercept differ from slice to slice: each slice was rescaled by its own"
        found.append(Finding("info", "rescale-varies", text))
    echoes = {one.acquisition.get("EchoTime", 0) for one in slices}
    if len(echoes) > 1:
        text = f"slices of {len(echoes)} echo times are mixed in one volume: contrast differs"
        found.append(Finding("warning", "mixed-echoes", text))
    return found


def _of_place(slices: list[Slice], allow: tuple[Allow, ...]) -> list[Finding]:
    found = []
    if any("LOCALIZER" in one.image_type for one in slices):
        text = "the series is a localizer: its slices are no volume"
        found.append(_unless("localizer", text, allow))
    if "PlaceAssumed" in slices[0].acquisition:
        text = str(slices[0].acquisition["PlaceAssumed"])
        found.append(Finding("warning", "no-position", text))
    if slices[0].box is not None:
        text = "each file is a mosaic: its tiles were taken apart by the header of Siemens"
        found.append(Finding("info", "mosaic", text))
    hidden = next((one for one in slices if one.preamble), None)
    if hidden is not None:
        text = f"the preamble of {hidden.path.name!r} begins like {hidden.preamble}: never run it"
        found.append(_unless("preamble", text, allow))
    return found


def mixtures(arranged: Arranged) -> list[Finding]:
    """Tell of frames whose slices are not all of one kind.

    Args:
        arranged: The slices in order.

    Returns:
        Findings, in any order.
    """
    found = []
    for word, key in (*KINDS, ("photometric interpretation", _photometric)):
        several = max(({key(one) for one in row} for row in arranged.frames), key=len)
        if len(several) > 1 and word != "echo":  # echoes are told for themselves
            text = f"slices of {len(several)} kinds by {word} are mixed in one volume"
            # a type may tell no more than how a slice was averaged
            found.append(
                Finding("info" if word == "image type" else "warning", "mixed-kinds", text)
            )
    slices = [one for row in arranged.frames for one in row]
    units = {tuple(str(one.acquisition.get(word, "none")) for word in UNITS) for one in slices}
    if len(units) > 1:
        shown = " and ".join(" ".join(words) for words in sorted(units)[:2])
        text = f"slices must be in one unit, they differ in {', '.join(UNITS)}, such as {shown}"
        found.append(Finding("error", "mixed-units", text))
    weights = {one.identifying.get("PatientWeight", 0) for one in slices}
    if len(weights) > 1 and "Units" in slices[0].acquisition:
        text = "slices must be of one patient's weight to be one SUV, they give several"
        found.append(Finding("error", "mixed-units", text))
    alternating = max((_turns(row) for row in arranged.frames), default=0)
    if alternating:
        text = "slices of several acquisitions alternate: motion between them shows as steps"
        found.append(Finding("info", "interleaved", text))
    references = {one.identifying.get(REFERENCE, "") for one in slices}
    if len(references) > 1:
        text = (
            f"slices have {len(references)} frames of reference: their positions were taken to be "
            "in one"
        )
        found.append(Finding("warning", "frames-of-reference", text))
    return found


def _turns(row: Sequence[Slice]) -> int:
    """Number of times that the acquisition changes along a row to one that was there before."""
    numbers = [one.acquisition.get("AcquisitionNumber", "") for one in row]
    changes = sum(a != b for a, b in pairwise(numbers))
    return changes - (len(set(numbers)) - 1)


def _photometric(one: Slice) -> object:
    return one.packed.photometric


def _unless(word: Allow, text: str, allow: tuple[Allow, ...]) -> Finding:
    """Give an error, or a warning where its word was allowed; the word is its code."""
    return Finding("warning", word, text) if word in allow else Finding("error", word, text, word)


def _is_lossy(one: Slice) -> bool:
    told = str(one.acquisition.get("LossyImageCompression", "")).endswith("1")
    return told or one.packed.syntax in LOSSY
