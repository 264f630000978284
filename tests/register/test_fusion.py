"""Fusion of labels: the vote, local weights, and labels carried over by a transform."""

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vesalius import io
from vesalius.core import Grid, Image, Labels, Linear, Points
from vesalius.errors import (
    ConfigError,
    GeometryError,
    IntensityError,
    RegionError,
    ShapeError,
)
from vesalius.register._register import register
from vesalius.register.atlas import Likeness, locally_weighted, majority, staple, transfer_labels
from vesalius.register.landmarks import fit_linear

GRID = Grid.from_spacing((6, 7, 8), (2.0, 1.5, 1.0))


def labels(data: torch.Tensor, grid: Grid = GRID) -> Labels:
    return Labels(data.reshape(1, *grid.shape), grid)


def random_votes(count: int, generator: torch.Generator, top: int = 4) -> list[Labels]:
    shape = (1, *GRID.shape)
    values = torch.tensor([0, 3, 17, 200])[:top]
    return [
        Labels(values[torch.randint(0, top, shape, generator=generator)], GRID)
        for _ in range(count)
    ]


@given(st.integers(1, 6), st.integers(0, 1000))
def test_the_vote_equals_a_slow_count(count, seed):
    votes = random_votes(count, torch.Generator().manual_seed(seed))
    fused = majority(votes)
    stacked = torch.stack([v.data for v in votes]).reshape(count, -1)
    for i in range(0, stacked.shape[1], 41):
        column = stacked[:, i].tolist()
        wanted = min(set(column), key=lambda v: (-column.count(v), v))
        assert int(fused.labels.data.reshape(-1)[i]) == wanted
        share = float(fused.share.data.reshape(-1)[i])
        assert share == pytest.approx(column.count(wanted) / count)


def test_the_vote_equals_scipys_mode(generator):
    from scipy.stats import mode

    votes = random_votes(5, generator)
    wanted = mode(torch.stack([v.data for v in votes]).numpy(), axis=0).mode
    assert torch.equal(majority(votes).labels.data, torch.from_numpy(wanted))


def test_one_atlas_alone_is_believed(generator):
    (vote,) = random_votes(1, generator)
    assert torch.equal(majority([vote]).labels.data, vote.data)


def test_number_type_and_names_are_those_of_the_votes():
    data = torch.ones(GRID.shape, dtype=torch.uint8)
    named = Labels(data[None], GRID, {(0, 1): "liver"})
    fused = majority([labels(data), named])
    assert fused.labels.data.dtype == torch.uint8
    assert fused.labels.name(1) == "liver"


def scene(generator: torch.Generator) -> tuple[Image, list[Image], list[Labels], torch.Tensor]:
    """Two atlases, each right in its own half and, there only, like the target."""
    grid = Grid.from_spacing((1, 24, 32))
    truth = torch.zeros(grid.shape, dtype=torch.long)
    truth[:, 6:18, 4:28] = 1
    texture = torch.randn(grid.shape, generator=generator)
    left = torch.arange(32) < 16
    images, votes = [], []
    for own in (left, ~left):
        other = torch.randn(grid.shape, generator=generator)
        images.append(Image(torch.where(own, texture, other)[None], grid))
        votes.append(Labels(torch.where(own, truth, 1 - truth)[None], grid))
    return Image(texture[None], grid), images, votes, truth


@pytest.mark.parametrize("measure", ["mse", "ncc"])
def test_local_weights_believe_each_atlas_where_it_is_like_the_target(measure, generator):
    target, images, votes, truth = scene(generator)
    likeness = Likeness(measure, sigma_mm=1.5)
    fused = locally_weighted(votes, images, target, likeness=likeness)
    wrong = fused.labels.data[0] != truth
    away = (torch.arange(32) - 15.5).abs() > 4
    assert not bool((wrong & away).any())
    assert bool((majority(votes).labels.data[0] != truth).any())


