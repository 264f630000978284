"""Thresholds: scikit-image's to one bin, exact for whole numbers, with the curve behind them."""

import json
import math

import numpy as np
import pytest
import skimage.filters as rival
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vesalius import io
from vesalius.core import Grid, Image, Labels
from vesalius.errors import (
    ConfigError,
    ConvergenceError,
    GeometryError,
    IntensityError,
    RegionError,
    ShapeError,
)
from vesalius.segment import Hints, segment
from vesalius.segment.threshold import (
    Fixed,
    Isodata,
    Li,
    Local,
    MaximumEntropy,
    MultiOtsu,
    Otsu,
    Valley,
    Yen,
)

RIVALS = {
    Otsu: rival.threshold_otsu,
    Isodata: rival.threshold_isodata,
    Li: rival.threshold_li,
    Yen: rival.threshold_yen,
    Valley: rival.threshold_minimum,
}
WHOLE = [Otsu(), Isodata(), Li(), Yen(), Valley(), MaximumEntropy(), MultiOtsu()]


def _image(x, spacing=(1.0, 1.0, 1.0)):
    x = np.asarray(x)
    x = x.reshape(1, *x.shape) if x.ndim == 2 else x
    return Image(torch.from_numpy(x)[None], Grid.from_spacing(x.shape, spacing), "HU")


def _two(seed, dtype, *, size=(60, 80)):
    """Two overlapping classes of different size and spread."""
    rng = np.random.default_rng(seed)
    low, high, spread = {
        "uint8": (70, 170, 14),
        "int16": (-800, 60, 90),
        "uint16": (9000, 41000, 4000),
        "float32": (0.2, 0.7, 0.06),
        "float64": (-3e4, 5e4, 6e3),
    }[np.dtype(dtype).name]
    bright = rng.random(size) < 0.35
    x = np.where(bright, rng.normal(high, 1.4 * spread, size), rng.normal(low, spread, size))
    info = np.iinfo(dtype) if np.issubdtype(dtype, np.integer) else None
    return (x if info is None else x.round().clip(info.min, info.max)).astype(dtype)


def _threshold(x, method):
    return segment(_image(x), method).values["threshold"]


@pytest.mark.parametrize("method", [Otsu(), Isodata(), Li(), Yen()], ids=lambda m: type(m).__name__)
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.float32, np.float64])
@pytest.mark.parametrize("seed", [1, 2])
def test_thresholds_are_scikit_images_to_one_bin(method, dtype, seed):
    x = _two(seed, dtype)
    wanted = float(RIVALS[type(method)](x))
    bin_ = 1e-3 if np.issubdtype(dtype, np.integer) else float(x.max() - x.min()) / 256
    assert abs(_threshold(x, method) - wanted) <= bin_


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float64])
def test_the_valley_is_scikit_images_to_one_bin(dtype):
    x = _two(3, dtype, size=(300, 300))
    wanted = float(rival.threshold_minimum(x))
    bin_ = 1.0 if np.issubdtype(dtype, np.integer) else float(x.max() - x.min()) / 256
    assert abs(_threshold(x, Valley()) - wanted) <= bin_


@pytest.mark.parametrize("classes", [2, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_several_thresholds_are_scikit_images_to_one_bin(classes, dtype):
    rng = np.random.default_rng(4)
    x = np.concatenate([rng.normal(m, 6, 900) for m in (40, 90, 150, 200)]).reshape(60, 60)
    x = x.round().clip(0, 254).astype(dtype)
    wanted = rival.threshold_multiotsu(x, classes, nbins=64 if dtype == np.float32 else 256)
    found = segment(_image(x), MultiOtsu(classes, bins=64))
    got = [v for k, v in found.values.items() if k.startswith("threshold")]
    bin_ = 0.0 if dtype == np.uint8 else float(x.max() - x.min()) / 64
    assert np.abs(np.array(got) - wanted).max() <= bin_
    labels = found.labels.data[0, 0].numpy()
    assert np.array_equal(labels, np.digitize(x, got, right=True))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(-20, 20), min_size=6, max_size=40), st.integers(2, 4))
def test_several_thresholds_are_the_best_of_all_partitions(values, classes):
    x = np.array(values, dtype=np.int16)
    kinds = np.unique(x)
    if len(kinds) < classes:
        return
    found = segment(_image(x.reshape(1, -1)), MultiOtsu(classes)).labels.data.ravel().numpy()

    def between(parts):
        return sum(x[parts == k].mean() ** 2 * (parts == k).sum() for k in range(classes))

    from itertools import combinations

    best = max(
        between(np.digitize(x, cut, right=True)) for cut in combinations(kinds[:-1], classes - 1)
    )
    assert between(found) == pytest.approx(best)


