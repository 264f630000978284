"""Error bars: deterministic, zero without perturbation, right on a spread that is known."""

import math

import numpy as np
import pytest
import torch

import vesalius.io as io
from vesalius.core import Grid, Image
from vesalius.errors import IntensityError, RegionError
from vesalius.measure._config import Compute, Config, Features, Perturb
from vesalius.measure._engine import measure_region
from vesalius.measure._feature import Value
from vesalius.measure._prepare import prepare
from vesalius.measure._uncertainty import (
    Repeatability,
    Spread,
    _relative_error,
    cohort_reliability,
    repeatability,
)
from vesalius.physics import (
    Ellipsoid,
    Phantom,
    add_noise,
    chest_phantom,
    phantom_labels,
    rasterise,
)

OFF = {
    "shift_voxels": 0.0,
    "rotation_deg": 0.0,
    "noise": False,
    "contour": False,
    "volume_fraction": 0.0,
}
FEW = Features(families=("statistics", "glcm"), aggregations=("3D_avg",))


def _case(seed=0):
    grid = Grid.from_spacing((16, 30, 30), (2.0, 1.0, 1.0))
    generator = torch.Generator().manual_seed(seed)
    x = 30 * torch.randn(grid.shape, generator=generator)
    mask = torch.zeros(grid.shape, dtype=torch.bool)
    mask[4:12, 8:22, 9:23] = True
    x[mask] += 200
    return Image(x[None], grid, "HU"), mask


def _config(features=FEW, threads=1, **perturb):
    settings = Perturb(**({"count": 8} | perturb))
    return Config(features=features, perturb=settings, compute=Compute(threads=threads))


def _volume(region, config):
    return [Value("volume", "", float(region.morphological.sum()))]


def test_the_result_is_the_same_for_any_number_of_threads():
    image, mask = _case()
    one, two, four = (repeatability(image, mask, _config(threads=n)) for n in (1, 2, 4))
    assert one.samples == two.samples == four.samples
    assert one.spreads == two.spreads == four.spreads


def test_another_seed_gives_other_samples_of_the_same_spread():
    image, mask = _case()
    one = repeatability(image, mask, _config(count=40), measure=_volume)
    two = repeatability(image, mask, _config(count=40, seed=1), measure=_volume)
    assert one.samples != two.samples
    assert one.spreads["volume"].sd == pytest.approx(two.spreads["volume"].sd, rel=0.5)


def test_no_perturbation_gives_no_spread():
    image, mask = _case()
    found = repeatability(image, mask, _config(**OFF))
    assert found.noise == 0.0
    for spread in found.spreads.values():
        assert spread.sd == 0.0 or spread.reason
        assert spread.mdc95 == 0.0 or spread.reason
        assert spread.p2_5 == spread.p97_5 == pytest.approx(spread.mean) or spread.reason


def test_no_perturbation_gives_the_plain_values():
    image, mask = _case()
    config = _config(**OFF)
    found = repeatability(image, mask, config).spreads
    for value in measure_region(prepare(image, mask, config), config):
        if math.isfinite(value.value):
            assert found[value.key].mean == pytest.approx(value.value, rel=1e-12)


def test_volume_change_alone_has_the_spread_of_a_uniform_variable():
    image, mask = _case()
    settings = OFF | {"volume_fraction": 0.1, "count": 200}
    spread = repeatability(image, mask, _config(**settings), measure=_volume).spreads["volume"]
    size = int(mask.sum())
    assert spread.mean == pytest.approx(size, rel=0.02)
    assert spread.sd == pytest.approx(0.1 * size / math.sqrt(3), rel=0.1)
    assert spread.p97_5 - spread.p2_5 == pytest.approx(0.19 * size, rel=0.08)


def test_noise_alone_moves_the_mean_by_its_standard_error():
    image, mask = _case()

    def mean(region, config):
        return [Value("mean", "", float(region.intensity[region.mask].mean()))]

    settings = OFF | {"noise": True, "count": 100}
    found = repeatability(image, mask, _config(**settings), measure=mean)
    assert found.noise == pytest.approx(30.0, rel=0.1)
    expected = found.noise / math.sqrt(int(mask.sum()))
    assert found.spreads["mean"].sd == pytest.approx(expected, rel=0.2)


