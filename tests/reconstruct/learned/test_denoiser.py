"""The denoiser: it learns, it keeps units, it beats total variation, it is saved and read."""

import json
from dataclasses import replace

import pytest
import torch

from vesalius import io
from vesalius.core import Identity
from vesalius.errors import ConfigError, FormatError, IntensityError, ShapeError, UnitError
from vesalius.io._weights import ModelCard, load_weights
from vesalius.learn import Schedule
from vesalius.physics import dead_leaves
from vesalius.reconstruct.learned import Denoiser, DenoiserPlan
from vesalius.reconstruct.learned._denoiser import PACKAGED
from vesalius.reconstruct.solve import TV, plug_and_play, red

SMALL = DenoiserPlan(width=4, levels=2, patch=16, batch=4)
CARD = ModelCard("n", "p", "d", "t", "l", "Apache-2.0")


@pytest.fixture(scope="module")
def packaged():
    return Denoiser.pretrained()


@pytest.fixture(scope="module")
def small():
    """Sixty steps: enough to be fitted, not to be good."""
    g = torch.Generator().manual_seed(5)
    images = dead_leaves(8, shape=(24, 24), generator=g)
    return Denoiser(SMALL, schedule=Schedule(60, learning_rate=5e-3)).fit(images, generator=g)


@pytest.fixture(scope="module")
def leaves():
    """Images that no training saw."""
    return dead_leaves(8, shape=(80, 80), generator=torch.Generator().manual_seed(4711))


def psnr(x, truth, peak=1.0):
    return float((10 * (peak**2 / (x - truth).square().mean(dim=(-2, -1))).log10()).mean())


def best_tv(noisy, truth, sigma, peak=1.0):
    """Total variation at the strength that the truth likes best."""
    return max(psnr(TV(steps=60)(noisy, f * sigma), truth, peak) for f in (0.3, 0.5, 0.7, 1.0, 1.4))


@pytest.mark.parametrize("sigma", [0.02, 0.05, 0.1, 0.2])
def test_beats_the_best_total_variation_by_a_decibel_on_images_it_never_saw(
    packaged, leaves, sigma, generator
):
    noisy = leaves + sigma * torch.randn(leaves.shape, generator=generator)
    with torch.no_grad():
        mine = psnr(packaged.denoise(noisy, sigma=sigma), leaves)
    assert mine >= best_tv(noisy, leaves, sigma) + 1.0


@pytest.mark.parametrize("part", [0.02, 0.05, 0.1])
def test_is_not_worse_than_total_variation_on_a_real_head(packaged, data_dir, part, generator):
    head = io.open(data_dir / "reconstruction" / "ct_head" / "head.mha").read().data[0, 20:61:10]
    clean = head.float()
    peak = float(clean.max())
    noisy = clean + part * peak * torch.randn(clean.shape, generator=generator)
    with torch.no_grad():
        mine = psnr(packaged.denoise(noisy, sigma=part * peak), clean, peak)
    assert mine >= best_tv(noisy, clean, part * peak, peak)


def test_a_short_training_already_takes_noise_out(small, leaves, generator):
    assert len(small.losses_) == 60
    noisy = leaves + 0.2 * torch.randn(leaves.shape, generator=generator)
    with torch.no_grad():
        assert psnr(small.denoise(noisy, sigma=0.2), leaves) > psnr(noisy, leaves) + 1.0


def test_training_tells_of_its_steps_and_can_be_repeated(small):
    told = []
    g = torch.Generator().manual_seed(5)
    images = dead_leaves(8, shape=(24, 24), generator=g)
    again = Denoiser(SMALL, schedule=Schedule(60, learning_rate=5e-3))
    assert again.fit(images, generator=g, on_step=told.append) is again
    assert again.losses_ == small.losses_
    assert (told[-1].done, told[-1].total) == (60, 60)


def test_the_constructor_stores_its_arguments_untouched():
    schedule = Schedule(3)
    denoiser = Denoiser(SMALL, schedule=schedule)
    assert denoiser.plan is SMALL
    assert denoiser.schedule is schedule
    assert not hasattr(denoiser, "network_")


@pytest.mark.parametrize(("a", "b"), [(1.0, 0.0), (1000.0, -1024.0), (2e-5, 0.02)])
def test_any_unit_and_range_will_do(packaged, leaves, generator, a, b):
    x = (leaves[0] + 0.1 * torch.randn(leaves[0].shape, generator=generator)).double()
    with torch.no_grad():
        one = packaged.denoise(x, sigma=0.1)
        other = packaged.denoise(a * x + b, sigma=0.1 * a)
    torch.testing.assert_close(other, a * one + b, rtol=1e-4, atol=1e-4 * a)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
@pytest.mark.parametrize("shape", [(17, 30), (2, 17, 30), (2, 3, 9, 8), (1, 1), (0, 4, 4)], ids=str)
def test_keeps_shape_dtype_and_input(small, dtype, shape, generator):
    x = torch.randn(shape, generator=generator).to(dtype)
    kept = x.clone()
    y = small.denoise(x, sigma=0.5)
    assert y.shape == x.shape
    assert y.dtype == dtype
    assert torch.equal(x, kept)


def test_each_image_of_a_batch_is_denoised_by_itself(small, generator):
    x = torch.randn(3, 20, 21, generator=generator) + torch.tensor([0.0, 50.0, -3.0])[:, None, None]
    together = small.denoise(x, sigma=0.5)
    alone = torch.stack([small.denoise(one, sigma=0.5) for one in x])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)


def test_strides_do_not_matter(small, generator):
    x = torch.randn(20, 24, generator=generator)
    one = small.denoise(x.T, sigma=0.5)
    torch.testing.assert_close(one, small.denoise(x.T.contiguous(), sigma=0.5))


