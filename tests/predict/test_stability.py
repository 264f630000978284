"""Stability: features that come out alike when the measurement is repeated."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from made_tables import made
from measure.cases import blob, image

from vesalius.core import Labels
from vesalius.errors import ConfigError, FormatError
from vesalius.measure import Config, cohort_table, extract, icc, wide
from vesalius.predict.select import Stability, reliability_of_error_bars, stability_from

CONFIG = Config(
    features={"families": ["statistics", "morphology"], "spatial_autocorrelation": False},
    perturb={"count": 6, "contour": False, "volume_fraction": 0.0},
)


@pytest.fixture(scope="module")
def measured():
    found = []
    for seed in (1, 2, 3, 4):
        values, mask = blob(seed=seed)
        img = image(values + 10 * seed)
        labels = Labels(mask[None].to(torch.uint8), img.grid, {(0, 1): "tumour"})
        found.append(extract(img, labels, config=CONFIG, uncertainty=True, subject=f"case {seed}"))
    return cohort_table(found)


def test_keeps_what_is_reliable_and_says_why_it_drops():
    table, _ = made(12, 3)
    step = Stability(0.8, (("f00", 0.9), ("f01", 0.79))).fit(table)
    assert step.kept_ == ("f00",)
    assert step.dropped_ == {
        "f01": "ICC 0.79 is less than 0.8",
        "f02": "its reliability is unknown",
    }


def test_keeps_what_is_unknown_where_asked():
    table, _ = made(12, 3)
    step = Stability(0.8, (("f00", 0.9), ("f01", 0.1)), unknown="keep").fit(table)
    assert step.kept_ == ("f00", "f02")


def test_takes_the_reliability_of_measurements_with_error_bars(measured):
    step = stability_from(measured)
    known = dict(step.icc)
    rows = measured[(measured["feature"] == "stat_mean") & (measured["filter"] == "original")]
    assert known["stat_mean"] == pytest.approx(float(rows["icc_low"].iloc[0]))
    assert set(known) <= set(wide(measured).columns)


def test_drops_a_feature_that_is_the_same_in_all_subjects(measured):
    frame = wide(measured)
    table, _ = made(len(frame), 2)
    # one mask for all: the mesh volume says nothing about who it is
    named = replace(table, features=("stat_mean", "morph_volume"))
    step = stability_from(measured).fit(named)
    assert step.kept_ == ("stat_mean",)
    assert "less than 0.75" in step.dropped_["morph_volume"]


def test_reads_the_table_of_a_cohort_folder(measured, tmp_path):
    measured.to_parquet(tmp_path / "features.parquet")
    assert stability_from(tmp_path).icc == stability_from(measured).icc
    assert stability_from(str(tmp_path / "features.parquet")).icc == stability_from(measured).icc


def test_takes_the_smallest_of_several_regions(measured):
    other = measured.assign(label="node", icc_low=measured["icc_low"] - 0.5)
    both = dict(stability_from(pd.concat([measured, other])).icc)
    alone = dict(stability_from(measured).icc)
    assert both["stat_mean"] == pytest.approx(alone["stat_mean"] - 0.5)


def test_takes_the_coefficient_itself_where_asked(measured):
    low, middle = dict(stability_from(measured).icc), dict(stability_from(measured, on="icc").icc)
    assert low["stat_mean"] < middle["stat_mean"]


def test_refuses_to_judge_without_coefficients():
    with pytest.raises(ConfigError, match="Stability must know the reliability"):
        Stability().fit(made(9, 3)[0])
    with pytest.raises(ConfigError, match="1 coefficients for none of 3"):
        Stability(icc=(("other", 0.9),)).fit(made(9, 3)[0])


def test_refuses_measurements_without_error_bars(measured):
    bare = measured.assign(icc_low=np.nan, perturb_sd=np.nan)
    with pytest.raises(ConfigError, match="'icc_low' must hold coefficients"):
        stability_from(bare)
    with pytest.raises(ConfigError, match="'icc' must hold coefficients"):
        stability_from(bare.drop(columns="perturb_sd").assign(icc=np.nan), on="icc")


def test_refuses_a_table_that_is_not_long(measured):
    with pytest.raises(ConfigError, match="a long table must have the column 'filter'"):
        stability_from(wide(measured))


def test_refuses_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FormatError):
        stability_from(tmp_path)


class TestErrorBars:
    def long(self, values, sds, feature="stat_mean"):
        return pd.DataFrame(
            {
                "filter": "original",
                "feature": feature,
                "aggregation": "",
                "discretisation": "",
                "label": "tumour",
                "value": values,
                "perturb_sd": sds,
                "icc": np.nan,
                "icc_low": np.nan,
            }
        )

    def test_agrees_with_the_icc_of_many_repeats(self):
        rng = np.random.default_rng(5)
        truth, noise = rng.normal(0, 2, 40), 1.0
        repeats = truth[:, None] + rng.normal(0, noise, (40, 400))
        exact = icc(torch.from_numpy(repeats))
        found = reliability_of_error_bars(
            self.long(repeats.mean(axis=1), repeats.std(axis=1, ddof=1))
        )
        assert found["icc"][0] == pytest.approx(exact.value, abs=2e-3)
        assert found["icc_low"][0] == pytest.approx(exact.low, abs=0.02)

    def test_is_half_where_patients_and_measurement_spread_alike(self):
        values = np.array([-1.0, 0.0, 1.0])
        found = reliability_of_error_bars(self.long(values, np.ones(3)))
        assert found["icc"][0] == pytest.approx(0.5)

    def test_needs_three_subjects_with_error_bars(self):
        found = reliability_of_error_bars(self.long([1.0, 2.0, 3.0], [0.1, np.nan, 0.1]))
        assert found.empty

    def test_a_feature_that_never_differs_has_none(self):
        assert reliability_of_error_bars(self.long([1.0] * 4, [0.0] * 4)).empty

    def test_the_filter_is_made_from_error_bars_where_there_is_no_coefficient(self, measured):
        bare = measured.assign(icc=np.nan, icc_low=np.nan)
        made_of_bars = dict(stability_from(bare, on="icc").icc)
        exact = dict(stability_from(measured, on="icc").icc)
        # the values stand for the means of the repeats, and there are six repeats
        assert made_of_bars["stat_mean"] == pytest.approx(exact["stat_mean"], abs=0.05)
        assert made_of_bars["morph_volume"] < 0.5
