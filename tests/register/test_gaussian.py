"""Gaussian: against SciPy, in mm and in samples."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from vesalius.core import Grid
from vesalius.errors import ConfigError
from vesalius.register._gaussian import TRUNCATE, Gaussian

GRID = Grid.from_spacing((7, 8, 9), (3.0, 1.0, 1.5))


@pytest.mark.parametrize(
    ("smoother", "sigma"),
    [
        (Gaussian(sigma_mm=1.5), (0.5, 1.5, 1.0)),
        (Gaussian(sigma=1.2), (1.2, 1.2, 1.2)),
        (Gaussian(sigma_mm=3.0, sigma=1.0), (2**0.5, 10**0.5, 5**0.5)),
    ],
    ids=repr,
)
def test_agrees_with_scipy(smoother, sigma, generator):
    field = torch.randn((3, *GRID.shape), generator=generator, dtype=torch.float64)
    wanted = [gaussian_filter(c, sigma, mode="nearest", truncate=TRUNCATE) for c in field.numpy()]
    found = smoother(field, GRID)
    torch.testing.assert_close(found, torch.from_numpy(np.stack(wanted)))


@given(st.floats(0, 4), st.floats(-3, 3))
def test_keeps_a_constant(sigma, value):
    field = torch.full((3, *GRID.shape), value, dtype=torch.float64)
    torch.testing.assert_close(Gaussian(sigma=sigma)(field, GRID), field)


def test_zero_changes_nothing(generator):
    field = torch.randn((3, *GRID.shape), generator=generator)
    torch.testing.assert_close(Gaussian()(field, GRID), field)


@pytest.mark.parametrize("options", [{"sigma": -1.0}, {"sigma_mm": float("nan")}])
def test_refuses_a_width_that_is_none(options):
    with pytest.raises(ConfigError, match="must be finite and at least 0"):
        Gaussian(**options)
