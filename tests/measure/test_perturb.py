"""Perturbations: reproducible, one at a time what they say, nothing when all are off."""

import math

import numpy as np
import pytest
import torch

from vesalius.core import Grid, Image
from vesalius.errors import RegionError
from vesalius.measure._config import Config, Perturb, Resample
from vesalius.measure._contour import of_volume
from vesalius.measure._perturb import draw, drifted, perturbed, plan
from vesalius.measure._prepare import prepare

OFF = {
    "shift_voxels": 0.0,
    "rotation_deg": 0.0,
    "noise": False,
    "contour": False,
    "volume_fraction": 0.0,
}


def _config(**on: float | bool) -> Config:
    return Config(perturb=Perturb(count=8, **(OFF | on)))


def _ball(radius_mm=9.0, noise=10.0, spacing=(2.0, 1.0, 1.0), offset=0.0):
    """A noisy bright ball on a dark ground, and its mask; the truth is 4/3 pi r^3."""
    grid = Grid.from_spacing((24, 44, 44), spacing, origin_mm=(-22.0, -22.0, -24.0))
    index = torch.cartesian_prod(*[torch.arange(n, dtype=torch.float64) for n in grid.shape])
    centre = torch.tensor([0.5 + offset, -0.3, 0.2], dtype=torch.float64)
    r = (grid.to_world(index) - centre).norm(dim=1).reshape(grid.shape)
    generator = torch.Generator().manual_seed(3)
    x = torch.where(r <= radius_mm, 40.0, -850.0).float()
    x = x + noise * torch.randn(x.shape, generator=generator)
    return Image(x[None], grid, "HU"), r <= radius_mm


def _regions(config, count=12, image_mask=None):
    image, mask = image_mask or _ball()
    shared = plan(image, mask, config)
    return [perturbed(shared, draw(config.perturb, k)) for k in range(count)]


def test_a_draw_depends_on_seed_and_number_alone():
    settings = Perturb()
    one, two = draw(settings, 5), draw(settings, 5)
    assert (one.shift_voxels, one.rotation_deg) == (two.shift_voxels, two.rotation_deg)
    assert one.shift_voxels != draw(settings, 6).shift_voxels
    assert one.shift_voxels != draw(settings.model_copy(update={"seed": 1}), 5).shift_voxels


def test_switching_one_perturbation_off_leaves_the_others():
    full, less = draw(Perturb(), 2), draw(Perturb(shift_voxels=0.0), 2)
    assert less.shift_voxels == (0.0, 0.0, 0.0)
    assert less.rotation_deg == full.rotation_deg
    assert less.volume == full.volume


def test_draws_stay_within_what_the_configuration_allows():
    settings = Perturb(resampling=0.2, blur_mm=1.5, drift=0.01)
    draws = [draw(settings, k) for k in range(200)]
    assert all(max(map(abs, d.shift_voxels)) <= 0.5 for d in draws)
    assert all(math.dist((0, 0, 0), d.rotation_deg) <= 2.0 + 1e-9 for d in draws)
    assert all(0.8 <= d.scale <= 1.2 and 0 <= d.blur_mm <= 1.5 for d in draws)
    assert np.std([d.drift for d in draws]) == pytest.approx(0.01, rel=0.2)


def test_a_flat_image_moves_in_its_plane_only():
    for k in range(20):
        change = draw(Perturb(), k, flat=True)
        assert change.shift_voxels[0] == 0.0
        assert change.rotation_deg[:2] == (0.0, 0.0)


@pytest.mark.parametrize("spacing", [None, (1.5, 1.5, 1.5)])
@pytest.mark.parametrize("interpolation", ["linear", "cubic"])
def test_with_everything_off_the_region_is_the_unperturbed_one(spacing, interpolation):
    config = _config().model_copy(
        update={"resample": Resample(spacing_mm=spacing, image=interpolation)}
    )
    image, mask = _ball()
    plain = prepare(image, mask, config)
    for region in _regions(config, 3):
        assert torch.allclose(region.intensity[region.mask], plain.intensity[plain.mask], atol=1e-6)
        assert int(region.morphological.sum()) == int(plain.morphological.sum())


