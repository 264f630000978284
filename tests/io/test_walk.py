"""Walking a folder: to the bottom, never out of it."""

import os
from pathlib import Path

import pytest
import torch
from phantoms_io import write_slice

from vesalius import io
from vesalius.core import Image
from vesalius.errors import FormatError
from vesalius.io._budget import DEFAULT
from vesalius.io._walk import stays_inside, walk


def no_volume(folder: Path) -> bool:
    return False


def test_lists_files_sorted_without_hidden_ones_and_bodies(tmp_path: Path) -> None:
    for name in ("b/2.txt", "b/1.txt", "a.txt", ".hidden", ".git/x", "s.raw", "s.zraw"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    walked = walk(tmp_path, DEFAULT, no_volume)
    assert [p.relative_to(tmp_path).as_posix() for p in walked.files] == [
        "a.txt",
        "b/1.txt",
        "b/2.txt",
    ]


def test_a_folder_that_is_a_volume_is_listed_whole(tmp_path: Path) -> None:
    (tmp_path / "a.zarr" / "0").mkdir(parents=True)
    (tmp_path / "a.zarr" / "0" / "c").touch()
    walked = walk(tmp_path, DEFAULT, lambda folder: folder.suffix == ".zarr")
    assert walked.files == (tmp_path / "a.zarr",)


def test_refuses_a_file_that_is_a_link_out_of_the_folder(tmp_path: Path, phantom: Image) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    io.save(phantom, tmp_path / "secret.nii")
    io.save(phantom, inside / "a.nii")
    (inside / "b.nii").symlink_to(tmp_path / "secret.nii")
    with pytest.raises(FormatError, match=r"'b.nii' must lie in the folder that is opened"):
        io.open(inside)
    (handle,) = io.scan(inside)
    assert handle.name == "a.nii"
    assert [f.code for f in handle.findings] == ["refused"]


@pytest.mark.parametrize("target", ["../up", "/", "nowhere", "self"])
def test_refuses_links_to_folders_above_to_nothing_and_in_a_circle(
    tmp_path: Path, target: str
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (tmp_path / "up").mkdir()
    (folder / "self").symlink_to(target)
    (error,) = walk(folder, DEFAULT, no_volume).refused
    assert "'self' must lie in the folder" in str(error)
    assert str(tmp_path) not in str(error)


def test_a_link_to_a_file_that_is_listed_does_not_count_twice(tmp_path: Path) -> None:
    for k in range(3):
        path = write_slice(tmp_path, k)
    (tmp_path / "again.dcm").symlink_to(path)
    (tmp_path / "circle").symlink_to(tmp_path, target_is_directory=True)
    assert io.open(tmp_path).grid.shape == (3, 3, 4)


def test_links_into_a_hidden_store_are_read(tmp_path: Path, phantom: Image) -> None:
    """As git-annex keeps its files; two links to one file count once."""
    (tmp_path / ".store").mkdir()
    io.save(phantom, tmp_path / ".store" / "key.nii")
    for name in ("a.nii", "b.nii"):
        (tmp_path / name).symlink_to(Path(".store", "key.nii"))
    assert torch.equal(io.open(tmp_path).read().data, phantom.data)


def test_the_folder_itself_may_be_a_link(tmp_path: Path, phantom: Image) -> None:
    (tmp_path / "real").mkdir()
    io.save(phantom, tmp_path / "real" / "a.nii")
    (tmp_path / "real" / "b.nii").symlink_to("a.nii")
    (tmp_path / "door").symlink_to(tmp_path / "real", target_is_directory=True)
    assert torch.equal(io.open(tmp_path / "door").read().data, phantom.data)


def test_refuses_more_files_than_the_budget(tmp_path: Path) -> None:
    for k in range(5):
        (tmp_path / str(k)).touch()
    with pytest.raises(FormatError, match=r"must hold at most 4 files, it holds more"):
        walk(tmp_path, io.Budget(files=4), no_volume)


def test_tells_of_folders_that_lie_too_deep(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*"abcd")
    deep.mkdir(parents=True)
    (deep / "x").touch()
    assert walk(tmp_path, io.Budget(depth=4), no_volume).files == (deep / "x",)
    walked = walk(tmp_path, io.Budget(depth=3), no_volume)
    assert walked.files == ()
    assert "folder 'd' must lie at most 3 folders deep" in str(walked.refused[0])


def test_pipes_and_sockets_are_passed_over(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert walk(tmp_path, DEFAULT, no_volume).files == ()


def test_stays_inside_follows_every_link(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "out").touch()
    (tmp_path / "in" / "ok").touch()
    (tmp_path / "in" / "door").symlink_to(tmp_path)
    root = (tmp_path / "in").resolve()
    assert stays_inside(root / "ok", root)
    assert not stays_inside(root / "door" / "out", root)
    assert not stays_inside(root / "absent", root)
