"""The contour: supervoxels around it, their chances, and other volumes."""

import numpy as np
import pytest
import torch

from vesalius.core import Grid, Image
from vesalius.measure._contour import _pieces, cut_pieces, finite, of_volume, outline, pushed

GRID = Grid.from_spacing((12, 32, 32), (2.5, 1.0, 1.0))


def _box():
    mask = torch.zeros(GRID.shape, dtype=torch.bool)
    mask[3:9, 8:24, 8:24] = True
    noise = torch.randn(GRID.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return Image((200.0 * mask + 20 * noise)[None], GRID, "HU"), mask


def test_the_outline_has_the_sign_of_the_mask_everywhere():
    _, mask = _box()
    assert bool(((outline(mask, GRID.spacing_mm) > 0) == mask).all())


def test_the_outline_of_one_slice_and_of_everything_is_finite():
    _, mask = _box()
    assert bool(torch.isfinite(outline(mask[4:5], GRID.spacing_mm)).all())
    assert bool((outline(torch.ones_like(mask), GRID.spacing_mm) > 0).all())


def test_undecided_pieces_lie_on_the_contour():
    image, mask = _box()
    depth = outline(mask, GRID.spacing_mm)
    pieces = cut_pieces(image.map(lambda x: x * 0), mask, depth, 20.0)
    assert len(pieces.chance) > 10
    near = [abs(float(depth[tuple(round(i) for i in c)])) for c in pieces.centre]
    assert max(near) <= 5.0


@pytest.mark.parametrize(("inside", "open_"), [(1, 0), (2, 1), (5, 1), (8, 1), (9, 0), (10, 0)])
def test_a_piece_is_undecided_from_a_fifth_to_nine_tenths(inside, open_):
    # Zwanenburg et al. (2019): never below 20% overlap, always from 90% on
    labels = np.ones((1, 1, 10), dtype=np.int32)
    mask = np.arange(10)[None, None] < inside
    depth = (inside - 0.5 - np.arange(10, dtype=np.float32))[None, None]
    found = _pieces(labels, mask, depth, np.array([2.0, 2.0, 2.0]), 1.5)
    assert found.chance.tolist() == pytest.approx([inside / 10] * open_)


def test_the_mean_contour_is_the_drawn_one():
    image, mask = _box()
    depth = outline(mask, GRID.spacing_mm)
    pieces = cut_pieces(image.map(lambda x: x * 0), mask, depth, 20.0)
    generator = torch.Generator().manual_seed(5)
    found = [pushed(depth, pieces, generator) for _ in range(400)]
    growth = np.array([g for _, g in found]) / int(mask.sum())
    assert growth.std() > 0.005
    assert abs(growth.mean()) < 4 * growth.std() / 20
    shift = torch.stack([d for d, _ in found]).mean(dim=0) - depth
    assert float(shift.abs().max()) < 0.5


def test_without_pieces_the_region_stays():
    _, mask = _box()
    depth = outline(mask, GRID.spacing_mm)
    assert pushed(depth, None, torch.Generator()) == (depth, 0.0)


@pytest.mark.parametrize("share", [0.5, 0.9, 1.0, 1.1, 2.0])
def test_any_volume_is_reached(share):
    _, mask = _box()
    count = round(share * int(mask.sum()))
    assert int(of_volume(mask.double(), count, torch.Generator().manual_seed(0)).sum()) == count


def test_partial_volumes_are_taken_from_the_fullest_down():
    share = torch.zeros(1, 1, 6, dtype=torch.float64)
    share[0, 0] = torch.tensor([0.0, 0.3, 1.0, 1.0, 0.7, 0.1])
    taken = of_volume(share, 3, torch.Generator().manual_seed(0))
    assert taken[0, 0].tolist() == [False, False, True, True, True, False]


def test_a_region_never_vanishes():
    share = torch.zeros(1, 4, 4, dtype=torch.float64)
    share[0, 1, 1] = 0.4
    assert int(of_volume(share, 0, torch.Generator().manual_seed(0)).sum()) == 1


def test_ties_are_broken_by_chance_and_the_count_still_holds():
    share = torch.zeros(1, 4, 4, dtype=torch.float64)
    one, two = (of_volume(share, 3, torch.Generator().manual_seed(k)) for k in (0, 1))
    assert int(one.sum()) == int(two.sum()) == 3
    assert not torch.equal(one, two)


def test_what_is_not_finite_becomes_the_median():
    x = torch.tensor([1.0, float("nan"), 3.0, float("inf"), 2.0])
    assert finite(x).tolist() == [1.0, 2.0, 3.0, 2.0, 2.0]
