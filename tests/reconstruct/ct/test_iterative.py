"""The iterative recipe: every method on a phantom, weights, strengths, and its honesty."""

import dataclasses

import pytest
import torch

from vesalius.core import Grid
from vesalius.errors import ConfigError, IntensityError
from vesalius.physics import Ellipsoid, Phantom, rasterise
from vesalius.physics.ct import Projections, cone, exact_projections, fan, parallel
from vesalius.reconstruct.ct import Iterative, iterate

SIZE = 24
GRID = Grid.from_spacing((1, SIZE, SIZE), (1.0, 2.0, 2.0), origin_mm=(1.0 - SIZE, 1.0 - SIZE, 0.0))
PHANTOM = Phantom(
    (
        Ellipsoid((0.0, 0.0, 0.0), (19.0, 15.0, 900.0), 0.02),
        Ellipsoid((6.0, 3.0, 0.0), (5.0, 5.0, 900.0), 0.04),
    ),
    unit="1/mm",
)
TRUTH = rasterise(PHANTOM, GRID).data[0]
STEPS = {"sirt": 60, "landweber": 150, "mlem": 60, "sart": 5, "os-sart": 10, "osem": 10}


def scan(views=30, quantity="line integral", photons=1e5):
    angles = torch.arange(views) * (180.0 / views)
    geometry = parallel(angles, shape=(1, 32), pitch_mm=(1.0, 2.0))
    line = exact_projections(PHANTOM, geometry, subrays=(1, 4))
    if quantity == "line integral":
        return line
    counts = torch.poisson(
        photons * torch.exp(-line.data), generator=torch.Generator().manual_seed(1)
    )
    data = counts if quantity == "counts" else counts / photons
    return Projections(data, geometry, quantity)


def error(found):
    return float((found.image.data[0] - TRUTH).norm() / TRUTH.norm())


@pytest.mark.parametrize(
    "name", ["landweber", "sirt", "sart", "os-sart", "cgls", "lsqr", "mlem", "osem"]
)
def test_methods_without_a_prior_find_the_phantom(name):
    told = []
    steps = STEPS.get(name, 15)
    found = iterate(scan(), like=GRID, method=Iterative(name, steps=steps), on_step=told.append)
    assert error(found) < 0.2
    assert found.method == name
    assert found.image.unit == "1/mm"
    assert found.steps == len(told) > 0
    assert found.operator_norm > 0
    assert found.identifiable
    assert found.weight == 0.0
    assert found.residual[-1] < 0.1


@pytest.mark.parametrize(
    ("name", "weight"),
    [("tikhonov", 30.0), ("tv", 0.02), ("tgv", 0.02), ("huber", 0.02), ("wavelet", 0.002)],
)
def test_methods_with_a_prior_find_the_phantom(name, weight):
    found = iterate(scan(), like=GRID, method=Iterative(name, steps=40, weight=weight))
    assert error(found) < 0.2
    assert found.weight == weight
    assert found.identifiable


def test_few_rays_without_a_prior_are_told_to_be_not_identifiable():
    few = scan(views=6)
    bare = iterate(few, like=GRID, method=Iterative("sirt", steps=3))
    assert not bare.identifiable
    assert any("no prior: not identifiable" in r for r in bare.remarks)
    prior = iterate(few, like=GRID, method=Iterative("tv", steps=3, weight=0.01))
    assert prior.identifiable
    assert any("the prior 'tv' does" in r for r in prior.remarks)
    weightless = iterate(few, like=GRID, method=Iterative("tv", steps=3, weight=0.0))
    assert not weightless.identifiable


@pytest.mark.parametrize("rule", ["sure", "discrepancy", "gcv"])
def test_a_strength_chosen_from_noisy_counts_beats_none(rule):
    noisy = scan(quantity="counts", photons=2e3)
    method = Iterative("tv", steps=25, strength=rule, photons=2e3)
    chosen = iterate(noisy, like=GRID, method=method)
    plain = iterate(noisy, like=GRID, method=dataclasses.replace(method, strength="fixed"))
    assert error(chosen) < error(plain)
    assert chosen.weight > 0
    assert any(f"chosen by {rule}" in r for r in chosen.remarks)
    assert any("weighted by their expected counts" in r for r in chosen.remarks)


def test_transmissions_counts_and_line_integrals_agree():
    method = Iterative("cgls", steps=8, photons=1e5)
    counts = iterate(scan(quantity="counts"), like=GRID, method=method).image.data
    passed = iterate(scan(quantity="transmission"), like=GRID, method=method).image.data
    torch.testing.assert_close(counts, passed, atol=1e-5, rtol=0)
    bare = dataclasses.replace(method, photons=0.0)
    exact = iterate(scan(), like=GRID, method=bare).image.data
    assert float((counts - exact).norm() / exact.norm()) < 0.2


