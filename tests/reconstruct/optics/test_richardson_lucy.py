"""Richardson-Lucy against scikit-image, the likelihood, borders and beads of known place."""
# SPDX-License-Identifier: Apache-2.0

import itertools
import math

import numpy as np
import pytest
import torch
from skimage import restoration

from vesalius.core import Grid, Image, Step
from vesalius.errors import ConfigError, GeometryError, IntensityError, ShapeError, UnitError
from vesalius.physics.optics import Convolution, Objective, gaussian_psf, gaussian_widths_mm
from vesalius.reconstruct.optics import RichardsonLucy, likeliest, richardson_lucy
from vesalius.reconstruct.solve import Run, mlem

UM = 1e-3
GRID = Grid.from_spacing((1, 40, 44), (0.1 * UM, 0.1 * UM, 0.1 * UM))
OPTICS = Objective(na=0.6, index=1.0, wavelength_nm=600)
PSF = gaussian_psf(OPTICS, shape=(1, 21, 21), spacing_mm=GRID.spacing_mm)


def erf(x: torch.Tensor) -> torch.Tensor:
    return torch.special.erf(x / math.sqrt(2))


def box_seen(size: int, low: float, high: float, sigma: float) -> torch.Tensor:
    """A bar from low to high, in samples, blurred by a Gaussian, in closed form."""
    at = torch.arange(size, dtype=torch.float64)
    return (erf((high - at) / sigma) - erf((low - at) / sigma)) / 2


def cell(*, background: float = 5.0, peak: float = 100.0, seed: int = 1) -> tuple[Image, Image]:
    """A square blurred in closed form (no operator of ours) with Poisson noise, and the truth."""
    sigma = math.sqrt(2) / (OPTICS.wavenumber * OPTICS.na) / (0.1 * UM)
    rows, columns = box_seen(40, 9.5, 27.5, sigma), box_seen(44, 11.5, 30.5, sigma)
    mean = background + peak * rows[:, None] * columns
    generator = torch.Generator().manual_seed(seed)
    seen = torch.poisson(mean, generator=generator)
    truth = torch.zeros(40, 44, dtype=torch.float64)
    truth[10:28, 12:31] = peak
    return Image(seen[None, None], GRID, "photon"), Image(truth[None, None], GRID, "photon")


PARAXIAL = gaussian_psf(
    OPTICS, shape=(1, 25, 25), spacing_mm=GRID.spacing_mm, approximation="paraxial"
)


def error(found: Image, truth: Image) -> float:
    return float((found.data - truth.data).norm() / truth.data.norm())


def test_agrees_with_scikit_image_inside_a_dark_field():
    psf = PSF.data[0, 0, 5:16, 5:16]
    psf = psf / psf.sum()
    truth = torch.zeros(48, 48, dtype=torch.float64)
    truth[18:26, 20:30] = 1.0
    truth[30, 22] = 4.0
    seen = Convolution(psf, (48, 48))(truth).clamp(min=0)
    ours = likeliest(
        Convolution(psf, (48, 48)), seen, spacing=(1, 1), options=RichardsonLucy(steps=30)
    )
    theirs = restoration.richardson_lucy(seen.numpy(), psf.numpy(), num_iter=30, clip=False)
    # the start differs (flat .5 there): inside the object both have forgotten it
    inside = np.s_[16:32, 18:32]
    difference = np.abs(ours.x.numpy()[inside] - theirs[inside]).max()
    assert difference < 0.02 * theirs.max()


def test_is_mlem_of_the_solvers_where_there_is_no_prior():
    image, _ = cell()
    op = Convolution(PARAXIAL.data[0], (1, 64, 68), "valid")
    y = image.data[0]
    ours = likeliest(op, y, spacing=(1, 1, 1), options=RichardsonLucy(steps=5, background=5))
    seen = op.H(torch.ones_like(y))
    start = torch.full_like(seen, float((y - 5).sum() / seen.sum())) * (seen > 0.01 * seen.max())
    run = Run(start=start)
    theirs = mlem(op, y, background=torch.full_like(y, 5), steps=5, run=run)
    torch.testing.assert_close(ours.x, theirs.x, atol=1e-9, rtol=1e-9)
    x = start
    for _ in range(5):
        fit = op.H(y / (op(x) + 5)) / seen.clamp(min=1e-12)
        x = torch.where(seen > 0.01 * seen.max(), x * fit, 0.0)
    torch.testing.assert_close(ours.x, x, atol=1e-9, rtol=1e-7)


