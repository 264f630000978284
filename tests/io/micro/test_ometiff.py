"""OME-TIFF: planes where the XML says, places in mm, sets of files, and what is refused."""

import itertools
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from micro_files import ome_xml, ramp, sizes, write_ome
from phantoms_io import corners, make_phantom

from vesalius import io
from vesalius.core import Grid, Image, Labels, Series
from vesalius.errors import FormatError

COUNTS = {"Z": 2, "C": 3, "T": 4}
MICROSCOPE = Grid.from_spacing((3, 40, 30), (3e-4, 1e-4, 2e-4), origin_mm=(1.5, -2.25, 0.125))


def codes(handle: io.Handle) -> set[str]:
    return {finding.code for finding in handle.findings}


def stack(path: Path, order: str = "XYZCT", body: str = "<TiffData/>", **more: object) -> Path:
    """24 planes of 5 x 6 in the order of pages."""
    told = sizes(SizeX=6, SizeY=5, SizeZ=2, SizeC=3, SizeT=4, DimensionOrder=order, **more)
    return write_ome(path, ramp(24, 5, 6, dtype="uint16"), ome_xml(told, body))


@pytest.mark.parametrize("order", ["XY" + "".join(p) for p in itertools.permutations("ZCT")])
def test_planes_go_where_the_dimension_order_says(tmp_path, order: str) -> None:
    handle = io.open(stack(tmp_path / "a.ome.tif", order), frames="channels")
    data = ramp(24, 5, 6, dtype="uint16").reshape(*(COUNTS[a] for a in order[:1:-1]), 5, 6)
    at = [order[:1:-1].index(a) for a in "TCZ"]
    wanted = data.transpose(*at, 3, 4).reshape(12, 2, 5, 6)
    np.testing.assert_array_equal(handle.read().data.numpy(), wanted)


@pytest.mark.parametrize("order", ["XYZCT", "XYCZT", "XYTCZ"])
def test_agrees_with_tifffile_on_what_tifffile_wrote(tmp_path, order: str) -> None:
    axes = order[::-1]
    data = ramp(*(dict(COUNTS, Y=5, X=6)[a] for a in axes), dtype="uint16")
    path = tmp_path / "a.ome.tif"
    told = {"axes": axes, "PhysicalSizeX": 0.5, "PhysicalSizeXUnit": "µm"}
    told |= {"PhysicalSizeY": 250, "PhysicalSizeYUnit": "nm", "PhysicalSizeZ": 0.001}
    told |= {"PhysicalSizeZUnit": "mm", "TimeIncrement": 20, "TimeIncrementUnit": "ms"}
    told |= {"Channel": {"Name": ["DAPI", "GFP", "Cy5"]}}
    tifffile.imwrite(path, data, ome=True, metadata=told, photometric="minisblack")
    handle = io.open(path)
    assert handle.grid.spacing_mm == pytest.approx((1e-3, 2.5e-4, 5e-4))
    assert handle.content.times_s == pytest.approx((0.0, 0.02, 0.04, 0.06))
    assert handle.content.channels == ("DAPI", "GFP", "Cy5")
    with tifffile.TiffFile(path) as tif:
        series = tif.series[0]
        oracle = series.asarray().transpose([series.axes.index(a) for a in "TCZYX"])
    np.testing.assert_array_equal(handle.read_series().data.numpy(), oracle)


def test_every_plane_may_have_a_tiffdata_of_its_own(tmp_path) -> None:
    places = [(z, c) for c in range(3) for z in range(2)]
    shuffled = [4, 1, 0, 5, 3, 2]
    body = "".join(
        f'<TiffData IFD="{ifd}" FirstZ="{z}" FirstC="{c}" FirstT="0" PlaneCount="1"/>'
        for ifd, (z, c) in zip(shuffled, places, strict=True)
    )
    told = sizes(SizeX=6, SizeY=5, SizeZ=2, SizeC=3)
    path = write_ome(tmp_path / "a.ome.tif", ramp(6, 5, 6), ome_xml(told, body))
    back = io.open(path).read().data.numpy()
    for ifd, (z, c) in zip(shuffled, places, strict=True):
        np.testing.assert_array_equal(back[c, z], ramp(6, 5, 6)[ifd])


