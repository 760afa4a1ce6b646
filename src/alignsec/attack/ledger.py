"""The ledger: an append-only file of what is known of one model under one set of settings.

One JSON record a line, each with a CRC-32 and written through to the disk before the work goes on. The head
says whose facts these are; every other record is a fact, and names the images it is about by their digest
and label, so that another choice of images, another batch size or another machine takes up what is known. A
record carries its writer and a number of its own, so that copies that went on apart can be merged.
"""

import contextlib
import fcntl
import json
import os
import socket
import sys
import uuid
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from alignsec.ground.errors import AlignsecError
from alignsec.ground.tables import atomic

FORMAT = 2
ALIKE = 1e-3  # of the spread of an image's logits: what two devices may differ by
LOOKED_AT = 2  # images whose logits are compared

Record = dict[str, Any]
Logits = Mapping[str, Sequence[float]]


class OtherJob(AlignsecError):
    """The ledger at this place is of another model or other settings."""


class InUse(AlignsecError):
    """Another process writes to the ledger."""


@dataclass(frozen=True)
class Witness:
    """By what a model's forward pass is recognised: its logits of images of the job, in exact float32.

    Parameters
    ----------
    images : the job's images, by their keys
    logits : keys to the logits of each
    """

    images: Sequence[str]
    logits: Callable[[Sequence[str]], Logits]


class Content(NamedTuple):
    """What a file holds: head, records in order, how many lines are damaged, bytes to the last line end."""

    head: Record | None = None
    records: Sequence[Record] = ()
    damaged: int = 0
    length: int = 0


def keys(marks: Sequence[bytes], labels: Sequence[int]) -> list[str]:
    """Names of images in a ledger: digest and label; one that comes again gets a number.

    >>> keys([b"a", b"b", b"a"], [3, 3, 3])
    ['61:3', '62:3', '61:3#2']
    """
    seen: dict[str, int] = {}
    named = []
    for mark, label in zip(marks, labels, strict=True):
        name = f"{mark[:12].hex()}:{int(label)}"
        seen[name] = seen.get(name, 0) + 1
        named.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    return named


def read(path: Path) -> list[Record]:
    """The records of a ledger, its head left out, that are whole by now: a job may be writing to it."""
    return list(_content(path).records)


def _line(record: Record) -> bytes:
    text = json.dumps(record, separators=(",", ":")).encode()
    return text + b"\t%08x\n" % zlib.crc32(text)


def _content(path: Path) -> Content:
    if not path.exists():
        return Content()
    head, records, damaged, seen, length = None, [], 0, set(), 0
    with path.open("rb") as handle:
        for line in handle:  # a ledger that keeps adversarials may be larger than memory should hold twice
            if not line.endswith(b"\n"):
                break  # torn
            length += len(line)
            text, _, check = line[:-1].rpartition(b"\t")
            if f"{zlib.crc32(text):08x}".encode() != check:
                damaged += 1
                continue
            record = json.loads(text)
            if "format" in record:
                head = head or record
            elif (place := (record.get("w"), record.get("n"))) not in seen:  # a block may stand there twice
                seen.add(place)
                records.append(record)
    return Content(head, records, damaged, length)


def _compare(where: str, found: Content, head: Record, witness: Witness | None) -> None:
    """Raise `OtherJob` unless the facts hold for this job as well."""
    assert found.head is not None
    there, here = {"format": found.head["format"]}, {"format": FORMAT}
    there |= found.head.get("identity", {})
    here |= head["identity"]
    other = [f"{k}: {there.get(k)} there, {here.get(k)} here" for k in here if there.get(k) != here[k]]
    if not other and witness is not None:
        known = _logits(found)
        mine = set(witness.images)
        common = [k for k in known if k in mine][:LOOKED_AT]
        if not common:
            # its facts cannot be told from those of equal weights behind another forward pass
            other = ["no logits of any of these images there"]
        for name, logits in witness.logits(common).items() if common else ():
            if not _alike(known[name], logits):
                other.append(f"logits of image {name}: {_few(known[name])} there, {_few(logits)} here")
    if other:
        raise OtherJob(
            f"{where}: this ledger belongs to another job ({'; '.join(other)}): name another "
            "file, or delete it to begin anew"
        )


def _logits(content: Content) -> dict[str, Sequence[float]]:
    """Of every image whose logits the file holds."""
    assert content.head is not None
    known: dict[str, Sequence[float]] = {**content.head["logits"]}
    for record in content.records:
        known = {**record.get("logits", {}), **known}
    return known


def _alike(one: Sequence[float], other: Sequence[float]) -> bool:
    if len(one) != len(other):
        return False
    apart = max(abs(a - b) for a, b in zip(one, other, strict=True))
    return apart <= ALIKE * (max(one) - min(one))


def _few(logits: Sequence[float]) -> str:
    return "[" + ", ".join(f"{v:.4g}" for v in logits[:3]) + (", …]" if len(logits) > 3 else "]")


