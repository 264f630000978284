"""A PyRadiomics parameter file as a configuration."""

import pytest
import torch
from measure.cases import blob, image

from vesalius.core import Labels
from vesalius.errors import ConfigError
from vesalius.measure import extract, parse_config
from vesalius.measure.compat import RadiomicsFeatureExtractor

FILE = """
imageType: {Original: {}}
featureClass:
  firstorder:
  glcm:
  gldm:
setting:
  binWidth: 2.5
  gldm_a: 0
"""


def test_sections_are_translated():
    config = parse_config(FILE)
    assert config.profile == "pyradiomics"
    assert config.features.families == ("statistics", "histogram", "glcm", "ngldm")
    assert config.features.aggregations == ("3D_avg", "3D")
    assert config.discretise.bin_width == 2.5
    assert config.discretise.origin == "multiple"


def test_spacing_is_turned_round_and_the_interpolator_named():
    config = parse_config("setting: {resampledPixelSpacing: [1, 2, 3], interpolator: sitkLinear}")
    assert config.resample.spacing_mm == (3, 2, 1)
    assert config.resample.image == "linear"
    assert config.resample.mask == "nearest"


def test_slices_ranges_and_normalisation_are_translated():
    config = parse_config(
        "setting: {force2D: true, resegmentRange: [-3, 3], resegmentMode: sigma, "
        "normalize: true, normalizeScale: 100, binCount: 16}"
    )
    assert config.features.aggregations == ("2_5D_avg", "2_5D")
    assert config.resegment.outlier_sigma == 3
    assert (config.normalise.method, config.normalise.scale) == ("zscore", 100)
    assert (config.discretise.method, config.discretise.bin_count) == ("bin_count", 16)
    one_sided = parse_config("setting: {resegmentRange: [0]}")
    assert one_sided.resegment.range == (0, None)


def test_texture_has_pyradiomics_values_under_ibsi_names():
    values, mask = blob()
    img = image(values * 3.1)
    labels = Labels(mask[None].to(torch.uint8), img.grid)
    table = extract(img, labels, config=parse_config(FILE)).table
    ours = table.set_index(["feature", "aggregation"])["value"]
    theirs = RadiomicsFeatureExtractor(binWidth=2.5).execute(img, labels)
    for tag, name in (("cm_contrast", "glcm_Contrast"), ("cm_joint_entr", "glcm_JointEntropy")):
        assert ours[tag, "3D_avg"] == pytest.approx(theirs[f"original_{name}"], rel=1e-9)
    assert ours["ngl_hde", "3D"] == pytest.approx(
        theirs["original_gldm_LargeDependenceEmphasis"], rel=1e-9
    )


@pytest.mark.parametrize(
    ("setting", "word"),
    [
        ("voxelArrayShift: 300", "voxelArrayShift"),
        ("distances: [1, 2]", "one distance is measured at a time"),
        ("removeOutliers: 3", "removeOutliers"),
        ("resegmentShape: true", "resegmentShape"),
        ("resegmentMode: relative, resegmentRange: [0.4, 1]", "write the range out"),
        ("resegmentMode: sigma, resegmentRange: [-2, 3]", "must be symmetric"),
        ("resampledPixelSpacing: [0, 0, 3]", "written as the spacing itself"),
        ("resampledPixelSpacing: [1, 1, 3], interpolator: sitkGaussian", "use one of sitkBSpline"),
    ],
)
def test_what_has_no_counterpart_is_refused_by_name(setting, word):
    with pytest.raises(ConfigError, match="PyRadiomics setting has no counterpart") as caught:
        parse_config(f"setting: {{{setting}}}")
    assert word in str(caught.value)
