"""The centred Fourier transform, sampling and coils, against definitions and refusals."""
# SPDX-License-Identifier: Apache-2.0

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vesalius.errors import IntensityError, ShapeError, UnitError
from vesalius.physics.mri import (
    Coils,
    Crop,
    Each,
    Fourier,
    NonUniformFourier,
    Sampling,
    encode,
    fourier,
    inverse_fourier,
    simulated_maps,
)


def matrix(n):
    """The centred unitary DFT, written out."""
    j = torch.arange(n, dtype=torch.float64) - n // 2
    return torch.exp(-2j * math.pi * j[:, None] * j / n) / math.sqrt(n)


@settings(max_examples=25)
@given(st.integers(1, 9), st.integers(1, 8))
def test_agrees_with_the_definition_for_odd_and_even_sizes(rows, columns):
    x = torch.randn(rows, columns, dtype=torch.complex128)
    expected = matrix(rows) @ x @ matrix(columns).T
    torch.testing.assert_close(fourier(x, axes=(-2, -1)), expected)


@settings(max_examples=25)
@given(st.integers(1, 9), st.integers(1, 8))
def test_the_inverse_undoes_it_and_energy_is_kept(rows, columns):
    x = torch.randn(3, rows, columns, dtype=torch.complex128)
    y = fourier(x, axes=(-2, -1))
    torch.testing.assert_close(inverse_fourier(y, axes=(-2, -1)), x)
    torch.testing.assert_close(torch.linalg.vector_norm(y), torch.linalg.vector_norm(x))


def test_a_point_at_the_centre_has_a_flat_real_spectrum():
    x = torch.zeros(6, 7, dtype=torch.complex128)
    x[3, 3] = 1
    y = fourier(x, axes=(-2, -1))
    torch.testing.assert_close(y, torch.full_like(y, 1 / math.sqrt(42)))


def test_the_operator_transforms_only_its_axes(generator):
    x = torch.randn(2, 3, 4, generator=generator, dtype=torch.complex128)
    y = Fourier((2, 3, 4), (-2,))(x)
    torch.testing.assert_close(y, torch.einsum("kj,cjx->ckx", matrix(3), x))


def test_the_norm_of_the_transform_is_one():
    norm = Fourier((4, 6), (-1, -2)).norm(like=torch.zeros((), dtype=torch.complex128))
    assert norm == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("axes", [(), (0,), (-3,), (-1, -1)])
def test_refuses_axes_that_are_not_there(axes):
    with pytest.raises(ShapeError, match="axes must be different numbers from -2 to -1"):
        Fourier((3, 4), axes)


def test_refuses_real_images_and_real_kspace():
    op = Fourier((3, 4), (-1,))
    with pytest.raises(UnitError, match=r"the image must be complex, got torch\.float32"):
        op(torch.zeros(3, 4))
    with pytest.raises(UnitError, match="k-space must be complex"):
        op.H(torch.zeros(3, 4))


def test_sampling_is_a_projection_and_lets_no_nan_through():
    mask = torch.tensor([[True, False, True]])
    op = Sampling(mask, (2, 1, 3))
    x = torch.ones(2, 1, 3, dtype=torch.complex64)
    x[:, 0, 1] = math.nan
    y = op(x)
    assert torch.equal(y, torch.tensor([1, 0, 1]).expand(2, 1, 3).to(torch.complex64))
    assert torch.equal(op(y), y)


def test_sampling_refuses_masks_that_do_not_fit_or_keep_nothing():
    with pytest.raises(ShapeError, match=r"mask must have the shape of the last axes.*\(3, 5\)"):
        Sampling(torch.ones(3, 5, dtype=torch.bool), (2, 3, 4))
    with pytest.raises(ShapeError, match="mask must keep at least one sample"):
        Sampling(torch.zeros(3, 4, dtype=torch.bool), (2, 3, 4))


def test_coils_multiply_and_sum_conjugates(generator):
    maps = torch.randn(3, 4, 5, generator=generator, dtype=torch.complex128)
    x = torch.randn(4, 5, generator=generator, dtype=torch.complex128)
    y = Coils(maps)(x)
    for c in range(3):
        torch.testing.assert_close(y[c], maps[c] * x)
    energy = (maps.abs() ** 2).sum(0)
    torch.testing.assert_close(Coils(maps).H(y), energy * x)


def test_single_precision_images_stay_single_with_double_maps():
    maps = simulated_maps((4, 5), coils=2)
    assert Coils(maps)(torch.zeros(4, 5, dtype=torch.complex64)).dtype == torch.complex64


