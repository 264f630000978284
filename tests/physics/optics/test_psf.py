"""PSFs against Airy's disk, Parseval, Taylor's series and beads of known place."""
# SPDX-License-Identifier: Apache-2.0

import math

import pytest
import torch
from scipy.integrate import quad
from scipy.special import j0, j1

from vesalius.core import Grid, Image, Points
from vesalius.errors import GeometryError, IntensityError, RegionError, ShapeError
from vesalius.physics.optics import (
    Objective,
    born_wolf,
    gaussian_psf,
    gaussian_widths_mm,
    measured_psf,
)

WATER = Objective(na=1.2, index=1.33, wavelength_nm=520)
DRY = Objective(na=0.3, index=1.0, wavelength_nm=520)


def test_in_focus_it_is_airys_disk():
    step = 5e-5
    psf = born_wolf(DRY, shape=(1, 1, 201), spacing_mm=(1e-3, step, step)).data[0, 0, 0]
    v = DRY.wavenumber * DRY.na * (torch.arange(201) - 100).abs().double() * step
    airy = torch.where(v > 0, 2 * torch.from_numpy(j1(v.numpy())) / v.clamp(min=1e-9), 1.0)
    torch.testing.assert_close(psf / psf[100], airy.square(), atol=1e-12, rtol=1e-9)


def test_the_first_dark_ring_is_at_0_61_wavelengths_over_na():
    step = 1e-5
    psf = born_wolf(WATER, shape=(1, 1, 101), spacing_mm=(1e-3, step, step)).data[0, 0, 0, 50:]
    dark = int(psf[:40].argmin()) * step
    assert dark == pytest.approx(0.6098 * 520e-6 / 1.2, abs=step)


def test_on_the_axis_it_is_a_squared_sinc():
    step = 1e-4
    psf = born_wolf(WATER, shape=(41, 1, 1), spacing_mm=(step, 1e-4, 1e-4)).data[0, :, 0, 0]
    z = (torch.arange(41).double() - 20) * step
    u = WATER.wavenumber * WATER.na**2 / WATER.index * z
    expected = torch.sinc(u / 4 / math.pi).square()
    torch.testing.assert_close(psf / psf[20], expected, atol=1e-12, rtol=1e-9)


def test_agrees_with_adaptive_quadrature_far_out_of_focus():
    spacing = (2e-3, 3e-4, 3e-4)
    psf = born_wolf(WATER, shape=(3, 1, 15), spacing_mm=spacing).data[0, :, 0]
    k, na, n = WATER.wavenumber, WATER.na, WATER.index

    def value(z: float, r: float) -> float:
        def real(s: float) -> float:
            return j0(k * na * r * s) * math.cos(k * na**2 / (2 * n) * z * s * s) * s

        def imaginary(s: float) -> float:
            return j0(k * na * r * s) * math.sin(k * na**2 / (2 * n) * z * s * s) * s

        parts = [quad(f, 0, 1, limit=400, epsabs=1e-13)[0] for f in (real, imaginary)]
        return parts[0] ** 2 + parts[1] ** 2

    focus = value(0, 0)
    for i, z in ((0, -2e-3), (2, 2e-3)):
        for j in (0, 7, 9, 14):
            ratio = float(psf[i, j] / psf[1, 7])
            assert ratio == pytest.approx(value(z, abs(j - 7) * 3e-4) / focus, abs=1e-9)


def test_every_plane_holds_the_same_light():
    psf = born_wolf(WATER, shape=(3, 161, 161), spacing_mm=(5e-4, 5e-5, 5e-5)).data[0]
    planes = psf.sum(dim=(1, 2))
    assert float(psf.sum()) == pytest.approx(1)
    assert float(planes[0] / planes[1]) == pytest.approx(1, abs=0.03)


def test_the_origin_is_at_half_the_size_and_the_psf_symmetric():
    image = born_wolf(WATER, shape=(4, 7, 8), spacing_mm=(2e-4, 1e-4, 1e-4))
    data = image.data[0]
    assert int(data.argmax()) == (2 * 7 + 3) * 8 + 4
    at = image.grid.to_world(torch.tensor([2.0, 3.0, 4.0], dtype=torch.float64))
    torch.testing.assert_close(at, torch.zeros(3, dtype=torch.float64), atol=1e-15, rtol=0)
    torch.testing.assert_close(data, data.flip(1))
    torch.testing.assert_close(data[1], data[3])


