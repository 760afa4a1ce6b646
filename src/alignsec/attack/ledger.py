"""The ledger: an append-only file of what is known of one model on one set of images.

One JSON record a line, each with a CRC-32 and written through to the disk before the work goes on. The first
says whose ledger it is; the others are facts (this image has an adversarial at distance d; the judge failed
on it at e; this unit is done) and the plan of batches, so that a killed job, run again, goes on with the very
batches it would have had. Epsilons are no part of the identity: a study that adds one keeps what it has.
"""

import contextlib
import hashlib
import json
import os
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from alignsec.ground.errors import AlignsecError

FORMAT = 1


class OtherJob(AlignsecError):
    """The ledger at this place is of another model, other images or other settings."""


def images_hash(marks: Sequence[bytes], shape: Sequence[int], labels: Tensor) -> str:
    """SHA-256 of the images, by their own digests (`draws.digests`), and their labels, in order."""
    digest = hashlib.sha256(str(tuple(shape)).encode() + b"".join(marks))
    digest.update(labels.detach().cpu().numpy().astype("<i8").tobytes())
    return digest.hexdigest()


def read(path: Path) -> list[dict[str, Any]]:
    """The records of a ledger, its head left out, that are whole by now: a job may be writing to it.

    Raises
    ------
    AlignsecError
        A record before the last is damaged.
    """
    return _load(path)[0][1:]


def _load(path: Path) -> tuple[list[dict[str, Any]], int]:
    """The records, head first, and the length of the part of the file that holds them."""
    if not path.exists():
        return [], 0
    content, records, at = path.read_bytes(), [], 0
    lines = content.split(b"\n")
    for number, line in enumerate(lines, 1):
        if number == len(lines):
            break  # what follows the last line end: nothing, or a torn record
        text, _, check = line.rpartition(b"\t")
        if f"{zlib.crc32(text):08x}".encode() != check:
            if number >= len(lines) - 1:
                break  # torn in a way that kept its line end
            raise AlignsecError(
                f"{path}:{number}: the ledger is damaged: delete it and run again (or keep its "
                f"first {number - 1} lines: they are intact)"
            )
        records.append(json.loads(text))
        at += len(line) + 1
    return records, at


class Ledger:
    """Records in a file, or in memory only where `path` is None.

    Parameters
    ----------
    path : created if absent; a torn last line (a kill in mid-write) is dropped
    identity : what the facts hold for; a file of another identity is refused with the difference

    Raises
    ------
    AlignsecError
        Another job's ledger, a damaged one, or a disk that takes no more.
    """

    def __init__(self, path: Path | str | None, identity: dict[str, Any]) -> None:
        self.path = None if path is None else Path(path)
        self.records: list[dict[str, Any]] = []
        self._handle: int | None = None
        if self.path is None:
            return
        head = {"format": FORMAT, **identity}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        found, intact = _load(self.path)
        if found:
            self._compare(found[0], head)
            self.records = found[1:]
        with self._writing():
            self._handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
            os.ftruncate(self._handle, intact)
            os.lseek(self._handle, 0, os.SEEK_END)
        if not found:
            self._write(head)
            with contextlib.suppress(OSError):  # so that the new name survives a power cut as well
                folder = os.open(self.path.parent, os.O_RDONLY)
                os.fsync(folder)
                os.close(folder)

    def _compare(self, found: dict[str, Any], wanted: dict[str, Any]) -> None:
        other = [
            f"{k}: {found.get(k)} there, {wanted.get(k)} here" for k in wanted if found.get(k) != wanted[k]
        ]
        if other:
            raise OtherJob(
                f"{self.path}: this ledger belongs to another job ({'; '.join(other)}): name another "
                "file, or delete it to begin anew"
            )

    def append(self, record: dict[str, Any]) -> None:
        """Add a record; it is on the disk when this returns."""
        self.records.append(record)
        if self._handle is not None:
            self._write(record)

    def _write(self, record: dict[str, Any]) -> None:
        assert self._handle is not None
        text = json.dumps(record, separators=(",", ":")).encode()
        line = text + b"\t%08x\n" % zlib.crc32(text)
        with self._writing():
            while line:
                line = line[os.write(self._handle, line) :]
            os.fsync(self._handle)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise AlignsecError(
                f"{self.path}: the ledger cannot be written ({error.strerror}): make room and run again; "
                "what was settled before is kept"
            ) from error

    def close(self) -> None:
        """Close the file; the records stay readable here."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None
