"""PET: counts kept, likelihood monotone, unbiased with randoms and scatter; data in closed form."""
# SPDX-License-Identifier: Apache-2.0

import itertools

import pytest
import torch
from torch import Tensor

from vesalius.core import Grid, Step
from vesalius.errors import ConfigError, IntensityError, ShapeError, UnitError
from vesalius.physics.ct import Projections, Projector, parallel
from vesalius.physics.pet import System
from vesalius.reconstruct.pet import Corrections, Emission, emission
from vesalius.reconstruct.solve import mlem

GEOMETRY = parallel(torch.arange(60, dtype=torch.float64) * 3, shape=(1, 72), pitch_mm=(4.0, 4.0))
GRID = Grid.from_spacing((1, 64, 64), (4.0, 4.0, 4.0), origin_mm=(-126.0, -126.0, 0.0))
# (x, y, radius) mm and activity of each disk, which add up; a body with three hot spots
DISKS = [(0, 0, 100, 1.0), (40, 20, 15, 3.0), (-45, 10, 20, 2.0), (0, -50, 10, 6.0)]
MU = 0.0096


def chords(x: float, y: float, radius: float) -> Tensor:
    """Length of each line in a disk, mean over 8 sub-rays of the element, in closed form."""
    start, unit = GEOMETRY.rays()
    total = torch.zeros(GEOMETRY.codomain, dtype=torch.float64)
    for part in (torch.arange(8) + 0.5) / 8 - 0.5:
        at = start + part * GEOMETRY.u[:, None, None]
        ax, ay = x - at[..., 0], y - at[..., 1]
        distance = ax * unit[..., 1] - ay * unit[..., 0]
        total += 2 * (radius**2 - distance**2).clamp(min=0).sqrt() / 8
    return total


def expected(*, attenuated: bool) -> tuple[Tensor, Tensor]:
    """True coincidences and attenuation factors, without any projector."""
    factors = torch.exp(-MU * chords(0, 0, 100)) if attenuated else torch.ones(GEOMETRY.codomain)
    activity = sum(value * chords(x, y, r) for x, y, r, value in DISKS)
    return activity * factors.double(), factors.double()


TRUE_TOTAL = sum(torch.pi * r**2 * value for _, _, r, value in DISKS)


def prompts(data: Tensor) -> Projections:
    return Projections(data, GEOMETRY, "counts")


def test_mlem_keeps_the_counts_without_randoms_and_scatter():
    mean, factors = expected(attenuated=True)
    y = torch.poisson(mean, generator=torch.Generator().manual_seed(1))
    found = emission(
        prompts(y),
        like=GRID,
        corrections=Corrections(attenuation=factors),
        options=Emission(steps=10),
    )
    system = System(Projector(GEOMETRY, GRID), factors, torch.ones_like(factors))
    reprojected = system(found.image.data[0])
    assert float(reprojected.sum()) == pytest.approx(float(y.sum()), rel=1e-4)
    assert found.method == "mlem"
    assert found.image.unit == "count/mm"
    assert float(found.image.data.min()) >= 0


def test_the_likelihood_rises_with_every_step():
    mean, factors = expected(attenuated=True)
    y = torch.poisson(mean + 20, generator=torch.Generator().manual_seed(2))
    system = System(Projector(GEOMETRY, GRID), factors, torch.ones_like(factors))
    background = torch.full_like(y, 20)
    objective = mlem(system, y, background=background, steps=25).objective
    assert all(b <= a for a, b in itertools.pairwise(objective))
    assert objective[-1] < 0.1 * objective[0]


