"""Intensity normalisation: what is fitted, what comes out, what is refused."""
# SPDX-License-Identifier: Apache-2.0

import numpy as np
import pytest
import torch

from vesalius.core import Grid, Image
from vesalius.enhance import fit_nyul, normalise
from vesalius.errors import IntensityError, RegionError, ShapeError, UnitError

SHAPE = (12, 16, 18)
METHODS = ["zscore", "zscore_mask", "percentile", "nyul", "white_stripe"]
STANDARD = (0.0, 8.0, 20.0, 31.0, 40.0, 52.0, 60.0, 71.0, 80.0, 88.0, 100.0)


def head(seed=1, gain=1.0, offset=0.0, white=900.0):
    """Background, grey and white matter with noise, and where it is not background."""
    generator = torch.Generator().manual_seed(seed)
    kind = torch.rand(SHAPE, generator=generator)
    mean = torch.where(kind < 0.4, 20.0, torch.where(kind < 0.7, 500.0, white)).double()
    data = mean + 15 * torch.randn(SHAPE, generator=generator, dtype=torch.float64)
    return Image((gain * data + offset)[None], Grid.from_spacing(SHAPE), "1"), kind >= 0.4


@pytest.mark.parametrize("method", METHODS)
def test_is_blind_to_gain_and_offset(method):
    one, mask = head()
    two, _ = head(gain=3.5, offset=40.0)
    results = [normalise(x, mask, method=method, landmarks=STANDARD).image for x in (one, two)]
    torch.testing.assert_close(results[0].data, results[1].data, rtol=0, atol=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_gives_a_plain_number_on_the_same_grid_and_leaves_the_input(method):
    before, mask = head()
    before = Image(before.data, before.grid, "a.u.", ("T1",))
    kept = before.data.clone()
    found = normalise(before, mask, method=method, landmarks=STANDARD)
    assert found.image.unit == "1"
    assert found.image.channels == ("T1",)
    assert found.image.grid is before.grid
    torch.testing.assert_close(before.data, kept, rtol=0, atol=0)
    single = normalise(before.map(lambda x: x.float()), mask, method=method, landmarks=STANDARD)
    assert single.image.dtype == torch.float32


@pytest.mark.parametrize("method", METHODS)
def test_scale_multiplies(method):
    image, mask = head()
    one = normalise(image, mask, method=method, landmarks=STANDARD).image.data
    more = normalise(image, mask, method=method, landmarks=STANDARD, scale=2.5).image.data
    torch.testing.assert_close(more, 2.5 * one)


def test_zscore_has_mean_0_and_sd_1_over_the_whole_image():
    image, mask = head()
    found = normalise(image, mask, method="zscore")
    assert float(found.image.data.mean()) == pytest.approx(0, abs=1e-12)
    assert float(found.image.data.std(correction=0)) == pytest.approx(1)
    assert dict(found.parameters) == pytest.approx(
        {"mean": float(image.data.mean()), "sd": float(image.data.std(correction=0))}
    )


def test_zscore_mask_has_mean_0_and_sd_1_inside_the_mask():
    image, mask = head()
    inside = normalise(image, mask, method="zscore_mask").image.data[0][mask]
    assert float(inside.mean()) == pytest.approx(0, abs=1e-12)
    assert float(inside.std(correction=0)) == pytest.approx(1)


@pytest.mark.parametrize("masked", [True, False])
def test_percentiles_go_to_0_and_1(masked):
    image, mask = head()
    found = normalise(image, mask if masked else None, method="percentile", percentiles=(2, 98))
    values = found.image.data[0][mask] if masked else found.image.data
    assert np.percentile(values.numpy(), [2, 98]) == pytest.approx([0, 1], abs=1e-12)
    assert [name for name, _ in found.parameters] == ["p2", "p98"]


def test_white_stripe_finds_the_brightest_tissue():
    for white in (700.0, 1100.0):
        image, mask = head(white=white)
        parameters = dict(normalise(image, mask, method="white_stripe").parameters)
        assert parameters["mean"] == pytest.approx(white, abs=10)
        without = dict(normalise(image, method="white_stripe").parameters)
        assert without["mean"] == pytest.approx(white, abs=10)


def test_white_stripe_of_one_image_with_one_tissue_still_fits():
    generator = torch.Generator().manual_seed(3)
    data = 100 + 5 * torch.randn((1, *SHAPE), generator=generator, dtype=torch.float64)
    image = Image(data, Grid.from_spacing(SHAPE))
    mask = torch.ones(SHAPE, dtype=torch.bool)
    fitted = dict(normalise(image, mask, method="white_stripe").parameters)
    assert fitted["mean"] == pytest.approx(100, abs=2)


def test_nyul_brings_the_percentiles_onto_the_landmarks():
    image, mask = head()
    found = normalise(image, mask, method="nyul", landmarks=STANDARD)
    marks = [1, *range(10, 100, 10), 99]
    got = np.percentile(found.image.data[0][mask].numpy(), marks)
    assert got == pytest.approx(STANDARD, abs=0.2)
    assert dict(found.parameters)["p50"] == pytest.approx(
        np.percentile(image.data[0][mask].numpy(), 50)
    )


def test_nyul_is_increasing_and_goes_on_beyond_its_ends():
    image, mask = head()
    found = normalise(image, mask, method="nyul", landmarks=STANDARD).image.data.flatten()
    order = image.data.flatten().argsort()
    assert bool((found[order].diff() >= 0).all())
    assert float(found.min()) < 0 < 100 < float(found.max())


def test_fit_nyul_averages_the_landmarks_of_its_images():
    cases = [head(seed=k, white=800 + 50 * k) for k in range(4)]
    images, masks = zip(*cases, strict=True)
    got = fit_nyul(images, masks)
    marks = [1, *range(10, 100, 10), 99]
    each = []
    for image, mask in cases:
        q = np.percentile(image.data[0][mask].numpy(), marks)
        each.append(100 * (q - q[0]) / (q[-1] - q[0]))
    assert got == pytest.approx(np.mean(each, axis=0))
    assert (got[0], got[-1]) == pytest.approx((0, 100))
    assert fit_nyul(images) != got


def test_nyul_brings_two_scanners_together():
    standard = fit_nyul([head(seed=k)[0] for k in range(3)], [head(seed=k)[1] for k in range(3)])
    white = []
    for gain, offset in ((1.0, 0.0), (4.2, 130.0)):
        image, mask = head(seed=9, gain=gain, offset=offset)
        result = normalise(image, mask, method="nyul", landmarks=standard).image.data[0]
        white.append(float(result[mask].quantile(0.75)))
    assert white[0] == pytest.approx(white[1], abs=1e-9)


def test_refuses_integers():
    image, _ = head()
    with pytest.raises(UnitError, match="image must be floating point to be normalised"):
        normalise(image.map(lambda x: x.to(torch.int32)), method="zscore")


def test_refuses_several_channels():
    image, _ = head()
    two = Image(image.data.repeat(2, 1, 1, 1), image.grid)
    with pytest.raises(ShapeError, match="image must have one channel to be normalised, got 2"):
        normalise(two, method="zscore")


def test_refuses_a_missing_mask():
    with pytest.raises(RegionError, match="mask must be given for zscore_mask, got None"):
        normalise(head()[0], method="zscore_mask")


def test_refuses_a_mask_of_another_shape():
    with pytest.raises(ShapeError, match=r"mask must have the shape of the image \(12, 16, 18\)"):
        normalise(head()[0], torch.ones(2, 2, 2, dtype=torch.bool), method="percentile")


def test_refuses_an_empty_mask():
    with pytest.raises(RegionError, match="mask must not be empty, it holds no voxel"):
        normalise(head()[0], torch.zeros(SHAPE, dtype=torch.bool), method="zscore_mask")


def test_refuses_samples_that_are_not_finite():
    image, _ = head()
    image.data[0, 0, 0, 0] = float("nan")
    with pytest.raises(IntensityError, match="image must be finite to be normalised"):
        normalise(image, method="zscore")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("masked", [True, False])
def test_refuses_an_image_without_spread(method, masked):
    image, mask = head()
    flat = image.map(lambda x: torch.full_like(x, 1e3))
    if not masked and method == "zscore_mask":
        return
    with pytest.raises(IntensityError, match="values must have a spread to be normalised"):
        normalise(flat, mask if masked else None, method=method, landmarks=STANDARD)


@pytest.mark.parametrize("percentiles", [(50.0, 50.0), (99.0, 1.0), (-1.0, 50.0), (0.0, 101.0)])
def test_refuses_percentiles_that_do_not_increase(percentiles):
    with pytest.raises(ShapeError, match="percentiles must increase from 0 to at most 100"):
        normalise(head()[0], method="percentile", percentiles=percentiles)


@pytest.mark.parametrize("landmarks", [(), (0.0, 100.0), (*STANDARD[:-1], 80.0)])
def test_refuses_landmarks_that_are_no_standard_scale(landmarks):
    with pytest.raises(ShapeError, match="landmarks must be 11 increasing values"):
        normalise(head()[0], method="nyul", landmarks=landmarks)


@pytest.mark.parametrize("count", [0, 2])
def test_refuses_to_learn_from_no_image_or_the_wrong_number_of_masks(count):
    images = [head()[0]] * count
    with pytest.raises(ShapeError, match="images must not be empty and masks must be none or one"):
        fit_nyul(images, [None] * 3)
