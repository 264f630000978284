"""From image and mask to the block that is measured."""

import math

import numpy as np
import pytest
import scipy.ndimage
import torch
from hypothesis import given
from hypothesis import strategies as st
from measure.cases import blob, image

from vesalius.core import Grid, Image
from vesalius.enhance import LogFilter, NonseparableFilter
from vesalius.errors import GeometryError, IntensityError, RegionError
from vesalius.measure._config import Config, Discretise, Resample, Resegment
from vesalius.measure._prepare import (
    bounding_box,
    crop_to,
    discretise_region,
    margin_mm,
    prepare,
    resegment,
    target_grid,
)


def test_keeps_the_drawn_and_the_measured_mask_apart():
    values, mask = blob()
    found = prepare(image(values), mask, Config(resegment=Resegment(range=(3.0, 6.0))))
    assert int(found.morphological.sum()) == int(mask.sum())
    assert int(found.mask.sum()) == int((mask & (values >= 3) & (values <= 6)).sum())


def test_padding_and_cropping_change_nothing():
    values, mask = blob()
    wide_values = torch.nn.functional.pad(values, (4, 3, 2, 5, 6, 1), value=-77.0)
    wide_mask = torch.nn.functional.pad(mask, (4, 3, 2, 5, 6, 1))
    one, two = (
        prepare(image(values), mask, Config()),
        prepare(image(wide_values), wide_mask, Config()),
    )
    assert torch.equal(one.intensity[one.mask], two.intensity[two.mask])


def test_outliers_are_judged_after_the_range():
    values = torch.tensor([[[0.0, 1, 2, 3, 4, 5, 1000]]])
    mask = torch.ones_like(values, dtype=torch.bool)
    settings = Resegment(range=(None, 100.0), outlier_sigma=1.0)
    found = prepare(image(values), mask, Config(resegment=settings))
    assert found.intensity[found.mask].tolist() == [1, 2, 3, 4]


def test_interpolation_agrees_with_scipy_on_the_centred_grid():
    values, mask = blob()
    spacing = (1.5, 0.8, 2.0)
    config = Config(resample=Resample(spacing_mm=spacing))
    img = image(values)
    found = prepare(img, mask, config)
    grid = target_grid(img.grid, config)
    assert grid is not None
    old, n = np.array(img.grid.spacing_mm), np.array(img.grid.shape)
    assert grid.shape == tuple(np.ceil(n * old / spacing).astype(int))
    axes = [
        (np.arange(m) - (m - 1) / 2) * s / o + (k - 1) / 2
        for m, s, o, k in zip(grid.shape, spacing, old, n, strict=True)
    ]
    points = np.stack(np.meshgrid(*axes, indexing="ij"))
    whole = scipy.ndimage.map_coordinates(values.numpy(), points, order=1, mode="nearest")
    share = scipy.ndimage.map_coordinates(mask.double().numpy(), points, order=1, mode="nearest")
    np.testing.assert_allclose(
        np.sort(found.intensity[found.mask].numpy()), np.sort(whole[share >= 0.5 - 1e-9]), atol=1e-9
    )


def test_in_plane_interpolation_keeps_the_slices():
    values, mask = blob()
    config = Config(resample=Resample(spacing_mm=(9.0, 2.0, 2.0), in_plane=True))
    assert prepare(image(values), mask, config).grid.spacing_mm == pytest.approx((2.0, 2.0, 2.0))


def test_ct_is_rounded_after_interpolation_only():
    values, mask = blob()
    values = values + 0.25
    ct = Config(modality="CT", resample=Resample(spacing_mm=(1.0, 1.0, 1.0)))
    inside = prepare(image(values), mask, ct)
    assert torch.equal(inside.intensity, inside.intensity.round())
    plain = prepare(image(values), mask, Config(modality="CT"))
    assert not torch.equal(plain.intensity, plain.intensity.round())


def test_a_spacing_that_is_there_already_interpolates_nothing():
    values, _ = blob()
    img = image(values)
    assert target_grid(img.grid, Config(resample=Resample(spacing_mm=img.grid.spacing_mm))) is None


def test_the_margin_reaches_as_far_as_the_filters_read():
    grid = Grid.from_spacing((40, 40, 40), (1.0, 1.0, 1.0))
    plain = margin_mm(grid, Config())
    assert plain >= 6.2
    assert margin_mm(grid, Config(filters=(LogFilter(sigma_mm=4.0),))) > 10
    whole = Config(filters=(NonseparableFilter(family="simoncelli"),))
    assert margin_mm(grid, whole) == math.inf
    values, mask = blob()
    assert prepare(image(values), mask, whole).intensity.shape == values.shape


@given(st.integers(0, 2**32 - 1))
def test_the_bounding_box_is_the_smallest(seed):
    generator = torch.Generator().manual_seed(seed)
    mask = torch.rand(4, 5, 6, generator=generator) > 0.9
    if not bool(mask.any()):
        return
    start, shape = bounding_box(mask)
    where = mask.nonzero()
    assert list(start) == where.min(dim=0).values.tolist()
    assert list(shape) == (where.max(dim=0).values - where.min(dim=0).values + 1).tolist()


