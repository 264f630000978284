"""Morphology of labels and grey values: oracles, properties, units."""

import numpy as np
import pytest
import scipy.ndimage as ndi
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vesalius.core import Grid, Image, Labels
from vesalius.errors import ConfigError, GeometryError, IntensityError, ShapeError
from vesalius.segment.morphology import (
    Ball,
    Box,
    Ellipsoid,
    Footprint,
    closing,
    dilate,
    erode,
    gradient,
    opening,
    reconstruct,
    top_hat,
)

SHAPE = (9, 20, 22)
SPACING = (2.5, 0.8, 1.0)
GRID = Grid.from_spacing(SHAPE, SPACING)
ELEMENTS = [
    Ball(2.6),
    Ball(0.0),
    Ellipsoid((5.0, 1.6, 3.0)),
    Ellipsoid((0.0, 2.4, 2.4)),
    Box((2.5, 0.8, 2.0)),
    Footprint(torch.tensor([[[1, 1, 0], [0, 1, 0], [0, 0, 0]]], dtype=torch.bool)),
]
seeds = st.integers(0, 2**16)


def _footprint(element, spacing=SPACING):
    """The slow way: every voxel of a block, by its distance in mm."""
    if isinstance(element, Footprint):
        return element.voxels.numpy()
    z, y, x = (s * np.arange(-8, 9).reshape(-1, *(1,) * (2 - k)) for k, s in enumerate(spacing))
    if isinstance(element, Ball):
        return z**2 + y**2 + x**2 <= element.radius_mm**2 + 1e-9
    a, b, c = element.half_mm if isinstance(element, Box) else element.radii_mm
    if isinstance(element, Box):
        return (abs(z) <= a + 1e-9) & (abs(y) <= b + 1e-9) & (abs(x) <= c + 1e-9)
    return (z / (a or 1e-9)) ** 2 + (y / (b or 1e-9)) ** 2 + (x / (c or 1e-9)) ** 2 <= 1 + 1e-9


def _mask(seed, share=0.03, shape=SHAPE):
    return np.random.default_rng(seed).random(shape) < share


def _labels(values, grid=GRID, names=None):
    return Labels(torch.from_numpy(np.asarray(values))[None], grid, names or {})


def _image(values, grid=GRID):
    return Image(torch.from_numpy(values)[None], grid, "HU")


@pytest.mark.parametrize("element", ELEMENTS, ids=repr)
def test_dilation_of_a_mask_is_scipys(element):
    mask = _mask(1)
    wanted = ndi.binary_dilation(mask, _footprint(element))
    found = dilate(_labels(mask.astype(np.uint8)), element)
    assert np.array_equal(found.data[0].numpy() != 0, wanted)


@pytest.mark.parametrize("element", ELEMENTS, ids=repr)
def test_erosion_of_a_mask_is_scipys_with_a_full_border(element):
    mask = _mask(2, 0.96)
    wanted = ndi.binary_erosion(mask, _footprint(element), border_value=1)
    found = erode(_labels(mask.astype(np.uint8)), element)
    assert np.array_equal(found.data[0].numpy() != 0, wanted)


@pytest.mark.parametrize("element", ELEMENTS, ids=repr)
@pytest.mark.parametrize("dtype", [np.int16, np.uint16, np.float32])
def test_grey_dilation_and_erosion_are_scipys(element, dtype):
    rng = np.random.default_rng(3)
    x = rng.integers(0, 60000, SHAPE).astype(np.uint16)
    x = (x.astype(np.int32) - 30000).astype(dtype) if dtype != np.uint16 else x
    footprint = _footprint(element)
    low, high = (-np.inf, np.inf) if dtype == np.float32 else (np.iinfo(dtype).min,) * 2
    high = high if dtype == np.float32 else np.iinfo(dtype).max
    wanted = ndi.grey_dilation(x, footprint=footprint, mode="constant", cval=low)
    assert np.array_equal(dilate(_image(x), element).data[0].numpy(), wanted)
    wanted = ndi.grey_erosion(x, footprint=footprint, mode="constant", cval=high)
    assert np.array_equal(erode(_image(x), element).data[0].numpy(), wanted)


@settings(max_examples=15)
@given(seeds)
def test_opening_lies_below_and_closing_above_and_both_rest(seed):
    for made in (_mask(seed, 0.6).astype(np.uint8), _mask(seed, 0.5).astype(np.uint16) * 7):
        labels = _labels(made)
        opened, closed = opening(labels, Ball(1.0)), closing(labels, Ball(1.0))
        assert ((opened.data.numpy() != 0) <= (labels.data.numpy() != 0)).all()
        assert ((closed.data.numpy() != 0) >= (labels.data.numpy() != 0)).all()
        assert np.array_equal(opening(opened, Ball(1.0)).data.numpy(), opened.data.numpy())
        assert np.array_equal(closing(closed, Ball(1.0)).data.numpy(), closed.data.numpy())


