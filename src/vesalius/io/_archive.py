"""Archives: unpack zip and tar into a private folder, counting every byte, trusting no name."""
# SPDX-License-Identifier: Apache-2.0

import bz2
import gzip
import lzma
import os
import shutil
import stat
import struct
import tarfile
import tempfile
import unicodedata
import weakref
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Protocol, cast, final, runtime_checkable

from vesalius.errors import FormatError, OutputError
from vesalius.io._budget import Budget

ZIP = (".zip",)
TAR = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2", ".tbz2", ".tbz")
ARCHIVES = ZIP + TAR
"""Suffixes of archives."""
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2)
CHUNK = 1 << 20
HEADER_LIMIT = 1 << 22
"""Most bytes between the bodies of two members of a tar; tarfile keeps headers in memory."""
ENTRY_LIMIT = 256
"""Mean bytes of an entry in the directory of a zip beyond which it is refused unread."""
DAMAGED = (
    zipfile.BadZipFile,
    tarfile.TarError,
    lzma.LZMAError,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    RuntimeError,
    ValueError,
    MemoryError,
)


@runtime_checkable
class Source(Protocol):
    """What bytes can be read from."""

    def read(self, size: int, /) -> bytes:
        """Give at most so many bytes; none at the end."""
        ...


def is_archive(name: str) -> bool:
    """Say whether a file is an archive, by the suffix of its name."""
    return name.lower().endswith(ARCHIVES)


@final
class Unpacked:
    """The contents of an archive in a private folder (0700), removed with the last reference.

    Attributes:
        folder: Where they are; its last part is the name of the archive.
    """

    __slots__ = ("__weakref__", "folder")

    def __init__(self, name: str) -> None:
        with _writing(name):
            top = Path(tempfile.mkdtemp(prefix="vesalius-"))
            weakref.finalize(self, _remove, top, os.getpid())
            self.folder = top / name
            self.folder.mkdir(0o700)


def _remove(top: Path, owner: int) -> None:
    # a forked child must not take the folder away from its parent
    if os.getpid() == owner:
        shutil.rmtree(top, ignore_errors=True)


def unpack(path: Path, budget: Budget) -> Unpacked:
    """Unpack an archive, and archives inside it, into a private folder.

    Members that are hidden (a part of the name begins with a dot) are passed over. The rules are
    stricter than those of tarfile's ``data`` filter (PEP 706): no link of any kind, no two names
    that differ only in case, and a name that would leave the folder is refused, never repaired.

    Args:
        path: A zip, or a tar that may be compressed with gzip, bzip2 or xz.
        budget: ``bytes``, ``files`` and ``depth`` of all that is unpacked; ``ratio`` of it to the
            archive. Sizes are counted while unpacking, whatever the archive declares.

    Returns:
        The folder; keep the object as long as the files are needed.

    Raises:
        FormatError: It is damaged, encrypted, exceeds the budget, or a member is a link, a device,
            or has a name that is absolute, leaves the folder, or is there twice.
        OutputError: The temporary folder is full or not writable.
    """
    made = Unpacked(path.name)
    _Unpacker(path.name, budget, path.stat().st_size).archive(path, made.folder, 1)
    return made


Member = tuple[str, Source, int]
"""Name, body and size of a file in an archive."""