def test_the_crop_stops_at_the_border():
    values, mask = blob()
    block, inside = crop_to(image(values), mask, margin_mm=1e6)
    assert block.grid.shape == tuple(values.shape)
    assert torch.equal(inside, mask)


def test_fixed_bins_start_at_the_lower_bound():
    values, mask = blob()
    found = prepare(image(values), mask, Config(resegment=Resegment(range=(-3.0, None))))
    bins = Discretise(method="bin_width", bin_width=2.0)
    levels = discretise_region(found, bins, lower_bound=-3.0, pad=1)
    expected = torch.floor((values[mask] + 3) / 2) + 1
    assert torch.equal(levels.data[levels.data > 0].sort().values.double(), expected.sort().values)
    assert levels.count == int(expected.max())


def test_a_number_of_bins_covers_the_range_and_holds_the_maximum():
    values, mask = blob()
    found = prepare(image(values), mask, Config())
    levels = discretise_region(
        found, Discretise(method="bin_count", bin_count=4), lower_bound=None, pad=1
    )
    inside = levels.data[levels.data > 0]
    assert (int(inside.min()), int(inside.max()), levels.count) == (1, 4, 4)
    low, high = values[mask].min(), values[mask].max()
    expected = torch.clamp(torch.floor(4 * (values[mask] - low) / (high - low)), max=3) + 1
    assert torch.equal(inside.sort().values.double(), expected.sort().values)


def test_a_constant_region_has_one_level():
    values = torch.full((3, 3, 3), 5.5)
    mask = torch.ones(3, 3, 3, dtype=torch.bool)
    found = prepare(image(values), mask, Config())
    for method in ("bin_count", "bin_width"):
        levels = discretise_region(found, Discretise(method=method), lower_bound=None, pad=2)
        assert levels.count == 1
        assert int((levels.data == 1).sum()) == 27
        assert levels.data.shape == (7, 7, 7)


def test_refuses_an_empty_mask():
    values, mask = blob()
    with pytest.raises(RegionError, match="mask must have at least one voxel, it is empty"):
        prepare(image(values), torch.zeros_like(mask), Config())


def test_refuses_a_mask_that_interpolation_loses():
    values, mask = blob()
    lone = torch.zeros_like(mask)
    lone[4, 4, 4] = True
    config = Config(resample=Resample(spacing_mm=(20.0, 20.0, 20.0)))
    with pytest.raises(
        RegionError, match="region must have at least one voxel after interpolation"
    ):
        prepare(image(values), lone, config)


def test_refuses_a_range_that_keeps_nothing_and_says_what_there_is():
    values, mask = blob()
    config = Config(resegment=Resegment(range=(100.0, 200.0)))
    with pytest.raises(RegionError, match="intensities run from 1 to 8"):
        prepare(image(values), mask, config)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_refuses_intensities_that_are_not_finite(bad):
    values, mask = blob()
    values[tuple(mask.nonzero()[0].tolist())] = bad
    with pytest.raises(IntensityError, match=r"1 of .* are NaN or infinite"):
        prepare(image(values), mask, Config())


def test_nan_outside_the_region_does_no_harm():
    values, mask = blob()
    values[~mask] = math.nan
    assert bool(torch.isfinite(prepare(image(values), mask, Config()).intensity[mask]).all())


def test_refuses_a_sheared_grid_by_name():
    values, mask = blob()
    affine = image(values).grid.affine.clone()
    affine[1, 0] = 0.7
    with pytest.raises(GeometryError, match="grid must have orthogonal axes to be measured"):
        prepare(Image(values[None], Grid(tuple(values.shape), affine)), mask, Config())


def test_refuses_levels_that_are_no_whole_numbers():
    values, mask = blob()
    found = prepare(image(values + 0.5), mask, Config())
    with pytest.raises(IntensityError, match="takes whole numbers, the region has others"):
        discretise_region(found, Discretise(method="none"), lower_bound=None, pad=1)


def test_refuses_levels_below_one():
    values, mask = blob()
    found = prepare(image(values - 5), mask, Config())
    with pytest.raises(IntensityError, match="takes levels from 1 up, the region starts at -4"):
        discretise_region(found, Discretise(method="none"), lower_bound=None, pad=1)


def test_refuses_more_levels_than_can_be_numbered():
    values, mask = blob()
    found = resegment(image(values).grid, values.double() * 1e12, mask, Config(), unit="1")
    with pytest.raises(IntensityError, match="levels must have a positive width and number"):
        discretise_region(
            found, Discretise(method="bin_width", bin_width=1e-3), lower_bound=None, pad=1
        )


def test_refuses_numbers_whose_fourth_power_is_none():
    values, mask = blob()
    with pytest.raises(IntensityError, match=r"within \+-1e\+60.*got .*check how the file"):
        prepare(image(values.double() * 1e100), mask, Config())


def test_a_tracked_image_is_measured_without_its_derivatives():
    values, mask = blob()
    plain = prepare(image(values), mask, Config())
    tracked = prepare(image(values.clone().requires_grad_()), mask, Config())
    assert not tracked.intensity.requires_grad
    assert torch.equal(tracked.intensity, plain.intensity)