def test_the_smallest_detectable_change_is_as_defined():
    image, mask = _case()
    for spread in repeatability(image, mask, _config()).spreads.values():
        if not spread.reason:
            assert spread.mdc95 == pytest.approx(1.96 * math.sqrt(2) * spread.sd)
            assert spread.p2_5 <= spread.mean + 1e-9 * abs(spread.mean)
            assert spread.n == 8


def test_every_missing_spread_has_a_reason():
    image, mask = _case()
    for spread in repeatability(image, mask, _config(features=Features())).spreads.values():
        assert math.isfinite(spread.sd) or spread.reason


def test_a_value_that_is_undefined_keeps_its_reason():
    image, mask = _case()

    def undefined(region, config):
        return [Value("a", "", math.nan, "only one voxel"), Value("b", "", 1.0)]

    spreads = repeatability(image, mask, _config(), measure=undefined).spreads
    assert math.isnan(spreads["a"].sd)
    assert spreads["a"].reason == "fewer than 4 perturbed values: only one voxel"
    assert spreads["b"].sd == 0.0


def test_a_value_that_is_sometimes_undefined_says_how_often():
    image, mask = _case()

    def sometimes(region, config):
        few = int(region.morphological.sum()) < int(mask.sum())
        return [Value("a", "", math.nan if few else 2.0, "too small")]

    spread = repeatability(image, mask, _config(count=32), measure=sometimes).spreads["a"]
    assert 4 <= spread.n < 32
    assert spread.reason == f"{32 - spread.n} of 32 perturbations gave no value: too small"


def test_a_perturbation_that_fails_is_left_out_and_named():
    image, mask = _case()

    def fragile(region, config):
        if int(region.morphological.sum()) < int(mask.sum()):
            raise RegionError("region must be large")
        return _volume(region, config)

    found = repeatability(image, mask, _config(count=32), measure=fragile)
    spread = found.spreads["volume"]
    assert spread.n < found.count == 32
    assert "perturbations failed: region must be large" in spread.reason


def test_when_all_perturbations_fail_the_error_is_raised():
    image, mask = _case()

    def broken(region, config):
        raise IntensityError("intensities must be finite")

    with pytest.raises(IntensityError, match="must be finite"):
        repeatability(image, mask, _config(), measure=broken)


def test_refuses_an_empty_mask():
    image, mask = _case()
    with pytest.raises(RegionError, match="at least one voxel"):
        repeatability(image, torch.zeros_like(mask), _config())


def test_stops_early_when_every_spread_is_known_well_enough():
    image, mask = _case()
    loose = repeatability(image, mask, _config(count=64, stop_tolerance=0.3), measure=_volume)
    tight = repeatability(image, mask, _config(count=64, stop_tolerance=0.001), measure=_volume)
    assert loose.stopped_early
    assert loose.count < 64
    assert loose.count % 8 == 0
    assert (tight.stopped_early, tight.count) == (False, 64)
    prefix = tight.samples["volume"][: loose.count]
    assert loose.samples["volume"] == prefix


def test_the_error_of_a_standard_deviation_is_that_of_repeated_draws(generator):
    x = torch.randn(2000, 60, generator=generator, dtype=torch.float64).numpy()
    empirical = x.std(axis=1, ddof=1).std() / x.std(axis=1, ddof=1).mean()
    estimated = np.mean([_relative_error(row) for row in x[:200]])
    assert estimated == pytest.approx(empirical, rel=0.1)


def test_costly_values_have_error_bars_from_fewer_perturbations():
    image, mask = _case()
    features = Features(families=("morphology",))
    found = repeatability(image, mask, _config(features, count=12, autocorrelation_count=5))
    assert found.spreads["morph_moran_i"].n == 5
    assert found.spreads["morph_geary_c"].n == 5
    assert found.spreads["morph_volume"].n == 12


