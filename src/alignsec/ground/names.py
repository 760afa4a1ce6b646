"""Model names are data; this is the one place that turns them into file names.

Names hold ``/``, ``:``, ``=``, spaces and non-ASCII. The encoding is reversible and safe for a shell, a
Snakemake wildcard, a case-insensitive disk and HTCondor's transfer lists (no ``, ; = $ %``).
"""

import re
from collections.abc import Iterable, Sequence

from alignsec.ground.errors import AlignsecError

_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789-.")
_LONGEST = 200  # bytes; ext4 and APFS allow 255, and suffixes follow


def encode(name: str) -> str:
    """File name for a model or benchmark name.

    Lower-case ASCII letters, digits, ``-`` and inner ``.`` stand for themselves; every other byte of the
    UTF-8 form is ``_`` and two lower-case hex digits (upper-case letters too, so that names that differ only
    in case do not meet on a case-insensitive disk). A leading ``.`` is escaped, so the result is never
    hidden and never ``..``; so is a leading ``-``, so it is never an option.

    Raises
    ------
    AlignsecError
        The name is empty or its encoded form is longer than 200 bytes.

    Examples
    --------
    >>> encode("resnet-50"), encode("../Etc:x")
    ('resnet-50', '_2e._2f_45tc_3ax')
    """
    if not name:
        raise AlignsecError("a name is empty: give every row a name")
    raw = name.encode("utf-8")
    parts = [
        chr(b) if b in _PLAIN and not (i == 0 and b in b".-") else f"_{b:02x}" for i, b in enumerate(raw)
    ]
    encoded = "".join(parts)
    if len(encoded) > _LONGEST:
        raise AlignsecError(f"the name {name[:40]!r}… is too long for a file name: shorten it")
    return encoded


def decode(encoded: str) -> str:
    """The name that `encode` gave this form; what is none of its forms is left as it is.

    >>> decode(encode("Ünnötig: 1/4"))
    'Ünnötig: 1/4'
    """
    raw = re.sub(rb"_([0-9a-f]{2})", lambda m: bytes.fromhex(m[1].decode()), encoded.encode())
    return raw.decode("utf-8", errors="replace")


def closest(name: str, candidates: Iterable[str], n: int = 1) -> list[tuple[str, float]]:
    """The `n` candidates most like `name`, each with a similarity in [0, 1], best first."""
    import difflib

    scored = ((difflib.SequenceMatcher(None, name, c).ratio(), c) for c in candidates)
    return [(c, round(s, 3)) for s, c in sorted(scored, key=lambda t: (-t[0], t[1]))[:n]]


def nearest(names: Sequence[str], candidates: Sequence[str]) -> list[tuple[str, float]]:
    """For each name the most similar candidate and their similarity in [0, 1], case and separators left out.

    >>> nearest(["ResNet-50", "alex"], ["resnet_50", "alexnet"])
    [('resnet_50', 1.0), ('alexnet', 0.727)]
    """
    from rapidfuzz import fuzz, process

    if not candidates:
        return []
    likeness = process.cdist([_plain(n) for n in names], [_plain(c) for c in candidates], scorer=fuzz.ratio)
    best = [int(row.argmax()) for row in likeness]
    return [(candidates[j], round(float(row[j]) / 100, 3)) for j, row in zip(best, likeness, strict=True)]


def _plain(name: str) -> str:
    return re.sub(r"[\s_\-.:/=]+", "", name.lower())