def test_a_tiffdata_with_an_ifd_and_no_count_is_one_plane(tmp_path) -> None:
    body = '<TiffData IFD="1" FirstZ="0"/><TiffData IFD="0" FirstZ="1"/>'
    told = sizes(SizeX=6, SizeY=5, SizeZ=2)
    path = write_ome(tmp_path / "a.ome.tif", ramp(2, 5, 6), ome_xml(told, body))
    np.testing.assert_array_equal(io.open(path).read().data[0].numpy(), ramp(2, 5, 6)[::-1])


def test_absent_planes_are_refused_unless_gaps_are_allowed(tmp_path) -> None:
    body = '<TiffData IFD="0" FirstZ="0"/><TiffData IFD="1" FirstZ="2"/>'
    told = sizes(SizeX=6, SizeY=5, SizeZ=3)
    path = write_ome(tmp_path / "a.ome.tif", ramp(2, 5, 6) + 1, ome_xml(told, body))
    with pytest.raises(FormatError, match=r"1 of 3 planes are absent .*allow=\(\"gaps\",\)"):
        io.open(path).read()
    handle = io.open(path, allow=("gaps",))
    assert [(f.severity, f.code) for f in handle.findings if f.code == "missing-planes"] == [
        ("warning", "missing-planes")
    ]
    back = handle.read().data[0]
    assert int(back[1].sum()) == 0
    np.testing.assert_array_equal(back[2].numpy(), ramp(2, 5, 6)[1] + 1)


def test_no_tiffdata_at_all_is_an_absence_of_every_plane(tmp_path) -> None:
    handle = io.open(stack(tmp_path / "a.ome.tif", body=""))
    assert "no-tiffdata" in codes(handle)
    assert handle.refusal


def test_colour_pages_become_channels(tmp_path) -> None:
    told = sizes(SizeX=6, SizeY=5, SizeZ=2, SizeC=3)
    body = '<Channel ID="Channel:0:0" SamplesPerPixel="3" Name="bright"/><TiffData/>'
    data = ramp(2, 5, 6, 3)
    path = write_ome(tmp_path / "a.ome.tif", data, ome_xml(told, body))
    back = io.open(path).read()
    assert back.channels == ("R", "G", "B")
    np.testing.assert_array_equal(back.data.numpy(), np.moveaxis(data, -1, 0))


def test_several_images_give_several_handles(tmp_path) -> None:
    path = tmp_path / "a.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as tif:
        tif.write(ramp(5, 6), photometric="minisblack")
        tif.write(ramp(3, 7, 8, dtype="uint16"), photometric="minisblack")
    first, second = io.scan(path)
    assert (first.name, second.name) == ("a.ome.tif#0", "a.ome.tif#1")
    np.testing.assert_array_equal(first.read().data[0, 0].numpy(), ramp(5, 6))
    np.testing.assert_array_equal(second.read().data.numpy().squeeze(), ramp(3, 7, 8))


def test_levels_in_subifds_are_read_by_region(tmp_path) -> None:
    path = tmp_path / "a.ome.tif"
    big, small = ramp(2, 64, 48, dtype="uint16"), ramp(2, 32, 24, dtype="uint16") + 7
    with tifffile.TiffWriter(path, ome=True) as tif:
        told = {"axes": "ZYX", "PhysicalSizeX": 1.0, "PhysicalSizeY": 1.0}
        tif.write(big, subifds=1, metadata=told, tile=(16, 16))
        tif.write(small, subfiletype=1, tile=(16, 16))
    handle = io.open(path)
    assert [grid.shape for grid in handle.coarser] == [(2, 32, 24)]
    assert handle.coarser[0].origin_mm[:2] == pytest.approx((5e-4, 5e-4))
    part = handle.read((slice(1, 2), slice(10, 32), slice(0, 9)), level=1)
    np.testing.assert_array_equal(part.data[0, 0].numpy(), small[1, 10:32, :9])


