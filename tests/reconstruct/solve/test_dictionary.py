"""Dictionaries: pursuit against a slow loop, the proximal map, learning planted atoms."""

import math
from dataclasses import replace

import pytest
import torch

from vesalius.core import Identity
from vesalius.errors import ConfigError, ShapeError
from vesalius.physics.optics import Blur
from vesalius.reconstruct.solve import Dictionary, fista, tikhonov
from vesalius.reconstruct.solve._dictionary import _pursue


def atoms_of(many, patch, seed=0):
    generator = torch.Generator().manual_seed(seed)
    d = torch.randn(many, *patch, generator=generator, dtype=torch.float64).flatten(1)
    d = d - d.mean(dim=1, keepdim=True)
    return (d / d.norm(dim=1, keepdim=True)).reshape(many, *patch)


def draw(*shape, seed=1, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def stripes(n=40):
    """An image of one texture in two directions."""
    y, x = torch.meshgrid(torch.arange(float(n)), torch.arange(float(n)), indexing="ij")
    across, along = torch.sin(2 * math.pi * x / 5), torch.sin(2 * math.pi * y / 7)
    return torch.where(x + y < n, across, along).double()


def slow_pursuit(x, d, sparsity):
    codes = torch.zeros(len(x), len(d), dtype=x.dtype)
    for i, patch in enumerate(x):
        chosen, gap = [], patch
        for _ in range(sparsity):
            chosen.append(int((d @ gap).abs().argmax()))
            a = torch.linalg.lstsq(d[chosen].T, patch[:, None]).solution[:, 0]
            gap = patch - a @ d[chosen]
        codes[i, chosen] = a
    return codes


def test_pursuit_agrees_with_a_slow_loop():
    d, x = atoms_of(20, (3, 4)).flatten(1), draw(15, 12)
    torch.testing.assert_close(_pursue(x, d, 4, 0.0), slow_pursuit(x, d, 4))


def test_pursuit_finds_the_largest_coefficients_of_an_orthonormal_basis():
    d = torch.linalg.qr(draw(8, 8)).Q
    x = draw(10, 8)
    c = x @ d.T
    kept = c.abs() >= c.abs().sort(dim=1, descending=True).values[:, 2:3]
    torch.testing.assert_close(_pursue(x, d, 3, 0.0), c * kept)


def test_pursuit_ends_at_the_noise_and_codes_nothing_below_it():
    d, x = atoms_of(20, (12,)), draw(30, 12)
    x = x - x.mean(dim=1, keepdim=True)
    codes = _pursue(x, d, 12, 0.3)
    left = (x - codes @ d).square().mean(dim=1).sqrt()
    assert float(left.max()) <= 0.3
    assert float((codes != 0).sum(dim=1).double().mean()) < 10
    assert torch.count_nonzero(_pursue(0.01 * x, d, 12, 0.3)) == 0


def test_twin_atoms_and_empty_patches_do_no_harm():
    d = torch.cat([atoms_of(3, (6,)), atoms_of(3, (6,))])
    x = torch.cat([draw(4, 6), torch.zeros(1, 6, dtype=torch.float64)])
    codes = _pursue(x, d, 5, 0.0)
    assert bool(torch.isfinite(codes).all())
    torch.testing.assert_close(codes @ d, _pursue(x, d[:3], 3, 0.0) @ d[:3], atol=1e-6, rtol=0)


def test_an_image_of_few_atoms_costs_nothing_and_stays():
    atoms = atoms_of(6, (4, 4))
    x = 2.0 + 3.0 * atoms[2]
    prior = Dictionary(atoms, 1)
    assert prior.value(x) == pytest.approx(0.0, abs=1e-20)
    torch.testing.assert_close(prior(x, 5.0), x)


def test_the_value_is_what_the_codes_leave():
    atoms, x = atoms_of(10, (3, 3)), draw(5, 6)
    left = 0.0
    for i in range(3):
        for j in range(4):
            patch = x[i : i + 3, j : j + 3].reshape(1, -1)
            patch = patch - patch.mean()
            left += float(
                (patch - slow_pursuit(patch, atoms.flatten(1), 2) @ atoms.flatten(1)).square().sum()
            )
    assert Dictionary(atoms, 2).value(x) == pytest.approx(left / 18)


@pytest.mark.parametrize("step", [0.1, 1.0, 10.0])
def test_the_proximal_map_lowers_its_cost_and_more_rounds_lower_it_more(step):
    x = stripes(16) + 0.3 * draw(16, 16)
    prior = Dictionary(atoms_of(24, (4, 4)), 3)

    def cost(z):
        return 0.5 * float((z - x).square().sum()) + step * prior.value(z)

    one, many = cost(prior(x, step)), cost(replace(prior, rounds=5)(x, step))
    assert many < one < cost(x)


def test_no_step_moves_nothing_and_an_endless_one_averages_coded_patches():
    x, prior = draw(4, 4), Dictionary(atoms_of(8, (4, 4)), 2)
    assert torch.equal(prior(x, 0.0), x)
    rough = (x - x.mean()).reshape(1, -1)
    d = prior.atoms.flatten(1)
    expected = (x.mean() + slow_pursuit(rough, d, 2) @ d).reshape(4, 4)
    torch.testing.assert_close(prior(x, 1e12), expected)


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_every_sample_is_covered_and_a_constant_stays(stride):
    x = torch.full((11, 8), 4.0, dtype=torch.float64)
    prior = Dictionary(atoms_of(8, (3, 3)), 2, stride=stride)
    torch.testing.assert_close(prior(x, 1e12), x)


def test_batches_volumes_precision_and_complex_images():
    x = draw(2, 5, 6, 7)
    prior = Dictionary(atoms_of(9, (2, 3, 2)), 2)
    together = prior(x, 0.7)
    for one, found in zip(x, together, strict=True):
        torch.testing.assert_close(prior(one, 0.7), found)
    assert prior.value(x) == pytest.approx(sum(prior.value(one) for one in x))
    assert prior(x.float(), 0.7).dtype == torch.float32
    # real atoms with complex codes: multiplying the image by i multiplies the answer
    torch.testing.assert_close(prior(1j * x, 0.7), 1j * together)


@pytest.mark.parametrize("seed", [5, 8])
def test_learning_finds_planted_atoms(seed):
    """Patches made of 2 of 10 atoms: each is found again up to sign (cosine above 0.99)."""
    planted = atoms_of(10, (16,), seed=seed)
    generator = torch.Generator().manual_seed(seed + 1)
    which = torch.rand(1500, 10, generator=generator).argsort(dim=1)[:, :2]
    size = draw(1500, 2) + torch.sign(draw(1500, 2, seed=9))
    images = (torch.zeros(1500, 10).double().scatter(1, which, size)) @ planted
    found = Dictionary.learn(
        images, patch=(16,), atoms=10, sparsity=2, steps=100, generator=generator
    )
    match = (planted @ found.atoms.T).abs().max(dim=1).values
    assert float(match.min()) > 0.99


def test_learned_atoms_remove_noise_that_random_ones_cannot():
    truth = stripes()
    noisy = truth + 0.4 * draw(40, 40)
    learned = Dictionary.learn(
        noisy,
        patch=(6, 6),
        atoms=48,
        sparsity=2,
        steps=40,
        generator=torch.Generator().manual_seed(0),
    )
    other = Dictionary(atoms_of(48, (6, 6)), 2)
    errors = [
        float((prior(noisy, 20.0) - truth).square().mean().sqrt())
        for prior in (replace(learned, noise=0.4), replace(other, noise=0.4))
    ]
    assert errors[0] < 0.5 * 0.4
    assert errors[0] < 0.8 * errors[1]


def test_learning_is_the_same_twice():
    pair = [
        Dictionary.learn(
            stripes(20),
            patch=(4, 4),
            atoms=8,
            steps=3,
            generator=torch.Generator().manual_seed(1),
        ).atoms
        for _ in range(2)
    ]
    assert torch.equal(*pair)


def test_a_dictionary_of_clean_texture_sharpens_a_blurred_image():
    truth = stripes(32)
    op = Blur((1, 32, 32), (0.0, 1.0, 1.0))
    y = op(truth[None]) + 0.1 * draw(1, 32, 32)
    prior = Dictionary.learn(
        stripes(48),
        patch=(6, 6),
        atoms=40,
        sparsity=2,
        steps=30,
        generator=torch.Generator().manual_seed(0),
    )
    found = fista(op, y, prior, weight=0.3, steps=30).x
    plain = [tikhonov(op, y, weight=w).x for w in (0.003, 0.01, 0.03, 0.1)]
    error = float((found - truth).norm())
    assert error < 0.8 * min(float((x - truth).norm()) for x in plain)


def test_refuses_dictionaries_that_cannot_be():
    atoms = atoms_of(4, (3, 3))
    with pytest.raises(ShapeError, match="atoms must be"):
        Dictionary(torch.ones(4))
    with pytest.raises(ConfigError, match="atoms must have norm 1 and mean 0"):
        Dictionary(2 * atoms)
    with pytest.raises(ConfigError, match="atoms must have norm 1 and mean 0"):
        Dictionary(atoms * math.nan)
    with pytest.raises(ConfigError, match="sparsity must be at least 1"):
        Dictionary(atoms, 5)
    with pytest.raises(ConfigError, match="noise must be finite"):
        Dictionary(atoms, 2, noise=-1.0)
    with pytest.raises(ConfigError, match="stride must be at least 1"):
        Dictionary(atoms, 2, stride=4)
    with pytest.raises(ShapeError, match="must fit into the last axes"):
        Dictionary(atoms, 2)(torch.ones(2, 9), 1.0)


def test_refuses_images_that_teach_nothing():
    generator = torch.Generator().manual_seed(0)
    with pytest.raises(ConfigError, match="images must have structure"):
        Dictionary.learn(torch.ones(9, 9), patch=(3, 3), atoms=8, generator=generator)
    with pytest.raises(ConfigError, match="steps must be at least 1"):
        Dictionary.learn(stripes(9), patch=(3, 3), atoms=8, steps=0, generator=generator)


def test_fits_every_solver_that_takes_a_prior():
    x = stripes(12)
    found = fista(Identity((12, 12)), x, Dictionary(atoms_of(8, (3, 3)), 2), weight=0.1, steps=2)
    assert found.x.shape == (12, 12)
    assert len(found.objective) == 2
