"""Pulling onto a moved lattice: the same as looking up each of its places."""

import math

import pytest
import torch

from vesalius.errors import UnitError
from vesalius.ops import _pull
from vesalius.ops._pull import Places, pull
from vesalius.ops._sampling import sample

SHAPES = [(5, 6, 7), (1, 6, 7), (4, 1, 1)]


def some_places(shape, generator, dtype=torch.float32):
    matrix = torch.eye(4, dtype=torch.float64)
    matrix[:3] += 0.2 * torch.rand(3, 4, generator=generator, dtype=torch.float64)
    linear = torch.rand(3, 3, generator=generator, dtype=torch.float64)
    return Places(matrix, linear, torch.randn(3, *shape, generator=generator, dtype=dtype))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("border", ["nearest", "extent", "constant", "mirror"])
def test_agrees_with_looking_up_each_place(shape, border, generator):
    volume = torch.randn(2, *shape, generator=generator)
    places = some_places(shape, generator)
    (at,) = places.slabs()
    expected = sample(volume, at, border=border, fill=5.0)
    found = pull(volume, places, border=border, fill=5.0)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_places_are_a_matrix_and_a_turned_field(generator, monkeypatch):
    monkeypatch.setattr(_pull, "SLAB", 40)
    places = some_places((4, 5, 6), generator, torch.float64)
    at = torch.cat(list(places.slabs()))
    index = torch.tensor([3.0, 1.0, 2.0, 1.0], dtype=torch.float64)
    expected = (places.matrix @ index)[:3] + places.linear @ places.field[:, 3, 1, 2]
    assert len(list(places.slabs())) == 4
    torch.testing.assert_close(at[3, 1, 2], expected)


def test_has_derivatives_by_samples_and_places(generator):
    volume = torch.randn(1, 3, 4, 4, generator=generator, dtype=torch.float64).requires_grad_()
    places = some_places((2, 3, 3), generator, torch.float64)
    parts = [t.requires_grad_() for t in (places.matrix, places.linear, places.field)]
    assert torch.autograd.gradcheck(
        lambda v, *p: pull(v, Places(*p)), (volume, *parts), fast_mode=True
    )


def test_a_place_that_is_not_finite_gives_nan_and_stays_alone(generator):
    places = some_places((3, 4, 5), generator)
    places.field[1, 1, 2, 3] = math.nan
    found = pull(torch.rand(1, 3, 4, 5, generator=generator), places, border="extent", fill=2.0)
    assert bool(torch.isnan(found[0, 1, 2, 3]))
    assert int(torch.isnan(found).sum()) == 1


def test_gives_the_same_on_two_threads(generator, monkeypatch):
    volume, places = torch.rand(1, 6, 7, 8, generator=generator), some_places((6, 7, 8), generator)
    expected = pull(volume, places)
    monkeypatch.setattr(_pull, "LEAST", 1)
    had = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert torch.equal(pull(volume, places), expected)
    finally:
        torch.set_num_threads(had)


def test_refuses_half_precision(generator):
    with pytest.raises(UnitError, match="linear interpolation needs float32 or float64"):
        pull(torch.zeros(1, 3, 4, 5).half(), some_places((3, 4, 5), generator))
