"""The explicit elastic step: its two terms, its limits, and that it spares volumes."""

import pytest
import torch

from vesalius.core import Grid
from vesalius.errors import ConfigError
from vesalius.ops._divergence import damp_divergence
from vesalius.ops._jacobian import determinants
from vesalius.register._elastic import ElasticSolver
from vesalius.register._elastic_step import ElasticStep
from vesalius.register._gaussian import Gaussian

GRID = Grid.from_spacing((10, 12, 14), (2.0, 2.0, 2.0))


def test_without_volume_it_is_the_gaussian(generator):
    field = torch.randn((3, *GRID.shape), generator=generator)
    assert torch.equal(
        ElasticStep(sigma=0.7, volume=0.0)(field, GRID), Gaussian(sigma=0.7)(field, GRID)
    )


def test_is_the_gaussian_then_the_damping(generator):
    field = torch.randn((3, *GRID.shape), generator=generator)
    wanted = damp_divergence(Gaussian(sigma=0.5)(field, GRID), 0.2)
    torch.testing.assert_close(ElasticStep(sigma=0.5, volume=0.2)(field, GRID), wanted)


def test_thick_slices_weigh_less(generator):
    """Differences are by mm: slices of 6 mm beside pixels of 2 mm change a third as fast."""
    grid = Grid.from_spacing((6, 8, 8), (6.0, 2.0, 2.0))
    field = torch.randn((3, *grid.shape), generator=generator, dtype=torch.float64)
    wanted = damp_divergence(field, 0.2, scale=(1 / 3, 1.0, 1.0))
    torch.testing.assert_close(ElasticStep(sigma=0.0, volume=0.2)(field, grid), wanted)


@pytest.mark.parametrize("thick", [0.01, 1.0, 50.0])
def test_one_slice_does_not_care_how_thick_it_is(thick, generator):
    grid = Grid.from_spacing((1, 9, 8), (thick, 2.0, 2.0))
    field = torch.randn((3, *grid.shape), generator=generator)
    found = ElasticStep(sigma=0.5, volume=0.2)(field, grid)
    same = Grid.from_spacing((1, 9, 8), (2.0, 2.0, 2.0))
    torch.testing.assert_close(found, ElasticStep(sigma=0.5, volume=0.2)(field, same))


def test_follows_the_implicit_step_for_a_short_time(generator):
    """For a smooth field and a short time both solve Navier's equation to first order.

    sigma^2 = 2 t mu and volume = t (lame + mu), in samples; compared away from the borders.
    """
    grid = Grid.from_spacing((24, 24, 24))
    noise = torch.randn((3, *grid.shape), generator=generator, dtype=torch.float64)
    field = Gaussian(sigma=3.0)(noise, grid)
    t, mu, lame = 0.1, 1.0, 1.0
    implicit = ElasticSolver(tau_mm2=t, mu=mu, lame=lame)(field, grid) - field
    explicit = ElasticStep(sigma=(2 * t * mu) ** 0.5, volume=t * (lame + mu))(field, grid) - field
    inside = (slice(None), *[slice(6, -6)] * 3)
    missed = float((implicit - explicit)[inside].norm() / implicit[inside].norm())
    assert missed < 0.2


def test_spares_volumes_more_than_a_gaussian_of_the_same_loss(generator):
    """At an equal length of what is left, the change of volume is the smaller one."""
    field = 0.5 * Gaussian(sigma=1.5)(torch.randn((3, *GRID.shape), generator=generator), GRID)
    step = ElasticStep(sigma=0.4, volume=0.3)(field, GRID)
    wide = next(
        smooth
        for s in torch.arange(0.4, 2.0, 0.01)
        if (smooth := Gaussian(sigma=float(s))(field, GRID)).norm() <= step.norm()
    )
    one, two = (determinants(u).std() for u in (step, wide))
    assert float(one) < 0.95 * float(two)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"sigma": -1.0}, "must be finite and at least 0"),
        ({"volume": 0.5}, "must be from 0 to 1/3, got 0.5"),
    ],
)
def test_refuses_settings_that_do_not_smooth(options, text):
    with pytest.raises(ConfigError, match=text):
        ElasticStep(**options)
