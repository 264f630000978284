"""Connected parts of labels: numbering, the largest, the small, holes, necks, hysteresis."""

import numpy as np
import pytest
import scipy.ndimage as ndi
import torch

from vesalius.core import Grid, Image, Labels
from vesalius.errors import ConfigError, IntensityError, ShapeError
from vesalius.segment.morphology import (
    clear_border,
    components,
    fill_holes,
    hysteresis,
    largest_component,
    remove_small,
    separate,
)

SHAPE = (8, 20, 24)
GRID = Grid.from_spacing(SHAPE, (2.0, 1.0, 0.5))
PLANE = Grid.from_spacing((1, 40, 60), (1.0, 0.5, 0.5))


def _labels(values, grid=GRID, names=None):
    return Labels(torch.from_numpy(np.asarray(values))[None], grid, names or {})


def _random(seed, share, shape=SHAPE):
    return np.random.default_rng(seed).random(shape) < share


@pytest.mark.parametrize("shape", [(1, 30, 33), (7, 19, 65), (5, 1, 9), (3, 4, 1)])
@pytest.mark.parametrize("connectivity", ["face", "full"])
@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.8])
def test_numbers_are_scipys(shape, connectivity, share):
    mask = _random(3, share, shape)
    structure = ndi.generate_binary_structure(3, 3 if connectivity == "full" else 1)
    wanted, _ = ndi.label(mask, structure)
    found = components(_labels(mask.astype(np.uint8), Grid.from_spacing(shape)))
    if connectivity == "face":
        labels = _labels(mask.astype(np.uint8), Grid.from_spacing(shape))
        found = components(labels, connectivity="face")
    assert found.data.dtype == torch.int32
    assert np.array_equal(found.data[0].numpy(), wanted)


@pytest.mark.parametrize("connectivity", ["face", "full"])
def test_different_labels_never_join(connectivity):
    values = np.random.default_rng(4).integers(0, 4, SHAPE)
    found = components(_labels(values), connectivity=connectivity).data[0].numpy()
    structure = ndi.generate_binary_structure(3, 3 if connectivity == "full" else 1)
    count = 0
    for value in (1, 2, 3):
        wanted, n = ndi.label(values == value, structure)
        pairs = np.unique(np.stack([wanted[wanted > 0], found[wanted > 0]]), axis=1)
        assert pairs.shape[1] == n == len(np.unique(pairs[1]))
        count += n
    assert found.max() == count


def test_components_are_named_after_their_label():
    values = np.zeros((1, 3, 7), np.uint8)
    values[0, 1, [0, 2, 4]] = 1
    values[0, 1, 6] = 2
    found = components(_labels(values, Grid.from_spacing((1, 3, 7)), {(0, 1): "kidney"}))
    assert found.names == {(0, 1): "kidney 1", (0, 2): "kidney 2", (0, 3): "kidney 3"}


def test_an_empty_mask_has_no_component():
    empty = _labels(np.zeros(SHAPE, np.uint8))
    for work in (components, largest_component, clear_border, fill_holes):
        assert int(work(empty).data.abs().sum()) == 0


def test_the_largest_part_of_each_label_stays():
    values = np.zeros((1, 6, 12), np.uint16)
    values[0, 0, 0:3], values[0, 0, 5:7], values[0, 4, 0:2], values[0, 4, 5:9] = 1, 1, 500, 500
    found = largest_component(_labels(values, Grid.from_spacing((1, 6, 12)), {(0, 500): "rib"}))
    wanted = np.zeros_like(values)
    wanted[0, 0, 0:3], wanted[0, 4, 5:9] = 1, 500
    assert np.array_equal(found.data[0].numpy(), wanted)
    assert found.names == {(0, 500): "rib"}


def test_small_parts_go_by_volume_and_by_voxels_as_a_slow_count_finds():
    mask = _random(6, 0.25)
    numbers, n = ndi.label(mask)
    sizes = ndi.sum_labels(mask, numbers, np.arange(n + 1))
    for least, unit, voxels in ((5, "voxels", 5), (5.0, "mm3", 5), (4.5, "mm3", 5)):
        found = remove_small(_labels(mask.astype(np.uint8)), least, unit=unit, connectivity="face")
        assert np.array_equal(found.data[0].numpy() != 0, (sizes >= voxels)[numbers] & mask)


def test_parts_at_the_border_go_as_scikit_image_has_it():
    from skimage.segmentation import clear_border as rival

    mask = _random(7, 0.2)
    wanted = rival(ndi.label(mask, np.ones((3, 3, 3)))[0]) > 0
    found = clear_border(_labels(mask.astype(np.uint8)))
    assert np.array_equal(found.data[0].numpy() != 0, wanted)
    plane = np.zeros(PLANE.shape, np.uint8)
    plane[0, 3:5, 3:5] = 1
    assert int(clear_border(_labels(plane, PLANE)).data.sum()) == 4


@pytest.mark.parametrize("share", [0.5, 0.65, 0.8])
def test_holes_of_a_mask_are_filled_as_scipy_does(share):
    mask = _random(8, share)
    found = fill_holes(_labels(mask.astype(np.uint8)))
    assert np.array_equal(found.data[0].numpy() != 0, ndi.binary_fill_holes(mask))
    found = fill_holes(_labels(mask.astype(np.uint8)), by_slice=True)
    wanted = np.stack([ndi.binary_fill_holes(part) for part in mask])
    assert np.array_equal(found.data[0].numpy() != 0, wanted)


