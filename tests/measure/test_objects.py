"""Objects: equal to scikit-image where it has the quantity, and right where it has none."""

import math
import time

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage
from skimage.measure import regionprops_table

from vesalius.core import Grid, Image, Labels
from vesalius.errors import GeometryError, IntensityError, RegionError, ShapeError
from vesalius.measure.objects import measure_objects

FLAT = (
    "area",
    "perimeter",
    "axis_major_length",
    "axis_minor_length",
    "eccentricity",
    "orientation",
    "solidity",
    "extent",
    "feret_diameter_max",
    "euler_number",
    "equivalent_diameter_area",
    "intensity_mean",
    "intensity_min",
    "intensity_max",
    "intensity_std",
    "centroid",
    "bbox",
)


def blobs(shape, seed, level=0.05):
    noise = np.random.default_rng(seed).normal(size=shape)
    labels, _ = ndimage.label(ndimage.gaussian_filter(noise, 2.5) > level)
    return labels.astype(np.int32)


def pair(labels, spacing, *, channels=1):
    g = torch.Generator().manual_seed(3)
    grid = Grid.from_spacing(labels.shape, spacing)
    image = Image(torch.rand(channels, *labels.shape, generator=g, dtype=torch.float64), grid)
    return image, Labels(torch.from_numpy(labels)[None], grid)


@given(seed=st.integers(0, 50))
def test_flat_objects_agree_with_scikit_image(seed):
    labels = blobs((1, 70, 64), seed)
    image, told = pair(labels, (1.0, 0.5, 0.5))
    ours = measure_objects(image, told).table
    theirs = regionprops_table(
        labels[0], image.data[0, 0].numpy(), spacing=(0.5, 0.5), properties=("label", *FLAT)
    )
    pairs = {
        "area_mm2": "area",
        "perimeter_mm": "perimeter",
        "axis_major_length_mm": "axis_major_length",
        "axis_minor_length_mm": "axis_minor_length",
        "eccentricity": "eccentricity",
        "solidity": "solidity",
        "extent": "extent",
        "feret_diameter_max_mm": "feret_diameter_max",
        "euler_number": "euler_number",
        "equivalent_diameter_mm": "equivalent_diameter_area",
        "mean": "intensity_mean",
        "min": "intensity_min",
        "max": "intensity_max",
        "sd": "intensity_std",
        "bbox_min_y": "bbox-0",
        "bbox_max_x": "bbox-3",
    }
    for own, other in pairs.items():
        np.testing.assert_allclose(ours[own], theirs[other], rtol=1e-9, atol=1e-7, err_msg=own)
    np.testing.assert_allclose(ours["centroid_y"] * 0.5, theirs["centroid-0"], atol=1e-9)
    long = ours["eccentricity"] > 0.3  # a round object points nowhere
    turned = np.deg2rad(ours["orientation_deg"]) - theirs["orientation"]
    assert np.abs(np.sin(turned[long].to_numpy())).max(initial=0) < 1e-7


def test_volumes_agree_with_scikit_image():
    z, y, x = np.mgrid[:12, :30, :30]
    labels = np.zeros((12, 30, 30), np.int32)
    labels[((z - 5) / 4) ** 2 + ((y - 8) / 7) ** 2 + ((x - 9) / 6) ** 2 < 1] = 7
    labels[2:9, 18:27, 4:10] = 2
    labels[4:7, 20:24, 6:28] = 4
    image, told = pair(labels, (2.0, 1.0, 1.0))
    ours = measure_objects(image, told).table
    theirs = regionprops_table(
        labels,
        spacing=(2.0, 1.0, 1.0),
        properties=("label", "area", "axis_major_length", "axis_minor_length", "extent"),
    )
    hulls = regionprops_table(labels, properties=("solidity",))
    assert ours["label"].tolist() == [2, 4, 7]
    np.testing.assert_allclose(ours["volume_mm3"], theirs["area"])
    np.testing.assert_allclose(ours["axis_major_length_mm"], theirs["axis_major_length"])
    np.testing.assert_allclose(ours["axis_minor_length_mm"], theirs["axis_minor_length"])
    np.testing.assert_allclose(ours["extent"], theirs["extent"])
    np.testing.assert_allclose(ours["solidity"], hulls["solidity"])


