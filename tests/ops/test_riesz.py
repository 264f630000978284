"""Riesz transform: energy, plane waves, quarter turns, and steering along the edges."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vesalius.errors import ShapeError, UnitError
from vesalius.ops._riesz import riesz, riesz_orders


def noise(seed: int, shape: tuple[int, int, int]) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(shape, generator=generator, dtype=torch.float64)
    return x - x.mean()


def wave(cycles: tuple[int, int, int], shape: tuple[int, int, int], phase: float = 0.0):
    """A plane wave that fits the volume."""
    axes = [torch.arange(n, dtype=torch.float64) / n for n in shape]
    z, y, x = torch.meshgrid(*axes, indexing="ij")
    turn = cycles[0] * z + cycles[1] * y + cycles[2] * x
    return torch.cos(2 * math.pi * turn + phase)


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 99), total=st.integers(1, 4), in_plane=st.booleans())
def test_the_components_of_one_order_share_out_the_energy(seed, total, in_plane):
    x = noise(seed, (5, 9, 7))
    if in_plane:
        x = x - x.mean(dim=(1, 2), keepdim=True)
    parts = [riesz(x, o, in_plane=in_plane) for o in riesz_orders(total, in_plane=in_plane)]
    energy = sum(float((p**2).sum()) for p in parts)
    assert energy == pytest.approx(float((x**2).sum()), rel=1e-10)


def test_the_orders_are_listed():
    assert len(riesz_orders(1)) == 3
    assert len(riesz_orders(2)) == 6
    assert len(riesz_orders(3, in_plane=True)) == 4
    assert all(sum(order) == 2 for order in riesz_orders(2))


@pytest.mark.parametrize("order", [(0, 0, 1), (1, 0, 0), (0, 1, 1), (2, 0, 0), (1, 1, 1)])
def test_a_plane_wave_is_scaled_by_its_direction_and_turned_by_quarter_periods(order):
    shape, cycles = (12, 10, 14), (1, 2, 3)
    steps = (2.0, 1.0, 1.5)
    k = [c / (n * s) for c, n, s in zip(cycles, shape, steps, strict=True)]
    size = math.sqrt(sum(v * v for v in k))
    total = sum(order)
    share = math.prod((v / size) ** p for v, p in zip(k, order, strict=True))
    share *= math.sqrt(math.factorial(total) / math.prod(math.factorial(p) for p in order))
    expected = share * wave(cycles, shape, -math.pi / 2 * total)
    assert torch.allclose(riesz(wave(cycles, shape), order, steps=steps), expected, atol=1e-12)


def test_twice_the_first_order_is_the_second():
    x = noise(1, (9, 9, 9))
    twice = riesz(riesz(x, (0, 0, 1)), (0, 1, 0))
    assert torch.allclose(math.sqrt(2) * twice, riesz(x, (0, 1, 1)), atol=1e-12)


def test_the_squares_of_the_first_order_give_minus_the_image():
    x = noise(2, (9, 7, 5))
    total = sum(riesz(riesz(x, o), o) for o in riesz_orders(1))
    assert torch.allclose(total, -x, atol=1e-12)


@pytest.mark.parametrize("window", [0.0, 1.5])
def test_a_quarter_turn_of_the_volume_turns_the_components(window):
    x = noise(3, (8, 9, 10))
    turned = torch.rot90(x, 1, (1, 2))
    if window:
        here = riesz(x, (0, 1, 1), window=window)
        there = riesz(turned, (0, 1, 1), window=window)
        assert torch.allclose(there, torch.rot90(here, 1, (1, 2)), atol=1e-9)
        return
    # rot90 takes +x to -y: the derivative along x becomes that along -y.
    there = riesz(turned, (0, 1, 0))
    assert torch.allclose(there, -torch.rot90(riesz(x, (0, 0, 1)), 1, (1, 2)), atol=1e-12)


@pytest.mark.parametrize("order", [(0, 0, 1), (0, 0, 2)])
def test_along_the_edges_a_plane_wave_has_all_its_energy_in_the_first_axis(order):
    x = wave((1, 2, 3), (16, 16, 16))
    total = sum(order)
    expected = wave((1, 2, 3), (16, 16, 16), -math.pi / 2 * total)
    found = riesz(x, order, window=2.0)
    inner = (slice(4, -4),) * 3
    want = expected.abs() if total == 1 else expected
    assert torch.allclose(found[inner], want[inner], atol=2e-2)
    across = riesz(x, (0, 1, 0) if total == 1 else (0, 2, 0), window=2.0)
    assert float(across[inner].abs().max()) < 2e-2


def test_turning_the_axes_keeps_the_energy_of_every_voxel():
    x = noise(4, (7, 8, 9))
    for total in (1, 2, 3):
        fixed = sum(riesz(x, o) ** 2 for o in riesz_orders(total))
        aligned = sum(riesz(x, o, window=1.0) ** 2 for o in riesz_orders(total))
        assert torch.allclose(fixed, aligned, rtol=1e-9, atol=1e-12)


def test_in_the_plane_every_slice_is_by_itself():
    x = noise(5, (3, 8, 9))
    for window in (0.0, 1.0):
        whole = riesz(x, (0, 1, 1), in_plane=True, window=window)
        one = riesz(x[1:2], (0, 1, 1), in_plane=True, window=window)
        assert torch.allclose(whole[1:2], one, atol=1e-10)


def test_a_mirrored_border_makes_flips_exact():
    x = noise(6, (6, 7, 8))
    here = riesz(x, (0, 0, 1), boundary="mirror")
    there = riesz(x.flip(-1), (0, 0, 1), boundary="mirror")
    assert torch.allclose(there, -here.flip(-1), atol=1e-12)


def test_a_constant_gives_nothing_and_batches_do_not_mix():
    x = torch.stack([torch.full((5, 6, 7), 3.0), noise(7, (5, 6, 7)).float()])
    found = riesz(x, (0, 0, 2))
    assert float(found[0].abs().max()) < 1e-6
    assert found.dtype == torch.float32
    assert torch.allclose(found[1], riesz(x[1], (0, 0, 2)), atol=1e-6)


def test_an_order_that_is_none_is_refused():
    x = torch.zeros(3, 4, 5)
    for order, in_plane in (((0, 0, 0), False), ((-1, 1, 1), False), ((1, 0, 0), True)):
        with pytest.raises(ShapeError, match="order must have parts of at least 0"):
            riesz(x, order, in_plane=in_plane)


def test_integers_are_refused():
    with pytest.raises(UnitError):
        riesz(torch.zeros(3, 4, 5, dtype=torch.int32), (0, 0, 1))
