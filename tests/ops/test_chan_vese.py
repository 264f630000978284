"""Contours without edges: equal to scikit-image at rest, energy falls, masks, spacing, refusals."""

import numpy as np
import pytest
import torch

from vesalius.errors import ConfigError, IntensityError, RegionError, ShapeError
from vesalius.ops._chan_vese import Evolution, chan_vese, checkerboard

EVEN = (1.0, 1.0, 1.0)


def balls(shape, *centres_radii, spacing=EVEN):
    axes = torch.meshgrid(*(torch.arange(n).double() for n in shape), indexing="ij")
    inside = torch.zeros(shape, dtype=torch.bool)
    for centre, radius in centres_radii:
        off = [((a - c) * s) ** 2 for a, c, s in zip(axes, centre, spacing, strict=True)]
        inside |= sum(off) <= radius**2
    return inside


def noisy(inside, noise=0.3, seed=1):
    g = torch.Generator().manual_seed(seed)
    return inside.double() + noise * torch.randn(inside.shape, generator=g, dtype=torch.float64)


def dice(a, b):
    return 2 * int((a & b).sum()) / int(a.sum() + b.sum())


def either(a, b):
    """Dice, whichever of the two phases is called inside."""
    return max(dice(a, b), dice(~a, b))


TWO = balls((1, 60, 72), ((0, 22, 20), 12), ((0, 38, 50), 15))


def test_comes_to_rest_where_scikit_image_does():
    from skimage.segmentation import chan_vese as oracle

    image = noisy(TWO)
    unit = (image - image.min()) / (image.max() - image.min())
    spread = float(unit.var(correction=0))
    evolution = Evolution(0.1 / spread, time_step=0.5, steps=300, tol=0.0)
    found = chan_vese(image, checkerboard((1, 60, 72)), EVEN, evolution=evolution)
    expected = oracle(image[0].numpy(), mu=0.1, max_num_iter=300, tol=0)
    assert either(found.phi[0] > 0, torch.from_numpy(expected)) > 0.99


def test_a_volume_comes_to_rest_where_morphological_snakes_do():
    from skimage.segmentation import morphological_chan_vese as oracle

    inside = balls((24, 26, 28), ((12, 13, 14), 8))
    image = noisy(inside, 0.1)
    start = balls((24, 26, 28), ((12, 10, 14), 5))
    expected = oracle(image.numpy(), 30, init_level_set=start.numpy(), smoothing=1)
    found = chan_vese(image, 2.0 * start.float() - 1, EVEN, evolution=Evolution(0.1))
    assert dice(found.phi > 0, torch.from_numpy(expected > 0)) > 0.98
    assert dice(found.phi > 0, inside) > 0.98


def test_means_are_those_of_the_two_phases_in_the_unit_of_the_image():
    image = 100 + 40 * noisy(TWO, 0.1)
    found = chan_vese(image, checkerboard((1, 60, 72)), EVEN, evolution=Evolution())
    inside = found.phi > 0
    assert found.means[0] == pytest.approx(float(image[inside].mean()), rel=1e-5)
    assert found.means[1] == pytest.approx(float(image[~inside].mean()), rel=1e-5)


def test_the_energy_is_what_the_loop_says():
    image = noisy(TWO)
    evolution = Evolution(0.7, 1.5, 0.5, steps=4, tol=0.0)
    found = chan_vese(image, checkerboard((1, 60, 72)), EVEN, evolution=evolution)
    phi = found.phi[0].double()
    values = ((image - image.mean()) / image.std(correction=0))[0]
    gy, gx = torch.gradient(torch.nn.functional.pad(phi[None], (1,) * 4, mode="replicate")[0])
    slope = (gy[1:-1, 1:-1] ** 2 + gx[1:-1, 1:-1] ** 2).sqrt()
    inside = phi > 0
    expected = 0.7 * (slope / (torch.pi * (1 + phi**2))).sum()
    expected += 1.5 * ((values - values[inside].mean())[inside] ** 2).sum()
    expected += 0.5 * ((values - values[~inside].mean())[~inside] ** 2).sum()
    assert found.energies[-1] == pytest.approx(float(expected) / phi.numel(), rel=1e-4)


def test_the_energy_falls():
    found = chan_vese(noisy(TWO), checkerboard((1, 60, 72)), EVEN, evolution=Evolution(tol=0.0))
    energies = np.array(found.energies)
    assert energies[-1] < 0.6 * energies[0]
    assert (np.diff(energies) < 1e-3).all()


def test_one_region_splits_into_two():
    start = 2.0 * balls((1, 60, 72), ((0, 30, 36), 28)).float() - 1
    found = chan_vese(noisy(TWO, 0.1), start, EVEN, evolution=Evolution())
    assert dice(found.phi > 0, TWO) > 0.99


