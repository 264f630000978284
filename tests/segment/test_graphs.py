"""Clusters, supervoxels, cuts and random fields: what each is for, beside slow or known answers."""

from dataclasses import replace

import pytest
import torch
from segment_scenes import BLOCK, PLANE, corner, dice, marks, middle, scene, start, truth

from vesalius.core import Grid, Image, Labels
from vesalius.errors import ConfigError, GeometryError, RegionError, ShapeError
from vesalius.segment import Hints, segment
from vesalius.segment.graphs import (
    DenseCrf,
    GaussianMixture,
    GraphCut,
    KMeans,
    NormalisedCut,
    SpectralClusters,
    Supervoxels,
    sharpen,
)

TILE = Grid.from_spacing((1, 12, 14), (1.0, 1.0, 1.0))


def stripes():
    """Three levels side by side, with a little noise."""
    x = torch.tensor([0.0, 1.0, 3.0]).repeat_interleave(8).expand(1, 1, 20, 24)
    g = torch.Generator().manual_seed(0)
    grid = Grid.from_spacing((1, 20, 24), (1.0, 1.0, 1.0))
    return Image(x + 0.03 * torch.randn(1, 1, 20, 24, generator=g), grid)


LEVELS = torch.tensor([0, 1, 2]).repeat_interleave(8).expand(20, 24)


@pytest.mark.parametrize("method", [KMeans(count=3), GaussianMixture(count=3)])
def test_classes_are_numbered_from_dark_to_bright(method):
    assert torch.equal(segment(stripes(), method).labels.data[0, 0].long(), LEVELS)
    bright = segment(stripes(), replace(method, ground="bright")).labels.data[0, 0].long()
    assert torch.equal(bright, 2 - LEVELS)
    none = segment(stripes(), replace(method, ground="none")).labels.data[0, 0].long()
    assert torch.equal(none, LEVELS + 1)


def test_the_marks_of_the_histogram_lie_between_the_classes():
    (curve,) = segment(stripes(), KMeans(count=3)).curves
    assert curve.marks[0] == pytest.approx(0.5, abs=0.05)
    assert curve.marks[1] == pytest.approx(2.0, abs=0.05)
    assert float(curve.y.sum()) == 20 * 24


def test_the_probabilities_of_a_mixture_add_up():
    share = segment(scene(PLANE), GaussianMixture()).maps["probability"].data
    torch.testing.assert_close(share.sum(dim=0), torch.ones(PLANE.shape))


def test_a_sample_of_the_voxels_is_enough():
    few = segment(scene(PLANE), KMeans(sample=200)).labels.data[0] == 1
    assert dice(few, truth(PLANE)) > 0.99


@pytest.mark.parametrize(
    "method", [SpectralClusters(count=3, pieces=120), NormalisedCut(contrast_sd=0.2)]
)
def test_pieces_of_one_level_become_one_class(method):
    found = segment(stripes(), method).labels.data[0, 0].long()
    assert float((found == LEVELS).double().mean()) > 0.95


@pytest.mark.parametrize("grid", [PLANE, BLOCK])
def test_about_as_many_supervoxels_as_asked_for(grid):
    found = segment(scene(grid), Supervoxels(count=60, compactness_sd=5.0))
    assert 30 <= found.values["pieces"] <= 120
    assert bool((found.labels.data > 0).all())


def test_a_cut_keeps_the_marks_against_the_values():
    image, drawn = scene(PLANE), marks(PLANE).data.clone()
    drawn[0, 0, 20, 22] = 1  # the middle of the ball, called ground by hand
    found = segment(image, GraphCut(), hints=Hints(marks=Labels(drawn, PLANE)))
    assert int(found.labels.data[0, 0, 20, 22]) == 0
    assert dice(found.labels.data[0] == 1, truth(PLANE)) > 0.95


def test_the_energy_of_a_cut_is_proved_by_its_flow():
    values = segment(scene(PLANE, noise=0.3), GraphCut(), hints=Hints(marks=marks(PLANE))).values
    assert values["flow"] == pytest.approx(values["energy"], rel=1e-9)


def test_smoothness_removes_the_specks_that_noise_makes():
    image = scene(PLANE, noise=0.4)
    hints = Hints(marks=marks(PLANE))
    rough, smooth = (
        segment(image, GraphCut(weight=w, rounds=1), hints=hints).labels.data[0] == 1
        for w in (0.0, 3.0)
    )
    assert dice(smooth, truth(PLANE)) > dice(rough, truth(PLANE)) + 0.03


def test_seeds_say_which_half_of_the_mixture_is_the_object():
    dark = scene(PLANE).map(lambda x: -x)
    hints = Hints(seeds_mm=(middle(PLANE),), outside_mm=(corner(PLANE),))
    found = segment(dark, GraphCut(), hints=hints)
    assert dice(found.labels.data[0] == 1, truth(PLANE)) > 0.95


@pytest.mark.parametrize("method", [GraphCut(), DenseCrf()])
def test_a_first_segmentation_that_is_too_small_grows_to_the_edge(method):
    found = segment(scene(PLANE), method, hints=Hints(start=start(PLANE)))
    before = dice(start(PLANE).data[0] == 1, truth(PLANE))
    assert dice(found.labels.data[0] == 1, truth(PLANE)) > max(0.9, before)


