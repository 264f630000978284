"""Real microscopy TIFFs: every one of the test data opens, and equals what tifffile reads."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

from vesalius import io

FILES = {
    "samples/cells_ht29/ht29_dna_ph3_cell.tif": (3, 1, 256, 256),
    "samples/virtual_staining/phase_z.tif": (1, 5, 256, 256),
    "samples/virtual_staining/fluor_dapi_map2_nfh.tif": (3, 1, 256, 256),
    "segmentation/retina_drive/images/21_training.tif": (3, 1, 584, 565),
    "segmentation/retina_drive/images/32_training.tif": (3, 1, 584, 565),
    "segmentation/stardist/img2d.tif": (1, 1, 512, 512),
    "segmentation/stardist/img3d.tif": (1, 31, 61, 57),
    "segmentation/stardist/mask2d.tif": (1, 1, 512, 512),
    "segmentation/stardist/mask3d.tif": (1, 31, 61, 57),
}


@pytest.mark.parametrize("name", list(FILES))
def test_equals_what_tifffile_reads(data_dir: Path, name: str) -> None:
    image = io.open(data_dir / name).read()
    assert tuple(image.data.shape) == FILES[name]
    wanted = tifffile.imread(data_dir / name)
    if wanted.ndim == 3 and wanted.shape[-1] == 3:
        wanted = np.moveaxis(wanted, -1, 0)
    np.testing.assert_array_equal(image.data.numpy().squeeze(), wanted.squeeze())


def test_no_spacing_is_invented_where_none_is_known(data_dir: Path) -> None:
    for name in FILES:
        handle = io.open(data_dir / name)
        assert "no-spacing" in {finding.code for finding in handle.findings}
        assert handle.grid.spacing_mm == (1.0, 1.0, 1.0)


def test_every_tiff_of_the_data_opens(data_dir: Path) -> None:
    found = [p for room in ("samples", "segmentation") for p in (data_dir / room).rglob("*.tif*")]
    assert len(found) >= len(FILES)
    for path in found:
        for handle in io.scan(path):
            assert handle.refusal == ""
            z, y, x = handle.grid.shape
            corner = (slice(z - 1, z), slice(max(y - 4, 0), y), slice(max(x - 4, 0), x))
            assert handle.read(corner).data.numel() >= 1


def test_nuclei_go_through_every_format_of_the_room(data_dir: Path, tmp_path: Path) -> None:
    labels = io.open_labels(data_dir / "segmentation" / "stardist" / "mask3d.tif")
    for suffix in (".tif", ".ome.tif", ".zarr"):
        io.save(labels, tmp_path / f"a{suffix}")
        back = io.open_labels(tmp_path / f"a{suffix}")
        assert back.values == labels.values
        assert (back.data == labels.data).all()
