"""STAPLE: recovers the rates of simulated raters; equals SimpleITK's and a slow EM."""

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from vesalius.core import Grid, Labels
from vesalius.errors import ConvergenceError, GeometryError, RegionError, ShapeError
from vesalius.register.atlas import majority, staple

GRID = Grid.from_spacing((24, 24, 24))
VALUES = torch.tensor([0, 4, 9])


def truth(generator: torch.Generator, share: tuple[float, ...] = (0.5, 0.3, 0.2)) -> torch.Tensor:
    chance = torch.tensor(share).expand(24**3, len(share))
    return torch.multinomial(chance, 1, generator=generator).reshape(1, 24, 24, 24)


def rater(true: torch.Tensor, confusion: list[list[float]], generator: torch.Generator) -> Labels:
    rows = torch.tensor(confusion)[true.reshape(-1)]
    said = torch.multinomial(rows, 1, generator=generator).reshape(true.shape)
    return Labels(VALUES[said], GRID)


BINARY = [
    [[0.95, 0.05], [0.10, 0.90]],
    [[0.90, 0.10], [0.20, 0.80]],
    [[0.99, 0.01], [0.30, 0.70]],
    [[0.85, 0.15], [0.05, 0.95]],
]
TERNARY = [
    [[0.92, 0.05, 0.03], [0.05, 0.90, 0.05], [0.10, 0.10, 0.80]],
    [[0.80, 0.15, 0.05], [0.02, 0.95, 0.03], [0.05, 0.05, 0.90]],
    [[0.97, 0.02, 0.01], [0.20, 0.75, 0.05], [0.05, 0.25, 0.70]],
    [[0.90, 0.05, 0.05], [0.05, 0.85, 0.10], [0.10, 0.05, 0.85]],
]


@pytest.mark.parametrize(("rates", "share"), [(BINARY, (0.6, 0.4)), (TERNARY, (0.5, 0.3, 0.2))])
def test_finds_the_rates_of_its_raters(rates, share, generator):
    true = truth(generator, share)
    found = staple([rater(true, r, generator) for r in rates])
    assert found.values == tuple(VALUES[: len(share)].tolist())
    torch.testing.assert_close(found.confusion, torch.tensor(rates).double(), rtol=0, atol=0.03)
    torch.testing.assert_close(found.confusion.sum(dim=2), torch.ones(4, len(share)).double())


def test_sensitivity_and_specificity_are_those_of_the_raters(generator):
    true = truth(generator, (0.6, 0.4))
    found = staple([rater(true, r, generator) for r in BINARY])
    assert found.sensitivity[:, 1].tolist() == pytest.approx([0.9, 0.8, 0.7, 0.95], abs=0.03)
    assert found.specificity[:, 1].tolist() == pytest.approx([0.95, 0.9, 0.99, 0.85], abs=0.03)
    torch.testing.assert_close(found.sensitivity[:, 0], found.specificity[:, 1], rtol=0, atol=0.02)


def test_beats_the_vote_where_raters_differ_in_skill(generator):
    true = truth(generator, (0.6, 0.4))
    good, poor = BINARY[0], [[0.6, 0.4], [0.4, 0.6]]
    votes = [rater(true, r, generator) for r in (good, good, poor, poor, poor)]
    right = VALUES[true]
    by_trust = (staple(votes).labels.data == right).double().mean()
    by_vote = (majority(votes).labels.data == right).double().mean()
    assert float(by_trust) > float(by_vote) + 0.03