def test_one_step_of_total_variation_is_that_of_dey():
    image, _ = cell()
    op = Convolution(PARAXIAL.data[0, 0], (40, 44))
    y = image.data[0, 0]
    options = RichardsonLucy(steps=1, weight=0.01, background=5)
    found = likeliest(op, y, spacing=(1, 1), options=options).x
    seen = op.H(torch.ones_like(y))
    flat = float((y - 5).sum() / seen.sum())
    # a flat start has no slope: the first step is that of Richardson-Lucy
    expected = flat * op.H(y / (op(torch.full_like(y, flat)) + 5)) / seen
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=0)


def test_the_likelihood_rises_with_every_step():
    image, _ = cell()
    op = Convolution(PARAXIAL.data[0], (1, 64, 68), "valid")
    options = RichardsonLucy(steps=40, background=5)
    objective = likeliest(op, image.data[0], spacing=(1, 1, 1), options=options).objective
    assert len(objective) == 40
    assert all(b <= a for a, b in itertools.pairwise(objective))


def test_acceleration_reaches_the_same_likelihood_in_a_quarter_of_the_steps():
    image, _ = cell()
    op = Convolution(PARAXIAL.data[0], (1, 64, 68), "valid")

    def reached(steps: int, *, accelerated: bool) -> float:
        options = RichardsonLucy(steps=steps, accelerated=accelerated, background=5)
        return likeliest(op, image.data[0], spacing=(1, 1, 1), options=options).objective[-1]

    assert reached(25, accelerated=True) <= reached(100, accelerated=False)


def test_total_variation_lowers_the_error_of_a_noisy_square():
    image, truth = cell()
    plain = richardson_lucy(image, PARAXIAL, options=RichardsonLucy(steps=60, background=5))
    tv = richardson_lucy(
        image, PARAXIAL, options=RichardsonLucy(steps=60, weight=0.01, background=5)
    )
    blurred = error(image.map(lambda x: x - 5), truth)
    assert error(tv.image, truth) < 0.9 * error(plain.image, truth)
    assert error(tv.image, truth) < 0.7 * blurred
    assert (plain.method, tv.method) == ("richardson-lucy", "richardson-lucy-tv")
    assert tv.weight == 0.01


def test_open_edges_keep_a_flat_field_flat_where_dark_ones_pile_up_light():
    image = Image(torch.full((1, 1, 40, 44), 50.0, dtype=torch.float64), GRID, "photon")
    found = {
        edges: richardson_lucy(image, PSF, options=RichardsonLucy(steps=40, edges=edges)).image
        for edges in ("open", "zero")
    }
    # voxels of which hardly any light is caught are held at 0: that much is missing at the rim
    torch.testing.assert_close(found["open"].data, image.data, rtol=0.02, atol=0)
    inside = found["open"].data[..., 8:-8, 8:-8]
    torch.testing.assert_close(inside, torch.full_like(inside, 50), rtol=1e-3, atol=0)
    assert float(found["zero"].data.max()) > 75


def test_an_object_cut_by_the_border_is_found_up_to_it():
    sigma = math.sqrt(2) / (OPTICS.wavenumber * OPTICS.na) / (0.1 * UM)
    rows, columns = box_seen(40, -30.5, 14.5, sigma), box_seen(44, 11.5, 30.5, sigma)
    image = Image((100 * rows[:, None] * columns)[None, None], GRID, "photon")
    found = richardson_lucy(image, PARAXIAL, options=RichardsonLucy(steps=150)).image.data[0, 0]
    assert float((found[:8, 16:27] / 100 - 1).abs().max()) < 0.15


