"""Values matched by quantiles: a monotone map is found again, constants are left alone."""

import numpy as np
import pytest
import torch

from vesalius.ops._match import ValueMap, match_values


def scan(generator) -> torch.Tensor:
    """Half background, half a spread of tissue."""
    tissue = 1 + torch.rand(20_000, generator=generator)
    return torch.cat([torch.zeros(20_000), tissue])


def test_a_gain_and_an_offset_are_undone(generator):
    wanted = scan(generator)
    given = 3 * wanted + 5
    torch.testing.assert_close(match_values(given, wanted)(given), wanted, atol=1e-5, rtol=0)


@pytest.mark.parametrize("change", [lambda v: 10 * v**1.5, torch.exp])
def test_a_bent_map_is_undone_where_the_same_samples_are_bright(change):
    """Air and one block of tissue: all tissue is above the mean, whatever the map."""
    wanted = torch.cat([torch.zeros(60_000), torch.linspace(1, 2, 20_001)])
    given = change(wanted)
    torch.testing.assert_close(match_values(given, wanted)(given), wanted, atol=0.01, rtol=0)


def test_more_background_changes_nothing_in_the_tissue(generator):
    wanted = scan(generator)
    given = 2 * torch.cat([torch.zeros(30_000), wanted])
    found = match_values(given, wanted)(given)[-20_000:]
    torch.testing.assert_close(found, wanted[-20_000:], atol=0.05, rtol=0)


def test_it_equals_numpys_interpolation_between_knots_and_goes_straight_on_beyond():
    table = ValueMap((0.0, 1.0, 3.0), (1.0, 2.0, 10.0))
    x = torch.tensor([0.0, 0.4, 1.0, 2.2, 3.0], dtype=torch.float64)
    expected = np.interp(x.numpy(), table.given, table.wanted)
    np.testing.assert_allclose(table(x).numpy(), expected)
    torch.testing.assert_close(table(torch.tensor([-1.0, 4.0])), torch.tensor([0.0, 14.0]))


def test_a_constant_image_is_left_as_it_is():
    x = torch.full((4, 5), 7.0)
    assert torch.equal(match_values(x, torch.rand(9))(x), x)
    assert torch.equal(match_values(torch.rand(9), x)(x), x)


def test_two_valued_images_do_not_divide_by_nothing():
    given = torch.tensor([0.0] * 5 + [4.0] * 5)
    wanted = torch.tensor([1.0] * 5 + [2.0] * 5)
    found = match_values(given, wanted)(given)
    assert torch.isfinite(found).all()
    torch.testing.assert_close(found, wanted)