def test_a_page_without_its_pyramid_is_told_when_it_is_read(tmp_path) -> None:
    path = tmp_path / "a.ome.tif"
    told = sizes(SizeX=32, SizeY=32, SizeZ=2)
    with tifffile.TiffWriter(path) as tif:
        xml = ome_xml(told, "<TiffData/>").encode()
        tif.write(ramp(32, 32), subifds=1, description=xml, metadata=None)
        tif.write(ramp(16, 16), subfiletype=1, metadata=None)
        tif.write(ramp(32, 32), metadata=None)
    handle = io.open(path)
    assert int(handle.read().data.sum()) == 2 * int(ramp(32, 32).astype(int).sum())
    with pytest.raises(FormatError, match="must have its pyramid on every page"):
        handle.read(level=1)


def planes(*told: str) -> str:
    return "<TiffData/>" + "".join(f"<Plane {one}/>" for one in told)


def test_the_stage_position_is_the_origin_and_says_so(tmp_path) -> None:
    at = 'PositionXUnit="mm" PositionYUnit="µm" PositionZUnit="nm"'
    body = planes(
        f'TheZ="1" TheC="0" TheT="0" PositionX="9" PositionY="9" PositionZ="7000" {at}',
        f'TheZ="0" TheC="0" TheT="0" PositionX="2.5" PositionY="-300" PositionZ="5000" {at}',
    )
    told = sizes(SizeX=6, SizeY=5, SizeZ=2, PhysicalSizeX=1, PhysicalSizeY=1, PhysicalSizeZ=2)
    path = write_ome(tmp_path / "a.ome.tif", ramp(2, 5, 6), ome_xml(told, body))
    handle = io.open(path)
    assert handle.grid.origin_mm == pytest.approx((2.5, -0.3, 5e-3))
    assert codes(handle) == {"stage-origin"}


def test_a_position_in_the_reference_frame_is_no_length(tmp_path) -> None:
    body = planes('TheZ="0" TheC="0" TheT="0" PositionX="2.5" PositionY="1"')
    told = sizes(SizeX=6, SizeY=5, PhysicalSizeX=1, PhysicalSizeY=1)
    path = write_ome(tmp_path / "a.ome.tif", ramp(1, 5, 6), ome_xml(told, body))
    assert io.open(path).grid.origin_mm == (0.0, 0.0, 0.0)


def heights(*z_um: float) -> str:
    return planes(
        *(
            f'TheZ="{k}" TheC="0" TheT="0" PositionZ="{z}" PositionZUnit="µm"'
            for k, z in enumerate(z_um)
        )
    )


def test_slice_positions_stand_in_for_a_missing_slice_distance(tmp_path) -> None:
    told = sizes(SizeX=6, SizeY=5, SizeZ=3, PhysicalSizeX=1, PhysicalSizeY=1)
    path = write_ome(tmp_path / "a.ome.tif", ramp(3, 5, 6), ome_xml(told, heights(4, 7, 10)))
    handle = io.open(path)
    assert handle.grid.spacing_mm[0] == pytest.approx(3e-3)
    assert "no-z-spacing" not in codes(handle)


def test_slice_positions_that_differ_from_the_slice_distance_are_told(tmp_path) -> None:
    told = sizes(SizeX=6, SizeY=5, SizeZ=3, PhysicalSizeX=1, PhysicalSizeY=1, PhysicalSizeZ=1)
    path = write_ome(tmp_path / "a.ome.tif", ramp(3, 5, 6), ome_xml(told, heights(4, 7, 10)))
    handle = io.open(path)
    assert handle.grid.spacing_mm[0] == pytest.approx(1e-3)
    assert "z-spacing-differs" in codes(handle)


