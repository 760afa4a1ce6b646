"""Image files in tar archives, read where they are; a gzipped one through an uncompressed copy."""

import contextlib
import fcntl
import gzip
import hashlib
import os
import shutil
import tarfile
import tempfile
import zlib
from functools import lru_cache
from pathlib import Path, PurePosixPath

from alignsec.ground.errors import AlignsecError

PART = ".part"  # of an unfinished copy
SPARE = 1 << 30  # bytes that a copy leaves free on its disk


def read(archive: str, member: str) -> bytes:
    """The bytes of a member.

    Raises
    ------
    OSError
        Archive or member is gone.
    """
    try:
        offset, size = members(archive)[member]
    except KeyError:
        raise FileNotFoundError(2, "no such member", f"{archive}!{member}") from None
    with _plain(archive).open("rb") as handle:
        handle.seek(offset)
        return handle.read(size)


@lru_cache(maxsize=4)
def members(archive: str) -> dict[str, tuple[int, int]]:
    """Offset and size of every regular member of a tar archive, plain or gzipped, when uncompressed.

    Raises
    ------
    AlignsecError
        Not such an archive, or one with a member that no data set needs: a link, a device, an absolute path
        or one that leaves the archive.
    """
    found = {}
    try:
        with tarfile.open(_plain(archive), "r:") as tar:
            for member in tar:
                path = PurePosixPath(member.name)
                if path.is_absolute() or ".." in path.parts:
                    raise AlignsecError(
                        f"images.path: {archive}: member {member.name!r} lies outside: refused"
                    )
                if member.isdir():
                    continue
                if not member.isfile():
                    raise AlignsecError(
                        f"images.path: {archive}: member {member.name!r} is a link or a device: refused"
                    )
                found[str(path)] = member.offset_data, member.size
    except (tarfile.TarError, ValueError, OverflowError) as error:
        raise AlignsecError(f"images.path: {archive}: no tar archive, plain or gzipped ({error})") from error
    return found


def _plain(archive: str) -> Path:
    """The archive, or where it is gzipped the copy of it that can be read from any place on.

    Copies lie in ``$XDG_CACHE_HOME/alignsec`` (``~/.cache/alignsec``), one for each state of the archive.
    """
    path = Path(archive)
    with path.open("rb") as handle:
        if handle.read(2) != b"\x1f\x8b":
            return path
    known = path.stat()
    key = f"{path.absolute()}\0{known.st_size}\0{known.st_mtime_ns}"
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "alignsec")
    copy = folder / f"{hashlib.sha256(os.fsencode(key)).hexdigest()[:32]}.tar"
    if not copy.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        _uncompress(path, copy)
    return copy


def _uncompress(path: Path, copy: Path) -> None:
    _remove_left(copy.parent)
    # written aside and renamed: of two processes that do so at once, either's copy is whole
    with tempfile.NamedTemporaryFile(dir=copy.parent, suffix=PART, delete=False) as out:
        part = Path(out.name)
        fcntl.flock(out, fcntl.LOCK_EX)  # for as long as this process lives: see `_remove_left`
        try:
            with gzip.open(path) as source:
                while block := source.read(1 << 24):
                    if shutil.disk_usage(copy.parent).free < SPARE + len(block):
                        raise AlignsecError(
                            f"images.path: {path}: no room for it uncompressed in {copy.parent}: uncompress "
                            "it elsewhere and name that, or set XDG_CACHE_HOME"
                        )
                    out.write(block)
            out.flush()
            part.replace(copy)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise AlignsecError(f"images.path: {path}: damaged or cut short ({error})") from error
        finally:
            part.unlink(missing_ok=True)


def _remove_left(folder: Path) -> None:
    """Remove unfinished copies whose process was killed: nobody holds their lock."""
    for part in folder.glob(f"*{PART}"):
        # a file system without locks, or a process that is at it: the file stays
        with contextlib.suppress(OSError), part.open("rb") as held:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            part.unlink()