def test_weights_by_correlation_do_not_see_gain_and_offset(generator):
    target, images, votes, _ = scene(generator)
    likeness = Likeness("ncc", sigma_mm=1.5)
    dimmed = [image.map(lambda x: 0.2 * x - 7) for image in images]
    plain = locally_weighted(votes, images, target, likeness=likeness)
    other = locally_weighted(votes, dimmed, target, likeness=likeness)
    torch.testing.assert_close(other.share.data, plain.share.data, rtol=0, atol=1e-3)
    assert torch.equal(other.labels.data, plain.labels.data)


def test_without_sharpness_local_weights_are_the_plain_vote(generator):
    target, images, votes, _ = scene(generator)
    fused = locally_weighted(votes, images, target, likeness=Likeness(power=0.0))
    assert torch.equal(fused.labels.data, majority(votes).labels.data)


@pytest.mark.parametrize("measure", ["mse", "ncc"])
def test_flat_images_are_a_plain_vote_and_no_nan(measure):
    grid = Grid.from_spacing((1, 6, 6))
    flat = Image(torch.full((1, 1, 6, 6), 3.0), grid)
    ones = Labels(torch.ones(1, 1, 6, 6, dtype=torch.long), grid)
    zeros = Labels(torch.zeros(1, 1, 6, 6, dtype=torch.long), grid)
    fused = locally_weighted([ones, ones, zeros], [flat] * 3, flat, likeness=Likeness(measure))
    assert bool((fused.labels.data == 1).all())
    torch.testing.assert_close(fused.share.data, torch.full((1, 1, 6, 6), 2 / 3))


def test_carries_labels_from_the_moving_to_the_fixed_world():
    data = torch.zeros(GRID.shape, dtype=torch.int16)
    data[2:4, 2:5, 3:6] = 7
    moved = transfer_labels(labels(data), GRID, transform=Linear.translation((1.0, 0.0, -2.0)))
    assert torch.equal(moved.data[0], torch.roll(data, (1, 0, -1), dims=(0, 1, 2)))
    assert moved.data.dtype == torch.int16


def test_says_when_no_label_arrives():
    data = torch.ones(GRID.shape, dtype=torch.int16)
    with pytest.raises(RegionError, match="at least one labelled voxel must reach the fixed grid"):
        transfer_labels(labels(data), GRID, transform=Linear.translation((500.0, 0.0, 0.0)))
    nothing = transfer_labels(
        labels(0 * data), GRID, transform=Linear.translation((500.0, 0.0, 0.0))
    )
    assert not bool(nothing.data.any())


def test_refuses_votes_that_do_not_fit_together(generator):
    (vote,) = random_votes(1, generator)
    with pytest.raises(ShapeError, match="labels of at least one atlas, got none"):
        majority([])
    double = Labels(torch.cat([vote.data, vote.data]), GRID)
    with pytest.raises(ShapeError, match="fusion needs labels of one layer, got 2"):
        majority([vote, double])
    shifted = Labels(vote.data, Grid.from_spacing(GRID.shape, GRID.spacing_mm, origin_mm=(1, 0, 0)))
    with pytest.raises(GeometryError, match="must share one grid; origin differs by 1 mm"):
        majority([vote, shifted])


def test_refuses_images_that_do_not_fit_the_votes(generator):
    target, images, votes, _ = scene(generator)
    with pytest.raises(ShapeError, match="got 2 votes, 1 images"):
        locally_weighted(votes, images[:1], target)
    double = Image(torch.cat([images[0].data] * 2), images[0].grid)
    with pytest.raises(ShapeError, match="images must have one channel, got 2"):
        locally_weighted(votes, [images[0], double], target)
    elsewhere = Image(target.data, Grid.from_spacing(target.grid.shape, (1.0, 2.0, 1.0)))
    with pytest.raises(GeometryError, match="images must lie on the grid of the votes"):
        locally_weighted(votes, images, elsewhere)