def test_no_slice_distance_at_all_takes_that_along_x_and_says_so(tmp_path) -> None:
    told = sizes(SizeX=6, SizeY=5, SizeZ=3, PhysicalSizeX=2, PhysicalSizeY=1)
    path = write_ome(tmp_path / "a.ome.tif", ramp(3, 5, 6), ome_xml(told, "<TiffData/>"))
    handle = io.open(path)
    assert handle.grid.spacing_mm == pytest.approx((2e-3, 1e-3, 2e-3))
    assert codes(handle) == {"no-z-spacing"}


@pytest.mark.parametrize("more", [{}, {"PhysicalSizeX": 1, "PhysicalSizeXUnit": "pixel"}])
def test_sizes_without_a_length_give_no_spacing(tmp_path, more) -> None:
    told = sizes(SizeX=6, SizeY=5, PhysicalSizeY=1, **more)
    path = write_ome(tmp_path / "a.ome.tif", ramp(1, 5, 6), ome_xml(told, "<TiffData/>"))
    handle = io.open(path)
    assert handle.grid.spacing_mm == (1.0, 1.0, 1.0)
    assert "no-spacing" in codes(handle)


def test_times_of_planes_win_over_an_increment(tmp_path) -> None:
    body = planes(*(f'TheT="{t}" DeltaT="{s}" DeltaTUnit="ms"' for t, s in ((0, 5), (1, 90))))
    told = sizes(SizeX=6, SizeY=5, SizeT=2, TimeIncrement=1)
    path = write_ome(tmp_path / "a.ome.tif", ramp(2, 5, 6), ome_xml(told, body))
    assert io.open(path).content.times_s == pytest.approx((0.005, 0.09))


def test_frames_without_times_are_told_and_refused_as_a_series(tmp_path) -> None:
    told = sizes(SizeX=6, SizeY=5, SizeT=2)
    path = write_ome(tmp_path / "a.ome.tif", ramp(2, 5, 6), ome_xml(told, "<TiffData/>"))
    handle = io.open(path)
    assert "no-times" in codes(handle)
    with pytest.raises(FormatError, match="must give the time of its 2 frames"):
        handle.read_series()


def split(folder: Path, name: str = "b.ome.tif") -> Path:
    """Two slices in two files; the first file's XML names both."""
    body = "".join(
        f'<TiffData IFD="0" FirstZ="{z}"><UUID FileName="{file}">u:{z}</UUID></TiffData>'
        for z, file in enumerate(("a.ome.tif", name))
    )
    told = sizes(SizeX=6, SizeY=5, SizeZ=2)
    return write_ome(folder / "a.ome.tif", ramp(1, 5, 6), ome_xml(told, body))


def test_a_set_of_files_is_read_from_its_folder(tmp_path) -> None:
    path = split(tmp_path)
    tifffile.imwrite(tmp_path / "b.ome.tif", ramp(5, 6) + 40, metadata=None, ome=False)
    handle = io.open(path)
    assert handle.meta["files"] == 2
    assert "file-set" in codes(handle)
    back = handle.read().data[0].numpy()
    np.testing.assert_array_equal(back, [ramp(5, 6), ramp(5, 6) + 40])


def test_a_set_with_a_file_missing_lacks_its_planes(tmp_path) -> None:
    handle = io.open(split(tmp_path))
    assert "1 of 2 planes are absent" in handle.refusal


@pytest.mark.parametrize("name", ["../b.tif", "/etc/passwd", "sub/b.tif", "..", ".hidden.tif"])
def test_a_set_never_leaves_its_folder(tmp_path, name: str) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    tifffile.imwrite(tmp_path / "b.tif", ramp(5, 6))
    with pytest.raises(FormatError, match="its OME-XML names a file elsewhere"):
        io.open(split(folder, name))


