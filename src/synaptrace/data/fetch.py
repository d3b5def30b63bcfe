"""Getting a data set's files: by download, or from an archive or a folder on this machine."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

from synaptrace.data.archive import unpack as unpack_archive
from synaptrace.data.source import Download, Source, find
from synaptrace.errors import UserError
from synaptrace.files import write_atomic

Say = Callable[[str], object]

STAMP = "fetched.json"
"""In a data set's folder: the downloads that lie there whole, and their checksums."""

RETRIES = 2
"""How often a broken download is tried again."""


def fetch(source: Source, *, local: Path | None = None, say: Say = print) -> Path:
    """Put a data set's files where its loader looks for them.

    Says URL, licence, size and checksum of each file before it is downloaded. A file appears in
    its place only when it is whole; what an earlier call has fetched isn't fetched again.

    Args:
        local: an archive, a file or a folder to take in place of a download: an archive as
            published (its checksum is verified), or any other that holds the files.
        say: takes the lines for the user.

    Returns:
        The data set's folder.

    Raises:
        UserError: no network (it says which file to put where), a checksum that differs, an
            archive that can't be unpacked, no room; a data set that has no files.
    """
    if not source.layout:
        raise UserError(f"{source.name}: there is nothing to fetch")
    try:
        if local is not None:
            _take(source, local, say)
        elif not source.downloads:
            raise UserError(f"{source.name}: {source.manual}; then {_by_hand(source)}")
        else:
            if source.manual:
                say(f"{source.name}\t{source.manual}")
            say("file\tlicence\tbytes\tchecksum\turl")
            for download in source.downloads:
                _download(source, download, say)
    except OSError as error:
        raise UserError(f"{source.folder}: can't be written ({error.strerror or error})") from error
    say(f"{source.name}\tis in\t{source.folder}")
    return source.folder


def _download(source: Source, download: Download, say: Say) -> None:
    done = _stamp(source)
    size = download.size or _ask(download.url)
    known = download.checksum or "unknown"
    bytes_ = "unknown" if size is None else str(size)
    say("\t".join([download.file, source.licence, bytes_, known, download.url]))
    if download.file in done:
        say(f"{download.file}\tis there already")
        return
    import pooch
    from requests.exceptions import RequestException  # what pooch raises

    pooch.get_logger().setLevel(logging.ERROR)
    incoming = source.folder / ".incoming"
    getter = pooch.create(
        path=incoming,
        base_url="",
        registry={download.file: download.checksum},
        urls={download.file: download.url},
        retry_if_failed=RETRIES,
    )
    try:
        got = Path(getter.fetch(download.file, progressbar=True))
    except RequestException as error:
        raise UserError(
            f"{download.url}: can't be downloaded ({type(error).__name__}); get it elsewhere as "
            f"{download.file}, then {_by_hand(source, download.file)}"
        ) from error
    except ValueError as error:
        raise UserError(
            f"{download.url}: what came {1 + RETRIES} times isn't the published file, {known}; "
            "try again later"
        ) from error
    _place(source, got, download.unpack, files=download.holds)
    done[download.file] = download.checksum or f"sha256:{_checksum(got, 'sha256')}"
    write_atomic(source.folder / STAMP, json.dumps(done, indent=1) + "\n")
    shutil.rmtree(incoming, ignore_errors=True)


def _by_hand(source: Source, file: str = "PATH") -> str:
    return (
        f"`synaptrace data fetch {source.name} --from {file}`, or unpack it so that there is "
        f"{source.folder / source.layout[0]}"
    )


def _take(source: Source, local: Path, say: Say) -> None:
    """Files from this machine: archives as published, another archive, a file, a folder."""
    if not local.exists():
        raise UserError(f"{local}: there is no such file or folder")
    named = {download.file: download for download in source.downloads}
    if local.is_dir():
        archives = [local / name for name in named if (local / name).is_file()]
        files = archives or [local]
        own, theirs = source.folder.resolve(), local.resolve()
        if not archives and (own.is_relative_to(theirs) or theirs.is_relative_to(own)):
            raise UserError(
                f"{local}: a folder can't be copied into itself, and {source.folder} is where it "
                "goes; move it elsewhere first, or set data.path to it"
            )
    elif local.is_file():
        files = [local]
    else:
        raise UserError(f"{local}: neither a regular file nor a folder")
    done = _stamp(source)
    for file in files:
        download = named.get(file.name)
        if download is not None and download.checksum is not None:
            algorithm, _, wanted = download.checksum.partition(":")
            found = _checksum(file, algorithm)
            if found != wanted:
                raise UserError(
                    f"{file}: its {algorithm} is {found}, not {wanted} as published: it is damaged "
                    "or another file; rename it to use it nevertheless"
                )
            say(f"{file}\tchecksum verified\t{download.checksum}")
        else:
            say(f"{file}\tchecksum unknown")
        if download is None:
            _place(source, file, ".", checked=True)
        else:
            _place(source, file, download.unpack, checked=True, files=download.holds)
            done[file.name] = download.checksum or ""
            write_atomic(source.folder / STAMP, json.dumps(done, indent=1) + "\n")


