"""Unpacking archives that may be damaged, or made to do harm.

Only regular files and folders come out, below the target, by the check here: the standard
library's filters for tar differ between Python's versions and have been got round. A compressed
stream is read to its end, where its checksum is. What comes out is bounded by the archive's size.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PureWindowsPath
from typing import IO, Any, Protocol, Self, cast

from synaptrace.errors import UserError

RATIO = 100
"""Bytes that may come of each byte of an archive; recordings pack to a half or a tenth."""

FLOOR = 2**24
"""Bytes that may come of any archive, however small."""

HEADER = 2**20
"""Bytes of a tar member's long name or extended header, which are read into memory."""

DEPTH = 64
"""Folders in one another."""

CHUNK = 2**20
BLOCK = 512

BROKEN = (
    zipfile.BadZipFile, tarfile.TarError, lzma.LZMAError, zlib.error, struct.error, EOFError,
    ValueError, OverflowError, NotImplementedError, RuntimeError, LookupError, MemoryError,
)  # fmt: skip
"""What the standard library raises at a damaged archive."""

STREAMS: dict[bytes, Callable[..., Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
}


class Readable(Protocol):
    """What unpacking needs of a stream."""

    def read(self, size: int, /) -> bytes:
        """At most ``size`` bytes."""


def unpack(file: Path, folder: Path) -> bool:
    """Unpack a .zip, .tar (plain or packed by gzip, bzip2 or xz) or .gz into ``folder``.

    A .zip, and a stream by gzip, bzip2 or xz, have checksums, which are verified; a plain .tar
    has one for its headers alone.

    Returns:
        False where ``file`` is none of these.

    Raises:
        UserError: it is damaged, or encrypted, or packed in a way that isn't read here; a member
            is a link, a device or another special file, or named to lie outside ``folder``; more
            would come out than an archive of its size holds.
        OSError: a file can't be written.
    """
    with _named(file):
        with file.open("rb") as opened:
            start = opened.read(BLOCK)
        limit = max(RATIO * file.stat().st_size, FLOOR)
        if start.startswith((b"PK\3\4", b"PK\5\6")) or file.suffix == ".zip":
            with zipfile.ZipFile(file) as archive:
                _unzip(file, archive, folder, limit)
            return True
        stream = next((s for magic, s in STREAMS.items() if start.startswith(magic)), None)
        if stream is None and file.suffix != ".gz":
            if not _is_tar(start):
                return False
            with file.open("rb") as plain:
                _untar(file, plain, folder)
            return True
        with (stream or gzip.open)(file, "rb") as packed:
            content = _Bounded(cast(Readable, packed), file, limit)
            if _is_tar(content.peek(BLOCK)):
                _untar(file, content, folder)
            elif file.suffix == ".gz":
                _write(content, folder / file.stem)
            else:
                return False
            while content.read(CHUNK):  # the checksum is at the end
                pass
    return True


@contextmanager
def _named(file: Path) -> Iterator[None]:
    """Turns what the standard library raises at a damaged archive into one line."""
    try:
        yield
    except UserError:
        raise
    except NotImplementedError as error:
        raise UserError(
            f"{file}: packed in a way that isn't read here ({error}); unpack it by other means, "
            "and give the folder"
        ) from error
    except BROKEN as error:
        raise UserError(
            f"{file}: the archive is damaged ({_reason(error)}); get it again"
        ) from error
    except OSError as error:
        if error.errno is not None:
            raise
        raise UserError(
            f"{file}: the archive is damaged ({_reason(error)}); get it again"
        ) from error


def _reason(error: Exception) -> str:
    return ascii(str(error))[1:-1] or type(error).__name__


def _unzip(file: Path, archive: zipfile.ZipFile, folder: Path, limit: int) -> None:
    members = archive.infolist()
    if sum(max(member.file_size, 0) for member in members) > limit:
        raise _bomb(file, limit)
    for member in members:
        kind = stat.S_IFMT(member.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise _special(file, member.filename)
        if member.flag_bits & 1:
            raise UserError(
                f"{file}: {member.filename!r} is encrypted; unpack it by other means, and give "
                "the folder"
            )
        place = _place(file, member.filename, folder)
        if member.is_dir():
            _make(place)
        else:
            with archive.open(member) as content:
                if _write(content, place) != member.file_size:
                    raise zipfile.BadZipFile(f"{member.filename!r} has another size")


def _untar(file: Path, content: Readable, folder: Path) -> None:
    """Unpack a tar from a stream. Its size is bounded by the stream's."""
    with tarfile.open(fileobj=cast(IO[bytes], content), mode="r|", tarinfo=_Member) as archive:
        for member in archive:
            archive.members = []  # type: ignore[attr-defined]  # it keeps all that it has read
            place = _place(file, member.name, folder)
            if member.isdir():
                _make(place)
            elif member.isreg() and not member.issparse():
                packed = archive.extractfile(member)
                assert packed is not None
                _write(packed, place)
            else:
                raise _special(file, member.name)


class _Member(tarfile.TarInfo):
    """A tar's header. One that can't be read is an error, never the archive's end.

    (Not in ``frombuf``, which later Pythons don't call.)
    """

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(archive)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]  # the mark at the end
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(str(error)) from error

    def _proc_member(self, archive: tarfile.TarFile) -> Self:
        """Read on as this header says, be it a file's or one of more headers."""
        if self.size < 0 or (not self.isfile() and self.size > HEADER):
            raise tarfile.ReadError(f"a header of {self.size} bytes")
        found: Self = super()._proc_member(archive)  # type: ignore[misc]
        return found


def _is_tar(start: bytes) -> bool:
    try:
        tarfile.TarInfo.frombuf(start, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


def _place(file: Path, name: str, folder: Path) -> Path:
    """Where a member goes. Raises UserError where that isn't below ``folder``."""
    path = PureWindowsPath(name)  # takes slashes, too, and knows drives
    if path.anchor or ".." in path.parts or "\0" in name or len(path.parts) > DEPTH:
        raise UserError(f"{file}: {name!r} is no name below a folder; nothing was taken from it")
    return folder.joinpath(*path.parts)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise tarfile.ReadError(f"{folder.name!r} is a file and a folder") from error


def _write(content: Readable, place: Path) -> int:
    """Write a member, CHUNK by CHUNK; returns its size."""
    _make(place.parent)
    if place.is_dir():
        raise tarfile.ReadError(f"{place.name!r} is a file and a folder")
    written = 0
    with place.open("wb") as out:
        while chunk := content.read(CHUNK):
            written += out.write(chunk)
    return written


def _special(file: Path, name: str) -> UserError:
    return UserError(
        f"{file}: {name!r} is neither a regular file nor a folder; nothing was taken from it"
    )


def _bomb(file: Path, limit: int) -> UserError:
    return UserError(
        f"{file}: more than {limit} bytes would come of its {file.stat().st_size}, as of no "
        "archive of recordings; unpack it by other means, and give the folder"
    )


class _Bounded:
    """A stream that ends in a UserError where more comes of it than ``limit`` bytes."""

    def __init__(self, stream: Readable, file: Path, limit: int) -> None:
        self.stream, self.file, self.limit = stream, file, limit
        self.count, self.head = 0, b""

    def read(self, size: int) -> bytes:
        """At most ``size`` bytes."""
        got, self.head = self.head[:size], self.head[size:]
        if len(got) < size:
            more = self.stream.read(size - len(got))
            got, self.count = got + more, self.count + len(more)
        if self.count > self.limit:
            raise _bomb(self.file, self.limit)
        return got

    def peek(self, size: int) -> bytes:
        """The first bytes, which are still to be read."""
        self.head = self.read(size)
        return self.head
