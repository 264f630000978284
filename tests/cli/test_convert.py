"""``vesalius convert``: the same voxels in the same place, in another format."""

from pathlib import Path

import pytest
import torch
from phantoms_io import corners, make_phantom, sheared_affine, write_slice

from vesalius import io
from vesalius.cli._exits import in_shell
from vesalius.core import Grid, Image, Labels, Series


def test_writes_one_volume_to_a_file(vesalius, tmp_path: Path) -> None:
    phantom = make_phantom()
    io.save(phantom, tmp_path / "scan.nii.gz")
    ended = vesalius("convert", tmp_path / "scan.nii.gz", tmp_path / "scan.nrrd")
    assert ended.code == 0
    assert "scan.nii.gz -> " in ended.out
    back = io.open(tmp_path / "scan.nrrd").read()
    assert torch.equal(back.data, phantom.data)
    torch.testing.assert_close(corners(back.grid), corners(phantom.grid), rtol=0, atol=1e-4)


def test_writes_several_volumes_to_a_folder(vesalius, tmp_path: Path) -> None:
    (tmp_path / "in" / "x").mkdir(parents=True)
    (tmp_path / "in" / "y").mkdir()
    io.save(make_phantom(), tmp_path / "in" / "x" / "a scan.nii.gz")
    io.save(make_phantom(), tmp_path / "in" / "y" / "a scan.nii")
    ended = vesalius("convert", tmp_path / "in", tmp_path / "out", "--to", ".mha")
    assert ended.code == 0
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a_scan.mha", "a_scan_2.mha"]
    refused = vesalius("convert", tmp_path / "in", tmp_path / "one.mha")
    assert refused.code == 3
    assert "must be a folder for 2 volumes" in refused.err


def test_chooses_by_name(vesalius, tmp_path: Path) -> None:
    for name in ("a.nii", "b.nii"):
        io.save(make_phantom(), tmp_path / name)
    assert vesalius("convert", tmp_path, tmp_path / "b.mha", "--series", "^b").code == 0
    ended = vesalius("convert", tmp_path, tmp_path / "c.mha", "--series", "^c")
    assert ended.code == 2
    assert "--series must match a name" in ended.err
    ended = vesalius("convert", tmp_path, tmp_path / "c.mha", "--series", "[")
    assert ended.code == 2
    assert "--series must be a regular expression, '[' is not" in ended.err


