"""atomic_write: complete at its name, or not there."""

import os
import resource
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from vesalius.errors import OutputError
from vesalius.io import atomic_write


def test_writes_what_was_written(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "a.csv") as file:
        file.write(b"subject,value\n")
    assert (tmp_path / "a.csv").read_bytes() == b"subject,value\n"
    assert [p.name for p in tmp_path.iterdir()] == ["a.csv"]


def test_shows_nothing_before_the_end(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "a.csv") as file:
        file.write(b"half")
        file.flush()
        assert not (tmp_path / "a.csv").exists()


def test_keeps_the_old_file_and_no_other_when_the_body_fails(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"old")
    with pytest.raises(ZeroDivisionError), atomic_write(tmp_path / "a.csv") as file:
        file.write(b"half" * (1 // 0))
    assert (tmp_path / "a.csv").read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.csv"]


def test_replaces_an_existing_file(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"a long old content")
    with atomic_write(str(tmp_path / "a.csv")) as file:
        file.write(b"new")
    assert (tmp_path / "a.csv").read_bytes() == b"new"


def test_gives_the_rights_of_any_other_file(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"")
    with atomic_write(tmp_path / "atomic"):
        pass
    assert (tmp_path / "atomic").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_refuses_a_folder_that_does_not_exist(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputError, match=r"folder must exist to write 'a.csv', 'no' does not"),
        atomic_write(tmp_path / "no" / "a.csv"),
    ):
        pass


def test_refuses_a_folder_as_a_file(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="is a folder: add a file name"), atomic_write(tmp_path):
        pass


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_refuses_a_folder_without_permission(tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    with (
        pytest.raises(OutputError, match="must be writable, the system says: Permission denied"),
        atomic_write(tmp_path / "locked" / "a.csv"),
    ):
        pass


def test_refuses_a_name_that_the_system_refuses(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputError, match="must be writable, the system says: File name too long"),
        atomic_write(tmp_path / ("a" * 250)),
    ):
        pass


def test_tells_when_there_is_no_room_and_leaves_nothing(tmp_path: Path) -> None:
    # a limit on the size of files fails in the same place as a full disk
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with (
            pytest.raises(
                OutputError, match=r"'a.bin' must be writable, the system says: File too"
            ),
            atomic_write(tmp_path / "a.bin") as file,
        ):
            file.write(bytes(100_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, old)
    assert list(tmp_path.iterdir()) == []


def test_leaves_nothing_at_the_name_when_killed(tmp_path: Path) -> None:
    script = textwrap.dedent("""
        import sys, time
        from vesalius.io._atomic import atomic_write
        with atomic_write(sys.argv[1]) as file:
            file.write(bytes(1000)); file.flush(); print("half", flush=True); time.sleep(60)
    """)
    target = tmp_path / "a.bin"
    command = [sys.executable, "-c", script, str(target)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "half\n"
        process.kill()
    time.sleep(0.05)
    assert not target.exists()
