"""Riesz filters of images: axes, millimetres, bands, alignment."""

import math

import pytest
import torch

from vesalius.core import Grid, Image
from vesalius.enhance import (
    LogFilter,
    NonseparableFilter,
    RieszFilter,
    apply_filter,
    filter_name,
    response_unit,
)
from vesalius.ops._riesz import riesz, riesz_orders

SPACING = (2.0, 1.0, 0.5)


def image(shape=(13, 15, 17), seed=1) -> Image:
    generator = torch.Generator().manual_seed(seed)
    data = torch.randn((1, *shape), generator=generator, dtype=torch.float64)
    return Image(data, Grid.from_spacing(shape, SPACING), "HU")


def test_the_first_number_of_the_order_is_along_x():
    here = image()
    found = apply_filter(here, RieszFilter(order=(2, 1, 0))).data
    torch.testing.assert_close(found, riesz(here.data, (0, 1, 2), steps=SPACING))


def test_directions_are_those_of_the_world():
    """A wave whose crests are at 45 degrees in mm shares its energy between x and y."""
    grid = Grid.from_spacing((4, 16, 32), SPACING)
    axes = (torch.arange(16).double(), torch.arange(32).double() / 2)
    y, x = torch.meshgrid(*axes, indexing="ij")
    wave = torch.cos(2 * math.pi * (x + y) / 16).expand(1, 4, 16, 32).clone()
    parts = [
        apply_filter(Image(wave, grid), RieszFilter(order=order))
        for order in ((1, 0, 0), (0, 1, 0))
    ]
    torch.testing.assert_close(parts[0].data, parts[1].data)
    assert float(parts[0].data.max()) == pytest.approx(math.sqrt(0.5), rel=1e-4)


@pytest.mark.parametrize("total", [1, 2, 3])
def test_the_components_of_an_octave_share_out_its_energy(total):
    here = image()
    band = apply_filter(here, NonseparableFilter(level=2)).data
    orders = [(x, y, z) for z, y, x in riesz_orders(total)]
    specs = [RieszFilter(order=order, band="simoncelli", level=2) for order in orders]
    parts = [apply_filter(here, spec).data for spec in specs]
    energy = sum(float((part**2).sum()) for part in parts)
    assert energy == pytest.approx(float((band**2).sum()), rel=1e-9)


@pytest.mark.parametrize("dimension", ["2D", "3D"])
def test_the_band_log_is_the_filter_of_that_name(dimension):
    here = image()
    order = (1, 0) if dimension == "2D" else (1, 0, 0)
    log = LogFilter(sigma_mm=1.5, dimension=dimension, boundary="mirror")
    band = apply_filter(here, log).data
    expected = riesz(band, (0, 0, 1), steps=SPACING, boundary="mirror", in_plane=dimension == "2D")
    spec = RieszFilter(order=order, band="log", sigma_mm=1.5, boundary="mirror")
    torch.testing.assert_close(apply_filter(here, spec).data, expected)
    assert response_unit(spec, "HU") == response_unit(log, "HU") == "HU/voxel^2"
    assert response_unit(RieszFilter(), "HU") == "HU"


def test_alignment_makes_the_response_blind_to_quarter_turns():
    shape = (14, 14, 14)
    values = image(shape).data
    grid = Grid.from_spacing(shape)
    spec = RieszFilter(order=(0, 2, 0), band="simoncelli", align_mm=1.0, boundary="mirror")
    here = apply_filter(Image(values, grid), spec).data
    for plane in ((1, 2), (1, 3), (2, 3)):
        there = apply_filter(Image(torch.rot90(values, 1, plane), grid), spec).data
        torch.testing.assert_close(there, torch.rot90(here, 1, plane), rtol=0, atol=1e-9)


def test_the_name_spells_the_order():
    assert filter_name(RieszFilter(order=(0, 2, 0), band="log")) == "riesz_order_020_band_log"
    assert filter_name(RieszFilter()) == "riesz"