def test_tells_how_far_it_is():
    image, mask = _case()
    steps = []
    repeatability(image, mask, _config(count=20), measure=_volume, on_step=steps.append)
    assert [s.done for s in steps] == [8, 16, 20]
    assert {s.total for s in steps} == {20}


def _subject(values):
    spread = Spread("v", 0, 0, 0, 0, 0, len(values))
    return Repeatability({"v": spread}, {"v": tuple(values)}, len(values), False, 0.0)


def test_a_cohort_has_reliability():
    found = cohort_reliability(
        [_subject([1, 1.1, 0.9]), _subject([5, 5.2, 4.9]), _subject([9, 9, 9])]
    )
    assert found["v"].value > 0.99
    assert (found["v"].subjects, found["v"].repeats) == (3, 3)


def test_a_cohort_with_an_undefined_subject_says_so():
    found = cohort_reliability([_subject([1, 2, 3]), _subject([math.nan, math.nan, 4])])
    assert math.isnan(found["v"].value)
    assert found["v"].reason == "undefined in a subject"


def test_one_case_has_no_reliability():
    with pytest.raises(RegionError, match="at least two subjects"):
        cohort_reliability([_subject([1, 2, 3])])


def _nodule(diameter, spacing):
    shape = tuple(int((diameter + 34) / s) for s in spacing)
    centre = (-78.3, -5.2, 40.4)
    pairs = zip(centre, shape[::-1], spacing[::-1], strict=True)
    origin = tuple(c - (n - 1) / 2 * s for c, n, s in pairs)
    grid = Grid.from_spacing(shape, spacing, origin_mm=origin)
    ball = Ellipsoid.sphere(tuple(c + 0.3 for c in centre), diameter, value=40.0)
    noise = torch.Generator().manual_seed(1)
    image = rasterise(chest_phantom(nodules=(ball,)), grid)
    image = add_noise(image, 20.0, generator=noise, psf_mm=0.6)
    return image, phantom_labels(Phantom((ball,), 0.0, "HU"), grid).mask(1)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.5, 0.7, 0.7)])
@pytest.mark.parametrize("diameter", [6.0, 8.0, 12.0, 20.0])
def test_what_was_measured_lies_within_its_own_bar(diameter, spacing):
    image, mask = _nodule(diameter, spacing)
    features = Features(families=("morphology", "statistics"), spatial_autocorrelation=False)
    config = _config(features, count=32)
    plain = {v.key: v.value for v in measure_region(prepare(image, mask, config), config)}
    found = repeatability(image, mask, config)
    for key in ("morph_sphericity", "morph_volume", "morph_diam", "stat_mean"):
        spread, value = found.spreads[key], plain[key]
        covered = spread.p2_5 <= value <= spread.p97_5
        assert covered or abs(value - spread.mean) <= 1.96 * spread.sd, key
    middle = float(np.median(found.samples["morph_sphericity"]))
    assert middle == pytest.approx(plain["morph_sphericity"], rel=0.02)
    assert 1.96 * found.spreads["morph_volume"].sd < 0.25 * plain["morph_volume"]


def test_a_real_tumour_has_sensible_bars(data_dir):
    folder = data_dir / "samples" / "sts" / "STS_050"
    image = io.open(folder / "ct.nii.gz").read()
    mask = io.open(folder / "ct_gtv.nii.gz").read().data[0] > 0
    features = Features(families=("morphology", "glcm"), spatial_autocorrelation=False)
    one, two = (repeatability(image, mask, _config(features, threads=n)) for n in (1, 2))
    assert list(one.samples) == list(two.samples)
    for key, values in one.samples.items():
        assert np.array_equal(values, two.samples[key], equal_nan=True), key
    volume = one.spreads["morph_volume"]
    assert 0.01 < volume.sd / volume.mean < 0.1
    textures = [s for k, s in one.spreads.items() if k.startswith("cm_")]
    assert len(textures) > 20
    assert all(s.sd > 0 for s in textures)
