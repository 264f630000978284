"""Four phases by two level sets: triple points, energy by a loop, order, masks, refusals."""

import math

import numpy as np
import pytest
import torch

from vesalius.errors import ConfigError, IntensityError, RegionError, ShapeError
from vesalius.ops._multi_phase import (
    FourPhases,
    multi_phase,
    nearest_of_four,
    signs_of,
)

EVEN = (1.0, 1.0, 1.0)
SHAPE = (1, 40, 48)
VALUES = (-20.0, 30.0, 60.0, 140.0)


def quarters(shape=SHAPE):
    """Four regions that meet in one point, which one level set could not part."""
    region = torch.zeros(shape, dtype=torch.int64)
    y, x = shape[1] // 2, shape[2] // 2
    region[:, :y, x:], region[:, y:, :x], region[:, y:, x:] = 1, 2, 3
    return region


def painted(region, noise=6.0):
    g = torch.Generator().manual_seed(2)
    values = torch.tensor(VALUES, dtype=torch.float64)[region]
    return values + noise * torch.randn(region.shape, generator=g, dtype=torch.float64)


def agreement(found, wanted):
    return float((found.region.long() == wanted).double().mean())


def anyhow():
    g = torch.Generator().manual_seed(5)
    return signs_of(torch.randint(0, 4, SHAPE, generator=g))


def begin(image):
    return signs_of(nearest_of_four(image, None))


@pytest.mark.parametrize("shape", [SHAPE, (8, 20, 22)])
def test_parts_four_regions_that_meet_in_a_point(shape):
    wanted = quarters(shape)
    image = painted(wanted)
    found = multi_phase(image, begin(image), EVEN, phases=FourPhases())
    assert agreement(found, wanted) > 0.98
    for k in range(4):
        mean = float(image[found.region == k].mean())
        assert found.means[k] == pytest.approx(mean, rel=1e-5)


def test_noise_that_classes_of_value_follow_is_smoothed_away():
    wanted = quarters()
    image = painted(wanted, noise=25.0)
    first = nearest_of_four(image, None)
    found = multi_phase(image, signs_of(first), EVEN, phases=FourPhases(0.4, steps=400))
    before = float((first == wanted).double().mean())
    assert before < 0.85
    assert agreement(found, wanted) > 0.95


def test_the_energy_is_what_the_loop_says():
    image = painted(quarters())
    phases = FourPhases(0.3, steps=3, tol=0.0)
    found = multi_phase(image, anyhow(), EVEN, phases=phases)
    values = (image - image.mean()) / image.std(correction=0)
    parts = [values[found.region == k] for k in range(4)]
    spread = sum(float(((p - p.mean()) ** 2).sum()) for p in parts if len(p))
    rest = found.energies[-1] * image.numel() - spread
    bare = multi_phase(image, anyhow(), EVEN, phases=FourPhases(1e-9, steps=1, tol=0.0))
    spread = sum(
        float(((p - p.mean()) ** 2).sum()) for p in (values[bare.region == k] for k in range(4))
    )
    assert bare.energies[0] * image.numel() == pytest.approx(spread, rel=1e-4)
    # what is left is length: positive, and no longer than all borders of all samples
    assert 0 < rest < 0.3 * 2 * image.numel()


def test_the_energy_falls():
    image = painted(quarters(), 20.0)
    found = multi_phase(image, anyhow(), EVEN, phases=FourPhases(tol=0.0))
    energies = np.array(found.energies)
    assert energies[-1] < 0.6 * energies[0]
    assert (np.diff(energies) < 2e-3).all()


def test_comes_to_rest_and_tells_of_each_step():
    image, heard = painted(quarters()), []
    found = multi_phase(
        image,
        begin(image),
        EVEN,
        phases=FourPhases(steps=900, tol=0.002),
        on_step=lambda number, energy: heard.append((number, energy)),
    )
    assert found.settled
    assert len(found.energies) < 900
    assert heard == list(enumerate(found.energies, start=1))


def test_two_values_leave_two_regions_empty():
    region = torch.where(quarters() < 2, 0, 3)
    image = painted(region, noise=0.5)
    found = multi_phase(image, begin(image), EVEN, phases=FourPhases())
    assert torch.equal(found.region.long(), (region == 3).long())
    assert [math.isnan(m) for m in found.means] == [False, False, True, True]


def test_a_turned_volume_gives_the_turned_regions():
    image = painted(quarters((6, 12, 14)), 20.0)
    phases = FourPhases(steps=10)
    one = multi_phase(image, begin(image), (2.0, 1.0, 1.5), phases=phases).region
    turned = image.permute(2, 0, 1)
    other = multi_phase(turned, begin(turned), (1.5, 2.0, 1.0), phases=phases).region
    assert float((other == one.permute(2, 0, 1)).double().mean()) > 0.99


def test_what_lies_outside_the_mask_counts_for_nothing():
    image, mask = painted(quarters()), torch.ones(SHAPE, dtype=torch.bool)
    mask[:, :, 40:] = False
    changed = image.clone()
    changed[:, :, 40:] = 1e4
    start = begin(image)
    one, other = (
        multi_phase(x, start, EVEN, phases=FourPhases(steps=20), mask=mask)
        for x in (image, changed)
    )
    assert torch.equal(one.region[mask], other.region[mask])
    assert one.means == other.means
    counts = torch.bincount(one.region[mask].long(), minlength=4)
    assert int(counts.sum()) == int(mask.sum())


def test_classes_of_value_are_those_of_lloyds_rule():
    image = painted(quarters(), 1.0)
    assert torch.equal(nearest_of_four(image, None), quarters())
    mask = quarters() < 3
    hidden = image.clone()
    hidden[~mask] = 1e6
    assert torch.equal(nearest_of_four(hidden, mask)[quarters() == 0], torch.zeros(480).long())
    assert int(nearest_of_four(hidden, mask)[mask].max()) == 3


def test_neighbours_in_number_share_one_contour():
    signs = signs_of(torch.arange(4)[None, None])[:, 0, 0]
    changes = (signs[:, 1:] != signs[:, :-1]).sum(dim=0)
    assert changes.tolist() == [1, 1, 1]
    assert len({tuple(pair) for pair in signs.T.tolist()}) == 4


@pytest.mark.parametrize("name", ["weight", "tol"])
def test_refuses_negative_settings(name):
    with pytest.raises(ConfigError, match=f"{name} must be 0 or a positive number, got -1"):
        FourPhases(**{name: -1.0})


@pytest.mark.parametrize("name", ["time_step", "width", "steps"])
def test_refuses_settings_that_are_not_positive(name):
    with pytest.raises(ConfigError, match=f"{name} must be a positive number, got 0"):
        FourPhases(**{name: 0})


def test_refuses_scenes_that_cannot_be_parted():
    image, start = painted(quarters()), anyhow()
    with pytest.raises(ShapeError, match="start must have the shape of the image"):
        multi_phase(image, torch.zeros(2, 1, 5, 5), EVEN, phases=FourPhases())
    with pytest.raises(RegionError, match="mask must have a voxel to segment in"):
        multi_phase(
            image, start, EVEN, phases=FourPhases(), mask=torch.zeros(SHAPE, dtype=torch.bool)
        )
    with pytest.raises(IntensityError, match="values must be finite and vary"):
        multi_phase(torch.ones(SHAPE), start, EVEN, phases=FourPhases())
    with pytest.raises(IntensityError, match="values must vary to be told apart, all are 7"):
        nearest_of_four(torch.full(SHAPE, 7), None)
