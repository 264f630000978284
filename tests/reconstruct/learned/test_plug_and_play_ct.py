"""Plug-and-play CT: better than total variation from few views, and honest about it."""

import pytest
import torch

from vesalius import io
from vesalius.core import Grid
from vesalius.errors import ConfigError, GeometryError, IntensityError
from vesalius.physics import Ellipsoid, Phantom, chest_phantom, rasterise, to_attenuation
from vesalius.physics.ct import Projections, Projector, exact_projections, parallel
from vesalius.reconstruct.ct import Iterative, iterate
from vesalius.reconstruct.learned import Denoiser, PlugAndPlay, plug_and_play_ct

PHOTONS = 1e4


@pytest.fixture(scope="module")
def denoiser():
    return Denoiser.pretrained()


def centred(size, side):
    step = side / size
    first = -(size - 1) / 2 * step
    return Grid.from_spacing((1, size, size), (1.0, step, step), origin_mm=(first, first, 0.0))


def views(count, columns, pitch):
    angles = torch.arange(count, dtype=torch.float64) * (180.0 / count)
    return parallel(angles, shape=(1, columns), pitch_mm=(1.0, pitch))


def counted(line, seed=0):
    g = torch.Generator().manual_seed(seed)
    counts = torch.poisson(PHOTONS * torch.exp(-line.double()), generator=g)
    return counts.float()


@pytest.fixture(scope="module")
def head(data_dir):
    """A real slice, its projections from a grid five times as fine: no inverse crime."""
    raw = io.open(data_dir / "reconstruction" / "ct_head" / "head.mha").read().data[0, 40]
    raw = raw.float().clamp_min(0.0) * (0.0206 / 1024.0)
    size, side, parts, columns = 64, 64 * 3.2, 5, 96
    fine = raw.repeat_interleave(parts, 0).repeat_interleave(parts, 1)[None]
    sharp = views(60, parts * columns, side / size / parts)
    line = Projector(sharp, centred(parts * size, side))(fine)
    line = line.reshape(60, 1, columns, parts).mean(dim=-1)
    counts = counted(line)
    data = Projections(counts, views(60, columns, side / size), "counts")
    return raw[None], data, centred(size, side)


def psnr(x, truth):
    return float(10 * (truth.max() ** 2 / (x - truth).square().mean()).log10())


def test_beats_total_variation_on_a_real_head_from_60_views(head, denoiser):
    truth, data, grid = head
    method = Iterative("tv", steps=80, strength="sure", photons=PHOTONS)
    rival = iterate(data, like=grid, method=method)
    mine = plug_and_play_ct(data, like=grid, denoiser=denoiser, method=PlugAndPlay(photons=PHOTONS))
    assert psnr(mine.image.data[0], truth) >= psnr(rival.image.data[0], truth) + 0.5


def test_says_what_it_did(head, denoiser):
    _, data, grid = head
    told = []
    method = PlugAndPlay(steps=4, photons=PHOTONS)
    found = plug_and_play_ct(data, like=grid, denoiser=denoiser, method=method, on_step=told.append)
    assert found.method == "pnp"
    assert found.image.unit == "1/mm"
    assert found.image.grid is grid
    assert len(found.residual) == len(told) == 4
    assert found.residual[-1] < found.residual[0]
    assert found.operator_norm is not None
    assert found.operator_norm > 0
    assert any("learned network (vesalius denoiser, U-Net 2-D)" in r for r in found.remarks)
    assert float(found.image.data.min()) >= 0.0


def test_needs_no_photons(head, denoiser):
    """Line integrals alone: the noise is estimated from them."""
    truth, data, grid = head
    line = Projections(-torch.log(data.data.clamp_min(1.0) / PHOTONS), data.geometry)
    found = plug_and_play_ct(line, like=grid, denoiser=denoiser)
    assert psnr(found.image.data[0], truth) > 28.0


