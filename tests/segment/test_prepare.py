"""Preparing: axes, lattice and values as a network sees them, and where they are."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vesalius.core import Grid, Image, Labels, resample_labels
from vesalius.errors import ConfigError, IntensityError, ShapeError
from vesalius.learn import UNetPlan
from vesalius.segment._plan import Normalisation, Plan
from vesalius.segment._prepare import (
    lattice,
    normalised,
    percentiles,
    prepare,
    prepare_labels,
    upright,
)


def plan(spacing=(1.0, 1.0, 1.0), scheme="none", dims=3):
    patch = (8, 8, 8) if dims == 3 else (1, 8, 8)
    how = (Normalisation(scheme),)
    return Plan("classes", {1: "a"}, ("T1",), spacing, how, patch, UNetPlan(dims, 1, 2, width=2))


def turned_grid(order, flips, shape=(4, 5, 6)):
    """A grid whose array axes run along permuted and reversed world axes."""
    columns = torch.zeros(4, 4, dtype=torch.float64)
    columns[3, 3] = 1
    for axis, world in enumerate(order):
        columns[world, axis] = -1.5 if flips[axis] else 1.5
    return Grid(shape, columns)


@given(st.permutations([0, 1, 2]), st.tuples(*[st.booleans()] * 3))
def test_upright_moves_no_sample_in_the_world(order, flips):
    grid = turned_grid(order, flips)
    image = Image(torch.arange(120.0).reshape(1, 4, 5, 6), grid)
    found = upright(image)
    assert found.grid.orientation == "SPL"
    index = torch.tensor([[0.0, 0, 0], [1, 2, 3], [3, 4, 5]], dtype=torch.float64)
    back = found.grid.to_index(grid.to_world(index)).round().long()
    for old, new in zip(index.long().tolist(), back.tolist(), strict=True):
        assert image.data[(0, *old)] == found.data[(0, *new)]


def test_a_picture_is_not_turned():
    grid = Grid((1, 5, 6), torch.diag(torch.tensor([1.0, -1.0, 1.0, 1.0], dtype=torch.float64)))
    image = Image(torch.rand(1, 1, 5, 6), grid)
    assert upright(image) is image


def test_keeps_a_lattice_that_fits_within_a_hundredth():
    grid = Grid.from_spacing((4, 5, 6), (1.005, 1, 1))
    assert lattice(grid, (1.0, 1.0, 1.0)) is grid
    assert lattice(grid, (0.0, 0.0, 0.0)) is grid
    assert lattice(grid, (2.0, 1.0, 1.0)).shape == (3, 5, 6)


def test_zoom_makes_the_lattice_finer_and_leaves_a_single_slice():
    grid = Grid.from_spacing((1, 10, 10), (3, 1, 1))
    found = lattice(grid, (0.0, 0.0, 0.0), zoom=2.0)
    assert found.shape == (1, 20, 20)
    assert found.spacing_mm == pytest.approx((3, 0.5, 0.5))


def test_standardises_each_image():
    x = torch.randn(1, 6, 6, 6) * 7 + 3
    found = normalised(x, Normalisation("standardise"))
    assert float(found.mean()) == pytest.approx(0, abs=1e-5)
    assert float(found.std(correction=0)) == pytest.approx(1, abs=1e-5)


def test_standardises_what_is_not_zero_alone():
    x = torch.zeros(1, 4, 4, 4)
    x[0, 0] = torch.tensor([10.0, 12.0, 14.0, 16.0])
    found = normalised(x, Normalisation("standardise", nonzero=True))
    assert float(found[0, 0].mean()) == pytest.approx(0, abs=1e-6)


def test_a_constant_image_becomes_zero():
    assert bool((normalised(torch.full((1, 3, 3, 3), 5), Normalisation("standardise")) == 0).all())


def test_clips_and_standardises_ct():
    how = Normalisation("clip and standardise", low=-100, high=300, mean=100, sd=50)
    x = torch.tensor([-1000, -100, 100, 1000], dtype=torch.int16)
    assert normalised(x, how).tolist() == [-4, -4, 0, 4]


def test_percentiles_become_zero_and_one():
    x = torch.arange(101)
    found = normalised(x, Normalisation("percentiles", low=10, high=90))
    assert float(found[10]) == 0
    assert float(found[90]) == 1


def test_percentiles_agree_with_numpy():
    x = torch.randn(1000)
    assert percentiles(x, (1.0, 50.0)) == pytest.approx(np.percentile(x.numpy(), (1, 50)).tolist())


def test_labels_come_to_the_lattice_and_what_is_unknown_stays_unknown():
    labels = torch.zeros(1, 4, 4, 4, dtype=torch.int32)
    labels[:, :2] = 2
    labels[:, :, 0] = -1
    grid = Grid.from_spacing((4, 4, 4))
    assert bool((prepare_labels(Labels(labels, grid), grid) == labels[0]).all())
    fine = prepare_labels(Labels(labels, grid), Grid.from_spacing((8, 8, 8), (0.5, 0.5, 0.5)))
    assert set(fine.unique().tolist()) == {-1, 0, 2}
    beyond = prepare_labels(Labels(labels, grid), Grid.from_spacing((4, 4, 9)))
    assert bool((beyond[:, :, 6:] == -1).all())


def test_objects_are_looked_up_not_blurred():
    labels = torch.arange(512, dtype=torch.int32).reshape(1, 8, 8, 8)
    grid = Grid.from_spacing((8, 8, 8))
    fine = prepare_labels(Labels(labels, grid), Grid.from_spacing((15, 15, 15), (0.5, 0.5, 0.5)))
    assert bool((fine[::2, ::2, ::2] == labels[0]).all())


def test_gives_the_image_on_the_lattice_of_the_plan():
    image = Image(torch.randn(1, 6, 8, 8), Grid.from_spacing((6, 8, 8), (2, 1, 1)))
    found = prepare(image, plan())
    assert found.data.shape == (1, 12, 8, 8)
    assert found.grid.spacing_mm == pytest.approx((1, 1, 1))
    assert found.source is image.grid


@pytest.mark.parametrize(
    ("image", "zoom", "error", "match"),
    [
        (torch.zeros(2, 4, 4, 4), 1.0, ShapeError, "the 1 channels of the model .T1., it has 2"),
        (torch.zeros(1, 1, 4, 4), 1.0, ShapeError, "must be a volume for a model of three axes"),
        (torch.full((1, 4, 4, 4), float("nan")), 1.0, IntensityError, "64 samples are NaN"),
        (torch.zeros(1, 4, 4, 4), 0.0, ConfigError, "zoom must be positive, got 0"),
    ],
)
def test_refuses_what_the_model_cannot_see(image, zoom, error, match):
    with pytest.raises(error, match=match):
        prepare(Image(image, Grid.from_spacing(tuple(image.shape[1:]))), plan(), zoom=zoom)


def test_labels_whose_spacing_only_seems_that_of_the_lattice_are_interpolated():
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 3, (1, 8, 9, 3), generator=generator, dtype=torch.int32)
    grid = Grid.from_spacing((8, 9, 3), (1, 1, 3))  # sagittal slices
    thick = lattice(grid, (3.0, 1.0, 1.0))  # axial ones: the same numbers along other axes
    found = prepare_labels(Labels(labels, grid), thick)
    shifted = Labels(labels + 1, grid)
    smooth = resample_labels(shifted, thick, method="onehot").data[0] - 1
    nearest = resample_labels(shifted, thick, method="nearest").data[0] - 1
    assert torch.equal(found, smooth)
    assert not torch.equal(found, nearest)
