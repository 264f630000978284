"""OME-XML: read without entities, refused where it does not place samples."""

import pytest
from micro_files import ome_xml, sizes

from vesalius.errors import FormatError
from vesalius.io.micro._omexml import XML_BYTES, parse

LAUGHS = '<!DOCTYPE lolz [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>'
OUTSIDE = '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>'


@pytest.mark.parametrize("before", [LAUGHS, OUTSIDE, "<!DOCTYPE OME>"])
def test_refuses_a_doctype_so_that_no_entity_is_expanded(before: str) -> None:
    with pytest.raises(FormatError, match="without a DOCTYPE, this has one or is longer"):
        parse("a.tif", ome_xml(sizes(), before=before))


def test_refuses_a_document_beyond_its_budget() -> None:
    with pytest.raises(FormatError, match="of at most 32 MiB"):
        parse("a.tif", "x" * (XML_BYTES + 1))


@pytest.mark.parametrize("text", ["", "<OME>", "<OME></ome>", "no xml", "<OME>&undefined;</OME>"])
def test_refuses_what_is_not_well_formed(text: str) -> None:
    with pytest.raises(FormatError, match="must have well-formed OME-XML"):
        parse("a.tif", text)


@pytest.mark.parametrize(
    "pixels",
    [
        sizes(SizeX=0),
        sizes(SizeZ=-1),
        sizes(SizeX="many"),
        sizes(DimensionOrder="ZCTXY"),
        sizes().replace("SizeT", "SizeU"),
        sizes(PhysicalSizeX="wide"),
    ],
)
def test_refuses_what_does_not_place_samples(pixels: str) -> None:
    with pytest.raises(FormatError, match="must give sizes, order and planes as numbers"):
        parse("a.tif", ome_xml(pixels))


@pytest.mark.parametrize(
    "body",
    [
        '<TiffData IFD="-1"/>',
        '<TiffData FirstZ="-2"/>',
        '<TiffData PlaneCount="-1"/>',
        '<TiffData IFD="x"/>',
        '<Channel SamplesPerPixel="a"/>',
        '<Plane TheZ="b" PositionZ="1" PositionZUnit="mm"/>',
    ],
)
def test_refuses_planes_that_are_no_numbers(body: str) -> None:
    with pytest.raises(FormatError, match="must give sizes, order and planes as numbers"):
        parse("a.tif", ome_xml(sizes(), body))


def test_refuses_an_image_without_pixels() -> None:
    xml = "<OME><Image ID='Image:0'/></OME>"
    with pytest.raises(FormatError, match="an Image has no Pixels"):
        parse("a.tif", xml)


def test_refuses_xml_that_lives_in_a_second_file() -> None:
    xml = '<OME><BinaryOnly MetadataFile="x.companion.ome" UUID="u:1"/></OME>'
    with pytest.raises(FormatError, match="must hold its own OME-XML"):
        parse("a.tif", xml)


def test_needs_no_namespace() -> None:
    (pixels,) = parse("a.tif", ome_xml(sizes(SizeX=7)).replace(" xmlns=", " other="))
    assert pixels.sizes["X"] == 7


def test_an_older_schema_is_read_alike() -> None:
    xml = ome_xml(sizes(SizeX=7, PhysicalSizeX=2)).replace("2016-06", "2013-06")
    (pixels,) = parse("a.tif", xml)
    assert pixels.spacing_mm["X"] == pytest.approx(2e-3)


def test_a_note_of_another_program_is_not_ours() -> None:
    notes = (
        "<StructuredAnnotations><CommentAnnotation ID='Annotation:0' Namespace='other'>"
        "<Value>x</Value></CommentAnnotation></StructuredAnnotations>"
    )
    xml = ome_xml(sizes(), after=notes).replace(
        "</Image>", "<AnnotationRef ID='Annotation:0'/></Image>"
    )
    assert parse("a.tif", xml)[0].note == ""
    assert parse("a.tif", xml.replace("'other'", "'vesalius'"))[0].note == "x"


def test_times_that_do_not_increase_are_no_times() -> None:
    body = '<Plane TheT="0" DeltaT="2"/><Plane TheT="1" DeltaT="2"/>'
    (pixels,) = parse("a.tif", ome_xml(sizes(SizeT=2), body))
    assert pixels.times_s == ()


def test_the_earliest_plane_of_a_frame_gives_its_time() -> None:
    body = '<Plane TheT="0" TheZ="1" DeltaT="2"/><Plane TheT="0" TheZ="0" DeltaT="1.5"/>'
    (pixels,) = parse("a.tif", ome_xml(sizes(SizeZ=2), body))
    assert pixels.times_s == (1.5,)