def test_maximum_entropy_is_that_of_a_slow_search():
    x = _two(5, np.uint8)
    share = np.bincount(x.ravel(), minlength=256) / x.size
    best, wanted = -math.inf, None
    for t in range(int(x.min()), int(x.max())):
        total = 0.0
        for part in (share[: t + 1], share[t + 1 :]):
            p = part[part > 0] / part.sum()
            total -= (p * np.log(p)).sum()
        if total > best + 1e-12:
            best, wanted = total, t
    found = segment(_image(x), MaximumEntropy())
    assert found.values["threshold"] == wanted
    assert float(found.curves[1].y.max()) == pytest.approx(best)


@pytest.mark.parametrize("method", WHOLE, ids=lambda m: type(m).__name__)
def test_labels_are_what_lies_above_and_dark_is_the_rest(method):
    for dtype in (np.uint16, np.float32):
        x = _two(6, dtype, size=(100, 100))
        found = segment(_image(x), method)
        thresholds = [v for k, v in found.values.items() if k.startswith("threshold")]
        wanted = sum((x > t).astype(int) for t in np.float64(thresholds))
        assert np.array_equal(found.labels.data[0, 0].numpy(), wanted)
        if not isinstance(method, MultiOtsu):
            dark = segment(_image(x), type(method)(foreground="dark")).labels.data
            assert torch.equal(dark, 1 - found.labels.data)
        assert found.curves[0].marks == tuple(thresholds)
        assert float(found.curves[0].y.sum()) == x.size


@pytest.mark.parametrize("method", WHOLE, ids=lambda m: type(m).__name__)
def test_sixteen_bits_are_exact_and_shifts_shift(method):
    x = _two(7, np.int16, size=(100, 100))
    one = segment(_image(x), method)
    two = segment(_image((x.astype(np.int32) + 33000).astype(np.uint16)), method)
    for name, value in one.values.items():
        assert two.values[name] == pytest.approx(value + 33000, abs=1e-6)
    assert torch.equal(one.labels.data, two.labels.data)


@pytest.mark.parametrize("method", WHOLE, ids=lambda m: type(m).__name__)
@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.float32])
def test_what_lies_outside_the_mask_does_not_count(method, dtype):
    x = _two(8, np.int16, size=(80, 90)).astype(dtype)
    inside = np.zeros((1, 80, 90), np.uint8)
    inside[0, :, :70] = 1
    image = _image(x)
    hints = Hints(mask=Labels(torch.from_numpy(inside)[None], image.grid))
    spoiled = x.copy()
    spoiled[:, 70:] = 32000
    alone = segment(_image(x[:, :70].copy()), method)
    for seen in (x, spoiled):
        found = segment(_image(seen), method, hints=hints)
        assert found.values == alone.values
        assert torch.equal(found.labels.data[..., :70], alone.labels.data)
        assert int(found.labels.data[..., 70:].sum()) == 0


def test_wide_whole_numbers_and_half_precision_are_binned_like_floats():
    x = _two(9, np.float64)
    wide = (x * 1000).astype(np.int64)
    ratio = _threshold(wide, Otsu()) / 1000
    assert ratio == pytest.approx(_threshold(x, Otsu()), abs=(x.max() - x.min()) / 256)
    half = _two(9, np.float32).astype(np.float16)
    assert _threshold(half, Otsu()) == _threshold(half.astype(np.float32), Otsu())


def test_a_band_takes_its_ends_and_does_not_round_whole_numbers():
    x = np.array([[1, 2, 3], [4, 5, 6]], dtype=np.int32) + 2**24
    ends = 2**24 + 2.5, 2**24 + 5.0
    found = segment(_image(x), Fixed(*ends)).labels.data[0, 0]
    assert found.tolist() == [[0, 0, 1], [1, 1, 0]]
    found = segment(_image(x.astype(np.float64)), Fixed(2**24 + 3)).labels.data[0, 0]
    assert found.tolist() == [[0, 0, 1], [1, 1, 1]]


def test_settings_are_json_and_make_the_result_again():
    found = segment(_image(_two(1, np.int16)), Fixed(0.0))
    text = json.dumps(dict(found.settings), allow_nan=False)
    told = json.loads(text)
    assert told.pop("method") == "Fixed"
    again = Fixed(**{k: float(v) if k != "bins" else v for k, v in told.items()})
    assert again == Fixed(0.0)