def test_a_shift_by_whole_voxels_changes_nothing():
    image, mask = _ball()
    config = _config(shift_voxels=1.0)
    shared = plan(image, mask, config)
    change = draw(config.perturb, 0)
    object.__setattr__(change, "shift_voxels", (1.0, -1.0, 1.0))
    region = perturbed(shared, change)
    assert int(region.mask.sum()) == int(mask.sum())
    found, expected = region.intensity[region.mask], image.data[0][mask].double()
    assert torch.allclose(found.sort().values, expected.sort().values, atol=1e-9)


def test_a_rotation_turns_a_ramp_by_its_angle():
    image, mask = _ball(spacing=(1.0, 1.0, 1.0))
    ramp = torch.arange(44.0).expand(1, 24, 44, 44).contiguous()  # grows to L
    config = _config(rotation_deg=15.0)
    shared = plan(Image(ramp, image.grid), mask, config)
    change = draw(config.perturb, 0)
    object.__setattr__(change, "rotation_deg", (0.0, 0.0, 10.0))
    region = perturbed(shared, change)
    z, y, x = (int(i) for i in region.mask.nonzero().double().mean(dim=0))
    x = region.intensity[z - 4 : z + 5, y - 4 : y + 5, x - 4 : x + 5]
    angle = math.radians(10.0)
    assert float(x.diff(dim=2).mean()) == pytest.approx(math.cos(angle), abs=1e-9)
    assert float(x.diff(dim=1).mean()) == pytest.approx(-math.sin(angle), abs=1e-9)
    assert float(x.diff(dim=0).abs().max()) < 1e-9


def test_the_centre_of_the_region_stays_when_it_is_turned():
    image, mask = _ball()
    config = _config(rotation_deg=15.0)
    shared = plan(image, mask, config)
    middle = image.grid.to_world(mask.nonzero().double().mean(dim=0))
    for k in range(5):
        region = perturbed(shared, draw(config.perturb, k))
        found = region.grid.to_world(region.mask.nonzero().double().mean(dim=0))
        assert float((found - middle).norm()) < 0.2


def test_noise_has_the_level_of_the_image():
    image, mask = _ball(noise=12.0)
    config = _config(noise=True)
    shared = plan(image, mask, config)
    assert shared.sigma == pytest.approx(12.0, rel=0.1)
    region = perturbed(shared, draw(config.perturb, 0))
    inside = region.intensity[region.mask]
    assert float(inside.std()) == pytest.approx(math.sqrt(2) * 12.0, rel=0.1)


@pytest.mark.parametrize("radius", [4.0, 9.0, 14.0])
def test_contour_randomisation_varies_the_contour_and_keeps_the_mean_volume(radius):
    counts = [
        int(r.morphological.sum()) for r in _regions(_config(contour=True), 40, _ball(radius))
    ]
    true = int(_ball(radius)[1].sum())
    assert np.mean(counts) == pytest.approx(true, rel=0.02)


def test_contour_randomisation_varies_where_the_image_gives_no_edge():
    image, mask = _ball()
    image = image.map(lambda x: torch.full_like(x, 0.0))
    counts = {
        int(r.morphological.sum()) for r in _regions(_config(contour=True), 20, (image, mask))
    }
    assert len(counts) > 5


def test_volume_adaptation_reaches_the_volume_drawn():
    config = _config(volume_fraction=0.2)
    image, mask = _ball()
    shared = plan(image, mask, config)
    for k in range(10):
        change = draw(config.perturb, k)
        count = int(perturbed(shared, change).morphological.sum())
        assert count == pytest.approx((1 + change.volume) * int(mask.sum()), abs=1.0)


def test_a_grown_region_holds_the_old_one_and_a_shrunk_one_lies_in_it():
    _, mask = _ball()
    for target, grown in ((1.15, True), (0.85, False)):
        count = round(target * int(mask.sum()))
        new = of_volume(mask.double(), count, torch.Generator().manual_seed(0))
        assert int(new.sum()) == count
        inner, outer = (mask, new) if grown else (new, mask)
        assert not bool((inner & ~outer).any())


