"""The configurations in examples/ibsi2, from file to feature, against independent values."""
# SPDX-License-Identifier: Apache-2.0

import csv
import gzip
import json
from functools import cache
from pathlib import Path

import pytest

from vesalius.enhance import LogFilter, MeanFilter
from vesalius.errors import ConfigError
from vesalius.io import as_labels
from vesalius.io import open as open_volume
from vesalius.measure import Config, dump_config, extract, load_config, parse_config

FOLDER = Path(__file__).parents[2] / "examples" / "ibsi2"
FILES = sorted(FOLDER.glob("*.yaml"))
CASES = {
    "CT": ("ct", ""),
    "MR_T1": ("mr_t1", "_MR"),
    "PET": ("pet_suv", "_PET"),
}

# IBSI reference manual chapter 2 (arXiv:2006.05470), phase 2, configurations B: value, tolerance
SPACE = {
    "3B": {"stat_mean": (-2.94, 0.2), "stat_var": (720, 33), "stat_max": (204, 1)},
    "4B": {"stat_mean": (142, 3), "stat_var": (11100, 300), "stat_max": (525, 1)},
    "7B": {"stat_mean": (-0.0406, 0.0051), "stat_var": (422, 11), "stat_max": (201, 4)},
}


@cache
def case(image, mask):
    volume = open_volume(image).read()
    return volume, as_labels(open_volume(mask).read())


def measured(image, mask, name):
    """Value of each feature of the last filter, or of the image where there is no filter."""
    config = load_config(FOLDER / f"{name}.yaml")
    table = extract(*case(image, mask), config=config).table
    assert table["filter"].nunique() == 1 + len(config.filters)
    part = table[table["filter"].ne("original") == bool(config.filters)]
    return dict(zip(part.feature, part.value, strict=True))


def agreed(data_dir, modality, config):
    """Median of the teams where all or all but one of at least five are within 1%."""
    path = data_dir / "samples" / "sts" / "STS_050" / "ibsi2_nine_team_reference.csv.gz"
    with gzip.open(path, "rt") as file:
        rows = [
            r for r in csv.DictReader(file) if (r["modality"], r["config"]) == (modality, config)
        ]
    return {
        r["feature_tag"]: float(r["median"])
        for r in rows
        if int(r["n_teams"]) >= 5 and int(r["n_within_1pct_of_median"]) >= int(r["n_teams"]) - 1
    }


def test_there_is_a_file_for_every_configuration():
    names = {path.stem for path in FILES}
    validation = {f"ID_{k}{suffix}" for k in range(1, 10) for suffix in ("", "_MR", "_PET")}
    assert names == validation | {f"phase2_{k}{d}" for k in range(1, 10) for d in "AB"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_file_is_valid_and_written_back_the_same(path):
    config = load_config(path)
    assert parse_config(dump_config(config)) == config
    assert len(config.filters) == ("1" not in path.stem.split("_")[1])


@pytest.mark.parametrize(
    ("modality", "number"),
    [("CT", 3), ("CT", 5), ("MR_T1", 4), ("MR_T1", 7), *(("PET", k) for k in range(1, 8))],
)
def test_agrees_with_the_teams_wherever_they_agree(data_dir, modality, number):
    stem, suffix = CASES[modality]
    folder = data_dir / "samples" / "sts" / "STS_050"
    image, mask = folder / f"{stem}.nii.gz", folder / f"{stem}_gtv.nii.gz"
    expected = agreed(data_dir, modality, f"ID_{number}")
    assert expected
    values = measured(image, mask, f"ID_{number}{suffix}")
    got = {tag: values[tag] for tag in expected}
    assert got == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("name", SPACE)
def test_features_of_responses_in_space_are_within_their_tolerance(data_dir, name):
    folder = data_dir / "ibsi" / "ibsi1_ct_phantom"
    values = measured(folder / "image.nii.gz", folder / "mask.nii.gz", f"phase2_{name}")
    for tag, (value, tolerance) in SPACE[name].items():
        assert abs(float(f"{values[tag]:.3g}") - value) <= tolerance * (1 + 1e-9), tag


def test_filters_are_part_of_what_decides_a_value():
    plain, filtered = Config(), Config(filters=(MeanFilter(), LogFilter(sigma_mm=2.0)))
    assert plain.digest != filtered.digest
    again = parse_config(
        json.dumps({"filters": [{"kind": "mean"}, {"kind": "log", "sigma_mm": 2}]})
    )
    assert again == filtered


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("filter: []", "unknown key 'filter': did you mean 'filters'?"),
        ("filters: [{kind: log, sigma: 3}]", "'filters.0.log.sigma': did you mean 'sigma_mm'?"),
        (
            "filters: [{kind: mean}, {kind: gabor, lambda: 3}]",
            "unknown key 'filters.1.gabor.lambda'",
        ),
        ("filters: [{kind: wavlet}]", "does not match any of the expected tags: 'mean', 'log'"),
        ("filters: [{kind: mean, size: 4}]", "size must be odd to have a centre, got 4: use 5"),
    ],
)
def test_a_wrong_filter_is_named_with_what_to_write(text, message):
    with pytest.raises(ConfigError, match=message.replace("?", r"\?")):
        parse_config(text)