def test_no_noise_gives_the_image_back(packaged, leaves):
    out = packaged.denoise(leaves, sigma=0.0)
    assert torch.equal(out, leaves)
    assert out.data_ptr() != leaves.data_ptr()


def test_a_constant_comes_back_with_a_tenth_of_its_noise(packaged, generator):
    x = 37.5 + 2.0 * torch.randn(64, 64, generator=generator)
    with torch.no_grad():
        y = packaged.denoise(x, sigma=2.0)
    assert float((y - 37.5).square().mean().sqrt()) < 0.1 * 2.0


def test_a_gradient_reaches_the_image(small, generator):
    x = torch.randn(16, 16, generator=generator, requires_grad=True)
    small.denoise(x, sigma=0.5).square().sum().backward()
    assert float(x.grad.abs().sum()) > 0


@pytest.mark.parametrize(("solver", "weight"), [(plug_and_play, 10.0), (red, 1.0)])
def test_stands_in_the_place_of_a_prior(packaged, leaves, solver, weight, generator):
    """Identity operator: both solvers then denoise, better than the data."""
    clean = leaves[0]
    noisy = clean + 0.1 * torch.randn(clean.shape, generator=generator)
    found = solver(Identity(tuple(clean.shape)), noisy, packaged.at(0.1), weight=weight, steps=20)
    assert psnr(found.x, clean) > psnr(noisy, clean) + 3.0


def test_what_was_saved_is_read(small, tmp_path, generator):
    path = tmp_path / "d.safetensors"
    small.save(path, replace(CARD, name="mine", metrics={"psnr": 30.0}))
    back = Denoiser.load(path)
    x = torch.randn(20, 20, generator=generator)
    assert torch.equal(back.denoise(x, sigma=0.3), small.denoise(x, sigma=0.3))
    assert back.plan == SMALL
    assert (back.card_.name, back.card_.metrics) == ("mine", {"psnr": 30.0})


def test_the_packaged_card_says_what_must_be_known():
    found = load_weights(PACKAGED)
    assert PACKAGED.stat().st_size < 1_000_000
    assert "No real image" in found.card.data
    assert "Not for diagnosis" in found.card.limits
    assert found.card.licence == "Apache-2.0"
    for sigma in ("0.02", "0.05", "0.1", "0.2"):
        name = f"psnr_db sigma {sigma}"
        assert found.card.metrics[name] >= found.card.metrics[f"{name} best tv"] + 1.0


def test_refuses_weights_of_another_plan(small, tmp_path):
    path = tmp_path / "d.safetensors"
    small.save(path, CARD)
    card = path.with_suffix(".json")
    text = json.loads(card.read_text())
    card.write_text(json.dumps({**text, "plan": {**text["plan"], "width": 5}}))
    with pytest.raises(FormatError, match="load it with its own plan"):
        Denoiser.load(path)
    card.write_text(json.dumps({**text, "plan": {"colour": 5}}))
    with pytest.raises(ConfigError, match="plan must hold the fields of DenoiserPlan"):
        Denoiser.load(path)
    card.write_text(json.dumps({**text, "plan": {**text["plan"], "width": "wide"}}))
    with pytest.raises(ConfigError, match="plan must hold the fields of DenoiserPlan"):
        Denoiser.load(path)


def test_refuses_to_work_before_it_is_fitted(tmp_path):
    with pytest.raises(ConfigError, match="a denoiser must be fitted before use"):
        Denoiser().denoise(torch.zeros(4, 4), sigma=1.0)
    with pytest.raises(ConfigError, match="a denoiser must be fitted before use"):
        Denoiser().save(tmp_path / "d.safetensors", CARD)


@pytest.mark.parametrize("sigma", [-1.0, float("nan"), float("inf")])
def test_refuses_an_impossible_noise_level(small, sigma):
    with pytest.raises(ConfigError, match="sigma must be finite and not negative"):
        small.denoise(torch.zeros(4, 4), sigma=sigma)


def test_refuses_images_that_are_none(small):
    with pytest.raises(UnitError, match="image must be floating point"):
        small.denoise(torch.zeros(4, 4, dtype=torch.int16), sigma=1.0)
    with pytest.raises(IntensityError, match="image must be finite"):
        small.denoise(torch.full((4, 4), float("nan")), sigma=1.0)
    with pytest.raises(ShapeError, match=r"image must have shape \(\*batch, y, x\)"):
        small.denoise(torch.zeros(4), sigma=1.0)


@pytest.mark.parametrize("wrong", [{"least": 0.0}, {"least": 0.5}, {"most": float("inf")}])
def test_refuses_noise_levels_out_of_order(wrong):
    with pytest.raises(ConfigError, match="noise levels must be 0 < least < most"):
        DenoiserPlan(**wrong)


@pytest.mark.parametrize("wrong", [{"patch": 0}, {"batch": 0}])
def test_refuses_empty_patches(wrong):
    with pytest.raises(ConfigError, match="patch and batch must be at least 1"):
        DenoiserPlan(**wrong)


@pytest.mark.parametrize("shape", [(0, 32, 32), (3, 15, 32), (3, 32, 15)])
def test_refuses_images_smaller_than_a_patch(shape, generator):
    with pytest.raises(ShapeError, match="each at least 16 x 16 to cut patches from"):
        Denoiser(SMALL).fit(torch.zeros(shape), generator=generator)


def test_refuses_training_images_with_nan(generator):
    with pytest.raises(IntensityError, match="training images must be finite"):
        Denoiser(SMALL).fit(torch.full((1, 16, 16), float("nan")), generator=generator)