def test_a_target_that_is_like_no_atlas_gets_the_plain_vote(generator):
    """All weights once fell to 0, which gave every disputed voxel to the smallest label."""
    votes = random_votes(5, generator)
    images = [Image(torch.rand(1, *GRID.shape, generator=generator), GRID) for _ in votes]
    found = locally_weighted(votes, images, Image(torch.ones(1, *GRID.shape), GRID))
    assert torch.equal(found.labels.data, majority(votes).labels.data)
    assert torch.equal(found.share.data, majority(votes).share.data)


def test_refuses_images_that_are_not_finite(generator):
    votes = random_votes(2, generator)
    image = Image(torch.rand(1, *GRID.shape, generator=generator), GRID)
    broken = Image(torch.where(image.data > 0.9, torch.nan, image.data), GRID)
    for likened, target in (([image, image], broken), ([image, broken], image)):
        with pytest.raises(IntensityError, match="images must be finite to be likened"):
            locally_weighted(votes, likened, target)


@pytest.mark.parametrize("wrong", [{"sigma_mm": 0.0}, {"power": -1.0}, {"floor": 0.0}])
def test_refuses_a_likeness_out_of_range(wrong):
    with pytest.raises(ConfigError, match="sigma_mm and floor must be positive"):
        Likeness(**wrong)


def dkt(folder: Path, number: int) -> tuple[Image, Labels]:
    scan = io.open(folder / f"OASIS-TRT-20-{number}_slice118.nii.gz").read()
    labelled = io.open_labels(folder / f"OASIS-TRT-20-{number}_labels.nii.gz")
    return scan.map(lambda x: (x.float() - x.float().mean()) / x.float().std()), labelled


def mean_dice(found: Labels, truth: Labels) -> float:
    values = [v for _, v in truth.values if int((truth.data == v).sum()) > 20]
    shared = [2 * int(((found.data == v) & (truth.data == v)).sum()) for v in values]
    sizes = [int((found.data == v).sum() + (truth.data == v).sum()) for v in values]
    return sum(a / b for a, b in zip(shared, sizes, strict=True)) / len(values)


def test_five_brains_label_another_better_than_any_of_them(data_dir):
    """Affine registration alone: what fusion adds is seen best."""
    folder = data_dir / "registration" / "brain2d_dkt"
    target, truth = dkt(folder, 7)
    votes, images = [], []
    for number in (2, 3, 4, 5, 6):
        scan, labelled = dkt(folder, number)
        found = register(target, scan, plan="affine")
        votes.append(transfer_labels(labelled, target.grid, transform=found.transform))
        images.append(found.warped)
    alone = max(mean_dice(vote, truth) for vote in votes)
    vote = mean_dice(majority(votes).labels, truth)
    trust = mean_dice(staple(votes).labels, truth)
    local = mean_dice(locally_weighted(votes, images, target).labels, truth)
    assert local > trust > vote
    assert local > alone + 0.03
    assert trust > alone


def test_landmark_blobs_of_one_brain_reach_those_of_another(data_dir):
    """Two blobs, drawn by hand in two slices, are carried over by the map between their centres."""
    folder = data_dir / "registration" / "ants_2d"
    blobs = []
    for name in ("r16", "r85"):
        read = io.open(folder / f"{name}sliceLM.nii.gz").read()
        blobs.append(Labels(read.data.round().to(torch.uint8), read.grid))
    centres = []
    for blob in blobs:
        places = [torch.nonzero(blob.mask(v)).double().mean(dim=0) for v in (1, 2)]
        across = places[1] - places[0]
        # a third, square to the two, makes it a similarity of the plane
        third = places[0] + torch.stack([across[0], across[2], -across[1]])
        centres.append(Points(blob.grid.to_world(torch.stack([*places, third]))))
    found = fit_linear(*centres, model="similarity", dimension=2)
    carried = transfer_labels(blobs[1], blobs[0].grid, transform=found)
    for value in (1, 2):
        here = torch.nonzero(carried.mask(value)).double().mean(dim=0)
        wanted = torch.nonzero(blobs[0].mask(value)).double().mean(dim=0)
        assert float((here - wanted).norm()) < 0.5