def _uneven(shape=(70, 90)):
    rng = np.random.default_rng(11)
    y, x = np.mgrid[: shape[0], : shape[1]]
    light = 1 + 2.0 * x / shape[1]
    dots = (y % 14 < 5) & (x % 14 < 5)
    return light * (1 + 0.5 * dots) + 0.02 * rng.normal(size=shape), dots


def test_a_local_threshold_sees_through_uneven_light():
    x, dots = _uneven()
    for around in ("mean", "gaussian"):
        found = segment(_image(x), Local(around, radius_mm=12.0, offset_sd=0.05))
        got = found.labels.data[0, 0].numpy() != 0
        assert 2 * (got & dots).sum() / (got.sum() + dots.sum()) > 0.97
    got = x > rival.threshold_otsu(x)
    assert 2 * (got & dots).sum() / (got.sum() + dots.sum()) < 0.6


@pytest.mark.parametrize("spacing", [1.0, 0.5])
def test_local_means_are_scikit_images(spacing):
    x, _ = _uneven()
    wanted = rival.threshold_local(x, 2 * round(6 / spacing) + 1, method="mean", mode="reflect")
    found = segment(_image(x, (1.0, spacing, spacing)), Local("mean", radius_mm=6.0, offset_sd=0))
    np.testing.assert_allclose(found.maps["threshold"].data[0, 0].numpy(), wanted, rtol=1e-10)
    assert np.array_equal(found.labels.data[0, 0].numpy() != 0, x > wanted)


@pytest.mark.parametrize("around", ["niblack", "sauvola"])
def test_niblack_and_sauvola_are_scikit_images_inside(around):
    x, _ = _uneven()
    x = x - x.min()
    if around == "niblack":
        wanted = rival.threshold_niblack(x, window_size=11, k=0.2)
    else:
        wanted = rival.threshold_sauvola(x, window_size=11, k=0.2, r=x.max() / 2)
    found = segment(_image(x), Local(around, radius_mm=5.0, k=0.2)).maps["threshold"]
    core = (slice(6, -6),) * 2
    np.testing.assert_allclose(found.data[0, 0].numpy()[core], wanted[core], rtol=1e-8)


def test_a_local_threshold_looks_inside_the_mask_only_and_at_dark_things_too():
    x, _ = _uneven()
    image = _image(x)
    inside = np.zeros((1, 70, 90), np.uint8)
    inside[0, :, 20:60] = 1
    hints = Hints(mask=Labels(torch.from_numpy(inside)[None], image.grid))
    spoiled = _image(np.where(inside[0] != 0, x, 1e6))
    for around in ("mean", "gaussian", "niblack", "sauvola"):
        one = segment(image, Local(around, radius_mm=6.0), hints=hints).labels.data
        two = segment(spoiled, Local(around, radius_mm=6.0), hints=hints).labels.data
        assert torch.equal(one, two)
        assert int(one.sum()) > 0
    dark = segment(_image(-x), Local(radius_mm=12.0, offset_sd=0.05, foreground="dark"))
    bright = segment(image, Local(radius_mm=12.0, offset_sd=0.05))
    assert torch.equal(dark.labels.data, bright.labels.data)


def test_a_local_box_is_in_millimetres_in_a_volume():
    x = np.random.default_rng(3).normal(size=(6, 12, 14))
    found = segment(_image(x, (4.0, 2.0, 1.0)), Local("mean", radius_mm=4.0, offset_sd=0))
    padded = np.pad(x, ((1, 1), (2, 2), (4, 4)), mode="symmetric")
    at = (2, 5, 7)
    wanted = padded[2:5, 5:10, 7:16].mean()
    assert float(found.maps["threshold"].data[0][at]) == pytest.approx(wanted)


def test_refuses_what_cannot_be_parted():
    flat = np.full((5, 6), 7, np.int16)
    with pytest.raises(IntensityError, match="an image must have two different values to be"):
        segment(_image(flat), Otsu())
    with pytest.raises(IntensityError, match="an image must have two different values to be"):
        segment(_image(flat.astype(np.float32)), Otsu())
    with pytest.raises(RegionError, match="an image must have two different values around"):
        segment(_image(flat), Local())
    with pytest.raises(ConfigError, match="classes must lie between 2 and the 2 values"):
        segment(_image(np.array([[1, 2], [2, 1]], np.uint8)), MultiOtsu(3))
    with pytest.raises(ConvergenceError, match="the histogram must come to two modes"):
        segment(_image(np.array([[1, 2, 2, 3, 3], [3, 4, 4, 5, 3]], np.uint8)), Valley())
    with pytest.raises(ConvergenceError, match="the histogram must come to two modes"):
        segment(_image(_two(1, np.int16)), Valley(steps=1))