@pytest.mark.parametrize("subsets", [1, 6])
def test_the_activity_is_unbiased_with_randoms_and_scatter_given(subsets):
    mean, factors = expected(attenuated=True)
    normalisation = 0.5 + torch.rand(
        GEOMETRY.codomain, generator=torch.Generator().manual_seed(3), dtype=torch.float64
    )
    scatter = 0.2 * float(mean.mean()) * torch.ones_like(mean)
    randoms = 0.3 * float(mean.mean()) * normalisation
    known = Corrections(factors, normalisation, randoms + scatter)
    totals, hot = [], []
    for seed in range(2):
        generator = torch.Generator().manual_seed(seed)
        y = torch.poisson(mean * normalisation + randoms + scatter, generator=generator)
        options = Emission(steps=30 // subsets, subsets=subsets)
        image = emission(prompts(y), like=GRID, corrections=known, options=options).image.data[0, 0]
        totals.append(float(image.sum()) * 16)
        hot.append(float(image[disk(-45, 10, 12)].mean()))
    assert sum(totals) / 2 == pytest.approx(TRUE_TOTAL, rel=0.02)
    # a spot in the body rises slower than the whole: it is still 6 % short
    assert sum(hot) / 2 == pytest.approx(3.0, rel=0.1)


def disk(x: float, y: float, radius: float) -> Tensor:
    at = torch.arange(64) * 4.0 - 126
    return (at[:, None] - y) ** 2 + (at - x) ** 2 < radius**2


def test_what_is_not_corrected_biases_the_activity():
    mean, factors = expected(attenuated=True)
    randoms = 0.3 * float(mean.mean())
    total = [
        float(
            emission(
                prompts(mean + randoms), like=GRID, corrections=c, options=Emission(10)
            ).image.data.sum()
            * 16
            / TRUE_TOTAL
        )
        for c in (
            Corrections(background=torch.full_like(mean, randoms)),
            Corrections(attenuation=factors),
        )
    ]
    # without attenuation most of the light is missing, without randoms there is too much
    assert total[0] < 0.5
    assert total[1] > 1.2


def test_ordered_subsets_are_as_far_after_a_sixth_of_the_passes():
    mean, _ = expected(attenuated=False)
    y = prompts(torch.poisson(mean, generator=torch.Generator().manual_seed(4)))
    slow = emission(y, like=GRID, options=Emission(steps=24))
    fast = emission(y, like=GRID, options=Emission(steps=4, subsets=6))
    assert fast.method == "osem"
    assert fast.residual[-1] == pytest.approx(slow.residual[-1], rel=0.05)


def test_dead_lines_are_left_out():
    mean, _ = expected(attenuated=False)
    alive = torch.ones_like(mean)
    alive[:, :, 30:33] = 0
    found = emission(
        prompts(mean * alive), like=GRID, corrections=Corrections(None, alive), options=Emission(30)
    )
    assert float(found.image.data.sum()) * 16 == pytest.approx(TRUE_TOTAL, rel=0.02)


def test_every_pass_is_told():
    told: list[Step] = []
    emission(
        prompts(expected(attenuated=False)[0]),
        like=GRID,
        options=Emission(2, 3, told.append),
    )
    assert [(s.done, s.total) for s in told] == [(1, 2), (2, 2)]


def test_refuses_line_integrals():
    with pytest.raises(UnitError, match="prompts must be counts"):
        emission(Projections(torch.ones(GEOMETRY.codomain), GEOMETRY), like=GRID)


def test_refuses_subtracted_randoms():
    with pytest.raises(IntensityError, match="counts must not be negative"):
        emission(prompts(torch.ones(GEOMETRY.codomain) - 2), like=GRID)


def test_refuses_corrections_that_do_not_fit():
    y = prompts(torch.ones(GEOMETRY.codomain))
    with pytest.raises(ShapeError, match="attenuation must have the shape of the prompts"):
        emission(y, like=GRID, corrections=Corrections(attenuation=torch.ones(2, 1, 2)))
    with pytest.raises(ShapeError, match="corrections must have one shape"):
        Corrections(torch.ones(2, 1, 2), torch.ones(2, 1, 3))


def test_refuses_more_subsets_than_views():
    y = prompts(torch.ones(GEOMETRY.codomain))
    with pytest.raises(ConfigError, match="subsets must be at most the number of views, 60"):
        emission(y, like=GRID, options=Emission(1, 61))


@pytest.mark.parametrize("bad", [{"steps": 0}, {"subsets": 0}])
def test_refuses_no_steps(bad):
    with pytest.raises(ConfigError, match="steps and subsets must be at least 1"):
        Emission(**bad)


@pytest.mark.parametrize("subsets", [1, 4])
def test_what_no_line_sees_stays_dark_instead_of_at_the_start(subsets):
    mean, _ = expected(attenuated=False)
    # only the view along x is alive, and of it what passes within 48 mm of the axis
    alive = torch.zeros_like(mean)
    alive[0, :, 24:48] = 1
    options = Emission(steps=3, subsets=subsets)
    known = Corrections(normalisation=alive)
    found = emission(prompts(mean * alive), like=GRID, corrections=known, options=options)
    rows = (torch.arange(64) * 4.0 - 126).abs()
    assert not found.image.data[0, 0, rows > 56].any()
    assert bool((found.image.data[0, 0, rows < 44] > 0).all())


def test_no_counts_are_no_activity():
    none = prompts(torch.zeros(GEOMETRY.codomain))
    for background in (None, torch.ones(GEOMETRY.codomain)):
        known = Corrections(background=background)
        found = emission(none, like=GRID, corrections=known, options=Emission(2))
        assert not found.image.data.any()


@pytest.mark.parametrize("name", ["attenuation", "normalisation", "background"])
def test_refuses_corrections_that_are_not_finite(name):
    spoiled = torch.full(GEOMETRY.codomain, float("inf"))
    y = prompts(torch.ones(GEOMETRY.codomain))
    with pytest.raises(IntensityError, match=f"{name} must be finite, got NaN or infinity"):
        emission(y, like=GRID, corrections=Corrections(**{name: spoiled}))