@final
class _Unpacker:
    """Unpacks one archive with all inside it; counts over the whole."""

    def __init__(self, name: str, budget: Budget, stored: int) -> None:
        self.name = name
        self.budget = budget
        self._stored = stored
        self._bytes = 0
        self._members = 0

    def archive(self, path: Path, folder: Path, depth: int) -> None:
        if depth > self.budget.depth:
            raise FormatError(
                f"archive {self.name!r} must nest at most {self.budget.depth} archives, "
                "it nests more: a hostile file, or raise the budget's depth"
            )
        try:
            members = self._zip(path) if path.name.lower().endswith(ZIP) else self._tar(path)
            self._members_into(members, folder, depth)
        except DAMAGED as error:
            if isinstance(error, FormatError | OutputError):
                raise
            raise FormatError(
                f"archive {path.name!r} must be a whole {'/'.join(_kind(path))} file, it is not: "
                f"{_reason(error, path)}: it is truncated or damaged, copy it again"
            ) from error

    def add(self, count: int) -> None:
        """Count bytes that were unpacked."""
        self._bytes += count
        if self._bytes > self.budget.bytes:
            raise FormatError(
                f"archive {self.name!r} must unpack to at most {self.budget.bytes / 2**30:.3g} "
                "GiB, it unpacks to more: unpack a part of it, or raise the budget's bytes"
            )
        self.budget.check_growth(self.name, self._bytes, self._stored)

    def _members_into(self, members: Iterator[Member], folder: Path, depth: int) -> None:
        taken = _Names(self.name)
        for name, body, size in members:
            self._members += 1
            if self._members > self.budget.files:
                raise FormatError(
                    f"archive {self.name!r} must hold at most {self.budget.files} files, it holds "
                    "more: unpack a part of it, or raise the budget's files"
                )
            parts = taken.add(name)
            if any(part.startswith(".") for part in parts):
                self._copy(body, None, size)
                continue
            target = folder.joinpath(*parts)
            with _writing(self.name):
                target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not is_archive(target.name):
                self._copy(body, target, size)
                continue
            inner = target.with_name(f".{target.name}")
            self._copy(body, inner, size)
            with _writing(self.name):
                target.mkdir(0o700)
            self.archive(inner, target, depth + 1)
            inner.unlink()

    def _copy(self, body: Source, target: Path | None, size: int) -> None:
        with _opened(target, self.name) as file:
            done = 0
            while block := body.read(CHUNK):
                self.add(len(block))
                done += len(block)
                with _writing(self.name):
                    file.write(block)
        if done != size:
            raise EOFError(f"a member ends after {done} of {size} bytes")

    def _zip(self, path: Path) -> Iterator[Member]:
        self._check_directory(path)
        with zipfile.ZipFile(path) as file:
            entries = file.infolist()
            # a quick refusal of what is honest about its size; the rest is counted
            self.budget.check_growth(self.name, sum(e.file_size for e in entries), self._stored)
            for entry in entries:
                self._check_entry(entry)
                if entry.filename.endswith("/"):  # zipfile's is_dir fails on an empty name
                    _split(entry.filename, self.name)
                    continue
                with file.open(entry) as body:
                    yield entry.filename, body, entry.file_size

    def _check_directory(self, path: Path) -> None:
        """Refuse a directory that zipfile would turn into gigabytes of objects."""
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - (1 << 16) - 98))
            tail = file.read()
        at = tail.rfind(b"PK\5\6")
        if at < 0 or len(tail) - at < 22:
            raise zipfile.BadZipFile("its directory at the end is absent")
        count, length = struct.unpack_from("<HI", tail, at + 10)
        wide = tail.rfind(b"PK\6\6", 0, at)
        if wide >= 0 and (count == 0xFFFF or length == 0xFFFFFFFF):
            count, length = struct.unpack_from("<QQ", tail, wide + 32)
        if max(count, length // ENTRY_LIMIT) > self.budget.files:
            raise FormatError(
                f"archive {self.name!r} must list at most {self.budget.files} files, its directory "
                f"of {length} bytes lists {count}: unpack a part of it, or raise the budget's files"
            )

    def _check_entry(self, entry: zipfile.ZipInfo) -> None:
        name = _base(entry.filename)
        if entry.flag_bits & 0x1:
            raise FormatError(
                f"archive {self.name!r} must not be encrypted, its {name!r} is: "
                "unpack it yourself and open the folder"
            )
        if entry.compress_type not in METHODS:
            raise FormatError(
                f"archive {self.name!r} must be packed by deflate or bzip2, its {name!r} is by "
                f"method {entry.compress_type}: unpack it yourself and open the folder"
            )
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if entry.create_system == 3 and kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise _no_file(self.name, name)

    def _tar(self, path: Path) -> Iterator[Member]:
        with path.open("rb") as raw, _decompressed(raw) as plain:
            stream = _Stream(plain, self.name)
            source = cast("IO[bytes]", stream)
            with tarfile.open(fileobj=source, mode="r|", tarinfo=_Member) as file:
                for member in file:
                    if member.isdir():
                        _split(member.name, self.name)
                        continue
                    body = file.extractfile(member) if member.isreg() else None
                    if body is None:
                        raise _no_file(self.name, _base(member.name))
                    stream.in_body()
                    yield member.name, body, member.size
                    stream.in_headers()
            while rest := plain.read(CHUNK):  # the checksum of the whole comes last
                self.add(len(rest))


@final
class _Member(tarfile.TarInfo):
    """A header of a tar; tarfile takes a damaged one for the end, this does not."""

    @classmethod
    def frombuf(cls, buf: Any, encoding: str, errors: str) -> "_Member":
        try:
            return super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if len(buf) == tarfile.BLOCKSIZE and not any(buf):
                raise
            raise tarfile.ReadError(f"a header of a member: {error}") from error


@final
class _Stream:
    """What tarfile reads from; refuses headers that are too long to be honest."""

    def __init__(self, source: Source, name: str) -> None:
        self._source = source
        self._name = name
        self._left: float = HEADER_LIMIT

    def in_body(self) -> None:
        self._left = float("inf")

    def in_headers(self) -> None:
        self._left = HEADER_LIMIT

    def read(self, size: int) -> bytes:
        block = self._source.read(size)
        self._left -= len(block)
        if self._left < 0:
            raise FormatError(
                f"archive {self._name!r} must have headers of at most {HEADER_LIMIT} bytes, "
                "one is longer: a damaged or hostile file"
            )
        return block


@contextmanager
def _decompressed(raw: Any) -> Iterator[Source]:
    magic = raw.read(6)
    raw.seek(0)
    if magic.startswith(b"\x1f\x8b"):
        with gzip.GzipFile(fileobj=raw) as plain:
            yield plain
    elif magic.startswith(b"BZh"):
        with bz2.BZ2File(raw) as plain:
            yield plain
    elif magic.startswith(b"\xfd7zXZ"):
        with lzma.LZMAFile(raw) as plain:
            yield plain
    else:
        yield raw


@final
class _Names:
    """The names of the members of one archive; no two may be one file on any system."""

    def __init__(self, archive: str) -> None:
        self._archive = archive
        self._files: set[str] = set()
        self._folders: set[str] = set()

    def add(self, name: str) -> tuple[str, ...]:
        """Check a name and give its parts."""
        parts = _split(name, self._archive)
        folded = [unicodedata.normalize("NFC", part).casefold() for part in parts]
        above = {"/".join(folded[:k]) for k in range(1, len(folded))}
        whole = "/".join(folded)
        taken = whole in self._files or whole in self._folders or not above.isdisjoint(self._files)
        if taken or not parts:
            raise FormatError(
                f"archive {self._archive!r} must hold each name once, upper and lower case alike, "
                f"{_base(name)!r} is there twice: unpack it yourself and open the folder"
            )
        self._files.add(whole)
        self._folders |= above
        return parts


def _split(name: str, archive: str) -> tuple[str, ...]:
    """Give the parts of a member's name; refuse a name that could leave the folder."""
    parts = tuple(part for part in name.replace("\\", "/").split("/") if part not in ("", "."))
    absolute = name.startswith(("/", "\\")) or (parts and parts[0][1:2] == ":")
    if absolute or ".." in parts or "\0" in name:
        raise FormatError(
            f"archive {archive!r} must hold names inside its own folder, {_base(name)!r} is "
            "placed outside: a hostile file, or unpack it yourself and open the folder"
        )
    if any(len(part.encode(errors="surrogateescape")) > 250 for part in parts) or len(name) > 2000:
        raise FormatError(
            f"archive {archive!r} must hold names of at most 250 bytes, one that begins "
            f"{_base(name)[:20]!r} is longer: unpack it yourself and open the folder"
        )
    return parts


def _base(name: str) -> str:
    return name.replace("\\", "/").rstrip("/").rpartition("/")[2]


def _no_file(archive: str, name: str) -> FormatError:
    return FormatError(
        f"archive {archive!r} must hold files and folders alone, {name!r} is a link or a device: "
        "a hostile file, or unpack it yourself and open the folder"
    )


def _kind(path: Path) -> tuple[str, ...]:
    return ("zip",) if path.name.lower().endswith(ZIP) else ("tar",)


def _reason(error: BaseException, path: Path) -> str:
    text = str(error).replace(str(path), path.name) or type(error).__name__
    return text.splitlines()[0][:200]


@contextmanager
def _writing(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"the temporary folder must have room to unpack {name!r}, the system says: "
            f"{error.strerror}: free space there, or set TMPDIR to another folder"
        ) from error


@contextmanager
def _opened(target: Path | None, name: str) -> Iterator[IO[bytes]]:
    where = os.devnull if target is None else target
    with _writing(name):
        file = Path(where).open("wb")  # noqa: SIM115 - closed below, and errors are told apart
    with file:
        yield file