def test_the_paraxial_gaussian_has_the_curvature_of_the_diffraction_pattern():
    axial, lateral = gaussian_widths_mm(DRY, approximation="paraxial")
    step = (axial / 50, lateral / 50, lateral / 50)
    psf = born_wolf(DRY, shape=(3, 1, 3), spacing_mm=step).data[0, :, 0]
    assert float(-(psf[1, 2] / psf[1, 1]).log()) == pytest.approx(0.5 / 50**2, rel=1e-3)
    assert float(-(psf[2, 1] / psf[1, 1]).log()) == pytest.approx(0.5 / 50**2, rel=1e-3)


def test_the_nonparaxial_widths_become_the_paraxial_ones_at_low_aperture():
    low = Objective(na=0.05, index=1.0, wavelength_nm=520)
    exact, plain = (gaussian_widths_mm(low, approximation=a) for a in ("nonparaxial", "paraxial"))
    assert exact == pytest.approx(plain, rel=1e-3)


def test_the_width_of_a_usual_objective_is_about_a_fifth_of_a_wavelength_over_na():
    # Zhang et al. (2007), doi:10.1364/AO.46.001819: .225 wavelength / NA, paraxial
    _, lateral = gaussian_widths_mm(WATER, approximation="paraxial")
    assert lateral == pytest.approx(0.225 * 520e-6 / 1.2, rel=1e-3)


def test_the_gaussian_psf_has_its_widths():
    image = gaussian_psf(WATER, shape=(41, 31, 31), spacing_mm=(1e-4, 5e-5, 5e-5))
    axial, lateral = gaussian_widths_mm(WATER)
    z = (torch.arange(41).double() - 20) * 1e-4
    x = (torch.arange(31).double() - 15) * 5e-5
    data = image.data[0]
    assert float((data.sum(dim=(1, 2)) * z**2).sum()) ** 0.5 == pytest.approx(axial, rel=1e-3)
    assert float((data.sum(dim=(0, 1)) * x**2).sum()) ** 0.5 == pytest.approx(lateral, rel=1e-3)


def beads(centres: list[tuple[float, float, float]], *, noise: float = 0.0) -> Image:
    """Gaussian beads at fractional indices (z, y, x) over a background of 100."""
    z, y, x = torch.meshgrid(
        *(torch.arange(n, dtype=torch.float64) for n in (30, 60, 60)), indexing="ij"
    )
    data = torch.full((30, 60, 60), 100.0, dtype=torch.float64)
    for a, b, c in centres:
        r2 = ((z - a) / 2.5) ** 2 + ((y - b) / 1.5) ** 2 + ((x - c) / 1.5) ** 2
        data += 1000 * torch.exp(-r2 / 2)
    generator = torch.Generator().manual_seed(5)
    data += noise * torch.randn(data.shape, generator=generator, dtype=torch.float64)
    return Image(data[None], Grid.from_spacing((30, 60, 60), (3e-4, 1e-4, 1e-4)))