def test_refuses_settings_that_make_no_sense():
    x = _two(1, np.float32)
    with pytest.raises(ConfigError, match="bins must be at least 2"):
        segment(_image(x), Otsu(bins=1))
    with pytest.raises(ConfigError, match="the band of values must have low <= high"):
        segment(_image(x), Fixed(2.0, 1.0))
    with pytest.raises(ConfigError, match="radius_mm must be positive and finite"):
        segment(_image(x), Local(radius_mm=0.0))
    with pytest.raises(ConfigError, match="classes must be at most 255, got 300"):
        segment(_image(x), MultiOtsu(300, bins=2000))
    two = Image(torch.zeros(2, 1, 3, 3), Grid.from_spacing((1, 3, 3)))
    with pytest.raises(ShapeError, match="Otsu needs an image of one channel, got 2"):
        segment(two, Otsu())
    affine = torch.eye(4, dtype=torch.float64)
    affine[0, 1] = 0.5
    sheared = Image(torch.rand(1, 2, 3, 4), Grid((2, 3, 4), affine))
    with pytest.raises(GeometryError, match="Local needs a grid whose axes meet"):
        segment(sheared, Local())


def test_bone_of_a_real_scan_is_cut_as_scikit_image_cuts_it(data_dir):
    image = io.open(data_dir / "segmentation" / "ct_totalseg" / "example_ct.nii.gz").read()
    x = image.data[0].numpy()
    for method in (Otsu(), Li(), Yen(), Isodata()):
        wanted = float(RIVALS[type(method)](x))
        bin_ = 0.51 if x.dtype.kind in "iu" else float(x.max() - x.min()) / 256
        assert abs(segment(image, method).values["threshold"] - wanted) <= bin_


def test_nuclei_of_real_images_are_found_by_otsu(data_dir):
    folder = data_dir / "segmentation" / "nuclei_dsb2018"
    scores = []
    for path in sorted((folder / "labels").glob("fluo*.png"))[:48:4]:
        (seen,) = (folder / "images").glob(path.stem + ".*")
        image = io.open(seen).read()
        truth = io.open(path).read().data[0].numpy() != 0
        grey = Image(image.data[:3].float().mean(dim=0, keepdim=True), image.grid)
        found = segment(grey, Otsu()).labels.data[0].numpy() != 0
        scores.append(2 * (found & truth).sum() / (found.sum() + truth.sum()))
    assert len(scores) >= 10
    assert np.median(scores) > 0.85


def test_a_band_of_a_constant_image_is_all_or_nothing():
    image = Image(torch.full((1, 2, 3, 4), 300.0), Grid.from_spacing((2, 3, 4), (1.0, 1.0, 1.0)))
    found = segment(image, Fixed(low=200.0))
    assert int(found.labels.data.sum()) == 24
    assert found.curves == ()
    assert int(segment(image, Fixed(low=301.0)).labels.data.sum()) == 0


@pytest.mark.parametrize("value", [0.1, 0.3, 1e5 + 0.1])
@pytest.mark.parametrize("around", ["mean", "gaussian", "niblack", "sauvola"])
def test_rounding_is_no_contrast_around(value, around):
    data = torch.full((1, 1, 9, 31), value, dtype=torch.float64)
    image = Image(data, Grid.from_spacing((1, 9, 31), (1.0, 1.0, 1.0)))
    with pytest.raises(RegionError, match="two different values around"):
        segment(image, Local(around=around))


def test_a_neighbourhood_larger_than_the_image_is_refused_with_its_size():
    data = torch.rand(1, 1, 30, 40)
    cells = Image(data, Grid.from_spacing((1, 30, 40), (1e-4, 1e-4, 1e-4)))
    with pytest.raises(ConfigError, match="radius_mm must not exceed the image, whose diagonal is"):
        segment(cells, Local())
    found = segment(cells, Local(radius_mm=1e-3)).labels.data
    wide = Image(data, Grid.from_spacing((1, 30, 40), (1.0, 1.0, 1.0)))
    assert torch.equal(found, segment(wide, Local(radius_mm=10.0)).labels.data)


def test_too_many_classes_are_refused_before_they_are_sought():
    data = torch.arange(65536, dtype=torch.int32).reshape(1, 1, 256, 256)
    image = Image(data, Grid.from_spacing((1, 256, 256), (1.0, 1.0, 1.0)))
    with pytest.raises(ConfigError, match="classes must be at most 255, got 60000"):
        segment(image, MultiOtsu(classes=60_000))
