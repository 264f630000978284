"""Views: pictures, outlines and scale agree with the image's geometry."""

import io
import itertools

import numpy as np
import pytest
import torch

from vesalius.core import Grid, Image, Labels
from vesalius.study._views import (
    Window,
    choose_window,
    close_up,
    outline,
    overview,
    png,
)


@pytest.fixture
def scene():
    grid = Grid.from_spacing((10, 20, 30), (3.0, 2.0, 1.0), origin_mm=(5.0, -7.0, 11.0))
    data = torch.zeros(1, 10, 20, 30)
    data[0, 4:7, 6:12, 10:18] = 100.0
    labels = torch.zeros(1, 10, 20, 30, dtype=torch.int16)
    labels[0, 4:7, 6:12, 10:18] = 7
    return Image(data, grid, "HU"), Labels(labels, grid, {(0, 7): "block"})


def area(line):
    x, y = np.asarray(line).T
    return 0.5 * abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1)))


def test_outline_encloses_the_area_of_the_region_in_mm(scene):
    image, labels = scene
    (axial, coronal, sagittal) = overview(
        image, outline(labels, ((0, 7),), names=("block",)), window=Window(0, 100, "HU")
    )
    # the corners of a pixel mask are cut off by half a pixel: 4 of them, an eighth pixel each
    for view, pixels, pixel in ((axial, 48, 2.0), (coronal, 24, 3.0), (sagittal, 18, 6.0)):
        (contour,) = view.contours
        assert area(contour.lines[0]) == pytest.approx((pixels - 0.5) * pixel)
        assert (
            view.size_mm
            == {
                "axial": (40.0, 30.0),
                "coronal": (30.0, 30.0),
                "sagittal": (30.0, 40.0),
            }[view.plane.name]
        )


def test_picture_and_outline_lie_on_each_other(scene):
    image, labels = scene
    views = overview(
        image, outline(labels, ((0, 7),), names=("block",)), window=Window(0, 100, "HU")
    )
    for view in views:
        bright = np.argwhere(view.picture == 255)
        low = bright.min(0) * view.plane.pixel_mm
        high = (bright.max(0) + 1) * view.plane.pixel_mm
        xy = np.asarray(view.contours[0].lines[0])
        np.testing.assert_allclose(xy.min(0), low[::-1], atol=0.01)
        np.testing.assert_allclose(xy.max(0), high[::-1], atol=0.01)


def test_the_slice_that_meets_the_region_is_shown_and_its_place_is_told(scene):
    image, labels = scene
    axial, _, sagittal = overview(
        image, outline(labels, ((0, 7),), names=("block",)), window=Window(0, 100, "HU")
    )
    assert axial.position == "S 23.0 mm"
    assert sagittal.position == "L 15.0 mm"


def test_without_regions_the_middle_is_shown(scene):
    image, _ = scene
    views = overview(image, (), window=Window(0, 100, "HU"))
    assert [v.contours for v in views] == [(), (), ()]


def test_close_up_is_smaller_and_keeps_the_region_whole(scene):
    image, labels = scene
    outlines = outline(labels, ((0, 7),), names=("block",))
    views = close_up(image, outlines, focus=outlines[0], window=Window(0, 100, "HU"))
    axial = views[0]
    assert axial.size_mm[0] <= 40.0
    assert area(axial.contours[0].lines[0]) == pytest.approx(47.5 * 2)


def test_a_scale_bar_is_round_and_fits(scene):
    image, _ = scene
    for view in overview(image, (), window=Window(0, 100, "HU")):
        assert view.bar_mm in (1.0, 2.0, 5.0, 10.0)
        assert view.bar_mm <= view.size_mm[1] / 4


@pytest.mark.parametrize("values", [(1, 200), (300, 70000), (-5, 9)])
def test_boxes_agree_with_a_search_for_each_label(values, generator):
    data = torch.zeros(2, 6, 7, 8, dtype=torch.int32)
    for layer, value in itertools.product(range(2), values):
        where = torch.rand((6, 7, 8), generator=generator) < 0.02
        data[layer][where] = value
        data[layer, layer, 0, 0] = value
    labels = Labels(data, Grid.from_spacing((6, 7, 8)))
    regions = labels.values
    for found in outline(labels, regions, names=tuple(map(str, regions))):
        where = np.argwhere((data[found.layer] == found.value).numpy())
        assert [s.start for s in found.box] == where.min(0).tolist()
        assert [s.stop for s in found.box] == (where.max(0) + 1).tolist()


def test_a_label_that_is_absent_has_no_box(scene):
    image, labels = scene
    (absent,) = outline(labels, ((0, 3),), names=("absent",))
    assert absent.box is None
    assert absent.mask().size == 0
    assert absent.values(image).numel() == 0
    assert close_up(image, (absent,), focus=absent, window=Window(0, 1, "1")) == ()


def test_window_of_lungs_is_wide_of_soft_tissue_narrow(scene):
    image, labels = scene
    outlines = outline(labels, ((0, 7),), names=("block",))
    assert choose_window(image, outlines).text == "window 400 HU, level 40 HU"
    airy = image.map(lambda x: x - 900)
    assert choose_window(airy, outlines).text == "window 1500 HU, level −350 HU"


def test_window_without_unit_spans_the_samples():
    grid = Grid.from_spacing((5, 10, 20))
    ramp = Image(torch.arange(1000.0).reshape(1, 5, 10, 20), grid)
    window = choose_window(ramp, ())
    assert window.low == pytest.approx(9.99)
    assert window.high == pytest.approx(994.005)


@pytest.mark.parametrize("value", [5.0, float("nan")])
def test_window_of_a_flat_or_empty_image_is_not_empty(value):
    window = choose_window(Image(torch.full((1, 2, 2, 2), value), Grid.from_spacing((2, 2, 2))), ())
    assert window.high > window.low


def test_png_is_read_back_by_another_reader():
    from PIL import Image as Reader

    grey = np.arange(35, dtype=np.uint8).reshape(5, 7)
    np.testing.assert_array_equal(np.asarray(Reader.open(io.BytesIO(png(grey)))), grey)


def test_large_pictures_are_shrunk_not_their_size_in_mm():
    image = Image(
        torch.zeros(1, 1, 2100, 3001), Grid.from_spacing((1, 2100, 3001), (1.0, 0.5, 0.5))
    )
    (view,) = overview(image, (), window=Window(0, 1, "1"))
    assert max(view.picture.shape) <= 1024
    assert view.size_mm == (1050.0, 1500.5)
