"""Stripes: what an element adds to every view goes, what the object shows stays."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import median_filter

from vesalius.core import Grid
from vesalius.errors import ConfigError, IntensityError
from vesalius.physics.ct import Projections, parallel
from vesalius.reconstruct.ct import fbp, remove_stripes

DISCS = [(5.0, -8.0, 90.0, 0.02), (-30.0, 20.0, 20.0, 0.03), (40.0, -20.0, 12.0, 0.005)]
METHODS = [("sorting", 11), ("wavelet", 3)]


def discs(views: int = 180, columns: int = 257, objects=DISCS) -> Projections:
    """Exact line integrals of discs (x, y, radius, mu), none on the axis."""
    angles = torch.arange(views, dtype=torch.float64) * 180 / views
    s = torch.arange(columns, dtype=torch.float64) - (columns - 1) / 2
    theta = torch.deg2rad(angles)[:, None]
    total = torch.zeros(views, columns, dtype=torch.float64)
    for x, y, radius, mu in objects:
        away = s - (y * theta.cos() - x * theta.sin())
        total += mu * 2 * (radius**2 - away**2).clamp_min(0).sqrt()
    return Projections(total[:, None], parallel(angles, shape=(1, columns)))


def with_stripes(clean: Projections) -> tuple[Projections, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    stripes = torch.zeros(257, dtype=torch.float64)
    at = torch.randint(20, 230, (25,), generator=generator)
    stripes[at] = 0.1 * torch.randn(25, generator=generator, dtype=torch.float64)
    return Projections(clean.data + stripes, clean.geometry), stripes


def high(data: torch.Tensor) -> torch.Tensor:
    """What stands out of each column's neighbours on average over the views."""
    mean = data[:, 0].mean(dim=0)
    return (mean[1:-1] - (mean[:-2] + mean[2:]) / 2)[30:-30]


@pytest.mark.parametrize(("method", "width"), METHODS)
def test_stripes_go_and_the_object_stays(method, width):
    clean = discs()
    spoiled, _ = with_stripes(clean)
    mended = remove_stripes(spoiled, method=method, width=width)
    before = float((spoiled.data - clean.data).square().mean().sqrt())
    after = float((mended.data - clean.data).square().mean().sqrt())
    assert after < 0.75 * before
    # what makes rings stands out in the mean over the views
    standing = high(clean.data)
    left = float((high(mended.data) - standing).square().mean().sqrt())
    there = float((high(spoiled.data) - standing).square().mean().sqrt())
    assert left < (0.35 if method == "sorting" else 0.2) * there


@pytest.mark.parametrize(
    ("method", "width", "least", "most"), [("sorting", 21, 0.65, 0.95), ("wavelet", 5, 0.0, 0.1)]
)
def test_a_real_ring_about_the_axis_loses_as_told_and_a_rod_hardly(method, width, least, most):
    grid = Grid.from_spacing((1, 128, 128), origin_mm=(-63.5, -63.5, 0.0))
    objects = [(0.0, 0.0, 40.0, 0.02), (0.0, 0.0, 20.0, 0.02), (0.0, 0.0, 18.0, -0.02)]
    clean = discs(columns=185, objects=[*objects, (30.0, 0.0, 2.0, 0.05)])
    mended = remove_stripes(clean, method=method, width=width)
    before, after = (fbp(p, like=grid).image.data[0, 0] for p in (clean, mended))
    y, x = torch.meshgrid(torch.arange(128) - 63.5, torch.arange(128) - 63.5, indexing="ij")
    away = torch.hypot(x, y)
    # what stands out of the disc of 0.02 on each side
    there = ((away > 18.3) & (away < 19.7), (away > 22) & (away < 26))
    kept = [float(i[there[0]].mean() - i[there[1]].mean()) for i in (before, after)]
    assert least < kept[1] / kept[0] < most
    spot = torch.hypot(x - 30, y) < 1.2
    kept = [float(i[spot].mean() - i[there[1]].mean()) for i in (before, after)]
    assert kept[1] / kept[0] > 0.87


@pytest.mark.parametrize(("method", "width"), METHODS)
def test_a_clean_scan_is_hardly_changed(method, width):
    clean = discs()
    kept = remove_stripes(clean, method=method, width=width)
    spread = float(clean.data.std())
    assert float((kept.data - clean.data).square().mean().sqrt()) < 0.02 * spread
    assert kept.geometry is clean.geometry


@settings(max_examples=10)
@given(st.integers(0, 2**31), st.sampled_from([3, 5, 7]))
def test_sorting_agrees_with_numpy_and_scipy(seed, width):
    data = torch.rand(6, 2, 9, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    geometry = parallel(torch.arange(6.0) * 30, shape=(2, 9))
    mended = remove_stripes(Projections(data, geometry), width=width)
    for row in range(2):
        sinogram = data[:, row].numpy()
        order = np.argsort(sinogram, axis=0)
        ranked = np.take_along_axis(sinogram, order, axis=0)
        smooth = median_filter(ranked, size=(1, width), mode="nearest")
        expected = np.empty_like(sinogram)
        np.put_along_axis(expected, order, smooth, axis=0)
        np.testing.assert_array_equal(mended.data[:, row].numpy(), expected)


def test_wavelets_leave_nothing_of_a_stripe_on_nothing():
    data = torch.zeros(64, 1, 96, dtype=torch.float64)
    data[:, 0, 40] = 1.0
    scan = Projections(data, parallel(torch.arange(64.0), shape=(1, 96)))
    mended = remove_stripes(scan, method="wavelet", width=5).data
    assert float(mended[:, 0].abs().max()) < 0.35
    # and the sum over columns, which no wavelet holds, is spread wide
    torch.testing.assert_close(mended.sum(dim=2), data.sum(dim=2), rtol=0.3, atol=0)


@pytest.mark.parametrize(("method", "width"), METHODS)
def test_rows_are_treated_alone_and_the_number_type_stays(method, width):
    one, two = torch.rand(2, 20, 1, 33, generator=torch.Generator().manual_seed(2))
    angles = torch.arange(20.0) * 9
    both = Projections(torch.cat([one, two], dim=1), parallel(angles, shape=(2, 33)))
    together = remove_stripes(both, method=method, width=width).data
    alone = remove_stripes(Projections(two, parallel(angles, shape=(1, 33))), width=width)
    assert together.dtype == torch.float32
    if method == "sorting":
        assert torch.equal(together[:, 1:], alone.data)


@pytest.mark.parametrize("width", [0, 2, 4, 259])
def test_a_width_that_is_even_or_too_large_is_refused(width):
    with pytest.raises(ConfigError, match="width must be odd, at least 3 and at most"):
        remove_stripes(discs(10), width=width)


def test_counts_are_refused():
    scan = discs(10)
    with pytest.raises(IntensityError, match="projections must be line integrals to remove"):
        remove_stripes(Projections(scan.data, scan.geometry, "counts"))