@settings(max_examples=15)
@given(seeds)
def test_erosion_is_the_dilation_of_the_complement(seed):
    mask = _mask(seed, 0.7)
    shrunk = erode(_labels(mask.astype(np.uint8)), Ball(2.0)).data.numpy() != 0
    grown = dilate(_labels((~mask).astype(np.uint8)), Ball(2.0)).data.numpy() != 0
    assert np.array_equal(shrunk, ~grown)


def test_a_label_grows_to_what_is_nearest_to_it_as_a_slow_search_finds():
    rng = np.random.default_rng(5)
    values = np.where(_mask(5, 0.01), rng.integers(1, 6, SHAPE), 0)
    spots = np.argwhere(values)
    found = dilate(_labels(values), Ball(3.0)).data[0].numpy()
    for at in np.ndindex(SHAPE):
        if values[at] == 0:
            far = np.round((((spots - at) * SPACING) ** 2).sum(axis=1), 6)
            near = spots[far == far.min()]
            wanted = min(values[tuple(p)] for p in near) if far.min() <= 9.0 + 1e-9 else 0
            assert found[at] == wanted


def test_each_label_shrinks_where_it_meets_another():
    values = np.zeros((1, 6, 12), np.int32)
    values[..., :6], values[..., 6:] = 3, 8
    found = erode(_labels(values, Grid.from_spacing((1, 6, 12))), Ball(2.0)).data[0, 0].numpy()
    assert (found[:, :4] == 3).all()
    assert (found[:, 4:8] == 0).all()
    assert (found[:, 8:] == 8).all()


@pytest.mark.parametrize("element", [Ball(2.0), Box((0, 2, 2)), Footprint(torch.ones(1, 5, 5) > 0)])
def test_names_grid_number_type_and_input_are_kept(element):
    grid = Grid.from_spacing((1, 12, 12))
    values = np.zeros((1, 12, 12), np.uint16)
    values[0, 3:6, 3:6], values[0, 8, 8] = 40000, 2
    labels = _labels(values, grid, {(0, 40000): "liver"})
    for work in (dilate, erode, opening, closing):
        found = work(labels, element)
        assert found.names == labels.names
        assert found.grid is grid
        assert found.data.dtype == torch.uint16
        assert set(np.unique(found.data.numpy())) <= {0, 2, 40000}
    assert np.array_equal(labels.data[0].numpy(), values)


def test_labels_beyond_32_bits_keep_their_value():
    values = np.zeros((1, 5, 5), np.int64)
    values[0, 2, 2] = 2**40
    found = dilate(_labels(values, Grid.from_spacing((1, 5, 5))), Ball(1.0)).data
    assert int((found == 2**40).sum()) == 5


def test_layers_and_channels_do_not_mix():
    mask = np.stack([_mask(7), _mask(8)]).astype(np.uint8)
    both = dilate(Labels(torch.from_numpy(mask), GRID), Ball(1.5)).data
    for k in range(2):
        assert torch.equal(both[k], dilate(_labels(mask[k]), Ball(1.5)).data[0])
    both = dilate(Image(torch.from_numpy(mask), GRID), Ball(1.5)).data
    for k in range(2):
        assert torch.equal(both[k], dilate(_image(mask[k]), Ball(1.5)).data[0])


def test_the_radius_is_in_millimetres_along_every_axis():
    grid = Grid.from_spacing((11, 21, 31), (4.0, 2.0, 1.0))
    values = np.zeros(grid.shape, np.uint8)
    values[5, 10, 15] = 1
    found = dilate(_labels(values, grid), Ball(8.0)).data[0].numpy()
    assert found[:, 10, 15].sum() == 5
    assert found[5, :, 15].sum() == 9
    assert found[5, 10, :].sum() == 17


def test_a_plane_grows_within_itself():
    grid = Grid.from_spacing((1, 9, 9), (5.0, 1.0, 1.0))
    values = np.zeros(grid.shape, np.uint8)
    values[0, 4, 4] = 1
    found = dilate(_labels(values, grid), Ball(2.0)).data[0, 0].numpy()
    assert np.array_equal(found != 0, ndi.binary_dilation(values[0], _disk(2)))


def _disk(r):
    y, x = np.ogrid[-r : r + 1, -r : r + 1]
    return y**2 + x**2 <= r * r


def test_top_hat_and_gradient_do_not_overflow_16_bits():
    values = np.full((1, 9, 9), -32768, np.int16)
    values[0, 4, 4] = 32767
    image = _image(values, Grid.from_spacing((1, 9, 9)))
    white, edge = top_hat(image, Ball(2.0)), gradient(image, Ball(1.0))
    assert int(white.data[0, 0, 4, 4]) == 65535
    assert int(edge.data.max()) == 65535
    assert edge.unit == "HU"
    black = top_hat(image.map(lambda x: -x - 1), Ball(2.0), kind="black")
    assert int(black.data[0, 0, 4, 4]) == 65535


def test_top_hat_of_floats_is_the_image_less_its_opening():
    image = _image(np.random.default_rng(1).random(SHAPE))
    wanted = image.data - opening(image, Ball(2.0)).data
    torch.testing.assert_close(top_hat(image, Ball(2.0)).data, wanted)


