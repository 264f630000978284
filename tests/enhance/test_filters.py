"""Filters of images: millimetres, margins, names, refusals; one suite over every kind."""
# SPDX-License-Identifier: Apache-2.0

import re
from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from scipy import ndimage

from vesalius.core import Grid, Image
from vesalius.enhance import (
    Filter,
    GaborFilter,
    LawsFilter,
    LogFilter,
    MeanFilter,
    NonseparableFilter,
    RieszFilter,
    WaveletFilter,
    apply_filter,
    filter_name,
    in_plane,
    margin_voxels,
    wavelet_bands,
)
from vesalius.errors import GeometryError, IntensityError, UnitError

SPACING = (2.0, 1.0, 0.8)
ALL = [
    MeanFilter(size=5),
    MeanFilter(size=3, dimension="2D", boundary="nearest"),
    LogFilter(sigma_mm=1.5),
    LogFilter(sigma_mm=1.5, dimension="2D", boundary="zero"),
    LawsFilter(kernels="L5E5E5", rotation="max", energy_distance=2),
    LawsFilter(kernels="E3S5", rotation="mean"),
    LawsFilter(kernels="E5L5S5"),
    GaborFilter(sigma_mm=1.0, wavelength_mm=2.0, gamma=0.8, angle_deg=30),
    GaborFilter(sigma_mm=0.7, wavelength_mm=2.0, planes="orthogonal", rotation="max", step_deg=90),
    WaveletFilter(family="coif1", band="LHH", rotation="mean"),
    WaveletFilter(family="db3", band="HL"),
    WaveletFilter(family="haar", band="HHH", level=2, rotation="max"),
    NonseparableFilter(),
    NonseparableFilter(family="shannon", level=2, dimension="2D", boundary="mirror"),
    RieszFilter(),
    RieszFilter(order=(0, 2), band="log", sigma_mm=1.5, boundary="mirror"),
    RieszFilter(order=(1, 0, 1), band="simoncelli", align_mm=2.0),
]
names = [filter_name(spec) for spec in ALL]
LINEAR = [
    s
    for s in ALL
    if not isinstance(s, GaborFilter)
    and getattr(s, "rotation", "none") != "max"
    and not getattr(s, "energy_distance", 0)
    and not getattr(s, "align_mm", 0)
]


def image(shape=(14, 20, 22), seed=1, spacing=SPACING, channels=1):
    generator = torch.Generator().manual_seed(seed)
    data = torch.randn((channels, *shape), generator=generator, dtype=torch.float64)
    return Image(data, Grid.from_spacing(shape, spacing), "HU")


def test_every_kind_is_tested():
    kinds = {spec.model_fields["kind"].default for spec in get_args(get_args(Filter)[0])}
    assert kinds == {spec.kind for spec in ALL}


@pytest.mark.parametrize("spec", ALL, ids=names)
def test_keeps_grid_type_and_input(spec):
    before = image()
    kept = before.data.clone()
    after = apply_filter(before, spec)
    assert after.grid is before.grid
    assert after.data.shape == before.data.shape
    assert after.dtype == torch.float64
    laplacian = spec.kind == "log" or getattr(spec, "band", "") == "log"
    assert after.unit == ("HU/voxel^2" if laplacian else "HU")
    torch.testing.assert_close(before.data, kept, rtol=0, atol=0)
    assert apply_filter(before.map(lambda x: x.float()), spec).dtype == torch.float32


@pytest.mark.parametrize("spec", ALL, ids=names)
def test_channels_do_not_mix(spec):
    two = image(channels=2)
    one = Image(two.data[1:], two.grid)
    torch.testing.assert_close(apply_filter(two, spec).data[1:], apply_filter(one, spec).data)


@pytest.mark.parametrize("spec", LINEAR, ids=[filter_name(s) for s in LINEAR])
def test_is_linear(spec):
    a, b = image(seed=1), image(seed=2)
    mixed = apply_filter(Image(2 * a.data - b.data, a.grid), spec).data
    torch.testing.assert_close(mixed, 2 * apply_filter(a, spec).data - apply_filter(b, spec).data)