def test_a_bead_is_found_within_a_tenth_of_a_pixel():
    sigma = math.sqrt(2) / (OPTICS.wavenumber * OPTICS.na) / (0.1 * UM)
    y, x = torch.arange(40, dtype=torch.float64), torch.arange(44, dtype=torch.float64)
    spot = torch.exp(-(((y[:, None] - 18.3) ** 2 + (x - 21.6) ** 2) / 2 / sigma**2))
    generator = torch.Generator().manual_seed(3)
    image = Image(torch.poisson(3 + 80 * spot, generator=generator)[None, None], GRID, "photon")
    options = RichardsonLucy(steps=100, background=3, accelerated=True)
    found = richardson_lucy(image, PARAXIAL, options=options).image.data[0, 0]
    window = found[14:23, 17:27]
    at = [
        float((window.sum(dim=1) * torch.arange(14, 23)).sum() / window.sum()),
        float((window.sum(dim=0) * torch.arange(17, 27)).sum() / window.sum()),
    ]
    assert at == pytest.approx([18.3, 21.6], abs=0.1)
    assert float(window.max()) > 5 * 80


def test_keeps_the_counts_of_a_dark_field():
    image, _ = cell(background=0.0)
    found = richardson_lucy(image, PSF, options=RichardsonLucy(steps=20, edges="zero"))
    blurred = Convolution(PSF.data[0], (1, 40, 44))(found.image.data)
    assert float(blurred.sum()) == pytest.approx(float(image.data.sum()), rel=1e-6)


def test_channels_grid_unit_and_dtype_stay():
    image, _ = cell()
    two = Image(torch.cat([image.data, 2 * image.data]).float(), GRID, "photon", ("a", "b"))
    found = richardson_lucy(two, PSF, options=RichardsonLucy(steps=2))
    assert found.image.data.shape == two.data.shape
    assert found.image.dtype == torch.float32
    assert (found.image.unit, found.image.channels) == ("photon", ("a", "b"))
    assert found.image.grid is two.grid
    assert found.steps == 2


def test_stops_at_a_tolerance_and_tells_each_step():
    image, _ = cell()
    told: list[Step] = []
    options = RichardsonLucy(steps=500, tol=0.01, accelerated=True, on_step=told.append)
    found = richardson_lucy(image, PSF, options=options)
    assert 2 < found.steps < 200
    assert len(told) == found.steps


def test_a_black_image_stays_black():
    image = Image(torch.zeros(1, 1, 12, 12), Grid.from_spacing((1, 12, 12), GRID.spacing_mm))
    for accelerated, weight in ((False, 0.0), (True, 0.0), (False, 0.01), (True, 0.01)):
        options = RichardsonLucy(steps=3, accelerated=accelerated, weight=weight)
        found = richardson_lucy(image, PSF, options=options).image.data
        assert bool(torch.isfinite(found).all())
        assert float(found.abs().max()) == 0


@pytest.mark.parametrize(
    "bad", [{"steps": 0}, {"weight": -1.0}, {"weight": 0.5}, {"tol": -1.0}, {"background": -2.0}]
)
def test_refuses_options_out_of_range(bad):
    with pytest.raises(ConfigError, match="steps must be at least 1, background and tol finite"):
        RichardsonLucy(**bad)


def test_refuses_integers():
    image = Image(torch.ones(1, 1, 9, 9, dtype=torch.int16), GRID.crop((0, 0, 0), (1, 9, 9)))
    with pytest.raises(UnitError, match="image must be float32 or float64 to be deconvolved"):
        richardson_lucy(image, PSF)


@pytest.mark.parametrize("bad", [-1.0, float("nan"), float("inf")])
def test_refuses_negative_or_infinite_counts(bad):
    data = torch.ones(1, 1, 9, 9)
    data[0, 0, 4, 4] = bad
    with pytest.raises(IntensityError, match="image must be finite"):
        richardson_lucy(Image(data, GRID.crop((0, 0, 0), (1, 9, 9))), PSF)
    with pytest.raises(IntensityError, match="counts must be finite and at least 0"):
        likeliest(Convolution(torch.ones(1, 1), (9, 9)), data[0, 0], spacing=(1, 1))


def test_refuses_a_psf_of_another_spacing():
    psf = gaussian_psf(OPTICS, shape=(1, 5, 5), spacing_mm=(0.1 * UM, 0.2 * UM, 0.1 * UM))
    with pytest.raises(GeometryError, match="psf must have the spacing of the image"):
        richardson_lucy(cell()[0], psf)


