"""Saving over what is there by a process that is killed: the old or the new, whole."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
import torch

from vesalius import io
from vesalius.core import Grid, Image
from vesalius.errors import FormatError, OutputError
from vesalius.io import _atomic
from vesalius.io._atomic import staged

GRID = Grid.from_spacing((6, 40, 50), (2.0, 1.0, 1.0))
SAVER = textwrap.dedent("""
    import sys, torch
    from vesalius import io
    from vesalius.core import Grid, Image
    grid = Grid.from_spacing((6, 40, 50), (2.0, 1.0, 1.0))
    print("ready", flush=True)
    for k in range(2, 100_000):
        io.save(Image(torch.full((1, *grid.shape), k, dtype=torch.int16), grid), sys.argv[1])
        print(k, flush=True)
""")
STOPPER = textwrap.dedent("""
    import os, signal, sys, torch
    from vesalius import io
    from vesalius.core import Grid, Image
    from vesalius.io import _save
    def stop(*words):
        os.kill(os.getpid(), signal.SIGKILL)
    _save.compare = stop
    grid = Grid.from_spacing((6, 40, 50), (2.0, 1.0, 1.0))
    io.save(Image(torch.full((1, *grid.shape), 2, dtype=torch.int16), grid), sys.argv[1])
""")
NAMES = ["a.ome.zarr", "a.nhdr", "a.mhd", "a.nii.gz", "a.ome.tif"]


def filled(value: int) -> Image:
    return Image(torch.full((1, *GRID.shape), value, dtype=torch.int16), GRID)


def seen(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


@pytest.mark.parametrize("name", NAMES)
def test_killed_before_it_is_published_nothing_has_changed(tmp_path: Path, name: str) -> None:
    io.save(filled(1), tmp_path / name)
    before = seen(tmp_path)
    done = subprocess.run([sys.executable, "-c", STOPPER, str(tmp_path / name)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert seen(tmp_path) == before
    assert torch.equal(io.open(tmp_path / name).read().data, filled(1).data)
    # what the killed one left is hidden, and no survey finds it
    assert [path.suffix for path in tmp_path.iterdir() if path.name.startswith(".")] == [".tmp"]
    assert len(io.scan(tmp_path)) == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_killed_at_any_moment_it_is_one_save_or_another(tmp_path: Path, name: str) -> None:
    io.save(filled(1), tmp_path / name)
    for round_ in range(3):
        command = [sys.executable, "-c", SAVER, str(tmp_path / name)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            assert process.stdout.readline().strip().isdigit()
            time.sleep(0.013 * round_ + 0.002)
            os.kill(process.pid, signal.SIGKILL)
        if not (tmp_path / name).exists():
            assert name.endswith(("hdr", "mhd")), "one file or folder is never away"
            with pytest.raises(FormatError, match="must exist to be opened"):
                io.open(tmp_path / name)
            io.save(filled(1), tmp_path / name)
        values = io.open(tmp_path / name).read().data.unique()
        assert len(values) == 1


def test_a_folder_is_swapped_in_one_step(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one, two):
        folder.mkdir()
        (folder / f"{folder.name}.txt").write_text("x")
    if not _atomic._swap(one, two):
        pytest.skip("this system cannot swap two names")
    assert (one / "two.txt").exists()
    assert (two / "one.txt").exists()


@pytest.mark.parametrize("can_swap", [True, False])
def test_a_folder_is_replaced_whole(tmp_path: Path, monkeypatch, can_swap: bool) -> None:
    if not can_swap:
        monkeypatch.setattr(_atomic, "_swap", lambda first, second: False)
    for value in (1, 2):
        io.save(filled(value), tmp_path / "a.ome.zarr")
    assert int(io.open(tmp_path / "a.ome.zarr").read().data.unique()) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["a.ome.zarr"]


@pytest.mark.parametrize("name", ["a.nhdr", "a.ome.zarr"])
def test_what_stood_there_comes_back_when_a_rename_fails(tmp_path: Path, monkeypatch, name) -> None:
    """The last rename fails as on a disk that turned read-only."""
    io.save(filled(1), tmp_path / name)
    before = seen(tmp_path)
    monkeypatch.setattr(_atomic, "_swap", lambda first, second: False)
    real = Path.replace

    def fail(self: Path, target: Path) -> Path:
        # files within the hidden folder may take their names
        if Path(target) == tmp_path / name:
            raise OSError(30, "Read-only file system")
        return real(self, target)

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OutputError, match=r"must be writable, the system says: Read-only file sys"):
        io.save(filled(2), tmp_path / name)
    monkeypatch.setattr(Path, "replace", real)
    assert seen(tmp_path) == before
    assert int(io.open(tmp_path / name).read().data.unique()) == 1
    assert len(list(tmp_path.iterdir())) == len(before)


def write_two(path: Path) -> None:
    with staged(path) as stage:
        stage.write_text("a")
        stage.with_name("b.txt").write_text("b")


def test_new_files_go_again_when_a_rename_fails(tmp_path: Path, monkeypatch) -> None:
    real = Path.replace

    def fail(self: Path, target: Path) -> Path:
        if Path(target) == tmp_path / "a.txt":
            raise OSError(28, "No space left on device")
        return real(self, target)

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OutputError, match="the system says: No space left on device"):
        write_two(tmp_path / "a.txt")
    assert list(tmp_path.iterdir()) == []


def test_a_file_does_not_replace_a_folder_nor_the_other_way(tmp_path: Path) -> None:
    (tmp_path / "a.nrrd").mkdir()
    (tmp_path / "a.zarr").write_text("x")
    with pytest.raises(OutputError, match=r"must replace its own kind, a folder of that name is"):
        io.save(filled(1), tmp_path / "a.nrrd")
    with pytest.raises(OutputError, match=r"must replace its own kind, a file of that name is"):
        io.save(filled(1), tmp_path / "a.zarr")
    assert seen(tmp_path) == ["a.nrrd", "a.zarr"]
