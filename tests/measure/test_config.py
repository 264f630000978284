"""The configuration: validated, expanded, hashed."""

from pathlib import Path

import jsonschema
import pytest
import yaml

from vesalius.errors import ConfigError
from vesalius.measure._config import (
    Config,
    Discretise,
    Resample,
    config_schema,
    dump_config,
    load_config,
    parse_config,
)


def test_empty_text_gives_the_defaults():
    assert parse_config("") == Config()


def test_yaml_and_json_say_the_same():
    assert parse_config("modality: CT\nresample: {spacing_mm: [2, 2, 2]}") == parse_config(
        '{"modality": "CT", "resample": {"spacing_mm": [2, 2, 2]}}'
    )


def test_what_is_written_is_read_back():
    config = Config(modality="PET", resample=Resample(spacing_mm=(4.0, 4.0, 4.0)))
    assert parse_config(dump_config(config)) == config


def test_ct_is_rounded_after_interpolation_and_binned_by_width():
    config = Config(modality="CT")
    assert config.resample.rounding == "integer"
    assert config.discretise == Discretise(method="bin_width", bin_width=25.0)


def test_what_is_given_wins_over_the_profile():
    config = parse_config("modality: CT\nresample: {rounding: none}\ndiscretise: {bin_width: 5}")
    assert config.resample.rounding == "none"
    assert config.discretise.bin_width == 5
    assert config.discretise.method == "bin_width"


def test_sections_given_as_objects_keep_what_they_did_not_set_open_to_the_profile():
    config = Config(modality="CT", resample=Resample(spacing_mm=(1.0, 1.0, 1.0)))
    assert config.resample.rounding == "integer"


def test_pet_starts_its_bins_at_zero():
    assert Config(modality="PET").resegment.range == (0.0, None)


def test_an_unknown_key_names_the_nearest_one():
    with pytest.raises(
        ConfigError, match=r"unknown key 'resample\.spacing': did you mean 'spacing_mm'"
    ):
        parse_config("resample: {spacing: [1, 1, 1]}")


def test_an_unknown_key_without_neighbour_lists_the_valid_ones():
    with pytest.raises(ConfigError, match="valid keys are modality, profile"):
        parse_config("qqq: 1")


def test_a_value_out_of_range_is_named_with_its_value():
    with pytest.raises(ConfigError, match=r"'discretise.bin_width'.*greater than 0.*-3"):
        parse_config("discretise: {bin_width: -3}")


def test_an_unknown_choice_lists_the_choices():
    with pytest.raises(ConfigError, match=r"'modality'.*'CT', 'MR', 'PET'"):
        parse_config("modality: XA")


def test_a_range_must_increase():
    with pytest.raises(ConfigError, match="range must be increasing"):
        parse_config("resegment: {range: [400, -500]}")


@pytest.mark.parametrize("ends", ["[99, 1]", "[-5, 50]", "[5, 200]"])
def test_percentiles_must_increase_within_100(ends):
    with pytest.raises(ConfigError, match="percentiles must increase within 0 to 100"):
        parse_config(f"normalise: {{method: percentile, percentiles: {ends}}}")


def test_nyul_needs_landmarks():
    with pytest.raises(ConfigError, match="nyul needs landmarks, got none"):
        parse_config("normalise: {method: nyul}")


@pytest.mark.parametrize("families", ["[]", "[glcm, glcm]"])
def test_families_must_be_named_each_once(families):
    with pytest.raises(ConfigError, match="families must name at least one, each once"):
        parse_config(f"features: {{families: {families}}}")


def test_text_that_is_no_mapping_is_refused():
    with pytest.raises(ConfigError, match="config must be a mapping of keys, got list"):
        parse_config("[1, 2]")


def test_text_that_does_not_parse_is_refused():
    with pytest.raises(ConfigError, match="config must be YAML or JSON"):
        parse_config("a: [1")


def test_yaml_cannot_make_objects():
    with pytest.raises(ConfigError, match="config must be YAML or JSON"):
        parse_config("!!python/object/apply:os.system ['true']")


def test_a_file_that_is_not_there_is_refused_by_name(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"config file must be readable text, none\.yaml is not"):
        load_config(tmp_path / "none.yaml")


def test_a_file_is_read(tmp_path: Path):
    path = tmp_path / "measure.yaml"
    path.write_text("modality: MR\n")
    assert load_config(path) == Config(modality="MR")


def test_the_hash_ignores_how_the_work_is_done():
    base = Config()
    assert base.digest == parse_config("compute: {threads: 2}\noutput: {wide: true}").digest
    assert base.digest != parse_config("discretise: {bin_width: 7}").digest


def test_the_schema_accepts_what_is_dumped_and_refuses_unknown_keys():
    schema = config_schema()
    jsonschema.validate(yaml.safe_load(dump_config(Config(modality="CT"))), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"nonsense": 1}, schema)


@pytest.mark.parametrize(
    "text",
    [
        "modality: CT\nmodality: MR",
        "resample:\n  image: cubic\n  image: linear",
        '{"filters": [{"kind": "log", "sigma_mm": 1, "sigma_mm": 2}]}',
    ],
)
def test_a_key_given_twice_is_refused(text: str):
    with pytest.raises(ConfigError, match=r"every key once, got again: '\w+' in line \d"):
        parse_config(text)


def test_one_key_in_two_sections_and_anchors_are_fine():
    text = "discretise: &bins {method: bin_width, bin_width: 5}\nivh: *bins"
    assert parse_config(text).ivh.bin_width == parse_config(text).discretise.bin_width == 5


@pytest.mark.parametrize(
    "text",
    [
        "discretise: {bin_width: .inf}",
        "resegment: {range: [.nan, 3]}",
        "resample: {spacing_mm: [1, 1, .inf]}",
        "perturb: {blur_mm: .inf}",
        "filters: [{kind: gabor, angle_deg: .nan}]",
    ],
)
def test_numbers_must_be_finite(text: str):
    with pytest.raises(ConfigError, match=r"finite number, got (nan|inf)"):
        parse_config(text)


@pytest.mark.parametrize(
    "text",
    [
        "discretise: {bin_width: true}",
        "resample: {spacing_mm: [1, yes, 1]}",
        "perturb: {seed: false}",
    ],
)
def test_a_switch_is_not_taken_for_a_number(text: str):
    with pytest.raises(ConfigError, match="must be a number or a word, got a switch"):
        parse_config(text)


def test_a_filter_given_twice_is_refused():
    with pytest.raises(ConfigError, match=r"filters must differ.*log_sigma_mm_1 comes"):
        parse_config("filters: [{kind: log, sigma_mm: 1}, {kind: mean}, {kind: log, sigma_mm: 1}]")
