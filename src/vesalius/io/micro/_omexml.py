"""OME-XML (2016-06): what it says of sizes, places, channels and planes; read without entities.

Source: Goldberg et al. (2005), doi:10.1186/gb-2005-6-5-r47; the OME data model, 2016-06.
"""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import final
from xml.etree import ElementTree
from xml.sax.saxutils import quoteattr

from vesalius.core import Image, Labels, Series
from vesalius.errors import FormatError
from vesalius.io.micro import _place
from vesalius.io.micro._units import length_mm, time_s

XML_BYTES = 1 << 25
NAMESPACE = "http://www.openmicroscopy.org/Schemas/OME/2016-06"
TYPES = {"int8", "int16", "int32", "uint8", "uint16", "uint32", "float", "double"}
OURS = "vesalius"
ORDERS = frozenset({"XYZCT", "XYZTC", "XYCTZ", "XYCZT", "XYTCZ", "XYTZC"})


@final
@dataclass(frozen=True, slots=True)
class Block:
    """One TiffData element: where a run of planes lies.

    Attributes:
        ifd: Page of its first plane.
        first: Index (z, c, t) of its first plane.
        count: Number of planes, 0 where it is not said.
        file: Name of another file that holds them, or empty.
    """

    ifd: int
    first: tuple[int, int, int]
    count: int
    file: str = ""


@final
@dataclass(frozen=True, slots=True)
class Pixels:
    """What OME-XML says of one image.

    Attributes:
        sizes: Number of samples by letter: X, Y, Z, C, T.
        order: How planes follow each other, such as ``"XYZCT"``.
        spacing_mm: By letter X, Y, Z; 0 where it is not given.
        origin_mm: Position of the first plane by letter; empty where it is not given.
        step_s: Time between frames, 0 where it is not given.
        times_s: Time of each frame as its planes say; empty where one does not.
        channels: Name of each channel, empty strings where there is none.
        samples: Samples for each pixel of one page.
        blocks: Where its planes are.
        heights_mm: Position along z by index, of the planes that give it.
        note: Our note, or empty.
    """

    sizes: Mapping[str, int]
    order: str
    spacing_mm: Mapping[str, float]
    origin_mm: Mapping[str, float]
    step_s: float
    times_s: tuple[float, ...]
    channels: tuple[str, ...]
    samples: int
    blocks: tuple[Block, ...]
    heights_mm: Mapping[int, float] = field(default_factory=dict)
    note: str = ""


def parse(name: str, text: str) -> tuple[Pixels, ...]:
    """Read OME-XML.

    Args:
        name: Name of the file, for errors.
        text: The document. One with a DOCTYPE is refused, so that no entity is ever expanded.

    Returns:
        One entry for each image.

    Raises:
        FormatError: It is too long, not well-formed, has a DOCTYPE, or lacks what places samples.
    """
    if len(text) > XML_BYTES or "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise FormatError(
            f"{name!r} must have OME-XML of at most {XML_BYTES >> 20} MiB without a DOCTYPE, "
            "this has one or is longer: a damaged or hostile file"
        )
    try:
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError) as error:
        raise FormatError(
            f"{name!r} must have well-formed OME-XML, it has not: {error}: copy the file again"
        ) from error
    if _child(root, "BinaryOnly") is not None:
        raise FormatError(
            f"{name!r} must hold its own OME-XML, it names a second file for it: "
            "open that set in Bio-Formats and save it as one OME-TIFF"
        )
    notes = dict(_notes(root))
    try:
        return tuple(_image(image, notes) for image in _children(root, "Image"))
    except (ValueError, KeyError, OverflowError) as error:
        raise FormatError(
            f"{name!r} must give sizes, order and planes as numbers in its OME-XML, "
            f"it does not: {str(error)[:100]}: write the file anew"
        ) from error


def _local(element: ElementTree.Element) -> str:
    return str(element.tag).rpartition("}")[2]


def _children(element: ElementTree.Element, tag: str) -> list[ElementTree.Element]:
    return [child for child in element if _local(child) == tag]


