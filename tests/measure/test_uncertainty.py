"""Error bars: deterministic, zero without perturbation, right on a spread that is known."""

import math

import numpy as np
import pytest
import torch

from vesalius.core import Grid, Image
from vesalius.errors import IntensityError, RegionError
from vesalius.measure._config import Compute, Config, Features, Perturb
from vesalius.measure._feature import Value
from vesalius.measure._uncertainty import (
    Repeatability,
    Spread,
    _relative_error,
    cohort_reliability,
    repeatability,
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
    from vesalius.measure._engine import measure_region
    from vesalius.measure._prepare import prepare

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