def test_rays_without_photons_are_told():
    data = scan(quantity="counts")
    data.data[0, 0, 16] = 0.0
    found = iterate(data, like=GRID, method=Iterative("cgls", steps=2, photons=1e5))
    assert any("1 rays without photons" in r for r in found.remarks)
    assert bool(torch.isfinite(found.image.data).all())


def test_refuses_what_cannot_be_reconstructed():
    with pytest.raises(ConfigError, match="a rule for the strength needs a prior"):
        Iterative("sirt", strength="sure")
    with pytest.raises(ConfigError, match="subsets must be at least 1 and photons not negative"):
        Iterative("os-sart", subsets=0)
    with pytest.raises(ConfigError, match="counts must come with the photons"):
        iterate(scan(quantity="counts"), like=GRID, method=Iterative("cgls"))
    negative = scan(quantity="transmission")
    negative.data[0, 0, 0] = -0.1
    with pytest.raises(IntensityError, match=r"must not be negative, got -0\.1"):
        iterate(negative, like=GRID, method=Iterative("cgls"))


def of_beam(beam, views=30, photons=0.0):
    """The phantom, an ellipsoid in depth, seen by a fan or a cone; and its truth on a volume."""
    slices = 5 if beam == "cone" else 1
    angles = torch.arange(views) * (360.0 / views)
    make = fan if beam == "fan" else cone
    geometry = make(
        angles,
        shape=(2 * slices - 1, 40),
        pitch_mm=(3.0, 3.0),
        source_mm=150.0,
        detector_mm=225.0,
        offset_mm=(0.0, 0.75),
    )
    grid = Grid.from_spacing(
        (slices, SIZE, SIZE), (2.0, 2.0, 2.0), origin_mm=(1.0 - SIZE, 1.0 - SIZE, 1.0 - slices)
    )
    line = exact_projections(PHANTOM, geometry, subrays=(2, 4))
    if photons:
        counts = torch.poisson(
            photons * torch.exp(-line.data), generator=torch.Generator().manual_seed(1)
        )
        line = Projections(counts, geometry, "counts")
    return line, grid, rasterise(PHANTOM, grid).data[0]


@pytest.mark.parametrize(
    ("beam", "name"),
    [("fan", "sirt"), ("fan", "os-sart"), ("fan", "mlem"), ("fan", "cgls"), ("cone", "cgls")],
)
def test_divergent_beams_are_reconstructed(beam, name):
    line, grid, truth = of_beam(beam)
    found = iterate(line, like=grid, method=Iterative(name, steps=STEPS.get(name, 15)))
    middle = grid.shape[0] // 2
    gap = (found.image.data[0, middle] - truth[middle]).norm() / truth[middle].norm()
    assert float(gap) < 0.2
    assert found.identifiable


@pytest.mark.parametrize("beam", ["fan"])
def test_total_variation_of_divergent_beams_beats_least_squares_in_noise(beam):
    line, grid, truth = of_beam(beam, photons=2e3)
    bare = Iterative("cgls", steps=30, photons=2e3)
    prior = Iterative("tv", steps=60, strength="balance", photons=2e3)
    middle = grid.shape[0] // 2
    gaps = [
        float((iterate(line, like=grid, method=m).image.data[0, middle] - truth[middle]).norm())
        for m in (bare, prior)
    ]
    assert gaps[1] < 0.8 * gaps[0]


@pytest.mark.parametrize("name", ["tikhonov", "tv", "tgv", "huber", "wavelet"])
def test_a_balanced_strength_takes_one_solve_and_beats_none(name):
    noisy = scan(quantity="counts", photons=2e3)
    told = []
    method = Iterative(name, steps=30, strength="balance", photons=2e3, tol=0.0)
    found = iterate(noisy, like=GRID, method=method, on_step=told.append)
    assert len(told) == found.steps <= 30
    plain = iterate(noisy, like=GRID, method=dataclasses.replace(method, strength="fixed"))
    assert error(found) < error(plain)
    assert found.weight > 0
    assert any("balances the noise" in r for r in found.remarks)
    assert found.identifiable


def test_a_balanced_strength_follows_the_noise_and_ignores_the_truth():
    """Weights of rays grow with the photons, so the noise that A^H brings does by their root."""
    weak, strong = (
        iterate(
            scan(quantity="counts", photons=n),
            like=GRID,
            method=Iterative("tv", steps=1, strength="balance", photons=n),
        ).weight
        for n in (1e3, 1e5)
    )
    assert strong / weak == pytest.approx(10.0, rel=0.05)
    bare = Iterative("tv", steps=1, strength="balance")
    clean = scan()
    draw = torch.randn(clean.data.shape, generator=torch.Generator().manual_seed(0))
    some, more = (
        iterate(Projections(clean.data + s * draw, clean.geometry), like=GRID, method=bare).weight
        for s in (0.2, 0.8)
    )
    assert more / some == pytest.approx(4.0, rel=0.1)
