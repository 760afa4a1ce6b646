"""Files below a folder, through symbolic links."""

import os
from pathlib import Path

from alignsec.ground.errors import AlignsecError


def walk(folder: Path) -> list[Path]:
    """Every file below a folder, sorted; links to files and folders are followed.

    Raises
    ------
    AlignsecError
        A link leads nowhere, or to a folder that it lies in.
    """
    found = []
    chains: dict[str, tuple[tuple[int, int], ...]] = {str(folder): (_identity(folder),)}
    for here, folders, names in os.walk(folder, followlinks=True):
        chain = chains.pop(here)
        for name in folders:
            below = Path(here, name)
            identity = _identity(below)
            if identity in chain:
                raise AlignsecError(f"images.path: {below}: a link to a folder that it lies in: remove it")
            chains[str(below)] = (*chain, identity)
        for name in names:
            file = Path(here, name)
            if file.is_symlink() and not file.exists():
                raise AlignsecError(f"images.path: {file}: a link to nothing ({file.readlink()}): remove it")
            if file.is_file():
                found.append(file)
    return sorted(found)


def _identity(folder: Path) -> tuple[int, int]:
    known = folder.stat()
    return known.st_dev, known.st_ino