def test_equals_simpleitk_for_two_labels(generator):
    true = truth(generator, (0.6, 0.4))
    votes = [rater(true, r, generator) for r in BINARY]
    filter_ = sitk.STAPLEImageFilter()
    filter_.SetForegroundValue(4)
    images = [sitk.GetImageFromArray(v.data[0].numpy().astype(np.uint8)) for v in votes]
    wanted = sitk.GetArrayFromImage(filter_.Execute(images))
    found = staple(votes, tol=1e-7)
    named = torch.where(found.labels.data == 4, found.probability.data, 1 - found.probability.data)
    np.testing.assert_allclose(named[0], wanted, atol=1e-3)
    np.testing.assert_allclose(found.sensitivity[:, 1], filter_.GetSensitivity(), atol=1e-3)
    np.testing.assert_allclose(found.specificity[:, 1], filter_.GetSpecificity(), atol=1e-3)


def test_equals_a_slow_estimate_over_all_voxels(generator):
    true = truth(generator)
    votes = [rater(true, r, generator) for r in TERNARY[:3]]
    said = torch.stack([torch.searchsorted(VALUES, v.data.reshape(-1)) for v in votes])
    one_hot = torch.nn.functional.one_hot(said, 3).double()
    prior = one_hot.mean(dim=(0, 1))
    rates = torch.full((3, 3, 3), 0.025).double() + 0.925 * torch.eye(3).double()
    for _ in range(300):
        chance = prior * torch.stack([r[:, s].T for r, s in zip(rates, said, strict=True)]).prod(0)
        chance = chance / chance.sum(dim=1, keepdim=True)
        rates = torch.einsum("nt,kns->kts", chance, one_hot) / chance.sum(dim=0)[:, None]
    found = staple(votes, tol=1e-9, steps=2000)
    torch.testing.assert_close(found.confusion, rates, rtol=0, atol=1e-4)


def test_raters_of_one_mind_are_all_right(generator):
    true = truth(generator)
    vote = Labels(VALUES[true], GRID)
    found = staple([vote, vote, vote])
    assert torch.equal(found.labels.data, vote.data)
    assert float(found.sensitivity.min()) > 0.999999
    assert float(found.probability.data.min()) > 0.999


def test_one_label_everywhere_is_no_trouble():
    vote = Labels(torch.full((1, *GRID.shape), 4), GRID, {(0, 4): "air"})
    found = staple([vote, vote])
    assert torch.equal(found.labels.data, vote.data)
    assert found.labels.name(4) == "air"


def test_disputed_voxels_alone_make_raters_look_worse_and_keep_what_is_agreed(generator):
    true = truth(generator, (0.95, 0.05))
    votes = [rater(true, r, generator) for r in BINARY]
    whole, part = staple(votes), staple(votes, disputed_only=True)
    assert float(part.specificity[:, 1].mean()) < float(whole.specificity[:, 1].mean())
    stacked = torch.stack([v.data for v in votes])
    agreed = (stacked == stacked[:1]).all(dim=0)
    assert torch.equal(part.labels.data[agreed], votes[0].data[agreed])
    assert bool((part.probability.data[agreed] == 1).all())


def test_many_raters_with_many_labels_do_not_overflow(generator):
    values = torch.randint(0, 100, (1, 2, 3, 4), generator=generator)
    grid = Grid.from_spacing((2, 3, 4))
    votes = [Labels(values, grid) for _ in range(30)]
    assert torch.equal(staple(votes).labels.data, values)


def test_refuses_what_cannot_be_estimated(generator):
    vote = rater(truth(generator), TERNARY[0], generator)
    with pytest.raises(ShapeError, match="staple needs at least two raters, got 1"):
        staple([vote])
    with pytest.raises(RegionError, match="disputed_only needs a voxel on which the raters differ"):
        staple([vote, vote], disputed_only=True)
    other = Labels(vote.data, Grid.from_spacing(GRID.shape, (2.0, 1.0, 1.0)))
    with pytest.raises(GeometryError, match="must share one grid"):
        staple([vote, other])


def test_says_when_the_steps_ran_out(generator):
    true = truth(generator)
    votes = [rater(true, r, generator) for r in TERNARY]
    with pytest.raises(ConvergenceError, match="after 2 steps: give more steps"):
        staple(votes, steps=2)
