"""PyRadiomics' parameter files."""

from pathlib import Path

import pytest

from vesalius.errors import ConfigError
from vesalius.measure.compat._settings import CLASSES, read_parameters

FILE = """
imageType:
  Original: {}
featureClass:
  shape:
  glcm:
    - Contrast
    - Idm
setting:
  binWidth: 10
  resampledPixelSpacing: [1, 1, 3]
"""


def test_a_file_is_read_as_it_is(tmp_path: Path):
    path = tmp_path / "Params.yaml"
    path.write_text(FILE)
    found = read_parameters(path)
    assert found.settings.binWidth == 10
    assert found.settings.resampledPixelSpacing == (1, 1, 3)
    assert found.features == {"shape": (), "glcm": ("Contrast", "Idm")}


def test_nothing_asks_for_every_class():
    assert tuple(read_parameters({}).features) == CLASSES


def test_a_flat_mapping_is_taken_as_settings():
    assert read_parameters({"binCount": 32}).settings.binCount == 32


def test_an_unknown_setting_names_the_nearest():
    with pytest.raises(ConfigError, match="unknown key 'binwidth', did you mean 'binWidth'"):
        read_parameters({"setting": {"binwidth": 3}})


def test_a_setting_that_is_not_carried_over_is_refused_with_its_value():
    with pytest.raises(ConfigError, match=r"'weightingNorm'.*got 'euclidean'"):
        read_parameters({"setting": {"weightingNorm": "euclidean"}})


def test_filters_are_refused_with_the_way_to_have_them():
    with pytest.raises(ConfigError, match="imageType must be Original alone"):
        read_parameters({"imageType": {"Wavelet": {}}})


def test_an_unknown_class_is_refused():
    with pytest.raises(ConfigError, match=r"featureClass must be one of .* got 'glcmm'"):
        read_parameters({"featureClass": {"glcmm": None}})


def test_a_list_of_classes_is_refused():
    with pytest.raises(ConfigError, match="featureClass must be a mapping"):
        read_parameters({"featureClass": ["glcm"]})


def test_an_unknown_feature_names_the_nearest():
    with pytest.raises(ConfigError, match="got 'Contrst': did you mean 'Contrast'"):
        read_parameters({"featureClass": {"glcm": ["Contrst"]}})


def test_an_unknown_section_is_refused():
    with pytest.raises(ConfigError, match="parameter file must have the sections"):
        read_parameters({"setting": {}, "settings": {}})


def test_a_file_that_is_not_there_is_refused_by_name(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"parameter file must be readable YAML, no\.yaml"):
        read_parameters(tmp_path / "no.yaml")


def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path):
    path = tmp_path / "list.yaml"
    path.write_text("- 1\n")
    with pytest.raises(ConfigError, match=r"parameter file must be a mapping, list\.yaml is list"):
        read_parameters(path)
