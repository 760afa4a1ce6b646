"""Files by path or address: copied or downloaded whole or not at all, within limits, their SHA-256 checked.

Where ``ALIGNSEC_MIRROR`` names a folder, a pinned file is first looked for there: any file, at any depth and
under any name, that has the SHA-256 asked for. So pinned data can be used on a machine without a network.
"""

import os
import re
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from alignsec.ground.errors import AlignsecError
from alignsec.ground.hashes import file_hash
from alignsec.ground.tables import atomic

MIRROR = "ALIGNSEC_MIRROR"
LARGEST = 200 * 2**20  # bytes; published tables are below 10 MB
LONGEST = 600.0  # seconds in all, of one attempt
SILENCE = 60.0  # seconds without an answer
ATTEMPTS = 3
_CHUNK = 1 << 16


def _is_web(source: str) -> bool:
    """Whether this is an address of the web, and no path."""
    return re.match(r"https?://", source) is not None


def fetch(
    source: str,
    out: Path | str,
    sha256: str | None,
    *,
    key: str,
    largest: int = LARGEST,
    longest: float = LONGEST,
) -> str:
    """Copy a local file or download an address to `out`; return its SHA-256.

    Parameters
    ----------
    source : path, or address that begins with http:// or https://
    sha256 : hexadecimal digits that the file must have; None takes any
    key : configuration key that names the source, for messages; ``<section>.sha256`` is taken to be its pin
    largest : bytes
    longest : seconds of one attempt at a download, from its start to its last byte

    Raises
    ------
    AlignsecError
        No such file, no answer after three attempts, a file or a wait above the limits, or another SHA-256
        than asked for.

    Examples
    --------
    >>> import tempfile
    >>> place = Path(tempfile.mkdtemp())
    >>> _ = (place / "a.csv").write_text("model,score\\n")
    >>> fetch(str(place / "a.csv"), place / "b.csv", None, key="leaderboard.source")[:8]
    '5e1481aa'
    """
    kept = mirrored(sha256) if sha256 is not None and _is_web(source) else None
    with atomic(out) as temporary:
        if kept is not None:
            print(f"{source}: taken from the mirror, {kept}", file=sys.stderr)
            shutil.copyfile(kept, temporary)
        elif _is_web(source):
            _download(source, temporary, key, largest, longest)
        elif Path(source).is_file():
            shutil.copyfile(source, temporary)
        else:
            raise AlignsecError(f"{key}: {source}: no such file, and no http(s) address")
        found = file_hash(temporary)
        if sha256 is not None and found != sha256:
            raise AlignsecError(
                f"{key.rpartition('.')[0]}.sha256: {source} has SHA-256 {found}, not {sha256}: the file "
                "changed or the "
                "download is damaged; if the new file is meant, put its hash into the configuration"
            )
    return found


def mirrored(sha256: str) -> Path | None:
    """The file of the mirror that has this SHA-256; None where there is no mirror, or none in it.

    Raises
    ------
    AlignsecError
        ``ALIGNSEC_MIRROR`` names no folder.
    """
    folder = os.environ.get(MIRROR)
    if not folder:
        return None
    if not Path(folder).is_dir():
        raise AlignsecError(
            f"{MIRROR}: {folder}: no such folder: name one that holds the pinned files, or unset it"
        )
    return next((path for path in _files(Path(folder)) if file_hash(path) == sha256), None)


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.stat().st_size <= LARGEST:
            yield path


def _download(source: str, out: Path, key: str, largest: int, longest: float) -> None:
    import requests
    import urllib3

    for attempt in range(1, ATTEMPTS + 1):
        try:
            _attempt(source, out, key, largest, longest)
            return
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            answer = getattr(error, "response", None)
            code = None if answer is None else answer.status_code
            final = code is not None and code < 500  # not there, or not for us: another attempt is as useless
            if attempt == ATTEMPTS or final:
                what = f"HTTP status {code}" if code is not None else f"no answer ({type(error).__name__})"
                hint = f"; {MIRROR} holds no file of the SHA-256 asked for" if os.environ.get(MIRROR) else ""
                raise AlignsecError(
                    f"{key}: {source} cannot be read: {what}{hint}: is the address right, and is there a "
                    "network? A "
                    f"file of yours can be named instead, or {MIRROR} a folder that holds the pinned one"
                ) from error
            time.sleep(2**attempt)


def _attempt(source: str, out: Path, key: str, largest: int, longest: float) -> None:
    import requests
    from tqdm import tqdm

    def too_large(size: int) -> AlignsecError:
        return AlignsecError(
            f"{key}: {source} has {size:,} bytes or more, above the limit of {largest:,}: refused"
        )

    start = time.monotonic()
    with requests.get(source, stream=True, timeout=SILENCE, allow_redirects=True) as answer:
        answer.raise_for_status()
        told = int(answer.headers.get("Content-Length") or 0)
        if told > largest:
            raise too_large(told)
        size = 0
        with (
            out.open("wb") as handle,
            tqdm(total=told or None, unit="B", unit_scale=True, disable=None) as bar,
        ):
            # read1 returns what is there: a server that drips would keep a read of a whole chunk waiting
            while chunk := answer.raw.read1(_CHUNK, decode_content=True):
                size += len(chunk)
                if size > largest:
                    raise too_large(size)
                if time.monotonic() - start > longest:
                    raise AlignsecError(
                        f"{key}: {source} was not read within {longest:g} s ({size:,} bytes came): try "
                        "again, or name "
                        "a file of yours"
                    )
                handle.write(chunk)
                bar.update(len(chunk))
        if told and size < told and not answer.headers.get("Content-Encoding"):
            raise requests.ConnectionError(f"cut off after {size} of {told} bytes")
