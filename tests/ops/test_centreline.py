"""Centreline Dice, beside skeletons of scikit-image and cases that are known."""

import math

import numpy as np
import pytest
import torch
from skimage.morphology import skeletonize

from vesalius.errors import ShapeError
from vesalius.ops._centreline import centreline_dice


def tube(thick=2, gap=0):
    mask = torch.zeros(1, 30, 60, dtype=torch.bool)
    mask[0, 15 - thick : 16 + thick, 5:55] = True
    mask[0, :, 30 : 30 + gap] = False
    return mask


def branches(shift):
    y, x = np.ogrid[:90, :90]
    wave = np.abs(y - 45 - 20 * np.sin((x + shift) / 12)) < 4
    return torch.from_numpy((wave | (np.abs(x - y - shift) < 4))[None])


def test_the_truth_itself_is_perfect():
    assert centreline_dice(tube(), tube()) == (1.0, 1.0, 1.0)


def test_width_does_not_matter_but_a_gap_does():
    assert centreline_dice(tube(1), tube(4)).cldice == 1.0
    gap = centreline_dice(tube(2, gap=8), tube())
    assert gap.precision == 1.0
    assert 0.7 < gap.sensitivity < 0.9
    assert gap.cldice == pytest.approx(2 * gap.sensitivity / (1 + gap.sensitivity))


def test_swapping_swaps_precision_and_sensitivity():
    one, two = centreline_dice(branches(0), branches(3)), centreline_dice(branches(3), branches(0))
    assert one.cldice == pytest.approx(two.cldice)
    assert one.precision == two.sensitivity


@pytest.mark.parametrize("shift", [1, 3, 6])
def test_is_near_that_of_scikit_images_skeletons(shift):
    one, two = branches(0), branches(shift)
    a, b = (skeletonize(m[0].numpy()) for m in (one, two))
    precision = (a & two[0].numpy()).sum() / a.sum()
    sensitivity = (b & one[0].numpy()).sum() / b.sum()
    expected = 2 * precision * sensitivity / (precision + sensitivity)
    assert centreline_dice(one, two).cldice == pytest.approx(
        expected, abs=0.06
    )  # lines may differ by a sample


def test_apart_is_zero():
    assert centreline_dice(tube(), tube().roll(12, 1)).cldice == 0.0


def test_empty_masks():
    empty = torch.zeros(1, 30, 60, dtype=torch.bool)
    assert centreline_dice(empty, tube()) == (0.0, 0.0, 0.0)
    assert centreline_dice(tube(), empty) == (0.0, 0.0, 0.0)
    assert all(math.isnan(x) for x in centreline_dice(empty, empty))


def test_refuses_two_shapes():
    with pytest.raises(ShapeError, match="to be compared by their centrelines"):
        centreline_dice(tube(), tube()[:, :10])