def test_a_link_out_of_the_folder_is_no_part_of_a_set(tmp_path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    tifffile.imwrite(tmp_path / "secret.tif", ramp(5, 6))
    (folder / "b.ome.tif").symlink_to(tmp_path / "secret.tif")
    with pytest.raises(FormatError, match="its OME-XML names a file elsewhere"):
        io.open(split(folder))


def test_a_file_of_a_set_that_lacks_its_page_is_refused(tmp_path) -> None:
    body = '<TiffData IFD="3" FirstZ="0"><UUID FileName="b.ome.tif">u:2</UUID></TiffData>'
    told = sizes(SizeX=6, SizeY=5)
    path = write_ome(tmp_path / "a.ome.tif", ramp(1, 5, 6), ome_xml(told, body))
    tifffile.imwrite(tmp_path / "b.ome.tif", ramp(5, 6), metadata=None, ome=False)
    with pytest.raises(FormatError, match="page 3 is not in the file that should have it"):
        io.open(path).read()


def test_a_file_of_a_set_with_pages_of_another_kind_is_refused(tmp_path) -> None:
    path = split(tmp_path)
    tifffile.imwrite(tmp_path / "b.ome.tif", ramp(5, 7), metadata=None, ome=False)
    with pytest.raises(FormatError, match=r"must have pages that are alike"):
        io.open(path).read()


def test_refuses_sizes_that_differ_from_the_pages(tmp_path) -> None:
    told = sizes(SizeX=60, SizeY=5)
    path = write_ome(tmp_path / "a.ome.tif", ramp(1, 5, 6), ome_xml(told, "<TiffData/>"))
    with pytest.raises(FormatError, match="must have pages of the size that its OME-XML says"):
        io.open(path)


def test_refuses_more_planes_than_any_file_has(tmp_path) -> None:
    told = sizes(SizeX=6, SizeY=5, SizeZ=100_000, SizeT=100_000)
    path = write_ome(tmp_path / "a.ome.tif", ramp(1, 5, 6), ome_xml(told, "<TiffData/>"))
    with pytest.raises(FormatError, match="its OME-XML claims 10000000000"):
        io.open(path)


def test_refuses_channels_that_do_not_group_into_samples(tmp_path) -> None:
    told = sizes(SizeX=6, SizeY=5, SizeC=4)
    body = '<Channel SamplesPerPixel="3"/><TiffData/>'
    path = write_ome(tmp_path / "a.ome.tif", ramp(1, 5, 6), ome_xml(told, body))
    with pytest.raises(FormatError, match="must have channels of equal samples"):
        io.open(path)


def test_refuses_a_document_without_images(tmp_path) -> None:
    xml = '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"></OME>'
    path = write_ome(tmp_path / "a.ome.tif", ramp(1, 5, 6), xml)
    with pytest.raises(FormatError, match="its OME-XML has none"):
        io.open(path)


# ---------------------------------------------------------------- written by us


def image(dtype: torch.dtype = torch.int16) -> Image:
    data = torch.arange(2 * 3 * 40 * 30).reshape(2, 3, 40, 30).to(dtype)
    return Image(data, MICROSCOPE, "photon", ("DAPI", "Grün <&>"))


def test_what_we_write_is_valid_and_says_what_we_know(tmp_path) -> None:
    ome_types = pytest.importorskip("ome_types", reason="the oracle for OME-XML is not installed")
    io.save(image(), tmp_path / "a.ome.tif")
    pixels = ome_types.from_tiff(tmp_path / "a.ome.tif").images[0].pixels
    assert (pixels.size_x, pixels.size_y, pixels.size_z, pixels.size_c) == (30, 40, 3, 2)
    sizes_um = (pixels.physical_size_z, pixels.physical_size_y, pixels.physical_size_x)
    assert sizes_um == pytest.approx((0.3, 0.1, 0.2), rel=1e-12)
    assert {pixels.physical_size_x_unit.value, pixels.physical_size_z_unit.value} == {"µm"}
    assert [channel.name for channel in pixels.channels] == ["DAPI", "Grün <&>"]
    assert pixels.type.value == "int16"
    last = pixels.planes[-1]
    assert (last.the_z, last.the_c) == (2, 1)
    at = (last.position_x, last.position_y, last.position_z)
    assert at == pytest.approx((1500.0, -2250.0, 125.6), rel=1e-9)


def test_our_document_passes_the_schema(tmp_path) -> None:
    ome_types = pytest.importorskip("ome_types", reason="the oracle for OME-XML is not installed")
    if shutil.which("xmllint") is None:
        pytest.skip("xmllint is not installed")
    series = Series(image().data[:, None], MICROSCOPE, (0.0, 2.0))
    schema = Path(ome_types.__file__).parent / "ome-2016-06.xsd"
    for name, made in (("a", image()), ("b", series), ("c", make_phantom())):
        io.save(made, tmp_path / f"{name}.ome.tif")
        xml = tmp_path / f"{name}.xml"
        xml.write_text(tifffile.tiffcomment(tmp_path / f"{name}.ome.tif"))
        call = ["xmllint", "--nonet", "--noout", "--schema", str(schema), str(xml)]
        found = subprocess.run(call, capture_output=True, text=True, check=False)
        assert found.returncode == 0, found.stderr[:2000]


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int8", "int32", "float32", "float64"])
def test_tifffile_reads_what_we_write(tmp_path, dtype: str) -> None:
    made = image(getattr(torch, dtype))
    io.save(made, tmp_path / "a.ome.tif")
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as tif:
        series = tif.series[0]
        assert (series.kind, series.axes) == ("ome", "CZYX")
        assert series.dtype == np.dtype(dtype)
        np.testing.assert_array_equal(series.asarray(), made.data.numpy())


def test_large_planes_are_tiled_and_deflated(tmp_path) -> None:
    grid = Grid.from_spacing((1, 600, 700), (1e-3, 1e-3, 1e-3))
    io.save(Image(torch.zeros(1, 1, 600, 700), grid), tmp_path / "a.ome.tif")
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as tif:
        assert tif.pages[0].is_tiled
        assert tif.pages[0].compression.name == "ADOBE_DEFLATE"
    assert (tmp_path / "a.ome.tif").stat().st_size < 600 * 700


def test_a_series_keeps_uneven_times(tmp_path) -> None:
    data = torch.arange(3 * 2 * 4 * 5 * 6).reshape(3, 2, 4, 5, 6).to(torch.int32)
    series = Series(data, make_phantom().grid, (0.5, 1.0, 7.25), "photon")
    io.save(series, tmp_path / "a.ome.tif")
    back = io.open(tmp_path / "a.ome.tif").read_series()
    assert back.times_s == series.times_s
    assert back.unit == "photon"
    assert torch.equal(back.data, data)
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as tif:
        assert tif.series[0].axes == "TCZYX"


def test_labels_keep_names_on_a_plain_grid(tmp_path) -> None:
    labels = Labels(torch.ones(1, 3, 40, 30, dtype=torch.uint8), MICROSCOPE, {(0, 1): "nucleus"})
    io.save(labels, tmp_path / "a.ome.tif")
    back = io.open_labels(tmp_path / "a.ome.tif")
    assert back.name(1) == "nucleus"
    torch.testing.assert_close(corners(back.grid), corners(MICROSCOPE), rtol=0, atol=1e-9)


def test_other_programs_see_origin_and_spacing_of_a_plain_grid(tmp_path) -> None:
    """Without our note the file still says where it is."""
    io.save(image(), tmp_path / "a.ome.tif")
    xml = tifffile.tiffcomment(tmp_path / "a.ome.tif")
    bare = xml[: xml.index("<AnnotationRef")] + "</Image></OME>"
    data = image().data.reshape(6, 40, 30).numpy()
    path = write_ome(tmp_path / "b.ome.tif", data, bare)
    handle = io.open(path)
    torch.testing.assert_close(corners(handle.grid), corners(MICROSCOPE), rtol=0, atol=1e-9)
    assert codes(handle) == {"stage-origin"}


def test_refuses_numbers_that_ome_does_not_know(tmp_path) -> None:
    with pytest.raises(FormatError, match="OME-TIFF must hold integers of 8 to 32 bits or floats"):
        io.save(image(torch.int64), tmp_path / "a.ome.tif")
    assert list(tmp_path.iterdir()) == []