@pytest.mark.parametrize("spec", ALL, ids=names)
def test_a_block_with_its_margin_gives_the_same_response(spec):
    whole = image((30, 44, 46))
    margin = margin_voxels(spec, SPACING)
    if margin is None:
        assert isinstance(spec, NonseparableFilter | RieszFilter)
        return
    # a region that touches the border on one side of z and y, but on neither of x
    low, high = (0, 2, 21), (3, 6, 24)
    start = tuple(max(a - m, 0) for a, m in zip(low, margin, strict=True))
    stop = tuple(min(b + m, n) for b, m, n in zip(high, margin, whole.grid.shape, strict=True))
    block = whole.crop(start, tuple(b - a for a, b in zip(start, stop, strict=True)))
    if not isinstance(spec, GaborFilter):
        assert block.grid.shape != whole.grid.shape
    inner = (0, *(slice(a - s, b - s) for a, b, s in zip(low, high, start, strict=True)))
    outer = (0, *(slice(a, b) for a, b in zip(low, high, strict=True)))
    torch.testing.assert_close(
        apply_filter(block, spec).data[inner],
        apply_filter(whole, spec).data[outer],
        rtol=0,
        atol=1e-10,
    )


@pytest.mark.parametrize("spec", [s for s in ALL if in_plane(s)], ids=filter_name)
def test_in_the_plane_every_slice_stands_alone(spec):
    whole = image()
    together = apply_filter(whole, spec).data
    for z in (0, 6, 13):
        alone = apply_filter(whole.crop((z, 0, 0), (1, 20, 22)), spec).data
        torch.testing.assert_close(together[:, z : z + 1], alone)


@pytest.mark.parametrize("spec", ALL, ids=names)
def test_periodic_borders_need_the_whole_image(spec):
    turned = spec.model_copy(update={"boundary": "periodic"})
    assert margin_voxels(turned, SPACING) is None


@pytest.mark.parametrize("spec", ALL, ids=names)
def test_a_constant_answers_with_nothing_or_itself(spec):
    flat = image().map(lambda x: torch.full_like(x, 7.0))
    if getattr(spec, "boundary", "") == "zero":
        return
    got = apply_filter(flat, spec).data
    assert float(got.max() - got.min()) < 1e-9
    if isinstance(spec, MeanFilter):
        assert float(got.mean()) == pytest.approx(7)
    elif not isinstance(spec, GaborFilter):
        assert float(got.abs().max()) < 1e-9


@given(st.floats(0.5, 3.0))
@settings(max_examples=5, deadline=None)
def test_sigma_is_in_millimetres(sigma):
    cube = image((9, 10, 11), spacing=(2.0, 2.0, 2.0))
    fine = Image(cube.data, Grid.from_spacing((9, 10, 11), (1.0, 1.0, 1.0)))
    torch.testing.assert_close(
        apply_filter(cube, LogFilter(sigma_mm=2 * sigma)).data,
        apply_filter(fine, LogFilter(sigma_mm=sigma)).data,
    )


def test_log_on_voxels_that_are_not_cubes_weighs_the_axes_in_millimetres():
    before = image()
    mean = (2.0 * 1.0 * 0.8) ** (1 / 3)
    want = np.zeros(before.grid.shape)
    for axis, spacing in enumerate(SPACING):
        order = [2 if axis == other else 0 for other in range(3)]
        part = ndimage.gaussian_filter(
            before.data[0].numpy(), [4.0 / s for s in SPACING], order=order, truncate=8
        )
        want += part * (mean / spacing) ** 2
    got = apply_filter(before, LogFilter(sigma_mm=4.0, truncate=8)).data[0].numpy()
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-6)


def test_mean_agrees_with_scipy():
    before = image()
    want = ndimage.uniform_filter(before.data[0].numpy(), 5, mode="reflect")
    got = apply_filter(before, MeanFilter(size=5)).data[0].numpy()
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-12)