def test_a_hole_goes_to_the_label_around_it_and_one_between_two_stays():
    values = np.zeros((1, 7, 14), np.uint8)
    values[0, 1:6, 1:6], values[0, 3, 3] = 4, 0
    values[0, 1:6, 8:11], values[0, 1:6, 11:13], values[0, 3, 10:12] = 5, 6, 0
    found = fill_holes(_labels(values, Grid.from_spacing((1, 7, 14)))).data[0, 0].numpy()
    assert found[3, 3] == 4
    assert (found[3, 10:12] == 0).all()


@pytest.mark.parametrize("connectivity", ["face", "full"])
def test_hysteresis_is_scikit_images(connectivity):
    from skimage.filters import apply_hysteresis_threshold

    x = np.random.default_rng(9).normal(size=SHAPE)
    found = hysteresis(Image(torch.from_numpy(x)[None], GRID), 0.5, 2.0, connectivity=connectivity)
    if connectivity == "face":
        wanted = apply_hysteresis_threshold(x, 0.5, 2.0)
    else:
        numbers, n = ndi.label(x > 0.5, np.ones((3, 3, 3)))
        wanted = np.isin(numbers, np.unique(numbers[x > 2.0])) & (x > 0.5)
        assert n > 1
    assert np.array_equal(found.data[0].numpy() != 0, wanted)


def _disks(*centres, radius=6.0):
    y, x = np.meshgrid(0.5 * np.arange(40), 0.5 * np.arange(60), indexing="ij")
    parts = [(y - b) ** 2 + (x - a) ** 2 <= radius**2 for a, b in centres]
    return np.any(parts, axis=0)[None].astype(np.uint8)


def test_touching_disks_are_parted_at_the_neck():
    values = _disks((9.0, 10.0), (19.5, 10.0))
    assert int(components(_labels(values, PLANE)).data.max()) == 1
    found = separate(_labels(values, PLANE), 3.5).data[0].numpy()
    assert found.max() == 2
    assert np.array_equal(found != 0, values != 0)
    halves = [int((found == k).sum()) for k in (1, 2)]
    assert abs(halves[0] - halves[1]) < 0.1 * sum(halves)
    assert set(np.unique(found[0, :, :27])) == {0, 1}
    assert set(np.unique(found[0, :, 31:])) == {0, 2}


def test_what_is_thinner_than_the_neck_stays_whole_and_labels_stay_apart():
    values = _disks((9.0, 10.0)) * 3
    values[0, 20, 30:50], values[0, :, 21:24] = 8, values[0, :, 21:24] // 3 * 9
    found = separate(_labels(values, PLANE), 1.0).data[0].numpy()
    assert np.array_equal(found != 0, values != 0)
    line = found[0, 20, 30:50]
    assert len(np.unique(line)) == 1
    for number in range(1, found.max() + 1):
        assert len(np.unique(values[found == number])) == 1


def test_refuses_what_makes_no_sense():
    image = Image(torch.zeros(1, *SHAPE), GRID)
    with pytest.raises(ConfigError, match="least must be finite and at least 0 mm3"):
        remove_small(_labels(np.ones(SHAPE, np.uint8)), -1.0)
    with pytest.raises(ConfigError, match="the low threshold must not exceed the high one"):
        hysteresis(image, 2.0, 1.0)
    with pytest.raises(ShapeError, match="hysteresis needs an image of one channel"):
        hysteresis(Image(torch.zeros(2, *SHAPE), GRID), 0.0, 1.0)
    with pytest.raises(IntensityError, match="hysteresis needs an image without NaN"):
        hysteresis(image.map(lambda x: x + float("nan")), 0.0, 1.0)
    with pytest.raises(ConfigError, match="objects are parted in one layer, got 2"):
        separate(Labels(torch.ones(2, *SHAPE, dtype=torch.uint8), GRID), 1.0)


def test_many_labels_are_parted_each_in_its_own_box():
    grid = Grid.from_spacing((1, 12, 300), (1.0, 1.0, 1.0))
    data = torch.zeros(1, 1, 12, 300, dtype=torch.int64)
    for k in range(25):  # dumbbells: two squares and a neck
        at = 12 * k
        data[0, 0, 2:7, at + 1 : at + 5] = 7 * k + 3
        data[0, 0, 2:7, at + 7 : at + 11] = 7 * k + 3
        data[0, 0, 4, at + 5 : at + 7] = 7 * k + 3
    found = separate(Labels(data, grid), 1.0).data
    assert sorted(found.unique().tolist()) == list(range(51))
    assert torch.equal(found != 0, data != 0)
    for k in range(25):
        assert len(found[data == 7 * k + 3].unique()) == 2


def test_labels_that_are_not_known_are_not_parted():
    grid = Grid.from_spacing((1, 3, 6), (1.0, 1.0, 1.0))
    data = torch.tensor([[[[1, 1, 0, -1, -1, 0]] * 3]], dtype=torch.int16)
    assert separate(Labels(data, grid), 0.5).data[0, 0, 1].tolist() == [1, 1, 0, 0, 0, 0]