def test_beads_give_the_psf_centred_to_a_hundredth_of_a_pixel():
    image = beads([(14.3, 20.4, 20.7), (15.6, 40.1, 39.8)], noise=2.0)
    picked = image.grid.to_world(torch.tensor([[14, 20, 21], [16, 40, 40]]).double())
    psf = measured_psf(image, Points(picked), shape=(15, 13, 13)).data[0]
    assert float(psf.sum()) == pytest.approx(1)
    for axis, n in enumerate((15, 13, 13)):
        line = psf.sum(dim=tuple(a for a in range(3) if a != axis))
        centre = float((line * torch.arange(n)).sum() / line.sum())
        assert centre == pytest.approx(n // 2, abs=0.05)
    profile = psf[7, 6] / psf[7, 6, 6]
    expected = torch.exp(-0.5 * ((torch.arange(13).double() - 6) / 1.5) ** 2)
    torch.testing.assert_close(profile, expected, atol=0.01, rtol=0)


def test_refuses_a_bead_at_the_border():
    image = beads([(14, 3, 20)])
    at = image.grid.to_world(torch.tensor([[14.0, 3, 20]]).double())
    with pytest.raises(RegionError, match="at least half the shape"):
        measured_psf(image, Points(at), shape=(15, 13, 13))


def test_refuses_a_bead_that_is_not_there():
    image = beads([])
    at = image.grid.to_world(torch.tensor([[14.0, 30, 30]]).double())
    with pytest.raises(RegionError, match="brighter than its surroundings"):
        measured_psf(image, Points(at), shape=(5, 5, 5))


def test_refuses_no_beads():
    with pytest.raises(RegionError, match="centres must name at least one bead"):
        measured_psf(beads([]), Points(torch.zeros(0, 3)), shape=(5, 5, 5))


def test_refuses_a_stack_with_nan():
    image = beads([]).map(lambda x: x * float("nan"))
    with pytest.raises(IntensityError, match="beads must be finite"):
        measured_psf(image, Points(torch.zeros(1, 3)), shape=(5, 5, 5))


@pytest.mark.parametrize("values", [(0.0, 1.0, 520.0), (1.4, 1.33, 520.0), (1.2, 1.33, -1.0)])
def test_refuses_an_impossible_objective(values):
    with pytest.raises(GeometryError, match="must be positive and na below index"):
        Objective(*values)


@pytest.mark.parametrize(("shape", "spacing"), [((0, 3, 3), (1, 1, 1)), ((3, 3, 3), (1, 0, 1))])
def test_refuses_an_empty_psf(shape, spacing):
    with pytest.raises(GeometryError, match="shape of at least 1 and positive spacing"):
        born_wolf(WATER, shape=shape, spacing_mm=spacing)


def test_bessels_function_is_right_where_torchs_own_is_not():
    from vesalius.physics.optics._psf import bessel_j0

    x = torch.tensor([0.0, 2.404825557695773, 5.001, 300.0], dtype=torch.float64)
    # zero of J0: Abramowitz and Stegun, table 9.5; J0(5) = -.1775967713 by table 9.1
    assert float(bessel_j0(x)[0]) == 1
    assert abs(float(bessel_j0(x)[1])) < 1e-15
    five = bessel_j0(torch.tensor([5.0], dtype=torch.float64))
    assert float(five) == pytest.approx(-0.1775967713143383, abs=1e-14)


def test_an_anisotropic_psf_depends_on_millimetres_not_samples():
    fine = born_wolf(WATER, shape=(5, 21, 21), spacing_mm=(2e-4, 5e-5, 5e-5)).data[0]
    coarse = born_wolf(WATER, shape=(5, 11, 21), spacing_mm=(2e-4, 1e-4, 5e-5)).data[0]
    both = fine[:, ::2], coarse
    torch.testing.assert_close(both[0] / both[0].sum(), both[1] / both[1].sum())


def test_noise_is_cut_once_after_the_beads_have_averaged_it():
    """The half of the noise above 0 is light that no bead sent: nine beads leave a third of it."""
    places = [(15, y, x) for y in (10, 30, 50) for x in (10, 30, 50)]
    image = beads(places, noise=30.0)
    at = image.grid.to_world(torch.tensor(places).double())
    clean = measured_psf(beads(places[:1]), Points(at[:1]), shape=(15, 13, 13)).data
    one = measured_psf(image, Points(at[:1]), shape=(15, 13, 13)).data
    nine = measured_psf(image, Points(at), shape=(15, 13, 13)).data
    far = clean < 0.01 * clean.max()
    assert float(clean[far].sum()) < 0.05
    assert float(nine[far].sum()) < 0.5 * float(one[far].sum())


def test_a_wide_array_is_computed_in_parts(monkeypatch):
    from vesalius.physics.optics import _psf

    shape, spacing = (2, 9, 11), (3e-4, 1.1e-4, 1e-4)
    whole = born_wolf(WATER, shape=shape, spacing_mm=spacing).data
    monkeypatch.setattr(_psf, "TABLE", 300)
    torch.testing.assert_close(born_wolf(WATER, shape=shape, spacing_mm=spacing).data, whole)


def test_refuses_an_empty_shape_of_a_measured_psf():
    with pytest.raises(ShapeError, match=r"shape must be \(z, y, x\) of at least 1"):
        measured_psf(beads([]), Points(torch.zeros(1, 3)), shape=(0, 5, 5))


def test_refuses_beads_of_two_channels():
    two = beads([(14, 30, 30)]).map(lambda x: x.repeat(2, 1, 1, 1))
    with pytest.raises(ShapeError, match="beads must have one channel, got 2"):
        measured_psf(two, Points(torch.zeros(1, 3)), shape=(5, 5, 5))
