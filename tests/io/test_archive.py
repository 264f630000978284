"""Archives: opened as folders are; nothing leaves its place, grows too far or stays behind."""

import gc
import io as bytestreams
import lzma
import os
import stat
import struct
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from phantoms_io import make_phantom, write_slice

from vesalius import io
from vesalius.core import Image
from vesalius.errors import FormatError, OutputError
from vesalius.io._archive import Unpacked, unpack

SMALL = io.Budget(bytes=1 << 24, free_bytes=1 << 20, files=50, depth=3)
SAMPLES = np.arange(12, dtype=np.uint16).reshape(3, 4)
TAR_MODES = {".tar": "w", ".tar.gz": "w:gz", ".tgz": "w:gz", ".tar.xz": "w:xz", ".tar.bz2": "w:bz2"}


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The temporary folder, private to a test so that it can be looked at."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def series(tmp_path: Path) -> Path:
    folder = tmp_path / "series"
    folder.mkdir()
    for k in range(3):
        write_slice(folder, k)
    return folder


def pack_zip(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as file:
        for name, body in members.items():
            file.writestr(name, body)
    return path


def pack_tar(path: Path, members: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as file:
        for name, body in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(body)
            file.addfile(entry, bytestreams.BytesIO(body))
    return path


def link_tar(path: Path, entry: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w") as file:
        file.addfile(entry)
    return path


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, target
    return entry


PACKERS: dict[str, Callable[[Path, dict[str, bytes]], Path]] = {".zip": pack_zip, ".tar": pack_tar}
both = pytest.mark.parametrize("suffix", [".zip", ".tar"])


# -- reading


@pytest.mark.parametrize("suffix", [".zip", *TAR_MODES])
def test_an_archive_gives_the_same_volume_as_its_folder(series: Path, suffix: str) -> None:
    members = {f"deep/{p.name}": p.read_bytes() for p in series.iterdir()}
    path = series.parent / f"study{suffix}"
    if suffix == ".zip":
        pack_zip(path, members)
    else:
        pack_tar(path, members, TAR_MODES[suffix])
    handle = io.open(path)
    assert handle.name == path.name
    expected = io.open(series).read()
    assert torch.equal(handle.read().data, expected.data)
    assert torch.equal(handle.grid.affine, expected.grid.affine)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_BZIP2])
def test_reads_every_method_it_promises(tmp_path: Path, phantom: Image, method: int) -> None:
    io.save(phantom, tmp_path / "a.nii")
    body = (tmp_path / "a.nii").read_bytes()
    path = pack_zip(tmp_path / "a.zip", {"a.nii": body}, method)
    assert torch.equal(io.open(path).read().data, phantom.data)


def test_scan_lists_every_volume_and_what_was_skipped(tmp_path: Path, phantom: Image) -> None:
    io.save(phantom, tmp_path / "a.nii")
    body = (tmp_path / "a.nii").read_bytes()
    path = pack_zip(tmp_path / "two.zip", {"a.nii": body, "sub/b.nii": body, "sub/n.txt": b"hello"})
    handles = io.scan(path)
    assert [h.name for h in handles] == ["a.nii", "b.nii"]
    assert {f.message for h in handles for f in h.findings} == {
        "files that are no images were skipped: 'n.txt'"
    }


def test_labels_are_read_from_an_archive(tmp_path: Path) -> None:
    labels = io.as_labels(make_phantom(torch.uint8))
    io.save(labels, tmp_path / "a.nii.gz")
    path = pack_zip(tmp_path / "a.zip", {"a.nii.gz": (tmp_path / "a.nii.gz").read_bytes()})
    assert torch.equal(io.open_labels(path).data, labels.data)


def test_an_archive_in_an_archive_is_opened_too(series: Path) -> None:
    inner = pack_zip(series.parent / "in.zip", {p.name: p.read_bytes() for p in series.iterdir()})
    outer = pack_tar(series.parent / "out.tgz", {"x/in.zip": inner.read_bytes()}, "w:gz")
    assert torch.equal(io.open(outer).read().data, io.open(series).read().data)


@both
@pytest.mark.parametrize("name", ["Müller/肺.nii", "ärzte.nii", "a b/c  d.nii", "./x/./y.nii"])
def test_keeps_names_of_any_language(
    tmp_path: Path, phantom: Image, suffix: str, name: str
) -> None:
    io.save(phantom, tmp_path / "a.nii")
    body = (tmp_path / "a.nii").read_bytes()
    path = PACKERS[suffix](tmp_path / f"päck{suffix}", {name: body})
    handle = io.open(path)
    assert handle.name == name.rpartition("/")[2]
    assert torch.equal(handle.read().data, phantom.data)


@both
def test_hidden_members_are_passed_over(tmp_path: Path, suffix: str, scratch: Path) -> None:
    members = {"__MACOSX/._a.dcm": b"x", ".git/config": b"y", "b.txt": b"z"}
    made = unpack(PACKERS[suffix](tmp_path / f"a{suffix}", members), SMALL)
    assert [p.name for p in made.folder.rglob("*") if p.is_file()] == ["b.txt"]


def test_an_archive_beside_other_files_is_skipped_by_name(series: Path) -> None:
    pack_zip(series / "more.zip", {"a.txt": b"hello"})
    assert "'more.zip'" in io.open(series).findings[-1].message


def test_refuses_an_archive_without_images(tmp_path: Path) -> None:
    path = pack_zip(tmp_path / "a.zip", {"a.txt": b"hello"})
    with pytest.raises(FormatError, match=r"folder 'a.zip' must hold an image, none of its 1"):
        io.open(path)


# -- the private folder


def test_the_folder_is_private_and_goes_with_the_last_handle(series: Path, scratch: Path) -> None:
    path = pack_zip(series.parent / "a.zip", {p.name: p.read_bytes() for p in series.iterdir()})
    handle = io.open(path)
    (top,) = scratch.iterdir()
    assert stat.S_IMODE(top.stat().st_mode) == 0o700
    copy = io.scan(path)[0]
    assert len(list(scratch.iterdir())) == 2
    del copy
    gc.collect()
    assert list(scratch.iterdir()) == [top]
    handle.read()
    del handle
    gc.collect()
    assert list(scratch.iterdir()) == []


def test_no_name_of_the_temporary_folder_is_told(series: Path, scratch: Path) -> None:
    members = {p.name: p.read_bytes()[:600] for p in series.iterdir()}
    path = pack_zip(series.parent / "a.zip", members | {"b.nii": b"broken"})
    found = io.survey(path)
    told = repr(found.refused) + repr(found.handles) + repr(found.skipped)
    assert "b.nii" in told
    assert str(scratch) not in told
    assert "vesalius-" not in told


@pytest.mark.parametrize("members", [{"../a": b""}, {"a.zip": b"no zip"}])
def test_nothing_is_left_after_a_refusal(
    tmp_path: Path, scratch: Path, members: dict[str, bytes]
) -> None:
    with pytest.raises(FormatError):
        io.scan(pack_zip(tmp_path / "a.zip", members))
    gc.collect()
    assert list(scratch.iterdir()) == []


def test_what_was_refused_does_not_keep_the_folder(tmp_path: Path, scratch: Path) -> None:
    """An error remembers the frames it came through, and what they hold."""
    found = io.survey(pack_zip(tmp_path / "a.zip", {"a.nii": b"broken", "b.nii": b"broken"}))
    assert len(found.refused) == 2
    assert found.refused[0].__traceback__ is not None
    assert list(scratch.iterdir()) == []


def test_a_forked_child_does_not_take_the_folder_away(scratch: Path) -> None:
    made = Unpacked("a.zip")
    child = os.fork()
    if child == 0:
        del made
        gc.collect()
        os._exit(0)
    os.waitpid(child, 0)
    assert made.folder.is_dir()


def test_a_full_temporary_folder_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = pack_zip(tmp_path / "a.zip", {"a.nii": b"x"})
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "absent"))
    with pytest.raises(OutputError, match=r"temporary folder must have room to unpack 'a.zip'"):
        io.open(path)


