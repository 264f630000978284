"""Image, Labels and Series: samples that know where and what they are."""

import pytest
import torch

from vesalius.core import Grid, Image, Labels, Series
from vesalius.errors import GeometryError, RegionError, ShapeError, UnitError

GRID = Grid.from_spacing((3, 4, 5), (2.0, 1.0, 1.0))


@pytest.fixture
def image(generator):
    return Image(torch.rand(2, 3, 4, 5, generator=generator), GRID, "HU", ("ct", "mask"))


@pytest.fixture
def labels():
    data = torch.zeros(2, 3, 4, 5, dtype=torch.int16)
    data[0, 1, 1:3, 2:4] = 7
    data[0, 0, 0, 0] = 3
    data[1, 2] = 7
    return Labels(data, GRID, {(0, 7): "liver"})


def test_keeps_the_samples_as_given(image):
    assert image.dtype == torch.float32
    assert image.device == torch.device("cpu")
    assert image.unit == "HU"


def test_map_keeps_grid_unit_and_names(image):
    out = image.map(lambda x: x * 2)
    assert torch.equal(out.data, image.data * 2)
    assert (out.grid, out.unit, out.channels) == (GRID, "HU", ("ct", "mask"))


def test_map_refuses_a_function_that_changes_the_size(image):
    with pytest.raises(ShapeError, match="data must have shape"):
        image.map(lambda x: x[:, :1])


def test_goes_to_a_device(image):
    out = image.to("cpu")
    assert torch.equal(out.data, image.data)
    assert out.channels == image.channels


def test_a_crop_keeps_every_voxel_where_it_is(image):
    part = image.crop((1, 0, 2), (2, 3, 3))
    assert torch.equal(part.data, image.data[:, 1:3, 0:3, 2:5])
    zero = torch.zeros(3, dtype=torch.float64)
    there = GRID.to_world(torch.tensor([1.0, 0.0, 2.0], dtype=torch.float64))
    assert torch.equal(part.grid.to_world(zero), there)
    assert part.channels == image.channels


@pytest.mark.parametrize(("start", "shape"), [((-1, 0, 0), (1, 1, 1)), ((2, 0, 0), (2, 1, 1))])
def test_refuses_a_crop_that_leaves_the_image(image, labels, start, shape):
    for noun in (image, labels):
        with pytest.raises(GeometryError, match=r"box must lie inside the grid \(3, 4, 5\)"):
            noun.crop(start, shape)


@pytest.mark.parametrize("shape", [(3, 4, 5), (1, 3, 4, 6), (1, 1, 3, 4, 5)])
def test_refuses_samples_that_do_not_fit_the_grid(shape):
    with pytest.raises(ShapeError, match=r"data must have shape \(C, 3, 4, 5\) to fit its grid"):
        Image(torch.zeros(shape), GRID)
    with pytest.raises(ShapeError, match=r"data must have shape \(C, 3, 4, 5\) to fit its grid"):
        Labels(torch.zeros(shape, dtype=torch.uint8), GRID)


@pytest.mark.parametrize("dtype", [torch.bool, torch.complex64])
def test_refuses_samples_that_are_not_real_numbers(dtype):
    with pytest.raises(UnitError, match="data must be real numbers"):
        Image(torch.zeros(1, 3, 4, 5, dtype=dtype), GRID)


def test_refuses_names_for_some_channels_only():
    with pytest.raises(ShapeError, match="channels must name all 2 channels or none"):
        Image(torch.zeros(2, 3, 4, 5), GRID, channels=("one",))


def test_an_image_says_what_it_is(image):
    assert repr(image).startswith("Image(2 channels, float32, unit HU, Grid(")
    assert repr(Image(image.data[:1], GRID)).startswith("Image(1 channel, float32, unit 1")


def test_lists_the_labels_by_layer(labels):
    assert labels.values == ((0, 3), (0, 7), (1, 7))


def test_picks_one_region(labels):
    assert int(labels.mask(7).sum()) == 4
    assert int(labels.mask(7, layer=1).sum()) == 20
    assert labels.mask(3).dtype == torch.bool


def test_names_a_region_or_says_its_value(labels):
    assert labels.name(7) == "liver"
    assert labels.name(7, 1) == "label 7"


def test_refuses_a_label_that_does_not_occur(labels):
    with pytest.raises(RegionError, match=r"label 9 .*3, 7"):
        labels.mask(9)


def test_says_that_there_are_none_where_a_layer_is_empty():
    empty = Labels(torch.zeros(1, 3, 4, 5, dtype=torch.uint8), GRID)
    assert empty.values == ()
    with pytest.raises(RegionError, match="none"):
        empty.mask(1)


@pytest.mark.parametrize("layer", [-1, 2])
def test_refuses_a_layer_that_is_not_there(labels, layer):
    with pytest.raises(RegionError, match="layer must be below 2"):
        labels.mask(7, layer)


def test_takes_a_boolean_mask_as_labels():
    labels = Labels(torch.ones(1, 3, 4, 5, dtype=torch.bool), GRID)
    assert labels.data.dtype == torch.uint8
    assert labels.values == ((0, 1),)


@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64])
def test_refuses_labels_that_are_not_integers(dtype):
    with pytest.raises(UnitError, match="labels must be integers"):
        Labels(torch.zeros(1, 3, 4, 5, dtype=dtype), GRID)


def test_labels_keep_their_names(labels):
    assert labels.crop((0, 0, 0), (1, 1, 1)).names == labels.names
    assert labels.to("cpu").names == labels.names
    assert labels.device == torch.device("cpu")
    assert repr(labels).startswith("Labels(2 layers, 1 names, Grid(")


def test_a_series_gives_one_image_for_each_time(generator):
    data = torch.rand(3, 1, 3, 4, 5, generator=generator)
    series = Series(data, GRID, (0.0, 0.5, 1.5), "1")
    assert len(series) == 3
    assert torch.equal(series[1].data, data[1])
    assert [torch.equal(frame.data, data[t]) for t, frame in enumerate(series)] == [True] * 3


def test_refuses_a_series_that_does_not_fit():
    with pytest.raises(ShapeError, match=r"data must have shape \(T, C"):
        Series(torch.zeros(1, 3, 4, 5), GRID, (0.0,))
    with pytest.raises(ShapeError, match="one time for each of 2 frames, got 1"):
        Series(torch.zeros(2, 1, 3, 4, 5), GRID, (0.0,))


@pytest.mark.parametrize("times", [(1.0, 0.0), (1.0, 1.0)])
def test_refuses_times_that_do_not_increase(times):
    with pytest.raises(ShapeError, match="times_s must increase"):
        Series(torch.zeros(2, 1, 3, 4, 5), GRID, times)


@pytest.mark.parametrize("dtype", [torch.uint16, torch.uint32, torch.uint64, torch.int64])
@pytest.mark.parametrize("value", [300, 70_000])
def test_lists_labels_of_every_integer_type(dtype: torch.dtype, value: int):
    if value > torch.iinfo(dtype).max:
        value = 65_535
    data = torch.zeros(1, 3, 4, 5, dtype=torch.int64)
    data[0, 1, 1:3] = value
    assert Labels(data.to(dtype), GRID).values == ((0, value),)
