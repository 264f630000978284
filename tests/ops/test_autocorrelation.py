"""Moran's I and Geary's C by Fourier transform."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vesalius.errors import RegionError
from vesalius.ops import _autocorrelation
from vesalius.ops._autocorrelation import spatial_autocorrelation


def all_pairs(values, mask, spacing):
    spots, x = np.argwhere(mask) * spacing, values[mask]
    away = np.sqrt(((spots[:, None] - spots[None]) ** 2).sum(axis=2))
    np.fill_diagonal(away, np.inf)
    w, d, n = 1 / away, x - x.mean(), len(x)
    moran = n / w.sum() * (w * np.outer(d, d)).sum() / (d**2).sum()
    geary = (n - 1) / (2 * w.sum()) * (w * (x[:, None] - x[None]) ** 2).sum() / (d**2).sum()
    return moran, geary


@given(st.integers(0, 10_000), st.tuples(*[st.integers(1, 8)] * 3), st.floats(-1e4, 1e4))
@settings(max_examples=40, deadline=None)
def test_agrees_with_the_double_loop(seed, shape, offset):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=shape) + offset
    mask = rng.random(shape) < 0.7
    if mask.sum() < 2:
        return
    spacing = (2.5, 1.0, 0.8)
    found = spatial_autocorrelation(torch.from_numpy(values), torch.from_numpy(mask), spacing)
    moran, geary = all_pairs(values, mask, np.array(spacing))
    assert found.moran == pytest.approx(moran, rel=1e-8, abs=1e-9)
    assert found.geary == pytest.approx(geary, rel=1e-8, abs=1e-9)


def test_slices_of_columns_add_up(monkeypatch, generator):
    values = torch.randn(7, 9, 11, generator=generator, dtype=torch.float64)
    mask = values > -1
    whole = spatial_autocorrelation(values, mask, (1.0, 1.0, 1.0))
    monkeypatch.setattr(_autocorrelation, "_SLICE_BYTES", 1)
    sliced = spatial_autocorrelation(values, mask, (1.0, 1.0, 1.0))
    assert sliced.moran == pytest.approx(whole.moran, rel=1e-12)
    assert sliced.geary == pytest.approx(whole.geary, rel=1e-12)


def test_samples_outside_the_mask_do_not_matter(generator):
    values = torch.randn(4, 5, 6, generator=generator, dtype=torch.float64)
    mask = values > 0
    other = torch.where(mask, values, torch.nan)
    assert spatial_autocorrelation(other, mask, (1.0, 2.0, 3.0)) == spatial_autocorrelation(
        values, mask, (1.0, 2.0, 3.0)
    )


def test_equal_values_have_no_autocorrelation():
    found = spatial_autocorrelation(
        torch.full((2, 2, 2), 0.1), torch.ones(2, 2, 2, dtype=torch.bool), (1.0, 1.0, 1.0)
    )
    assert math.isnan(found.moran)
    assert math.isnan(found.geary)


def test_refuses_a_single_voxel():
    with pytest.raises(RegionError, match="at least two voxels to have pairs, got 1"):
        spatial_autocorrelation(
            torch.ones(1, 1, 1), torch.ones(1, 1, 1, dtype=torch.bool), (1.0, 1.0, 1.0)
        )
