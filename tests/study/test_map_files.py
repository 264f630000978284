"""Map files: what a study writes where its configuration asks for maps."""

import pytest
import torch

from vesalius.errors import OutputError
from vesalius.io import open as open_volume
from vesalius.measure import feature_maps, parse_config
from vesalius.study._map_files import NamedMask, write_maps

MAPS = """
maps: {features: [stat_mean, cm_contrast_3D_avg], radius: 1}
features: {families: [statistics]}
"""


def regions_of(labels):
    return [NamedMask("left", "left_3", labels.mask(3)), NamedMask("right", "r_5", labels.mask(5))]


def test_each_region_gets_a_file_for_each_map(scan, tmp_path):
    image, labels = scan
    config = parse_config(MAPS)
    steps = []
    found = write_maps(image, regions_of(labels), tmp_path, config=config, on_step=steps.append)
    assert found.findings == ()
    assert found.files == (
        "maps/left_3_stat_mean.nii.gz",
        "maps/left_3_cm_contrast_3D_avg.nii.gz",
        "maps/r_5_stat_mean.nii.gz",
        "maps/r_5_cm_contrast_3D_avg.nii.gz",
    )
    assert all((tmp_path / name).is_file() for name in found.files)
    assert steps


def test_a_file_holds_the_map_where_it_lies(scan, tmp_path):
    image, labels = scan
    config = parse_config(MAPS)
    write_maps(image, regions_of(labels)[:1], tmp_path, config=config)
    names = config.maps.features
    maps = feature_maps(image, labels.mask(3), features=names, radius=1, config=config)
    read = open_volume(tmp_path / "maps/left_3_stat_mean.nii.gz").read()
    expected = maps["stat_mean"]
    assert torch.allclose(read.data, expected.data.float(), equal_nan=True)
    assert torch.allclose(read.grid.affine, expected.grid.affine, atol=1e-4)
    assert read.unit == "HU"


def test_nothing_is_written_where_no_map_is_asked_for(scan, quick, tmp_path):
    image, labels = scan
    assert write_maps(image, regions_of(labels), tmp_path, config=quick).files == ()
    assert list(tmp_path.iterdir()) == []


def test_a_region_that_cannot_be_mapped_is_a_finding_and_stops_no_other(scan, tmp_path):
    image, labels = scan
    empty = NamedMask("nothing", "nothing_9", torch.zeros(image.grid.shape, dtype=torch.bool))
    regions = [empty, *regions_of(labels)]
    found = write_maps(image, regions, tmp_path, config=parse_config(MAPS))
    assert len(found.files) == 4
    assert found.findings[0].startswith("nothing: no feature maps: mask must have")


def test_a_folder_that_cannot_be_made_is_refused(scan, tmp_path):
    image, labels = scan
    (tmp_path / "maps").write_text("in the way")
    with pytest.raises(OutputError, match="folder 'maps' for feature maps must be writable"):
        write_maps(image, regions_of(labels), tmp_path, config=parse_config(MAPS))