@pytest.mark.parametrize("connectivity", ["face", "full"])
@pytest.mark.parametrize("dtype", [np.float64, np.uint16, np.int16])
def test_grey_reconstruction_is_scikit_images(connectivity, dtype):
    from skimage.morphology import reconstruction

    rng = np.random.default_rng(9)
    roof = (ndi.gaussian_filter(rng.random(SHAPE), 1.0) * 30000).astype(dtype)
    marker = np.where(rng.random(SHAPE) < 0.03, roof, roof.min()).astype(dtype)
    footprint = ndi.generate_binary_structure(3, 3 if connectivity == "full" else 1)
    wanted = reconstruction(marker, roof, footprint=footprint)
    found = reconstruct(_image(marker), _image(roof), connectivity=connectivity)
    assert np.array_equal(found.data[0].numpy(), wanted)


def test_reconstruction_of_labels_keeps_what_the_marker_touches():
    values = np.zeros((1, 4, 9), np.uint8)
    values[0, 1, 1:4], values[0, 1, 4:6], values[0, 2, 7:] = 1, 2, 1
    marker = np.zeros_like(values)
    marker[0, 1, 2] = 9
    grid = Grid.from_spacing((1, 4, 9))
    found = reconstruct(_labels(marker, grid), _labels(values, grid)).data[0].numpy()
    wanted = np.zeros_like(values)
    wanted[0, 1, 1:4] = 1
    assert np.array_equal(found, wanted)


def test_refuses_what_has_no_size():
    with pytest.raises(ConfigError, match=r"radius_mm must be finite and at least 0 mm"):
        Ball(-1.0)
    with pytest.raises(ConfigError, match=r"radii_mm must be finite and at least 0 mm"):
        Ellipsoid((1.0, float("nan"), 1.0))
    with pytest.raises(ConfigError, match=r"half_mm must be finite and at least 0 mm"):
        Box((1.0, float("inf"), 1.0))
    with pytest.raises(ShapeError, match="a footprint must have odd sizes"):
        Footprint(torch.ones(1, 2, 3, dtype=torch.bool))


def test_refuses_a_sheared_grid_and_halves():
    affine = torch.eye(4, dtype=torch.float64)
    affine[0, 1] = 0.5
    sheared = Grid((2, 3, 4), affine)
    with pytest.raises(GeometryError, match="needs a grid whose axes meet at right angles"):
        dilate(_labels(np.ones((2, 3, 4), np.uint8), sheared), Ball(1.0))
    with pytest.raises(ConfigError, match="grey morphology takes integers, float32 or float64"):
        erode(Image(torch.zeros(1, *SHAPE, dtype=torch.float16), GRID), Ball(1.0))


def test_refuses_a_marker_on_another_grid_or_of_another_type():
    one, other = _image(np.zeros(SHAPE)), Grid.from_spacing(SHAPE, (1.0, 1.0, 1.0))
    with pytest.raises(GeometryError, match="marker and mask must share a grid"):
        reconstruct(_image(np.zeros(SHAPE), other), one)
    with pytest.raises(ShapeError, match="marker and mask must have one shape and number type"):
        reconstruct(one.map(lambda x: x.float()), one)
    with pytest.raises(ShapeError, match="marker and within must have as many channels"):
        reconstruct(Image(torch.zeros(2, *SHAPE), GRID), one)


@pytest.mark.parametrize("element", [Ball(1e7), Ellipsoid((1e7, 1e7, 1e7)), Box((1e7, 1e7, 1e7))])
def test_an_element_larger_than_the_image_takes_all_of_it(element):
    grid = Grid.from_spacing((3, 4, 5), (1.0, 1.0, 1.0))
    values = torch.arange(60.0).reshape(1, 3, 4, 5)
    assert bool((dilate(Image(values, grid), element).data == 59).all())
    assert bool((erode(Image(values, grid), element).data == 0).all())
    spot = torch.zeros(1, 3, 4, 5, dtype=torch.uint8)
    spot[0, 1, 1, 1] = 3
    assert bool((dilate(Labels(spot, grid), element).data == 3).all())


def test_nan_is_refused_by_grey_morphology():
    grid = Grid.from_spacing((1, 2, 3), (1.0, 1.0, 1.0))
    image = Image(torch.tensor([[[[0.0, float("nan"), 2.0], [1.0, 2.0, 3.0]]]]), grid)
    for work in (dilate, erode, opening, closing):
        with pytest.raises(IntensityError, match="1 samples are NaN"):
            work(image, Ball(1.0))
    with pytest.raises(IntensityError, match="1 samples are NaN"):
        reconstruct(image, image)
    endless = Image(
        torch.tensor([[[[0.0, -float("inf"), 2.0]]]]), Grid.from_spacing((1, 1, 3), (1.0,) * 3)
    )
    assert dilate(endless, Ball(1.0)).data.ravel().tolist() == [0.0, 2.0, 2.0]