def _place(
    source: Source,
    file: Path,
    unpack: str | None,
    checked: bool = False,
    files: int | None = None,
) -> None:
    """Unpack or copy ``file`` into the data set's folder, by way of a temporary one in it.

    ``checked``: refuse what holds none of the data set's files; ``files``: or not so many.
    """
    source.folder.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=".unpack-", dir=source.folder))
    temporary, replaced = work / "new", work / "old"
    temporary.mkdir()
    replaced.mkdir()
    try:
        if file.is_dir():
            shutil.copytree(file, temporary, dirs_exist_ok=True, copy_function=_copy)
        elif unpack is None or not unpack_archive(file, temporary):
            shutil.copyfile(file, temporary / file.name)
        held = len(_held(source, temporary)) if checked or files else None
        if checked and not held:
            raise UserError(
                f"{file}: it holds no {source.name}, which lies in {', '.join(source.layout)}"
            )
        if files and held != files:
            raise UserError(f"{file}: it holds {held} of {files} files; get it again")
        _merge(temporary, source.folder / (unpack or "."), replaced)
    except shutil.Error as error:  # of copytree, a list
        first = error.args[0][0]
        raise UserError(f"{first[0]}: can't be copied ({first[2]})") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _copy(source: str, target: str) -> str:
    """Copy a regular file: anything else may have no end."""
    if Path(source).exists() and not Path(source).is_file():
        raise UserError(f"{source}: neither a regular file nor a folder; take it out of there")
    return shutil.copyfile(source, target)


def _held(source: Source, folder: Path) -> list[Path]:
    """The files that lie there as the layout says, or one folder further down."""
    patterns = [re.sub("<[^>]*>", "*", path) for path in source.layout]
    return [
        file
        for pattern in patterns
        for prefix in ("", "*/")
        for file in find(folder, prefix + pattern)
    ]


def _merge(new: Path, old: Path, replaced: Path) -> None:
    """Move all in ``new`` to ``old``, or nothing: whole folders where there are none of that name.

    Files of ``old`` that others take the place of go to the folder ``replaced``.

    Raises:
        UserError: a file where a folder is to be, or a folder where a file is.
        OSError: one can't be moved.
    """
    old.mkdir(parents=True, exist_ok=True)
    undo: list[tuple[Path, Path]] = []
    try:
        for number, (entry, place) in enumerate(list(_moves(new, old))):
            if os.path.lexists(place):
                os.replace(place, replaced / str(number))
                undo.append((replaced / str(number), place))
            os.replace(entry, place)
            undo.append((place, entry))
    except BaseException:
        for moved, back in reversed(undo):
            os.replace(moved, back)
        raise


def _moves(new: Path, old: Path) -> Iterator[tuple[Path, Path]]:
    for entry in sorted(new.iterdir()):
        place = old / entry.name
        if entry.is_dir() and place.is_dir():
            yield from _moves(entry, place)
        elif place.exists() and entry.is_dir() != place.is_dir():
            here, there = ("folder", "file") if entry.is_dir() else ("file", "folder")
            raise UserError(f"{place}: a {there} is where a {here} is to be; move it away")
        else:
            yield entry, place


def _stamp(source: Source) -> dict[str, str]:
    if not _held(source, source.folder):
        return {}  # what was there is gone
    try:
        found = json.loads((source.folder / STAMP).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(k): str(v) for k, v in found.items()} if isinstance(found, dict) else {}


def _checksum(file: Path, algorithm: str) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, algorithm).hexdigest()


def _ask(url: str) -> int | None:
    """The size that the server states, if it can be reached."""
    request = urllib.request.Request(url, method="HEAD")
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.headers["content-length"])
    except (OSError, TypeError, ValueError):
        return None
