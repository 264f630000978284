"""Map files: what a study writes where its configuration asks for maps."""

import pytest
import torch

from vesalius.errors import OutputError
from vesalius.io import open as open_volume
from vesalius.measure import feature_maps, parse_config
from vesalius.study._map_files import Mapped, write_maps

MAPS = """
maps: {features: [stat_mean, cm_contrast_3D_avg], radius: 1}
features: {families: [statistics]}
"""


REGIONS = (Mapped("left", "left_3", 3), Mapped("right", "r_5", 5))


def written(scan, out, config, regions=REGIONS, **options):
    return write_maps(*scan, regions=regions, out=out, config=config, **options)


def test_each_region_gets_a_file_for_each_map(scan, tmp_path):
    steps = []
    found = written(scan, tmp_path, parse_config(MAPS), on_step=steps.append)
    assert found.findings == ()
    assert found.files == (
        "maps/left_3_stat_mean.nii.gz",
        "maps/left_3_cm_contrast_3D_avg.nii.gz",
        "maps/r_5_stat_mean.nii.gz",
        "maps/r_5_cm_contrast_3D_avg.nii.gz",
    )
    assert all((tmp_path / name).is_file() for name in found.files)
    told = [(step.what, step.done, step.total) for step in steps]
    assert told == [("maps: left", 0, 2), ("maps: right", 1, 2), ("maps", 2, 2)]


def test_a_file_holds_the_map_where_it_lies(scan, tmp_path):
    image, labels = scan
    config = parse_config(MAPS)
    written(scan, tmp_path, config, regions=REGIONS[:1])
    names = config.maps.features
    maps = feature_maps(image, labels.mask(3), features=names, radius=1, config=config)
    read = open_volume(tmp_path / "maps/left_3_stat_mean.nii.gz").read()
    expected = maps["stat_mean"]
    assert torch.allclose(read.data, expected.data.float(), equal_nan=True)
    assert torch.allclose(read.grid.affine, expected.grid.affine, atol=1e-4)
    assert read.unit == "HU"


def test_nothing_is_written_where_no_map_is_asked_for(scan, quick, tmp_path):
    assert written(scan, tmp_path, quick) == ((), ())
    assert list(tmp_path.iterdir()) == []


def test_a_region_that_cannot_be_mapped_is_a_finding_and_stops_no_other(scan, tmp_path):
    regions = (Mapped("nothing", "nothing_9", 9), *REGIONS)
    found = written(scan, tmp_path, parse_config(MAPS), regions=regions)
    assert len(found.files) == 4
    assert found.findings[0].startswith("nothing: no feature maps: label 9 must occur")


def test_a_folder_that_cannot_be_made_is_refused(scan, tmp_path):
    (tmp_path / "maps").write_text("in the way")
    with pytest.raises(OutputError, match="folder 'maps' for feature maps must be writable"):
        written(scan, tmp_path, parse_config(MAPS))
