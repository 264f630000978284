"""The contour: supervoxels around it, their chances, and other volumes."""

import numpy as np
import pytest
import torch

from vesalius.core import Grid, Image
from vesalius.measure._contour import _likely, cut_pieces, finite, of_volume, redrawn

GRID = Grid.from_spacing((12, 32, 32), (2.5, 1.0, 1.0))


def _box():
    mask = torch.zeros(GRID.shape, dtype=torch.bool)
    mask[3:9, 8:24, 8:24] = True
    noise = torch.randn(GRID.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return Image((200.0 * mask + 20 * noise)[None], GRID, "HU"), mask


def test_pieces_surround_the_contour_and_the_core_does_not_touch_it():
    image, mask = _box()
    pieces = cut_pieces(image, mask, 20.0)
    labels = torch.from_numpy(pieces.labels)
    edge = torch.zeros_like(mask)
    for axis in range(3):
        step = mask.diff(dim=axis)
        edge.narrow(axis, 0, step.shape[axis]).logical_or_(step)
        edge.narrow(axis, 1, step.shape[axis]).logical_or_(step)
    assert bool((labels[edge] > 0).all())
    assert not bool((torch.from_numpy(pieces.core) & (labels > 0)).any())
    assert bool((mask | ~torch.from_numpy(pieces.core)).all())


@pytest.mark.parametrize(
    ("inside", "chance"), [(0, 0.0), (1, 0.0), (2, 0.2), (5, 0.5), (8, 0.8), (9, 1.0), (10, 1.0)]
)
def test_a_piece_is_in_as_often_as_it_overlaps_but_for_the_ends(inside, chance):
    # Zwanenburg et al. (2019): never below 20% overlap, always from 90% on
    labels = np.ones((1, 1, 12), dtype=np.int32)
    labels[0, 0, 10:] = 0
    mask = np.zeros((1, 1, 12), dtype=bool)
    mask[0, 0, :inside] = True
    mask[0, 0, 10:] = True
    found = _likely(labels, mask, mask & (labels == 0))
    assert found.inside.tolist() == pytest.approx([0.0, chance])
    assert found.surplus == pytest.approx((2 + 10 * chance) / (2 + inside) - 1)


def test_the_expected_volume_is_what_random_contours_give():
    image, mask = _box()
    blurred = image.map(lambda x: x * 0)  # nothing to follow: pieces straddle the contour
    pieces = cut_pieces(blurred, mask, 20.0)
    generator = torch.Generator().manual_seed(5)
    counts = [int(redrawn(mask, pieces, generator).sum()) for _ in range(200)]
    assert np.std(counts) > 0
    assert np.mean(counts) == pytest.approx((1 + pieces.surplus) * int(mask.sum()), rel=0.01)


def test_without_pieces_the_region_stays():
    _, mask = _box()
    assert redrawn(mask, None, torch.Generator()) is mask


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


def test_what_has_left_the_image_stays_away():
    share = torch.zeros(1, 4, 4, dtype=torch.float64)
    assert not bool(of_volume(share, 3, torch.Generator().manual_seed(0)).any())


def test_what_is_not_finite_becomes_the_median():
    x = torch.tensor([1.0, float("nan"), 3.0, float("inf"), 2.0])
    assert finite(x).tolist() == [1.0, 2.0, 3.0, 2.0, 2.0]
