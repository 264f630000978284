"""Laws' kernels and energy against their definition."""
# SPDX-License-Identifier: Apache-2.0

import numpy as np
import pytest
import torch
from scipy import ndimage

from vesalius.errors import ShapeError
from vesalius.ops._laws import LAWS, box, energy, laws_kernels


@pytest.mark.parametrize("name", sorted(LAWS))
def test_kernels_have_unit_norm_and_only_the_level_has_a_mean(name):
    (taps,) = laws_kernels(name + "L5")[0]
    values = np.array(taps.values)
    assert np.linalg.norm(values) == pytest.approx(1, abs=1e-15)
    assert (abs(values.sum()) > 0.1) == name.startswith("L")
    assert taps.centre == len(values) // 2


def test_reads_the_kernels_in_the_order_of_the_name():
    x, y, z = laws_kernels("E3L5S5")
    assert x[0].values == pytest.approx(np.array([-1, 0, 1]) / np.sqrt(2))
    assert y[0].values == pytest.approx(np.array([1, 4, 6, 4, 1]) / np.sqrt(70))
    assert z[0].values == pytest.approx(np.array([-1, 0, 2, 0, -1]) / np.sqrt(6))


@pytest.mark.parametrize("name", ["", "L5", "L5E5E5E5", "L7E5", "l5e5", "L5 E5", "L5E"])
def test_refuses_a_name_that_is_not_two_or_three_kernels(name):
    with pytest.raises(ShapeError, match="name must be two or three of L3"):
        laws_kernels(name)


@pytest.mark.parametrize("in_plane", [True, False])
def test_energy_is_the_mean_magnitude_of_the_neighbours(in_plane, generator):
    x = torch.randn((1, 6, 7, 8), generator=generator, dtype=torch.float64)
    size = (1 if in_plane else 5, 5, 5)
    want = ndimage.uniform_filter(x[0].abs().numpy(), size, mode="reflect")
    got = energy(x, 2, "mirror", in_plane=in_plane)
    np.testing.assert_allclose(got[0].numpy(), want, rtol=0, atol=1e-13)


def test_energy_of_a_constant_is_its_magnitude():
    x = torch.full((1, 4, 4, 4), -3.0, dtype=torch.float64)
    torch.testing.assert_close(energy(x, 3, "nearest", in_plane=False), -x)


def test_a_box_averages():
    (taps,) = box(5)
    assert taps.values == (0.2,) * 5