# -- names


OUTSIDE = ["../evil.nii", "a/../../evil.nii", "/etc/evil.nii", "\\evil.nii", "..\\evil.nii",
           "C:\\evil.nii", "c:evil.nii", "//host/evil.nii"]  # fmt: skip


@both
@pytest.mark.parametrize("name", OUTSIDE)
def test_refuses_a_name_that_leaves_the_folder(tmp_path: Path, suffix: str, name: str) -> None:
    path = PACKERS[suffix](tmp_path / f"a{suffix}", {name: b"x"})
    with pytest.raises(
        FormatError, match=r"must hold names inside its own folder, '(c:)?evil.nii' is placed out"
    ):
        io.scan(path)
    assert not list(tmp_path.rglob("evil*"))


@both
def test_refuses_a_folder_that_leaves_the_folder(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    if suffix == ".zip":
        pack_zip(path, {"../../up/": b""})
    else:
        link_tar(path, special("../../up", tarfile.DIRTYPE))
    with pytest.raises(FormatError, match=r"'up' is placed outside"):
        io.scan(path)


@both
@pytest.mark.parametrize(
    "names", [("a/IM1", "a/im1"), ("A/x", "a/X"), ("é", "e\u0301"), ("a", "a/b"), ("a/b", "a")]
)
def test_refuses_names_that_collide(tmp_path: Path, suffix: str, names: tuple[str, str]) -> None:
    path = PACKERS[suffix](tmp_path / f"z{suffix}", dict.fromkeys(names, b"x"))
    with pytest.raises(FormatError, match=r"must hold each name once, upper and lower case alike"):
        io.scan(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_refuses_the_same_name_twice(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("a.nii", b"1")
        file.writestr("a.nii", b"2")
    with pytest.raises(FormatError, match=r"must hold each name once, .* 'a.nii' is there twice"):
        io.scan(tmp_path / "a.zip")


@both
def test_refuses_names_that_are_too_long(tmp_path: Path, suffix: str) -> None:
    path = PACKERS[suffix](tmp_path / f"a{suffix}", {"n" * 300: b"x"})
    with pytest.raises(FormatError, match=r"must hold names of at most 250 bytes"):
        io.scan(path)


@given(st.lists(st.sampled_from(["..", ".", "a", "A", "b", "", "/", "\\", "c:"]), max_size=6))
def test_whatever_the_name_nothing_lands_outside(parts: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        top = Path(folder)
        path = pack_tar(top / "a.tar", {"/".join(parts): b"x"})
        try:
            made = unpack(path, SMALL)
        except FormatError:
            return
        inside = [p for p in made.folder.rglob("*") if p.is_file()]
        assert len(inside) <= 1
        assert list(top.iterdir()) == [path]
        assert list(made.folder.parent.iterdir()) == [made.folder]


# -- links and devices


LINKS = {
    "symlink out": special("evil", tarfile.SYMTYPE, "../../outside"),
    "symlink in": special("evil", tarfile.SYMTYPE, "a.nii"),
    "hard link": special("evil", tarfile.LNKTYPE, "/etc/passwd"),
    "fifo": special("evil", tarfile.FIFOTYPE),
    "device": special("evil", tarfile.CHRTYPE),
    "block device": special("evil", tarfile.BLKTYPE),
}


@pytest.mark.parametrize("kind", LINKS)
def test_refuses_what_is_no_file_in_a_tar(tmp_path: Path, kind: str) -> None:
    path = link_tar(tmp_path / "a.tar", LINKS[kind])
    with pytest.raises(FormatError, match=r"must hold files and folders alone, 'evil' is a link"):
        io.scan(path)


@pytest.mark.parametrize("name", [e.name for e in LINKS.values()] + OUTSIDE)
def test_is_at_least_as_strict_as_the_data_filter(tmp_path: Path, name: str) -> None:
    entries = [*LINKS.values(), special(name, tarfile.REGTYPE)]
    for entry in entries:
        try:
            tarfile.data_filter(entry, str(tmp_path))
        except tarfile.FilterError:
            with pytest.raises(FormatError):
                unpack(link_tar(tmp_path / "a.tar", entry), SMALL)


def test_refuses_a_link_in_a_zip(tmp_path: Path) -> None:
    entry = zipfile.ZipInfo("evil")
    entry.create_system, entry.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr(entry, "/etc/passwd")
    with pytest.raises(FormatError, match=r"must hold files and folders alone, 'evil' is a link"):
        io.scan(tmp_path / "a.zip")


def test_a_link_then_a_file_through_it_writes_nothing(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as file:
        file.addfile(special("door", tarfile.SYMTYPE, str(tmp_path)))
        file.addfile(special("door/evil.nii", tarfile.REGTYPE))
    with pytest.raises(FormatError, match=r"'door' is a link or a device"):
        io.scan(tmp_path / "a.tar")
    assert not (tmp_path / "evil.nii").exists()


# -- bombs


@both
def test_refuses_too_many_bytes(tmp_path: Path, suffix: str) -> None:
    body = os.urandom(1 << 20)
    path = PACKERS[suffix](tmp_path / f"a{suffix}", {str(k): body for k in range(17)})
    with pytest.raises(FormatError, match=r"must unpack to at most 0.0156 GiB, it unpacks to more"):
        unpack(path, SMALL)


@both
def test_refuses_too_many_files(tmp_path: Path, suffix: str) -> None:
    path = PACKERS[suffix](tmp_path / f"a{suffix}", {str(k): b"x" for k in range(51)})
    with pytest.raises(FormatError, match=r"at most 50 files, it"):
        unpack(path, SMALL)


def test_refuses_a_directory_that_lies_about_its_length(tmp_path: Path) -> None:
    path = pack_zip(tmp_path / "a.zip", {str(k): b"x" for k in range(40)})
    data = bytearray(path.read_bytes())
    at = data.rfind(b"PK\5\6")
    struct.pack_into("<I", data, at + 12, 1 << 30)
    path.write_bytes(data)
    with pytest.raises(FormatError, match=r"must list at most 50 files, its directory"):
        unpack(path, SMALL)


def zeros(path: Path, count: int) -> None:
    """A tar of zeros in a thousandth of the room."""
    entry = tarfile.TarInfo("zeros.nii")
    entry.size = count
    packer = lzma.LZMACompressor()
    with path.open("wb") as file:
        file.write(packer.compress(entry.tobuf()))
        for _ in range(count >> 20):
            file.write(packer.compress(bytes(1 << 20)))
        file.write(packer.compress(bytes(1024)) + packer.flush())


def test_half_a_gigabyte_of_zeros_is_refused_soon(tmp_path: Path) -> None:
    packed = zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED)
    with packed as file, file.open("zeros.nii", "w") as body:
        for _ in range(400):
            body.write(bytes(1 << 20))
    start = time.process_time()
    with pytest.raises(FormatError, match=r"'a.zip' must not grow more than 200 times"):
        io.open(tmp_path / "a.zip")
    assert time.process_time() - start < 2


def test_a_tar_of_zeros_is_stopped_while_it_grows(tmp_path: Path) -> None:
    zeros(tmp_path / "a.tar.xz", 1 << 26)
    with pytest.raises(FormatError, match=r"'a.tar.xz' must not grow more than 200 times"):
        io.open(tmp_path / "a.tar.xz", budget=io.Budget(free_bytes=1 << 22))


def test_a_zip_that_lies_about_sizes_is_stopped(tmp_path: Path) -> None:
    path = pack_zip(tmp_path / "a.zip", {"a.nii": bytes(1 << 22)})
    data = bytearray(path.read_bytes())
    at = data.rfind(b"PK\1\2")
    struct.pack_into("<I", data, at + 24, 100)
    path.write_bytes(data)
    with pytest.raises(FormatError, match=r"archive 'a.zip' must be a whole zip file"):
        unpack(path, SMALL)


def test_nested_bombs_are_counted_together(tmp_path: Path) -> None:
    body = pack_zip(tmp_path / "0.zip", {f"{k}.nii": bytes(1 << 18) for k in range(4)}).read_bytes()
    for level in range(2):
        path = pack_zip(
            tmp_path / f"{level + 1}.zip", {f"{k}.zip": body for k in range(8)}, zipfile.ZIP_STORED
        )
        body = path.read_bytes()
    start = time.process_time()
    with pytest.raises(FormatError, match=r"'2.zip' must unpack to at most 0.0156 GiB"):
        unpack(path, replace(SMALL, files=10_000))
    assert time.process_time() - start < 2


def test_refuses_archives_nested_too_deep(tmp_path: Path) -> None:
    body = b""
    for level in range(5):
        body = pack_zip(tmp_path / f"{level}.zip", {"in.zip": body} if body else {}).read_bytes()
    with pytest.raises(FormatError, match=r"must nest at most 3 archives, it nests more"):
        unpack(tmp_path / "4.zip", SMALL)


def test_refuses_an_endless_header(tmp_path: Path) -> None:
    entry = tarfile.TarInfo("long")
    entry.type, entry.size = tarfile.XHDTYPE, 1 << 25
    with (tmp_path / "a.tar").open("wb") as file:
        file.write(entry.tobuf())
        file.truncate(1 << 25)
    with pytest.raises(FormatError, match=r"must have headers of at most 4194304 bytes"):
        unpack(tmp_path / "a.tar", SMALL)


# -- damage


@pytest.mark.parametrize("suffix", [".zip", *TAR_MODES])
def test_refuses_every_truncation(series: Path, suffix: str) -> None:
    members = {p.name: p.read_bytes() for p in sorted(series.iterdir())}
    path = series.parent / f"a{suffix}"
    if suffix == ".zip":
        pack_zip(path, members)
    else:
        pack_tar(path, members, TAR_MODES[suffix])
    body = path.read_bytes()
    end = 3 * 1536 if suffix == ".tar" else len(body)  # a tar ends in blocks of zeros
    for keep in range(1, end, end // 40):
        path.write_bytes(body[:keep])
        with pytest.raises(FormatError, match=rf"archive 'a{suffix}' must be a whole (zip|tar) fi"):
            io.scan(path)


def test_a_damaged_header_is_not_taken_for_the_end(series: Path) -> None:
    members = {p.name: p.read_bytes() for p in sorted(series.iterdir())}
    path = pack_tar(series.parent / "a.tar", members)
    data = bytearray(path.read_bytes())
    second = data.find(b"89.dcm")
    data[second + 148 : second + 156] = b"garbage!"
    path.write_bytes(data)
    with pytest.raises(FormatError, match=r"whole tar file, it is not: a header of a member"):
        io.scan(path)


def test_a_damaged_body_is_told(series: Path) -> None:
    path = pack_zip(
        series.parent / "a.zip",
        {p.name: p.read_bytes() for p in series.iterdir()},
        zipfile.ZIP_STORED,
    )
    data = bytearray(path.read_bytes())
    data[700] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(FormatError, match=r"must be a whole zip file, it is not: Bad CRC-32"):
        io.scan(path)


@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tgz", ".tar.xz", ".tar.bz2"])
@pytest.mark.parametrize("content", [b"garbage" * 300, bytes(1), b"PK\3\4" * 9, b"PK\5\6"])
def test_refuses_garbage_under_the_name_of_an_archive(
    tmp_path: Path, suffix: str, content: bytes
) -> None:
    (tmp_path / f"a{suffix}").write_bytes(content)
    with pytest.raises(FormatError, match=rf"'a{suffix}' must be a whole"):
        io.open(tmp_path / f"a{suffix}")


def test_refuses_an_encrypted_zip(tmp_path: Path) -> None:
    path = pack_zip(tmp_path / "a.zip", {"x/a.nii": b"secret"})
    data = bytearray(path.read_bytes())
    data[6] |= 1
    data[data.rfind(b"PK\1\2") + 8] |= 1
    path.write_bytes(data)
    with pytest.raises(FormatError, match=r"must not be encrypted, its 'a.nii' is: unpack it your"):
        io.open(path)


def test_refuses_an_unusual_method(tmp_path: Path) -> None:
    path = pack_zip(tmp_path / "a.zip", {"a.nii": b"x"}, zipfile.ZIP_LZMA)
    with pytest.raises(FormatError, match=r"must be packed by deflate or bzip2, .* by method 14"):
        io.open(path)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tgz"])
@given(
    damage=st.lists(
        st.tuples(st.integers(0, 1 << 16), st.binary(max_size=8)), min_size=1, max_size=3
    )
)
def test_any_damage_gives_volumes_or_a_refusal(
    suffix: str, damage: list[tuple[int, bytes]]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"a{suffix}"
        members = {"a/b.nii": bytes(700), "c.dcm": bytes(300), "d.zip": b"PK\5\6" + bytes(18)}
        if suffix == ".zip":
            pack_zip(path, members)
        else:
            pack_tar(path, members, TAR_MODES[suffix])
        data = bytearray(path.read_bytes())
        for at, words in damage:
            data[at % len(data) : at % len(data) + len(words)] = words
        path.write_bytes(data)
        start = time.process_time()
        with suppress(FormatError):
            made = unpack(path, SMALL)
            assert sum(p.stat().st_size for p in made.folder.rglob("*")) < SMALL.bytes
        assert time.process_time() - start < 2
        assert sorted(p.name for p in Path(folder).iterdir()) == [path.name]


# -- size and real data


def test_a_thousand_slices_are_listed_soon(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as file:
        for k in range(1000):
            file.write(write_slice(tmp_path, k, name="one.dcm", values=SAMPLES), f"IM{k:04}")
    start = time.process_time()
    handle = io.open(tmp_path / "a.zip")
    assert time.process_time() - start < 10
    assert handle.grid.shape == (1000, 3, 4)


@pytest.mark.slow
@pytest.mark.parametrize("case", ["mr_t1_hfs", "ct_philips_tilt_a", "ct_philips_localizer"])
def test_real_archives_give_what_their_folder_gives(
    data_dir: Path, tmp_path: Path, case: str
) -> None:
    path = data_dir / "dicom" / case / "dicom.tar.xz"
    with tarfile.open(path) as file:
        file.extractall(tmp_path, filter="data")
    packed, loose = io.survey(path), io.survey(tmp_path)
    assert len(packed.handles) == len(loose.handles)
    assert len(packed.handles) + len(packed.refused) > 0
    for one, other in zip(packed.handles, loose.handles, strict=True):
        assert one.grid.shape == other.grid.shape
        assert torch.equal(one.grid.affine, other.grid.affine)
        if not one.refusal:
            assert torch.equal(one.read().data, other.read().data)