def _child(element: ElementTree.Element, tag: str) -> ElementTree.Element | None:
    return next((child for child in element if _local(child) == tag), None)


def _notes(root: ElementTree.Element) -> Iterator[tuple[str, str]]:
    for group in _children(root, "StructuredAnnotations"):
        for one in _children(group, "CommentAnnotation"):
            value = _child(one, "Value")
            if one.get("Namespace") == OURS and value is not None:
                yield one.get("ID", ""), value.text or ""


def _image(image: ElementTree.Element, notes: Mapping[str, str]) -> Pixels:
    pixels = _child(image, "Pixels")
    if pixels is None:
        raise ValueError("an Image has no Pixels")
    sizes = {axis: int(pixels.attrib[f"Size{axis}"]) for axis in "XYZCT"}
    order = pixels.attrib["DimensionOrder"]
    if min(sizes.values()) < 1 or order not in ORDERS:
        raise ValueError(f"sizes {tuple(sizes.values())} in the order {order}")
    channels = _children(pixels, "Channel")
    planes = _children(pixels, "Plane")
    refs = [ref.get("ID", "") for ref in _children(image, "AnnotationRef")]
    heights = {int(p.get("TheZ", 0)): _length(p, "PositionZ") for p in planes if _has(p, "Z")}
    return Pixels(
        sizes,
        order,
        {axis: _length(pixels, f"PhysicalSize{axis}", "µm") for axis in "XYZ"},
        _origin(planes),
        _number(pixels, "TimeIncrement") * time_s(pixels.get("TimeIncrementUnit", "s")),
        _times(planes, sizes["T"]),
        tuple(c.get("Name", "") for c in channels),
        max((int(c.get("SamplesPerPixel", 1)) for c in channels), default=1),
        tuple(_block(data) for data in _children(pixels, "TiffData")),
        heights,
        next((notes[ref] for ref in refs if ref in notes), ""),
    )


def _number(element: ElementTree.Element, key: str) -> float:
    return float(element.get(key, 0))


def _length(element: ElementTree.Element, key: str, default: str = "") -> float:
    return _number(element, key) * length_mm(element.get(f"{key}Unit", default))


def _has(plane: ElementTree.Element, axis: str) -> bool:
    """Tell whether a plane's position along an axis is a length ("reference frame" is none)."""
    return f"Position{axis}" in plane.attrib and bool(
        length_mm(plane.get(f"Position{axis}Unit", ""))
    )


def _origin(planes: list[ElementTree.Element]) -> dict[str, float]:
    first = min(planes, key=lambda p: [int(p.get(f"The{a}", 0)) for a in "TCZ"], default=None)
    if first is None or int(first.get("TheZ", 0)) != 0:
        return {}
    return {axis: _length(first, f"Position{axis}") for axis in "XYZ" if _has(first, axis)}


def _times(planes: list[ElementTree.Element], frames: int) -> tuple[float, ...]:
    """Give the earliest time of each frame, if every frame has one and they increase."""
    found: dict[int, float] = {}
    for plane in planes:
        unit = time_s(plane.get("DeltaTUnit", "s"))
        if "DeltaT" in plane.attrib and unit:
            t, at = int(plane.get("TheT", 0)), _number(plane, "DeltaT") * unit
            found[t] = min(at, found.get(t, at))
    times = tuple(found[t] for t in range(frames)) if set(found) == set(range(frames)) else ()
    rising = all(b > a for a, b in pairwise(times))
    return times if rising else ()


def _block(data: ElementTree.Element) -> Block:
    first = (int(data.get(f"First{axis}", 0)) for axis in "ZCT")
    z, c, t = first
    uuid = _child(data, "UUID")
    named = uuid.get("FileName", "") if uuid is not None else ""
    count = int(data.get("PlaneCount", 1 if "IFD" in data.attrib else 0))
    ifd = int(data.get("IFD", 0))
    if min(z, c, t, count, ifd) < 0:
        raise ValueError("a TiffData counts below zero")
    return Block(ifd, (z, c, t), count, named)