def test_accepts_gaps_only_when_told(vesalius, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for k, z in enumerate((0, 3, 6, 12)):
        write_slice(tmp_path / "in", k, ImagePositionPatient=[0, 0, z])
    ended = vesalius("convert", tmp_path / "in", tmp_path / "a.nii")
    assert ended.code == 3
    assert ended.err.rstrip().endswith("to read it all the same: convert it with --allow gaps")
    assert ended.out == ""  # what refuses is told once
    assert not (tmp_path / "a.nii").exists()
    ended = vesalius("convert", tmp_path / "in", tmp_path / "a.nii", "--allow", "gaps")
    assert ended.code == 0
    assert "warning" in ended.out
    assert io.open(tmp_path / "a.nii").grid.shape[0] == 5


def test_leaves_with_4_where_some_were_refused(vesalius, tmp_path: Path) -> None:
    io.save(make_phantom(), tmp_path / "a.nii")
    (tmp_path / "b.nii").write_bytes(b"broken")
    ended = vesalius("convert", tmp_path, tmp_path / "out")
    assert ended.code == 4
    assert "'b.nii' must be a NIfTI" in ended.err
    assert (tmp_path / "out" / "a.nii.gz").exists()


def test_brings_images_and_labels_to_a_grid(vesalius, tmp_path: Path) -> None:
    wide = Grid.from_spacing((6, 8, 8), (2.0, 1.0, 1.0))
    fine = Grid.from_spacing((11, 8, 8), (1.0, 1.0, 1.0))
    ramp = torch.arange(6, dtype=torch.int16)[None, :, None, None].expand(1, 6, 8, 8) * 10
    io.save(Image(ramp.clone(), wide, "HU"), tmp_path / "wide.nii")
    io.save(Image(torch.zeros(1, 11, 8, 8), fine), tmp_path / "fine.nii")
    words = ["--like", tmp_path / "fine.nii"]
    assert vesalius("convert", tmp_path / "wide.nii", tmp_path / "a.nii", *words).code == 0
    made = io.open(tmp_path / "a.nii").read()
    assert made.dtype == torch.int16
    assert made.unit == "HU"
    assert made.data[0, :, 4, 4].tolist() == [0, 5, 10, 15, 20, 25, 30, 35, 40, 45, 50]
    vesalius("convert", tmp_path / "wide.nii", tmp_path / "b.nii", "--labels", *words)
    assert set(io.open_labels(tmp_path / "b.nii").data.unique().tolist()) <= set(range(0, 60, 10))


def test_keeps_chosen_regions(vesalius, tmp_path: Path) -> None:
    phantom = make_phantom(torch.uint8)
    labels = Labels(phantom.data % 3, phantom.grid, {(0, 1): "GTV-1", (0, 2): "cord"})
    io.save(labels, tmp_path / "a.nii.gz")
    assert (
        vesalius("convert", tmp_path / "a.nii.gz", tmp_path / "b.nii", "--roi", "GTV.*").code == 0
    )
    kept = io.open_labels(tmp_path / "b.nii")
    assert dict(kept.names) == {(0, 1): "GTV-1"}
    assert torch.equal(kept.data == 1, labels.data == 1)
    assert int(kept.data.max()) == 1
    ended = vesalius("convert", tmp_path / "a.nii.gz", tmp_path / "c.nii", "--roi", "heart")
    assert ended.code == 3
    assert "must have a region named 'heart'; its regions are: 'GTV-1', 'cord'" in ended.err
    ended = vesalius("convert", tmp_path / "a.nii.gz", tmp_path / "c.nii", "--roi", "[")
    assert ended.code == 3
    assert "roi must be a regular expression, '[' is not" in ended.err


def test_writes_frames_as_a_series(vesalius, tmp_path: Path) -> None:
    phantom = make_phantom(channels=3)
    io.save(Series(phantom.data[:, None], phantom.grid, (0.0, 2.0, 4.0)), tmp_path / "a.nii.gz")
    assert vesalius("convert", tmp_path / "a.nii.gz", tmp_path / "b.nii").code == 0
    assert io.open(tmp_path / "b.nii").read_series().times_s == (0.0, 2.0, 4.0)
    words = ["convert", tmp_path / "a.nii.gz", tmp_path / "c.nrrd", "--frames", "channels"]
    assert vesalius(*words).code == 0
    assert torch.equal(io.open(tmp_path / "c.nrrd").read().data, phantom.data)


def test_sets_a_tilted_volume_upright_on_request(vesalius, tmp_path: Path) -> None:
    data = torch.zeros(1, 9, 20, 20)
    affine = Grid.from_spacing((9, 20, 20), (2.0, 1.0, 1.0)).affine.clone()
    affine[1, 0] = -0.8  # each slice lies 0.8 mm further back
    grid = Grid((9, 20, 20), affine)
    index = torch.stack(torch.meshgrid(*(torch.arange(n) for n in grid.shape), indexing="ij"), -1)
    world = grid.to_world(index.double())
    data[0] = (world[..., 0] + 2 * world[..., 1] + 3 * world[..., 2]).float()
    io.save(Image(data, grid), tmp_path / "a.nii")
    assert vesalius("convert", tmp_path / "a.nii", tmp_path / "b.nii", "--upright").code == 0
    made = io.open(tmp_path / "b.nii").read()
    assert made.grid.is_orthogonal
    assert made.grid.spacing_mm == pytest.approx((2.0, 1.0, 1.0))
    # every old corner lies inside, and inside the body the linear field is kept
    held = made.grid.to_index(corners(grid))
    assert bool((held > -1e-3).all())
    assert bool((held < torch.tensor(made.grid.shape) - 1 + 1e-3).all())
    middle = grid.to_world(torch.tensor([[4.0, 10.0, 10.0]]).double())
    z, y, x = (int(v) for v in made.grid.to_index(middle).round()[0])
    at = made.grid.to_world(torch.tensor([z, y, x]).double())
    assert float(made.data[0, z, y, x]) == pytest.approx(
        float(at[0] + 2 * at[1] + 3 * at[2]), abs=1e-3
    )


def test_refuses_to_set_skewed_planes_upright(vesalius, tmp_path: Path) -> None:
    affine = sheared_affine()
    affine[:3, 1] += 0.3 * affine[:3, 2]
    phantom = make_phantom()
    io.save(Image(phantom.data, Grid(phantom.grid.shape, affine)), tmp_path / "a.nii")
    ended = vesalius("convert", tmp_path / "a.nii", tmp_path / "b.nii", "--upright")
    assert ended.code == 3
    assert "rows and columns must meet at right angles" in ended.err


def test_replaces_nothing_on_failure(vesalius, tmp_path: Path) -> None:
    io.save(make_phantom(torch.float64), tmp_path / "a.nii")
    (tmp_path / "b.png").write_bytes(b"kept")
    ended = vesalius("convert", tmp_path / "a.nii", tmp_path / "b.png")
    assert ended.code == 3
    assert (tmp_path / "b.png").read_bytes() == b"kept"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.nii", "b.png"]


def test_writes_a_bids_derivative(vesalius, tmp_path: Path) -> None:
    io.save(make_phantom(), tmp_path / "a.nii")
    words = ["convert", tmp_path / "a.nii", tmp_path / "ds", "--bids", "ses-2_sub-01_T1w"]
    assert vesalius(*words).code == 0
    folder = tmp_path / "ds" / "sub-01" / "ses-2" / "anat"
    assert sorted(p.name for p in folder.iterdir()) == [
        "sub-01_ses-2_T1w.json",
        "sub-01_ses-2_T1w.nii.gz",
    ]
    shown = vesalius("info", "--validate", tmp_path / "ds")
    assert shown.code == 0
    io.save(make_phantom(), tmp_path / "b.nii")
    ended = vesalius("convert", tmp_path, tmp_path / "ds", "--bids", "sub-01_T1w")
    assert ended.code == 3
    assert "a BIDS name must be for one volume" in ended.err


def test_writes_both_versions_of_ome_zarr(vesalius, tmp_path: Path) -> None:
    io.save(make_phantom(), tmp_path / "a.nii")
    assert vesalius("convert", tmp_path / "a.nii", tmp_path / "new.zarr").code == 0
    words = ["convert", tmp_path / "a.nii", tmp_path / "old.zarr", "--to", ".zarr:0.4"]
    assert vesalius(*words).code == 0
    versions = [io.open(tmp_path / f"{name}.zarr").meta["format"] for name in ("new", "old")]
    assert versions == ["OME-Zarr 0.5", "OME-Zarr 0.4"]


def test_refuses_a_file_of_an_unknown_format(vesalius, tmp_path: Path) -> None:
    io.save(make_phantom(), tmp_path / "a.nii")
    ended = vesalius("convert", tmp_path / "a.nii", tmp_path / "b.nifti")
    assert ended.code == 3
    assert "output 'b.nifti' must end in a known suffix (.nii, " in ended.err
    assert not (tmp_path / "b.nifti").exists()
    (tmp_path / "c.nifti").mkdir()
    assert vesalius("convert", tmp_path / "a.nii", tmp_path / "c.nifti").code == 0
    assert (tmp_path / "c.nifti" / "a.nii.gz").is_file()


def test_tells_why_nothing_could_be_opened(vesalius, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    write_slice(tmp_path / "in", 0, Modality="PT")
    ended = vesalius("convert", tmp_path / "in", tmp_path / "a.nii", "--unit", "kg")
    assert ended.code == 3
    assert "the unit of a PET series must be SUV, SUL or Bq/mL, got 'kg'" in ended.err


def test_errors_speak_of_options_not_of_keywords() -> None:
    both = 'a; to read it all the same: open it with allow=("tilt", "gaps",)'
    assert in_shell(both) == "a; to read it all the same: convert it with --allow tilt,gaps"
    forms = 'open it with form="sform" or form="qform"'
    assert in_shell(forms) == "convert it with --form sform or --form qform"
    frames = 'call read_series(), or open it with frames="channels" to have them as channels'
    assert in_shell(frames).endswith("convert it with --frames channels to have them as channels")
    assert in_shell("open it with care, or a unit") == "open it with care, or a unit"