class _Lock:
    """One writer at a time, by an advisory lock of a file beside the ledger.

    `held` is False where the file system has no such locks, which is said.
    """

    def __init__(self, ledger: Path) -> None:
        self.path, self.held = ledger.with_name(f"{ledger.name}.lock"), False
        while True:
            self.handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                fcntl.flock(self.handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                whose = os.read(self.handle, 200).decode("utf-8", "replace") or "another process"
                os.close(self.handle)
                raise InUse(f"{ledger}: {whose} writes to this ledger: wait for it, or end it") from error
            except OSError as error:
                print(f"warning: {self.path}: no lock ({error.strerror}): see to it yourself that no "
                      "second job writes to this ledger", file=sys.stderr)  # fmt: skip
                return
            # the one before may have removed the file between our opening and locking it
            with contextlib.suppress(FileNotFoundError):
                if os.fstat(self.handle).st_ino == self.path.stat().st_ino:
                    break
            os.close(self.handle)
        self.held = True
        os.ftruncate(self.handle, 0)
        os.write(self.handle, f"process {os.getpid()} on {socket.gethostname()}".encode())

    def release(self) -> None:
        if self.held:
            self.path.unlink(missing_ok=True)
        os.close(self.handle)


class Ledger:
    """Records in a file, or in memory only where `path` is None.

    Parameters
    ----------
    path : created if absent; a torn last line (a kill in mid-write) is dropped, a damaged one passed over; a
        file whose head is damaged is set aside as ``<path>.damaged``, and begun anew
    identity : what the facts hold for; a file of another identity is refused with the difference
    witness : by what the forward pass is compared; None: not at all (a stochastic model)
    told : recorded of who writes, not compared

    Attributes
    ----------
    records : those of the file at first, and what is appended
    damaged : lines of the file that were passed over

    Raises
    ------
    OtherJob
        The file is of another identity, or of another forward pass.
    InUse
        Another process has it open.
    AlignsecError
        A disk that takes no more.
    """

    def __init__(
        self,
        path: Path | str | None,
        identity: Record,
        witness: Witness | None = None,
        told: Record | None = None,
    ) -> None:
        self.path = None if path is None else Path(path)
        self.records: list[Record] = []
        self.damaged = 0
        self.writer, self._number, self._told = uuid.uuid4().hex[:12], 0, told or {}
        self._handle: int | None = None
        self._lock: _Lock | None = None
        if self.path is None:
            return
        with self._writing():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = _Lock(self.path)
        try:
            self._open(self.path, {"format": FORMAT, "identity": identity}, witness)
        except BaseException:
            self.close()
            raise

    def _open(self, path: Path, head: Record, witness: Witness | None) -> None:
        found = _content(path)
        if found.head is None and found.length:
            aside = path.with_name(f"{path.name}.damaged")
            print(f"{path}: the head of the ledger is damaged: set aside as {aside.name}", file=sys.stderr)
            path.replace(aside)
            found = Content()
        if found.head is not None:
            _compare(str(path), found, head, witness)
            self.records, self.damaged = list(found.records), found.damaged
            if found.damaged:
                print(f"{path}: {found.damaged} damaged line(s): that work is done again", file=sys.stderr)
        with self._writing():
            self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
            if self._lock is not None and self._lock.held:
                os.ftruncate(self._handle, found.length)
            elif path.stat().st_size > found.length:  # perhaps another's record, that grows at this moment
                os.write(self._handle, b"\n")
        if found.head is None:
            logits = {} if witness is None else witness.logits(witness.images[:LOOKED_AT])
            self._write({**head, "logits": logits, "told": self._told})
            self._told = {}
            with contextlib.suppress(OSError):  # so that the new name survives a power cut as well
                folder = os.open(path.parent, os.O_RDONLY)
                os.fsync(folder)
                os.close(folder)

    def append(self, record: Record) -> None:
        """Add a record; it is on the disk when this returns."""
        self.records.append(record)
        if self._handle is None:
            return
        if self._told:
            told, self._told = self._told, {}
            self._write_numbered({"kind": "writer", "told": told})
        self._write_numbered(record)

    def _write_numbered(self, record: Record) -> None:
        self._number += 1
        self._write({**record, "w": self.writer, "n": self._number})

    def _write(self, record: Record) -> None:
        assert self._handle is not None
        line = _line(record)
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
        if self._lock is not None:
            self._lock.release()
            self._lock = None


def merge(paths: Sequence[Path], out: Path) -> int:
    """Write a ledger of all that the ledgers of one job hold, each record once, in the order of `paths`.

    Parameters
    ----------
    paths : copies that went on apart; `out` may be among them; one whose head is damaged gives nothing, and
        is set aside as ``<out>.damaged`` where it is `out`

    Returns
    -------
    Number of records.

    Raises
    ------
    OtherJob
        Two of them are of different jobs, or one is at `out`.
    InUse
        Another process writes to `out`.
    AlignsecError
        One is not there, or none of them is a ledger.
    """
    if gone := [p for p in paths if not p.exists()]:
        raise AlignsecError(f"{gone[0]}: no such ledger")
    lock = _Lock(out)
    try:
        # what is at `out` is never lost: it takes part, or is set aside
        every = [*paths, *([out] if out.exists() and out not in paths else [])]
        found = [(p, c) for p in every if (c := _content(p)).head is not None]
        if not any(path in paths for path, _ in found):
            raise AlignsecError(f"{', '.join(map(str, paths))}: no ledger that could be read")
        (_, first), *others = found
        assert first.head is not None
        known = _logits(first) if first.head["logits"] else {}  # of a stochastic model they differ by nature
        witness = Witness(list(known), lambda names: {n: known[n] for n in names}) if known else None
        for path, content in others:
            _compare(str(path), content, first.head, witness)
        once = {(r.get("w"), r.get("n")): r for _, content in found for r in content.records}
        if out in every and out not in [p for p, _ in found]:
            out.replace(out.with_name(f"{out.name}.damaged"))
        with atomic(out) as temporary:
            temporary.write_bytes(b"".join(_line(r) for r in [first.head, *once.values()]))
    finally:
        lock.release()
    return len(once)
