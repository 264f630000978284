"""The call that PyRadiomics scripts make."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from measure.cases import blob, image

from vesalius import io
from vesalius.core import Labels
from vesalius.errors import ConfigError, GeometryError, RegionError
from vesalius.measure.compat import RadiomicsFeatureExtractor


def pair():
    values, mask = blob()
    img = image(values)
    return img, Labels(mask[None].to(torch.uint8), img.grid)


def test_gives_every_feature_under_its_name():
    found = RadiomicsFeatureExtractor().execute(*pair())
    names = [k for k in found if k.startswith("original_")]
    assert len(names) == 18 + 14 + 24 + 16 + 16 + 14 + 5
    assert all(np.isfinite(found[k]) for k in names)
    assert found["diagnostics_Mask-original_VoxelNum"] == int(pair()[1].data.sum())


def test_files_simpleitk_images_and_our_own_give_the_same(tmp_path: Path):
    img, labels = pair()
    io.save(img, tmp_path / "image.nii.gz")
    io.save(labels, tmp_path / "mask.nii.gz")
    extractor = RadiomicsFeatureExtractor(binWidth=2)
    ours = extractor.execute(img, labels)
    files = extractor.execute(str(tmp_path / "image.nii.gz"), str(tmp_path / "mask.nii.gz"))
    itk = extractor.execute(
        sitk.ReadImage(str(tmp_path / "image.nii.gz")),
        sitk.ReadImage(str(tmp_path / "mask.nii.gz")),
    )
    for name, value in ours.items():
        if name.startswith("original_"):
            assert files[name] == pytest.approx(value, rel=1e-6), name
            assert itk[name] == pytest.approx(value, rel=1e-6), name


def test_classes_and_features_are_switched_by_name():
    extractor = RadiomicsFeatureExtractor()
    extractor.disableAllFeatures()
    extractor.enableFeaturesByName(glcm=["Contrast"])
    extractor.enableFeatureClassByName("ngtdm")
    found = [k for k in extractor.execute(*pair()) if k.startswith("original_")]
    assert found[0] == "original_glcm_Contrast"
    assert len(found) == 6
    extractor.enableFeatureClassByName("ngtdm", enabled=False)
    assert len([k for k in extractor.execute(*pair()) if k.startswith("original_")]) == 1
    extractor.enableAllFeatures()
    assert len([k for k in extractor.execute(*pair()) if k.startswith("original_")]) == 107


def test_single_settings_win_over_the_file(tmp_path: Path):
    path = tmp_path / "p.yaml"
    path.write_text("setting: {binWidth: 10, label: 2}\n")
    settings = RadiomicsFeatureExtractor(path, binWidth=3).settings
    assert settings["binWidth"] == 3
    assert settings["label"] == 2


def test_kurtosis_is_not_excess_and_energy_is_shifted():
    img, labels = pair()
    plain = RadiomicsFeatureExtractor().execute(img, labels)
    shifted = RadiomicsFeatureExtractor(voxelArrayShift=100).execute(img, labels)
    x = img.data[labels.data > 0].numpy()
    z = (x - x.mean()) / x.std()
    assert plain["original_firstorder_Kurtosis"] == pytest.approx((z**4).mean())
    assert shifted["original_firstorder_Energy"] == pytest.approx(((x + 100) ** 2).sum())


def test_refuses_an_unknown_class():
    with pytest.raises(ConfigError, match="featureClass must be one of"):
        RadiomicsFeatureExtractor().enableFeatureClassByName("texture")


def test_refuses_grids_that_differ():
    img, labels = pair()
    moved = Labels(labels.data, labels.grid.crop((1, 0, 0), labels.grid.shape))
    with pytest.raises(GeometryError, match="origin differs by 2 mm"):
        RadiomicsFeatureExtractor().execute(img, moved)


def test_refuses_a_region_of_too_few_dimensions():
    img, labels = pair()
    flat = torch.zeros_like(labels.data)
    flat[0, 4, 5, 2:6] = 1
    with pytest.raises(RegionError, match="region must have 2 dimensions"):
        RadiomicsFeatureExtractor().execute(img, Labels(flat, labels.grid))


def test_refuses_a_region_of_too_few_voxels():
    with pytest.raises(RegionError, match="region must have more than 100000 voxels"):
        RadiomicsFeatureExtractor(minimumROISize=100000).execute(*pair())


def test_refuses_a_range_that_keeps_nothing():
    with pytest.raises(RegionError, match="resegmentRange must keep at least one voxel"):
        RadiomicsFeatureExtractor(resegmentRange=[500, 600]).execute(*pair())
