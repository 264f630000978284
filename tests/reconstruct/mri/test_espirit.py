"""ESPIRiT maps against coils in closed form, and what cannot be calibrated."""
# SPDX-License-Identifier: Apache-2.0

import pytest
import torch
from coil_phantom import head_kspace, true_maps

from vesalius.errors import IntensityError, RegionError, ShapeError, UnitError
from vesalius.physics.mri import inverse_fourier
from vesalius.reconstruct.mri import Espirit, espirit

N, COILS = 48, 4


@pytest.fixture(scope="module")
def kspace():
    return head_kspace(N, COILS)


@pytest.fixture(scope="module")
def full():
    return torch.ones(N, N, dtype=torch.bool)


def inside(shrunk=0.85):
    at = (torch.arange(N, dtype=torch.float64) - N // 2) / (N / 2)
    return (at[None] / 0.69) ** 2 + (at[:, None] / 0.92) ** 2 < shrunk**2


def test_the_closed_form_kspace_is_the_phantom_through_the_maps(kspace):
    images = inverse_fourier(kspace, axes=(-2, -1))
    ratio = images / true_maps(N, COILS)
    brain = ratio[:, 39:42, 21:28].mean((1, 2))  # a flat part of value 0.2, between ripples
    assert float((brain - 0.2).abs().max()) < 0.03


def test_the_maps_are_the_true_ones_up_to_a_factor_of_each_voxel(kspace, full):
    found = espirit(kspace, mask=full).maps
    truth = true_maps(N, COILS)
    truth = truth / torch.linalg.vector_norm(truth, dim=0)
    overlap = (found.conj() * truth).sum(0).abs()[inside()]
    assert float(overlap.min()) > 0.99
    assert float(overlap.mean()) > 0.999


def test_the_eigenvalue_is_one_in_the_body_and_lower_in_the_air(kspace, full):
    value = espirit(kspace, mask=full).eigenvalue
    assert float(value[inside()].min()) > 0.97
    assert float(value.max()) < 1 + 1e-6
    assert float(value[:, :3].mean()) < 0.9


def test_maps_have_unit_energy_in_the_body_and_are_zero_outside(kspace, full):
    found = espirit(kspace, mask=full)
    energy = torch.linalg.vector_norm(found.maps, dim=0)
    kept = found.eigenvalue >= 0.8
    torch.testing.assert_close(energy, kept.to(torch.float64))
    assert not bool(kept.all())


def test_a_soft_crop_fades_between(kspace, full):
    found = espirit(kspace, mask=full, options=Espirit(soft=0.1))
    energy = torch.linalg.vector_norm(found.maps, dim=0)
    torch.testing.assert_close(
        energy[found.eigenvalue > 0.9], torch.ones(int((found.eigenvalue > 0.9).sum())).double()
    )
    between = (found.eigenvalue > 0.72) & (found.eigenvalue < 0.88)
    assert bool(between.any())
    assert bool(((energy[between] > 0) & (energy[between] < 1)).all())


def test_only_the_centre_is_looked_at(kspace, full):
    spoiled = kspace.clone()
    spoiled[:, :10] = 100.0
    mask = full.clone()
    mask[:10] = False
    options = Espirit(centre=24)
    torch.testing.assert_close(
        espirit(spoiled, mask=mask, options=options).maps,
        espirit(kspace, mask=full, options=options).maps,
    )


def test_a_volume_of_one_slice_is_the_slice(kspace, full):
    flat = espirit(kspace, mask=full).maps
    deep = espirit(kspace[:, None], mask=full[None]).maps
    torch.testing.assert_close(deep[:, 0].abs(), flat.abs(), atol=1e-6, rtol=1e-6)


def test_a_volume_that_does_not_change_along_z_has_the_maps_of_its_slice(kspace, full):
    """An object constant along z has its spectrum in the middle plane alone."""
    deep = torch.zeros(COILS, 8, N, N, dtype=torch.complex128)
    deep[:, 4] = kspace
    options = Espirit(kernel=4)
    found = espirit(deep, mask=full.expand(8, N, N), options=options).maps[:, 3]
    truth = true_maps(N, COILS)
    truth = truth / torch.linalg.vector_norm(truth, dim=0)
    overlap = (found.conj() * truth).sum(0).abs()[inside(0.7)]
    assert float(overlap.median()) > 0.99


def test_single_precision_stays_single(kspace, full):
    found = espirit(kspace.to(torch.complex64), mask=full)
    assert found.maps.dtype == torch.complex64
    assert found.eigenvalue.dtype == torch.float32


def test_refuses_kspace_without_a_sampled_centre(kspace, full):
    mask = full.clone()
    mask[N // 2, N // 2] = False
    with pytest.raises(RegionError, match="centre of k-space must be fully sampled"):
        espirit(kspace, mask=mask)


def test_refuses_an_empty_centre(kspace, full):
    with pytest.raises(RegionError, match="centre of k-space must hold signal, got 0"):
        espirit(torch.zeros_like(kspace), mask=full)


def test_refuses_masks_and_numbers_that_do_not_fit(kspace, full):
    with pytest.raises(ShapeError, match=r"mask must have the shape of the image, \(48, 48\)"):
        espirit(kspace, mask=full[1:])
    with pytest.raises(UnitError, match="k-space must be complex"):
        espirit(kspace.real, mask=full)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (Espirit(kernel=1), "kernel must be at least 2 and centre at least 4"),
        (Espirit(centre=5), "kernel must be at least 2 and centre at least 4 and the kernel"),
        (Espirit(noise=0.0), r"noise must lie in \(0, 1\)"),
        (Espirit(crop=1.0), r"crop in \[0, 1\)"),
        (Espirit(soft=-0.1), "soft be at least 0"),
    ],
)
def test_refuses_options_out_of_range(kspace, full, options, message):
    with pytest.raises(ShapeError, match=message):
        espirit(kspace, mask=full, options=options)


def test_refuses_a_spoiled_centre_but_not_spoiled_rims(kspace, full):
    spoiled = kspace.clone()
    spoiled[0, 0, 0] = float("nan")
    assert bool(torch.isfinite(espirit(spoiled, mask=full).eigenvalue).all())
    spoiled[0, N // 2, N // 2] = float("nan")
    with pytest.raises(IntensityError, match="the centre of k-space must be finite"):
        espirit(spoiled, mask=full)


@pytest.mark.parametrize(("n", "centre"), [(37, 24), (36, 23)])
def test_odd_sizes_of_image_and_centre_have_maps_in_place(n, centre):
    mask = torch.ones(n, n, dtype=torch.bool)
    found = espirit(head_kspace(n, COILS), mask=mask, options=Espirit(centre=centre)).maps
    truth = true_maps(n, COILS)
    truth = truth / torch.linalg.vector_norm(truth, dim=0)
    at = (torch.arange(n, dtype=torch.float64) - n // 2) / (n / 2)
    body = (at[None] / 0.69) ** 2 + (at[:, None] / 0.92) ** 2 < 0.8**2
    overlap = (found.conj() * truth).sum(0).abs()[body]
    assert float(overlap.min()) > 0.999