def test_the_first_letter_of_a_band_or_name_is_x():
    data = torch.zeros(1, 9, 9, 9, dtype=torch.float64)
    data[:, :, :, 4:] = 1  # an edge across x
    step = Image(data, Grid.from_spacing((9, 9, 9)))
    answer = {n: apply_filter(step, LawsFilter(kernels=n)).data for n in ("E5L5L5", "L5E5L5")}
    assert float(answer["E5L5L5"].abs().max()) > 1
    assert float(answer["L5E5L5"].abs().max()) < 1e-12
    high = {n: apply_filter(step, WaveletFilter(family="haar", band=n)).data for n in ("HL", "LH")}
    assert float(high["HL"].abs().max()) > 0.9
    assert float(high["LH"].abs().max()) < 1e-12


@pytest.mark.parametrize(("dimension", "count"), [("2D", 4), ("3D", 8)])
def test_all_bands_of_a_level_are_listed_once(dimension, count):
    bands = wavelet_bands("coif1", level=2, dimension=dimension)
    assert len({b.band for b in bands}) == len(bands) == count
    assert {b.level for b in bands} == {2}


def test_the_eight_bands_add_up_to_eight_times_the_energy():
    before = image((8, 8, 8))
    bands = wavelet_bands("db2", boundary="periodic")
    total = sum(float((apply_filter(before, b).data ** 2).sum()) for b in bands)
    assert total == pytest.approx(8 * float((before.data**2).sum()), rel=1e-9)


def test_names_are_distinct_and_plain():
    assert len(set(names)) == len(ALL)
    assert all(re.fullmatch(r"[A-Za-z0-9_]+", name) for name in names)
    assert filter_name(MeanFilter()) == "mean"
    assert filter_name(GaborFilter(angle_deg=-112.5)) == "gabor_angle_deg_m112p5"


@pytest.mark.parametrize("spec", ALL, ids=names)
def test_a_filter_survives_json(spec):
    adapter = TypeAdapter(Filter)
    assert adapter.validate_json(adapter.dump_json(spec)) == spec


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"kind": "mean", "size": 4}, "size must be odd to have a centre, got 4: use 5"),
        ({"kind": "gabor", "step_deg": 50}, "step_deg must divide 360, got 50"),
        ({"kind": "laws", "kernels": "Q5L5"}, "name must be two or three of L3"),
        ({"kind": "wavelet", "band": "LX"}, "should match pattern"),
        ({"kind": "log", "sigma_mm": 0}, "greater than 0"),
        ({"kind": "log", "sigma": 1}, "Extra inputs are not permitted"),
        ({"kind": "riesz", "order": (0, 0, 0)}, "order must have parts of at least 0 that add up"),
        ({"kind": "sobel"}, "does not match any of the expected tags"),
        ({"kind": "nonseparable", "boundary": "zero"}, "Input should be 'periodic' or 'mirror'"),
    ],
)
def test_refuses_a_wrong_specification(raw, message):
    with pytest.raises(ValidationError, match=message):
        TypeAdapter(Filter).validate_python(raw)


def test_refuses_integers_and_says_what_to_do():
    wrong = image().map(lambda x: x.to(torch.int16))
    with pytest.raises(UnitError, match=r"image must be floating point.*image.map"):
        apply_filter(wrong, MeanFilter())


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_refuses_samples_that_are_not_finite(value):
    wrong = image()
    wrong.data[0, 1, 2, 3] = value
    with pytest.raises(IntensityError, match="image must be finite to be filtered, got 1 NaN"):
        apply_filter(wrong, NonseparableFilter())


def test_refuses_a_sheared_grid():
    affine = Grid.from_spacing((14, 20, 22)).affine
    affine[0, 1] = 0.3
    sheared = Image(image().data, Grid((14, 20, 22), affine))
    with pytest.raises(GeometryError, match="grid must have axes at right angles"):
        apply_filter(sheared, LogFilter())


def test_a_gabor_filter_pools_at_most_360_directions():
    with pytest.raises(ValueError, match="greater than or equal to 1"):
        GaborFilter(step_deg=1e-6)


def test_refuses_a_filter_without_a_finite_size():
    with pytest.raises(ValueError, match="finite number"):
        LogFilter(sigma_mm=float("inf"))