def test_slices_of_a_volume_do_not_mix(denoiser):
    """Two slices across parallel rows come out as each does alone."""
    size, step = 24, 2.0
    first = -(size - 1) / 2 * step
    grid = Grid.from_spacing((2, size, size), (step, step, step), origin_mm=(first, first, -1.0))
    angles = torch.arange(0.0, 180.0, 6.0)
    geometry = parallel(angles, shape=(2, 36), pitch_mm=(step, step))
    g = torch.Generator().manual_seed(0)
    volume = torch.zeros(2, size, size)
    volume[0, 6:14, 5:20] = 0.02
    volume[1, 10:20, 8:16] = 0.02
    line = Projector(geometry, grid)(volume)
    line = line + 0.01 * torch.randn(line.shape, generator=g)
    found = plug_and_play_ct(Projections(line, geometry), like=grid, denoiser=denoiser)
    assert psnr(found.image.data[0], volume) > 25.0
    assert float(found.image.data[0, 0, 15:, :].mean()) < 0.002


def test_finds_the_attenuation_of_a_disc_from_exact_integrals(denoiser):
    disc = Ellipsoid((10.0, 5.0, 0.0), (40.0, 30.0, 50.0), 0.02)
    phantom = Phantom((disc,), 0.0, "1/mm")
    grid = centred(64, 160.0)
    line = exact_projections(phantom, views(30, 96, 2.5), subrays=(1, 4))
    found = plug_and_play_ct(line, like=grid, denoiser=denoiser)
    truth = rasterise(phantom, grid).data[0]
    inside = truth > 0.0199
    assert float(found.image.data[0][inside].mean()) == pytest.approx(0.02, rel=0.01)
    assert psnr(found.image.data[0], truth) > 30.0


@pytest.mark.slow
def test_finds_a_chest_from_few_views(denoiser):
    """The chest phantom in 1/mm, 45 views: better than total variation at the same data."""
    phantom = to_attenuation(chest_phantom(), water_per_mm=0.0206)
    grid = centred(96, 380.0)
    line = exact_projections(phantom, views(45, 144, 380.0 / 96), subrays=(1, 4))
    data = Projections(counted(line.data), line.geometry, "counts")
    truth = rasterise(phantom, grid).data[0]
    found = plug_and_play_ct(
        data, like=grid, denoiser=denoiser, method=PlugAndPlay(photons=PHOTONS)
    )
    tv = iterate(
        data, like=grid, method=Iterative("tv", steps=60, strength="sure", photons=PHOTONS)
    )
    assert psnr(found.image.data[0], truth) >= psnr(tv.image.data[0], truth)


def test_levels_fall_from_the_first_to_the_last():
    method = PlugAndPlay(steps=5, first=0.2, last=0.02)
    levels = [method.level(i) for i in range(5)]
    assert levels[0] == pytest.approx(0.2)
    assert levels[-1] == pytest.approx(0.02)
    assert levels == sorted(levels, reverse=True)
    assert PlugAndPlay(steps=1).level(0) == pytest.approx(0.1)


@pytest.mark.parametrize("wrong", [{"last": 0.0}, {"first": 0.001}, {"first": float("inf")}])
def test_refuses_levels_that_do_not_fall(wrong):
    with pytest.raises(ConfigError, match="noise levels of plug-and-play must be 0 < last"):
        PlugAndPlay(**wrong)


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan")])
def test_refuses_a_weight_that_is_not_positive(weight):
    with pytest.raises(ConfigError, match="weight of the denoiser must be positive"):
        PlugAndPlay(weight=weight)


@pytest.mark.parametrize("photons", [-1.0, float("nan"), float("inf")])
def test_refuses_negative_photons(photons):
    with pytest.raises(ConfigError, match="photons of the beam must not be negative"):
        PlugAndPlay(photons=photons)


def test_refuses_what_every_recipe_refuses(head, denoiser):
    _, data, grid = head
    with pytest.raises(ConfigError, match="counts must come with the photons"):
        plug_and_play_ct(data, like=grid, denoiser=denoiser)
    negative = Projections(data.data - 1e5, data.geometry, "counts")
    with pytest.raises(IntensityError, match="must not be negative"):
        plug_and_play_ct(
            negative, like=grid, denoiser=denoiser, method=PlugAndPlay(photons=PHOTONS)
        )
    away = Grid.from_spacing((1, 8, 8), origin_mm=(0.0, 0.0, 1e4))
    with pytest.raises(GeometryError, match="rays must meet the volume"):
        plug_and_play_ct(data, like=away, denoiser=denoiser, method=PlugAndPlay(photons=PHOTONS))
    with pytest.raises(ConfigError, match="steps must be at least 1"):
        plug_and_play_ct(
            data, like=grid, denoiser=denoiser, method=PlugAndPlay(steps=0, photons=PHOTONS)
        )