def test_resampling_changes_the_voxel_size_and_keeps_the_volume():
    regions = _regions(_config(resampling=0.3), 12)
    volumes = [int(r.mask.sum()) * r.grid.voxel_volume_mm3 for r in regions]
    assert np.mean(volumes) == pytest.approx(4 / 3 * math.pi * 9**3, rel=0.04)
    assert len({round(r.grid.spacing_mm[2], 6) for r in regions}) == 12
    assert all(r.grid.spacing_mm[0] == pytest.approx(2 * r.grid.spacing_mm[2]) for r in regions)


def test_blur_smooths():
    sharp, *_ = _regions(_config(), 1)
    for region in _regions(_config(blur_mm=2.0), 6):
        inside = region.intensity[region.mask]
        assert float(inside.mean()) < float(sharp.intensity[sharp.mask].mean()) + 1


def test_drift_of_hounsfield_units_is_that_of_water():
    x = torch.tensor([45.0, -1000.0, 0.0], dtype=torch.float64)
    change = drifted(x, 0.005, "HU") - x
    assert change.tolist() == pytest.approx([-5.199, 0.0, -4.975], abs=1e-3)


def test_drift_of_other_units_is_a_gain():
    x = torch.tensor([2.0, 0.0], dtype=torch.float64)
    assert drifted(x, 0.05, "SUV").tolist() == pytest.approx([2.1, 0.0])
    assert drifted(x, 0.0, "SUV") is x


def test_a_mask_at_the_border_of_the_image_is_perturbed_without_foreign_values():
    image, mask = _ball(offset=15.0)
    assert bool(mask[:, :, -1].any())
    for region in _regions(_config(shift_voxels=0.5, rotation_deg=3.0), 6, (image, mask)):
        # the spline overshoots at an edge as sharp as this one
        assert float(region.intensity[region.mask].max()) < 400
        assert float(region.intensity[region.mask].min()) > -1300


def test_nan_outside_the_region_does_no_harm():
    image, mask = _ball()
    x = image.data.clone()
    x[0, :, :4] = float("nan")
    config = Config(modality="CT")
    region = perturbed(plan(Image(x, image.grid, "HU"), mask, config), draw(config.perturb, 0))
    assert bool(torch.isfinite(region.intensity[region.mask]).all())


def test_one_voxel_and_a_flat_image_are_perturbed():
    image, _ = _ball()
    mask = torch.zeros(image.grid.shape, dtype=torch.bool)
    mask[12, 20, 20] = True
    config = Config(modality="CT")
    region = perturbed(plan(image, mask, config), draw(config.perturb, 0))
    assert int(region.morphological.sum()) >= 1
    flat = image.crop((12, 0, 0), (1, 44, 44))
    region = perturbed(plan(flat, _ball()[1][12:13], config), draw(config.perturb, 0, flat=True))
    assert region.intensity.shape[0] == 1


def test_refuses_an_empty_mask():
    image, mask = _ball()
    with pytest.raises(RegionError, match="at least one voxel"):
        plan(image, torch.zeros_like(mask), Config())


def test_refuses_to_estimate_noise_on_a_tiny_image():
    grid = Grid.from_spacing((4, 5, 5), (1.0, 1.0, 1.0))
    image = Image(torch.rand(1, 4, 5, 5), grid)
    mask = torch.ones(4, 5, 5, dtype=torch.bool)
    with pytest.raises(RegionError, match=r"set perturb.noise to false"):
        plan(image, mask, Config())
    region = perturbed(plan(image, mask, _config(contour=True)), draw(Perturb(), 0))
    assert bool(region.mask.any())


def test_a_small_region_takes_the_noise_of_its_surroundings():
    image, _ = _ball(noise=12.0)
    mask = torch.zeros(image.grid.shape, dtype=torch.bool)
    mask[12, 2:4, 2:4] = True
    assert plan(image, mask, _config(noise=True)).sigma == pytest.approx(12.0, rel=0.25)
