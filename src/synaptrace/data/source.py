"""What a data set declares about itself, for `synaptrace data list`, `fetch` and `prepare`.

Beside ``load``, a data set's module has

    SOURCE = Source(name=…, title=…, …)
    def prepare(*, path: Path | None = None, skip_bad: bool = False, …) -> Cache

where it needs files, ``prepare`` with those of the loader's options on which the cache depends.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from synaptrace.data.cache import home
from synaptrace.errors import UserError


def find(root: Path, pattern: str) -> list[Path]:
    """The files below ``root`` that match, sorted; names that start with a dot are not data.

    Systems and editors leave such (``._a.wav``, ``.ipynb_checkpoints/``) beside every file.
    """
    return sorted(file for file in root.glob(pattern) if not _hidden(file.relative_to(root)))


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


@dataclass(frozen=True)
class Download:
    """A file to fetch.

    Args:
        url: where it lies.
        size: bytes, where known.
        checksum: "sha256:…" or "md5:…", where the publisher or a careful copy gives one.
        unpack: the folder of the data set into which an archive is unpacked, "." for its top;
            None for a file that stays as it is.
        name: what it is called in the data set's folder; by default as in the URL.
        holds: how many of the data set's files are in it, for one whose checksum isn't known.
    """

    url: str
    size: int | None = None
    checksum: str | None = None
    unpack: str | None = None
    name: str = ""
    holds: int | None = None

    @property
    def file(self) -> str:
        """The name under which it is kept: its own, or the last part of the address."""
        return self.name or self.url.split("?")[0].rsplit("/", 1)[-1]


@dataclass(frozen=True)
class Source:
    """Where a data set comes from and how it lies on the disk.

    Args:
        name: as in ``data.name``.
        title: one line for people.
        licence: short, SPDX where there is one.
        page: where its makers describe it.
        layout: paths below its folder as officially unpacked, for example
            ``("Train/<label>/<id>.bin", "Test/<label>/<id>.bin")``; empty: nothing to fetch.
        downloads: what `fetch` gets; empty where a person has to (``manual`` says how).
        manual: what to do by hand.
        splits: one line: where validation and test come from.
    """

    name: str
    title: str
    licence: str
    page: str
    layout: tuple[str, ...] = ()
    downloads: tuple[Download, ...] = ()
    manual: str = ""
    splits: str = ""

    @property
    def folder(self) -> Path:
        """Where `fetch` puts it, and where it is looked for without ``data.path``."""
        return home() / self.name

    def locate(self, path: Path | None) -> Path:
        """The folder of its files: ``path``, or where `fetch` puts them.

        Raises:
            UserError: there is no such folder.
        """
        found = self.folder if path is None else path
        if not found.is_dir():
            raise UserError(
                f"{found}: {self.name} isn't there; set data.path to the folder that holds "
                f"{', '.join(self.layout)}, or run `synaptrace data fetch {self.name}`"
            )
        return found
