"""Erratum 9: wide bins do not make the spread too small; the variance grows by w^2 / 12."""

import pytest
import torch

from vesalius.ops._discretise import discretise


@pytest.mark.parametrize("width", [0.5, 1.0, 2.0])
def test_the_variance_of_binned_values_grows_by_the_variance_of_a_bin(width):
    generator = torch.Generator().manual_seed(9)
    x = torch.randn(100, 100, 100, generator=generator, dtype=torch.float64)
    low, high = float(x.min()), float(x.max())
    levels = discretise(
        x,
        torch.ones_like(x, dtype=torch.bool),
        origin=low,
        width=width,
        bins=1,
        count=int((high - low) / width) + 1,
        pad=0,
    )
    binned = levels.double() * width
    gain = float(binned.var() - x.var())
    assert gain == pytest.approx(width**2 / 12, rel=0.05)
    assert gain > 0  # the printed claim has the opposite sign
