"""Reliability over a cohort, in the long table."""

import numpy as np
import pytest
import torch
from measure.cases import blob, image

from vesalius.core import Labels
from vesalius.enhance import MeanFilter
from vesalius.errors import ConfigError, RegionError
from vesalius.measure import Config, Measurement, cohort_table, extract

CONFIG = Config(
    features={"families": ["statistics", "morphology"], "spatial_autocorrelation": False},
    perturb={"count": 6, "contour": False, "volume_fraction": 0.0},
    filters=(MeanFilter(size=3),),
)


def subject(seed: int, *, config: Config = CONFIG, uncertainty: bool = True) -> Measurement:
    values, mask = blob(seed=seed)
    img = image(values + 10 * seed)
    labels = Labels(mask[None].to(torch.uint8), img.grid, {(0, 1): "tumour"})
    return extract(img, labels, config=config, uncertainty=uncertainty, subject=f"case {seed}")


def test_what_differs_between_subjects_is_reliable():
    table = cohort_table([subject(1), subject(2), subject(3), subject(4)])
    assert list(dict.fromkeys(table["subject"])) == ["case 1", "case 2", "case 3", "case 4"]
    mean = table[(table["feature"] == "stat_mean") & (table["filter"] == "original")]
    assert (mean["icc"] > 0.99).all()
    assert set(mean["grade"]) == {"excellent"}
    assert (mean["icc_low"] < mean["icc"]).all()


def test_what_is_the_same_in_all_subjects_is_poor():
    table = cohort_table([subject(1), subject(2), subject(3)])
    volume = table[table["feature"] == "morph_volume"]  # one mask for all
    assert set(volume["grade"]) == {"poor"}


def test_filtered_features_have_their_own():
    table = cohort_table([subject(1), subject(2)])
    filtered = table[table["filter"] != "original"]
    assert len(filtered)
    assert np.isfinite(filtered.loc[filtered["feature"] == "stat_mean", "icc"]).all()


def test_a_region_of_one_subject_stays_empty():
    one, two = subject(1), subject(2)
    values, mask = blob()
    labels = Labels(mask[None].to(torch.uint8), image(values).grid, {(0, 1): "node"})
    other = extract(image(values), labels, config=CONFIG, uncertainty=True)
    table = cohort_table([one, two, other])
    assert table.loc[table["label"] == "node", "icc"].isna().all()
    assert set(table.loc[table["label"] == "node", "grade"]) == {""}


def test_refuses_one_subject():
    with pytest.raises(RegionError, match="a cohort must have at least two subjects, got 1"):
        cohort_table([subject(1)])


def test_refuses_subjects_without_error_bars():
    with pytest.raises(RegionError, match="a cohort must be measured with error bars"):
        cohort_table([subject(1), subject(2, uncertainty=False)])


def test_refuses_different_configurations():
    other = CONFIG.model_copy(update={"filters": ()})
    with pytest.raises(
        ConfigError, match="a cohort must be measured with one configuration, got 2"
    ):
        cohort_table([subject(1), subject(2, config=other)])