def describe(obj: Image | Labels | Series, kind: str, name: str) -> str:
    """Write the OME-XML of an object whose planes follow each other as z, then c, then t.

    Args:
        obj: What is written; unit um, positions on a plain grid only.
        kind: Pixel type in the words of OME.
        name: Name of the image.

    Returns:
        A 2016-06 document that names no other file.
    """
    grid = _place.shown(obj.grid)
    z, y, x = grid.shape
    frames = len(obj) if isinstance(obj, Series) else 1
    channels = int(obj.data.shape[-4])
    dz, dy, dx = (repr(1e3 * s) for s in grid.spacing_mm)
    head: dict[str, object] = {
        "ID": "Pixels:0",
        "DimensionOrder": "XYZCT",
        "Type": kind,
        "BigEndian": "false",
    }
    head |= {"SizeX": x, "SizeY": y, "SizeZ": z, "SizeC": channels, "SizeT": frames}
    head |= {"PhysicalSizeX": dx, "PhysicalSizeY": dy, "PhysicalSizeZ": dz}
    head |= {f"PhysicalSize{axis}Unit": "µm" for axis in "XYZ"}
    if isinstance(obj, Series) and frames > 1:
        step = (obj.times_s[-1] - obj.times_s[0]) / (frames - 1)
        head |= {"TimeIncrement": repr(step), "TimeIncrementUnit": "s"}
    body = [_tag("Channel", c) for c in _channels(obj, channels)]
    body += [_tag("TiffData", {"IFD": 0, "PlaneCount": frames * channels * z})]
    body += [_tag("Plane", plane) for plane in _planes(obj, (frames, channels, z))]
    note = _escape(_place.text(_place.encode(obj)))
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        f'<OME xmlns="{NAMESPACE}" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
        f'xsi:schemaLocation="{NAMESPACE} {NAMESPACE}/ome.xsd" Creator="vesalius">'
        f"{_open('Image', {'ID': 'Image:0', 'Name': name})}{_open('Pixels', head)}"
        f'{"".join(body)}</Pixels><AnnotationRef ID="Annotation:0"/></Image>'
        "<StructuredAnnotations>"
        f'<CommentAnnotation ID="Annotation:0" Namespace="{OURS}"><Value>{note}</Value>'
        "</CommentAnnotation></StructuredAnnotations></OME>"
    )


def _channels(obj: Image | Labels | Series, count: int) -> Iterator[dict[str, object]]:
    names = obj.channels if isinstance(obj, Image) else ()
    for c in range(count):
        named = {"Name": names[c]} if names else {}
        yield {"ID": f"Channel:0:{c}", **named, "SamplesPerPixel": 1}


def _planes(
    obj: Image | Labels | Series, counts: tuple[int, int, int]
) -> Iterator[dict[str, object]]:
    frames, channels, depth = counts
    grid = _place.shown(obj.grid)
    left, posterior, superior = grid.origin_mm
    dz = grid.spacing_mm[0]
    times = obj.times_s if isinstance(obj, Series) else ()
    for t in range(frames):
        for c in range(channels):
            for z in range(depth):
                plane: dict[str, object] = {"TheZ": z, "TheT": t, "TheC": c}
                plane |= {"DeltaT": repr(times[t]), "DeltaTUnit": "s"} if times else {}
                at = {"X": left, "Y": posterior, "Z": superior + z * dz}
                for axis, mm in at.items():
                    plane[f"Position{axis}"] = repr(1e3 * mm)
                    plane[f"Position{axis}Unit"] = "µm"
                yield plane


def _open(tag: str, attributes: Mapping[str, object]) -> str:
    listed = "".join(f" {key}={quoteattr(str(value))}" for key, value in attributes.items())
    return f"<{tag}{listed}>"


def _tag(tag: str, attributes: Mapping[str, object]) -> str:
    return _open(tag, attributes)[:-1] + "/>"


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
