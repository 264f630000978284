"""Eight numbers at once: the same as NumPy one by one."""

from typing import no_type_check

import numpy as np
import pytest

from vesalius.ops._jit import kernel
from vesalius.ops._lanes import add_scaled8, load8, store8, zeros8


@kernel
@no_type_check
def weighted(flat, places, weights, out):
    """Add runs of eight from some places, by weight, to what is in ``out``."""
    total = zeros8(flat)
    for i in range(places.size):
        total = add_scaled8(total, weights[i], load8(flat, np.uint64(places[i])))
    store8(out, np.uint64(3), add_scaled8(load8(out, np.uint64(3)), flat[0], total))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_adds_runs_of_eight_from_any_place(dtype):
    random = np.random.default_rng(0)
    flat, weights = random.random(40).astype(dtype), random.random(3).astype(dtype)
    places, out = np.array([0, 17, 32]), np.ones(13, dtype)  # none but the first is aligned
    weighted(flat, places, weights, out)
    runs = sum(w * flat[p : p + 8] for p, w in zip(places, weights, strict=True))
    expected = np.ones(13, dtype)
    expected[3:11] += flat[0] * runs
    np.testing.assert_allclose(out, expected, rtol=8 * np.finfo(dtype).eps)