def slow_mean_field(image, log_p, crf):
    """The same by all pairs of voxels, with exact Gaussians."""
    at = torch.nonzero(torch.ones(image.grid.shape)).double()
    x = image.data.flatten().double()
    x = (x - x.mean()) / x.std(unbiased=False)
    kernels = []
    for weight, place, value in (
        (crf.smooth_weight, crf.smooth_voxel, None),
        (crf.edge_weight, crf.edge_voxel, crf.edge_sd),
    ):
        square = torch.cdist(at / place, at / place).square()
        if value is not None:
            square = square + ((x[:, None] - x[None]) / value).square()
        k = torch.exp(-0.5 * square)
        root = k.sum(dim=1).rsqrt()
        kernels.append(weight * root[:, None] * k * root[None])
    share = torch.softmax(log_p, dim=1)
    for _ in range(crf.steps):
        share = torch.softmax(log_p + sum(k @ share for k in kernels), dim=1)
    return share


def test_the_mean_field_is_near_that_of_all_pairs():
    g = torch.Generator().manual_seed(1)
    x = (torch.arange(14) >= 6).float().expand(1, 1, 12, 14)
    image = Image(x + 0.2 * torch.randn(1, 1, 12, 14, generator=g), TILE)
    belief = torch.softmax(torch.randn(1, 12 * 14, 3, generator=g).double()[0], dim=1)
    crf = DenseCrf(edge_voxel=3.0, edge_sd=0.8, edge_weight=1.5, steps=5)
    share = Image(belief.T.reshape(3, 1, 12, 14).float(), TILE)
    found = sharpen(share, image, crf).data.reshape(3, -1).T.double()
    exact = slow_mean_field(image, belief.float().double().log(), crf)
    assert float((found - exact).abs().mean()) < 0.03
    assert float((found.argmax(1) == exact.argmax(1)).double().mean()) > 0.95


def test_probabilities_that_are_unsure_settle_on_the_edge():
    image = scene(PLANE)
    sure = truth(PLANE).float()
    g = torch.Generator().manual_seed(2)
    noisy = (0.5 + 0.15 * (2 * sure - 1) + 0.2 * torch.randn(sure.shape, generator=g)).clamp(0, 1)
    found = sharpen(Image(torch.stack([1 - noisy, noisy]), PLANE), image, DenseCrf())
    assert dice(noisy > 0.5, truth(PLANE)) < 0.8
    assert dice(found.data[1] > 0.5, truth(PLANE)) > 0.95


def test_without_weights_the_field_leaves_the_beliefs_as_they_are():
    share = torch.rand(2, *PLANE.shape, generator=torch.Generator().manual_seed(0)) + 0.1
    still = DenseCrf(smooth_weight=0.0, edge_weight=0.0)
    found = sharpen(Image(share, PLANE), scene(PLANE), still)
    torch.testing.assert_close(found.data, share / share.sum(dim=0))


def test_refuses_settings_that_mean_nothing():
    image = scene(PLANE)
    with pytest.raises(ConfigError, match="count, the number of classes, must be 2 to 255, got 1"):
        segment(image, KMeans(count=1))
    with pytest.raises(ConfigError, match="pieces and steps must be at least 1"):
        segment(image, Supervoxels(count=0))
    with pytest.raises(ConfigError, match="contrast_sd must be positive"):
        segment(image, NormalisedCut(contrast_sd=0.0))
    with pytest.raises(ConfigError, match="pieces must be at least count, 9, only"):
        segment(image, SpectralClusters(count=9, pieces=1))
    with pytest.raises(ConfigError, match="weight must be at least 0, components and rounds"):
        segment(image, GraphCut(rounds=0))
    with pytest.raises(ConfigError, match="smooth_voxel, edge_voxel and edge_sd must be positive"):
        DenseCrf(edge_sd=0.0)
    with pytest.raises(ConfigError, match="trust must lie between 0 and 1"):
        DenseCrf(trust=1.0)


def test_refuses_probabilities_that_do_not_fit():
    one = Image(torch.ones(1, *PLANE.shape), PLANE)
    with pytest.raises(ShapeError, match="probability must have a channel for each of two"):
        sharpen(one, scene(PLANE), DenseCrf())
    with pytest.raises(GeometryError, match="probabilities must lie on the grid of the image"):
        sharpen(one, scene(BLOCK), DenseCrf())


@pytest.mark.parametrize("method", [GraphCut(), DenseCrf()])
def test_a_seed_outside_the_image_is_refused(method):
    hints = Hints(seeds_mm=((500.0, 0.0, 0.0),), outside_mm=(corner(PLANE),))
    with pytest.raises(
        GeometryError, match=r"seeds must lie inside the image, \(500.0, 0.0, 0.0\)"
    ):
        segment(scene(PLANE), method, hints=hints)


@pytest.mark.parametrize("method", [SpectralClusters(), NormalisedCut()])
def test_a_constant_image_has_nothing_to_part(method):
    image = Image(torch.full((1, 1, 20, 20), 3.0), Grid.from_spacing((1, 20, 20), (1.0, 1.0, 1.0)))
    with pytest.raises(RegionError, match="values must differ to be parted by likeness"):
        segment(image, method)