def test_a_disk_is_round_and_a_ring_has_a_hole():
    y, x = np.mgrid[:80, :160]
    far = np.hypot(y - 39.5, x - 39.5), np.hypot(y - 39.5, x - 119.5)
    labels = np.where(far[0] < 30, 1, np.where((far[1] < 30) & (far[1] > 12), 2, 0))
    image, told = pair(labels[None].astype(np.int32), (1.0, 1.0, 1.0))
    table = measure_objects(image, told).table
    assert table["roundness"][0] == pytest.approx(
        0.92, abs=0.02
    )  # the estimator is 4 % long on a disk
    assert table["eccentricity"][0] == pytest.approx(0.0, abs=0.05)
    assert table["euler_number"].tolist() == [1, 0]
    assert table["equivalent_diameter_mm"][0] == pytest.approx(60, rel=0.01)
    assert table["nearest_mm"].tolist() == [pytest.approx(80), pytest.approx(80)]


def test_microscopy_is_told_in_micrometres():
    labels = np.zeros((1, 20, 20), np.int32)
    labels[0, 5:15, 4:16] = 1
    image, told = pair(labels, (1.0, 2e-4, 2e-4))
    table = measure_objects(image, told).table
    assert table["area_um2"][0] == pytest.approx(120 * 0.04)
    assert table["axis_major_length_um"][0] == pytest.approx(4 * 0.2 * math.sqrt((144 - 1) / 12))
    assert measure_objects(image, told, length="mm").table["area_mm2"][0] == pytest.approx(4.8e-6)


def test_counts_neighbours_that_touch_by_a_corner_and_spots_inside():
    labels = np.zeros((1, 12, 12), np.int32)
    labels[0, 1:5, 1:5], labels[0, 5:9, 5:9], labels[0, 1:5, 10:12] = 1, 2, 3
    spots = np.zeros_like(labels)
    spots[0, 2, 2], spots[0, 4, 3], spots[0, 6, 6], spots[0, 11, 0] = 1, 2, 3, 4
    image, told = pair(labels, (1.0, 1.0, 1.0))
    inside = Labels(torch.from_numpy(spots)[None], image.grid)
    table = measure_objects(image, told, inside=inside).table
    assert table["neighbours"].tolist() == [1, 1, 0]
    assert table["contains"].tolist() == [2, 1, 0]


def test_channels_have_columns_of_their_own_and_names_are_kept():
    image, told = pair(blobs((1, 30, 30), 1), (1.0, 1.0, 1.0), channels=2)
    named = Labels(told.data, told.grid, {(0, 1): "soma"})
    table = measure_objects(Image(image.data, image.grid, "1", ("DAPI", "GFP")), named).table
    assert {"DAPI_mean", "GFP_sum"} <= set(table)
    assert table["name"][0] == "soma"
    assert "channel1_mean" in measure_objects(image, told).table


def test_negative_and_sparse_values_are_objects_too():
    labels = np.zeros((1, 9, 9), np.int64)
    labels[0, 1:4, 1:4], labels[0, 5:8, 5:8] = -3, 10**12
    image, told = pair(labels, (1.0, 1.0, 1.0))
    table = measure_objects(image, told).table
    assert table["label"].tolist() == [-3, 10**12]
    assert table["voxels"].tolist() == [9, 9]