def test_coils_refuse_maps_that_are_no_maps():
    with pytest.raises(UnitError, match=r"coil maps must be complex, got torch\.float64"):
        Coils(torch.ones(2, 3, 3, dtype=torch.float64))
    with pytest.raises(ShapeError, match=r"coil maps must have shape \(coil, \*image\)"):
        Coils(torch.ones(3, dtype=torch.complex64))
    maps = torch.ones(2, 3, 3, dtype=torch.complex64)
    maps[0, 0, 0] = complex(math.nan, 0)
    with pytest.raises(IntensityError, match="coil maps must be finite"):
        Coils(maps)
    op = Coils(simulated_maps((3, 3), coils=2))
    with pytest.raises(UnitError, match="the image must be complex"):
        op(torch.zeros(3, 3))
    with pytest.raises(UnitError, match="coil images must be complex"):
        op.H(torch.zeros(2, 3, 3))


def test_encoding_is_maps_then_transform_then_mask(generator):
    maps = simulated_maps((6, 5), coils=3)
    mask = torch.rand(6, 5, generator=generator) > 0.5
    x = torch.randn(6, 5, generator=generator, dtype=torch.complex128)
    expected = fourier(maps * x, axes=(-2, -1)) * mask
    torch.testing.assert_close(encode(maps, mask=mask)(x), expected)


def test_encoding_with_unit_maps_never_amplifies():
    maps = simulated_maps((8, 8), coils=4)
    full = encode(maps, mask=torch.ones(8, 8, dtype=torch.bool))
    like = torch.zeros((), dtype=torch.complex128)
    assert full.norm(like=like) == pytest.approx(1.0, abs=1e-9)
    half = torch.zeros(8, 8, dtype=torch.bool)
    half[::2] = True
    assert encode(maps, mask=half).norm(like=like) <= 1.0 + 1e-9


def test_encoding_refuses_a_mask_of_another_shape():
    with pytest.raises(ShapeError, match=r"mask must have the shape of the image, \(4, 5\)"):
        encode(simulated_maps((4, 5), coils=2), mask=torch.ones(5, 4, dtype=torch.bool))


@pytest.mark.parametrize("shape", [(16, 12), (3, 16, 12)])
def test_simulated_maps_are_smooth_and_of_unit_energy(shape):
    maps = simulated_maps(shape, coils=5)
    assert tuple(maps.shape) == (5, *shape)
    torch.testing.assert_close(
        torch.linalg.vector_norm(maps, dim=0), torch.ones(shape, dtype=torch.float64)
    )
    assert float(maps.diff(dim=-1).abs().max()) < 0.3
    assert float(maps.diff(dim=-2).abs().max()) < 0.3


def test_each_simulated_coil_is_strongest_on_its_own_side():
    maps = simulated_maps((16, 16), coils=4).abs()
    assert float(maps[0, 8, 15]) > float(maps[2, 8, 15])
    assert float(maps[1, 15, 8]) > float(maps[3, 15, 8])


def test_simulated_maps_refuse_what_is_no_image():
    with pytest.raises(ShapeError, match="coils must be at least 1, shape"):
        simulated_maps((4, 4), coils=0)
    with pytest.raises(ShapeError, match="coils must be at least 1, shape"):
        simulated_maps((4,))


def test_each_coil_has_its_own_transform(generator):
    k = torch.rand(9, 2, generator=generator, dtype=torch.float64)
    x = torch.randn(3, 4, 5, generator=generator, dtype=torch.complex128)
    one = NonUniformFourier((4, 5), k)
    y = Each(3, one)(x)
    for c in range(3):
        torch.testing.assert_close(y[c], one(x[c]))
    with pytest.raises(ShapeError, match="count must be at least 1, got 0"):
        Each(0, one)


def test_a_crop_takes_the_first_samples_and_pads_back():
    x = torch.arange(12.0).reshape(3, 4)
    y = Crop((3, 4), (2, 3))(x)
    assert torch.equal(y, x[:2, :3])
    back = Crop((3, 4), (2, 3)).H(y)
    assert torch.equal(back[:2, :3], y)
    assert float(back.sum()) == float(y.sum())


@pytest.mark.parametrize("shape", [(4, 4), (3,)])
def test_a_crop_refuses_to_grow(shape):
    with pytest.raises(ShapeError, match="shape must have the axes of wide and be nowhere larger"):
        Crop((3, 4), shape)


@pytest.mark.parametrize("bad", [{"shape": (0, 4)}, {"radius": 0.0}, {"radius": math.nan}])
def test_simulated_maps_refuse_no_voxels_and_no_circle(bad):
    with pytest.raises(ShapeError, match="of at least 1 and radius positive"):
        simulated_maps(**({"shape": (4, 4)} | bad))