def test_refuses_a_psf_that_is_no_distribution():
    with pytest.raises(IntensityError, match="psf must be at least 0 with a sum of 1"):
        richardson_lucy(cell()[0], PSF.map(lambda x: 2 * x))


def test_refuses_a_psf_of_two_channels():
    with pytest.raises(ShapeError, match="psf must have one channel"):
        richardson_lucy(cell()[0], PSF.map(lambda x: x.repeat(2, 1, 1, 1)))


def test_a_volume_is_deconvolved_along_z_too():
    """Two thin layers that a widefield stack blurs into one come apart."""
    spacing = (0.2 * UM, 0.2 * UM, 0.2 * UM)
    optics = Objective(na=1.2, index=1.33, wavelength_nm=520)
    psf = gaussian_psf(optics, shape=(15, 7, 7), spacing_mm=spacing)
    sigma = gaussian_widths_mm(optics)[0] / spacing[0]
    z = torch.arange(24, dtype=torch.float64)
    layers = sum(torch.exp(-(((z - c) / sigma) ** 2) / 2) for c in (10.0, 13.0))
    stack = (100 * layers)[:, None, None].expand(24, 12, 12)
    image = Image(stack[None].contiguous(), Grid.from_spacing((24, 12, 12), spacing), "photon")
    options = RichardsonLucy(steps=150, accelerated=True)
    line = richardson_lucy(image, psf, options=options).image.data[0, :, 6, 6]
    assert float(stack[11, 0, 0]) > 0.8 * float(stack[10, 0, 0])
    assert float(line[11:13].max()) < 0.5 * float(line[[10, 13]].min())


def test_float32_is_close_to_float64():
    image, _ = cell()
    options = RichardsonLucy(steps=20, weight=0.01, background=5)
    double = richardson_lucy(image, PARAXIAL, options=options).image.data
    single = richardson_lucy(image.map(lambda x: x.float()), PARAXIAL, options=options).image.data
    torch.testing.assert_close(single.double(), double, atol=0.01, rtol=1e-3)


@pytest.mark.parametrize("weight", [0.01, 0.05, 0.09])
def test_a_strong_prior_and_a_wide_psf_stay_finite_at_the_rim(weight):
    """Where the field catches a hundredth of a voxel's light, the prior alone divided by < 0."""
    wide = gaussian_psf(Objective(0.2, 1.0, 600), shape=(1, 31, 31), spacing_mm=GRID.spacing_mm)
    op = Convolution(wide.data[0].float(), (1, 62, 62), "valid")
    generator = torch.Generator().manual_seed(6)
    y = torch.poisson(torch.full((1, 32, 32), 60.0), generator=generator)
    options = RichardsonLucy(steps=60, weight=weight)
    found = likeliest(op, y, spacing=(1, 1, 1), options=options)
    assert float(found.x.min()) >= 0
    assert float(found.x.max()) < 4 * 60
    # flat light: nothing is left but its noise
    assert found.residual[-1] < 1.3 / 60**0.5


@pytest.mark.parametrize("accelerated", [False, True])
@pytest.mark.parametrize("weight", [0.0, 0.01])
def test_a_bright_channel_does_not_change_a_dim_one(accelerated, weight):
    dim, bright = cell(seed=1)[0].data, 1000 * cell(seed=2)[0].data
    options = RichardsonLucy(steps=8, accelerated=accelerated, weight=weight)
    both, alone = (
        richardson_lucy(Image(d, GRID, "photon"), PSF, options=options).image.data[:1]
        for d in (torch.cat([dim, bright]), dim)
    )
    torch.testing.assert_close(both, alone, rtol=1e-9, atol=1e-12)


def test_the_unit_of_the_image_does_not_matter():
    image, _ = cell()
    options = RichardsonLucy(steps=10, accelerated=True, weight=0.01)
    one, other = (
        richardson_lucy(image.map(lambda x, f=f: f * x), PSF, options=options).image.data / f
        for f in (1.0, 1e-18)
    )
    torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)