def test_two_regions_merge_into_one():
    bar = torch.zeros(1, 40, 60, dtype=torch.bool)
    bar[:, 15:25, 8:52] = True
    start = 2.0 * balls((1, 40, 60), ((0, 20, 12), 4), ((0, 20, 48), 4)).float() - 1
    found = chan_vese(noisy(bar, 0.1), start, EVEN, evolution=Evolution())
    assert dice(found.phi > 0, bar) > 0.98


def test_a_turned_volume_gives_the_turned_result():
    image = noisy(balls((9, 12, 14), ((4, 6, 7), 4)))
    start = balls((9, 12, 14), ((4, 5, 6), 3)).float() - 0.5
    one = chan_vese(image, start, (2.0, 1.0, 1.5), evolution=Evolution(steps=10)).phi
    turned = chan_vese(
        image.permute(2, 0, 1),
        start.permute(2, 0, 1),
        (1.5, 2.0, 1.0),
        evolution=Evolution(steps=10),
    ).phi
    torch.testing.assert_close(turned, one.permute(2, 0, 1), rtol=1e-3, atol=1e-4)


def test_does_not_care_for_the_scale_of_the_values():
    image, start = noisy(TWO), checkerboard((1, 60, 72))
    one = chan_vese(image, start, EVEN, evolution=Evolution(steps=20)).phi
    other = chan_vese(900 - 250 * image, start, EVEN, evolution=Evolution(steps=20)).phi
    assert float(((one > 0) == (other > 0)).double().mean()) > 0.999


def test_what_lies_outside_the_mask_counts_for_nothing():
    image, mask = noisy(TWO), torch.ones(1, 60, 72, dtype=torch.bool)
    mask[:, :, 60:] = False
    start = checkerboard((1, 60, 72))
    changed = image.clone()
    changed[:, :, 60:] = 1e4
    one, other = (
        chan_vese(x, start, EVEN, evolution=Evolution(), mask=mask) for x in (image, changed)
    )
    assert torch.equal(one.phi, other.phi)
    assert torch.equal(one.phi[~mask], start[~mask])


def test_columns_of_any_layout_are_read_alike():
    image, start = noisy(TWO), checkerboard((1, 60, 72))
    turned = image.transpose(1, 2).contiguous().transpose(1, 2)
    one, other = (chan_vese(x, start, EVEN, evolution=Evolution(steps=5)) for x in (image, turned))
    assert torch.equal(one.phi, other.phi)


def test_stops_when_it_has_settled_and_tells_of_each_step():
    heard = []
    found = chan_vese(
        noisy(TWO, 0.05),
        2.0 * TWO.float() - 1,
        EVEN,
        evolution=Evolution(steps=500, tol=0.01),
        on_step=lambda number, energy: heard.append((number, energy)),
    )
    assert found.settled
    assert len(found.energies) < 500
    assert heard == list(enumerate(found.energies, start=1))


def test_the_checkerboard_alternates():
    board = checkerboard((1, 20, 20), 5)
    assert bool((board[0, 1:5, 1:5] > 0).all())
    assert bool((board[0, 1:5, 6:10] < 0).all())
    assert checkerboard((6, 1, 7)).shape == (6, 1, 7)


@pytest.mark.parametrize("name", ["weight", "inside", "outside", "tol"])
def test_refuses_negative_settings(name):
    with pytest.raises(ConfigError, match=f"{name} must be 0 or a positive number, got -1"):
        Evolution(**{name: -1.0})


@pytest.mark.parametrize("name", ["time_step", "width", "steps"])
def test_refuses_settings_that_are_not_positive(name):
    with pytest.raises(ConfigError, match=f"{name} must be a positive number, got 0"):
        Evolution(**{name: 0})


def test_refuses_a_start_of_another_shape():
    with pytest.raises(ShapeError, match="start must have the shape of the image"):
        chan_vese(noisy(TWO), torch.zeros(1, 2, 3), EVEN, evolution=Evolution())


def test_refuses_an_empty_mask():
    mask = torch.zeros_like(TWO)
    with pytest.raises(RegionError, match="mask must have a voxel to segment in"):
        chan_vese(noisy(TWO), TWO.float(), EVEN, evolution=Evolution(), mask=mask)


@pytest.mark.parametrize("value", [5.0, float("nan"), float("inf")])
def test_refuses_values_without_a_spread(value):
    image = torch.full((1, 60, 72), value)
    with pytest.raises(IntensityError, match="values must be finite and vary"):
        chan_vese(image, TWO.float(), EVEN, evolution=Evolution())