def test_single_pixels_and_lines_have_every_number():
    labels = np.zeros((1, 9, 9), np.int32)
    labels[0, 1, 1], labels[0, 4, 2:8] = 1, 2
    image, told = pair(labels, (1.0, 1.0, 1.0))
    table = measure_objects(image, told).table
    assert table["solidity"].tolist() == [1.0, 1.0]
    assert table["eccentricity"].tolist() == [0.0, 1.0]
    assert table["axis_minor_length_mm"].tolist() == [0.0, 0.0]


def test_pixels_that_are_not_square_have_no_perimeter_and_it_is_said():
    image, told = pair(blobs((1, 40, 40), 2), (1.0, 0.5, 0.8))
    found = measure_objects(image, told)
    assert found.table["perimeter_mm"].isna().all()
    assert any("Pixels are not square (0.5 x 0.8 mm)" in text for text in found.findings)
    theirs = regionprops_table(
        told.data[0, 0].numpy(), spacing=(0.5, 0.8), properties=("axis_major_length",)
    )
    np.testing.assert_allclose(found.table["axis_major_length_mm"], theirs["axis_major_length"])


def test_objects_at_the_border_are_told():
    labels = np.zeros((1, 9, 9), np.int32)
    labels[0, 0:3, 2:5], labels[0, 5:7, 5:7] = 1, 2
    found = measure_objects(*pair(labels, (1.0, 1.0, 1.0)))
    assert "1 of 2 objects touch the border" in found.findings[0]


def test_refuses_what_cannot_be_measured():
    image, told = pair(blobs((1, 20, 20), 3), (1.0, 1.0, 1.0))
    with pytest.raises(RegionError, match="at least one object"):
        measure_objects(image, Labels(torch.zeros_like(told.data), told.grid))
    with pytest.raises(ShapeError, match="one layer, got 2 layers"):
        measure_objects(image, Labels(told.data.repeat(2, 1, 1, 1), told.grid))
    broken = image.data.clone()
    broken[0][told.data[0] == 1] = float("nan")
    with pytest.raises(IntensityError, match="1 objects hold NaN or infinity in channel 0"):
        measure_objects(Image(broken, image.grid), told)
    sheared = torch.eye(4, dtype=torch.float64)
    sheared[0, 1] = 0.4
    grid = Grid(image.grid.shape, sheared @ image.grid.affine)
    with pytest.raises(GeometryError, match="orthogonal axes, this grid is sheared"):
        measure_objects(Image(image.data, grid), Labels(told.data, grid))
    other = Grid.from_spacing(image.grid.shape, (1.0, 2.0, 1.0))
    with pytest.raises(GeometryError):
        measure_objects(image, Labels(told.data, other))


def test_ten_thousand_nuclei_take_less_than_five_cpu_seconds():
    y, x = np.mgrid[:14, :14]
    disk = np.hypot(y - 6.5, x - 6.5) < 6.5
    tile = np.zeros((20, 20), np.int32)
    tile[:14, :14] = disk
    numbers = np.arange(1, 10_001, dtype=np.int32).reshape(100, 100)
    labels = np.kron(numbers, np.ones((20, 20), np.int32)) * np.tile(tile, (100, 100))
    image, told = pair(labels[None], (1.0, 3e-4, 3e-4))
    begun = time.process_time()
    table = measure_objects(image, told).table
    assert time.process_time() - begun < 5.0
    assert len(table) == 10_000
    assert set(table["voxels"]) == {int(disk.sum())}


@pytest.mark.parametrize("name", ["img2d"])
def test_real_nuclei_agree_with_scikit_image(data_dir, name):
    import vesalius

    folder = data_dir / "segmentation" / "stardist"
    image = vesalius.open(folder / f"{name}.tif").read()
    told = vesalius.io.open_labels(folder / "mask2d.tif")
    table = measure_objects(image, told).table
    theirs = regionprops_table(told.data[0, 0].numpy(), properties=FLAT[:-7])
    assert len(table) == 125
    np.testing.assert_allclose(table["solidity"], theirs["solidity"])
    np.testing.assert_allclose(table["perimeter_mm"], theirs["perimeter"])
