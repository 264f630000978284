"""Slopes and orthonormal transforms against SciPy and PyWavelets; best k-term approximations."""

import pytest
import pywt
import scipy.fft
import torch

from vesalius.core import Diagonal, Grid
from vesalius.errors import ConfigError, GeometryError, IntensityError, ShapeError, UnitError
from vesalius.physics import rasterise, shepp_logan
from vesalius.physics.sparse import Dct, Dft, Gradient, Laplacian, Wavelet, keep_largest


@pytest.mark.parametrize("shape", [(5, 8), (4, 7), (1, 3)])
def test_the_cosine_transform_agrees_with_scipy(shape, generator):
    x = torch.randn(3, *shape, generator=generator, dtype=torch.float64)
    expected = scipy.fft.dctn(x.numpy(), axes=(-2, -1), norm="ortho")
    torch.testing.assert_close(Dct((3, *shape))(x), torch.from_numpy(expected))


def test_the_wavelet_transform_has_the_coefficients_of_pywavelets(generator):
    x = torch.randn(16, generator=generator, dtype=torch.float64)
    for family in ("haar", "db2", "db4"):
        theirs = torch.from_numpy(pywt.dwt(x.numpy(), family, mode="periodization")[0])
        # the two libraries count periodic samples from different places, forwards or backwards
        starts = [y.roll(k) for k in range(16) for y in (x, x.flip(0))]
        found = [Wavelet((16,), family, (-1,), 1)(start)[:8] for start in starts]
        least = min(float((f - theirs).abs().max()) for f in found + [f.flip(0) for f in found])
        assert least < 1e-10


@pytest.mark.parametrize(
    "transform",
    [
        Dct((6, 10)),
        Dft((6, 10)),
        Wavelet((8, 12), "db3"),
        Wavelet((4, 8, 6), "coif1", (-3, -2, -1), 3),
    ],
    ids=["dct", "dft", "wavelet", "wavelet 3-D"],
)
def test_orthonormal_transforms_keep_energy_and_come_back(transform, generator):
    x = torch.randn(transform.domain, generator=generator, dtype=torch.float64)
    c = transform(x)
    assert float(c.abs().square().sum()) == pytest.approx(float(x.square().sum()))
    back = transform.H(c)
    torch.testing.assert_close(back.real if back.is_complex() else back, x)


def test_details_are_all_but_the_coarsest_approximation():
    transform = Wavelet((8, 12), "haar", levels=2)
    spared = transform(torch.ones(8, 12, dtype=torch.float64))[transform.details == 0]
    assert spared.numel() == 2 * 3
    assert float(spared.square().sum()) == pytest.approx(96.0)


def test_slopes_are_in_units_per_mm_and_the_laplacian_is_their_divergence(generator):
    z, y, x = torch.meshgrid(*(torch.arange(n).double() for n in (3, 4, 5)), indexing="ij")
    slope = Gradient((3, 4, 5), (2.0, 0.5, 1.0))(3 * z + y - 2 * x)
    assert slope[0, :-1].unique().tolist() == [1.5]
    assert slope[1, :, :-1].unique().tolist() == [2.0]
    assert slope[2, :, :, :-1].unique().tolist() == [-2.0]
    assert float(slope[0, -1].abs().max()) == 0.0
    image = torch.randn(3, 4, 5, generator=generator, dtype=torch.float64)
    gradient = Gradient((3, 4, 5), (2.0, 0.5, 1.0))
    laplacian = Laplacian((3, 4, 5), (2.0, 0.5, 1.0))
    torch.testing.assert_close(laplacian(image), -gradient.H(gradient(image)))
    assert float(laplacian(image).sum()) == pytest.approx(0.0, abs=1e-10)


def test_wavelets_hold_a_head_in_fewest_coefficients():
    """Textbook: the best 5 % by wavelet beats DCT, and DCT beats DFT, on Shepp-Logan."""
    grid = Grid.from_spacing((1, 64, 64), (1.0, 3.0, 3.0), origin_mm=(-94.5, -94.5, 0.0))
    image = rasterise(shepp_logan(), grid).data[0].double()
    shape = (1, 64, 64)
    transforms = (Wavelet(shape, "haar"), Dct(shape), Dft(shape))
    errors = [
        float((keep_largest(image, t, 205) - image).norm() / image.norm()) for t in transforms
    ]
    assert errors[0] < errors[1] < errors[2] < 0.6
    all_of_them = keep_largest(image, transforms[0], 64 * 64)
    torch.testing.assert_close(all_of_them, image)


def test_refuses_what_cannot_be():
    with pytest.raises(ShapeError, match="a wavelet transform must halve an even axis"):
        Wavelet((5, 7))
    with pytest.raises(GeometryError, match="spacing must be positive distances along the last"):
        Gradient((5, 7), (1.0, 0.0))
    with pytest.raises(ConfigError, match="count must lie from 1 to"):
        keep_largest(torch.ones(4, 4), Dct((4, 4)), 0)
    with pytest.raises(IntensityError, match="factors of a diagonal must be finite"):
        Diagonal(torch.tensor([float("nan")]))
    with pytest.raises(UnitError, match="input must be complex for complex factors"):
        Diagonal(torch.tensor([1j]))(torch.ones(1))
