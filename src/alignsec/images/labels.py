"""Labels of class folders."""

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from alignsec.ground.errors import AlignsecError
from alignsec.images.npz import MAX_LABEL


def folder_labels(
    path: str,
    images: Sequence[PurePosixPath],
    synsets: Mapping[str, int],
    classes: tuple[str, bytes] | None = None,
) -> tuple[dict[str, int], list[str]]:
    """Label by name of the class folder, and how they were found unless by synset.

    In this order: `classes` (place and content of a file with the folders' names, one a line, the first of
    label 0); ImageNet's `synsets`; folders that are whole numbers; else folders in sorted order, as
    torchvision's ``ImageFolder`` has them.

    Raises
    ------
    AlignsecError
        An image lies in no folder, or in one that its kind of names does not know.

    >>> images = [PurePosixPath("cat/1.png"), PurePosixPath("ape/1.png")]
    >>> folder_labels("pets", images, {})[0]
    {'ape': 0, 'cat': 1}
    >>> folder_labels("pets", images, {}, ("classes.txt", b"cat\\nape\\n"))[0]
    {'cat': 0, 'ape': 1}
    """
    first = {n.parent.name: n for n in reversed(images)}
    if "" in first:
        raise AlignsecError(f"images.path: {path}: {first['']}: in no class folder: its label is unknown")
    names = sorted(first)
    if classes is not None:
        place, content = classes
        labels = _own(place, content)
        how = [f"labels of {len(names)} class folders by {place}"]
        kind = f"a folder that stands in {place}"
    elif any(n in synsets or re.fullmatch(r"n\d{8}", n) for n in names):
        labels, how, kind = dict(synsets), [], "a folder named by one of ImageNet's synsets"
    elif any(re.fullmatch(r"[0-9]+", n) for n in names):
        labels = {n: int(n) for n in names if re.fullmatch(r"[0-9]{1,9}", n) and int(n) <= MAX_LABEL}
        how, kind = [f"labels of {len(names)} class folders are their names"], "a folder named by a number"
        if len(set(labels.values())) < len(labels):
            raise AlignsecError(f"images.path: {path}: two folders of one number: {', '.join(names[:5])}, …")
    else:
        labels, kind = {n: i for i, n in enumerate(names)}, ""
        told = ", ".join(f"{n} {i}" for i, n in enumerate(names[:4]))
        how = [
            f"the {len(names)} class folders are no ImageNet synsets: labels in sorted order ({told}"
            f"{', …' if len(names) > 4 else ''}); a classes.txt beside them, one name a line, gives another"
        ]
    if unknown := [n for n in names if n not in labels]:
        raise AlignsecError(
            f"images.path: {path}: {first[unknown[0]]}: not in {kind}: its label is unknown; remove it"
        )
    return labels, how


def _own(place: str, content: bytes) -> dict[str, int]:
    try:
        lines = content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise AlignsecError(f"images.path: {place}: not UTF-8 ({error}): save it as UTF-8") from error
    names = [line.strip() for line in lines]
    while names and not names[-1]:
        names.pop()
    for i, name in enumerate(names):
        if not name or name in names[:i]:
            what = "is empty" if not name else f"has {name!r} again"
            raise AlignsecError(f"images.path: {place}: line {i + 1} {what}: one class a line")
    return {name: i for i, name in enumerate(names)}
