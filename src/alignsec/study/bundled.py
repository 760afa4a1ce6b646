"""Reviewed tables and pins that come with the package: the clone's ``config/``, or a copy in the wheel."""

from pathlib import Path
from typing import Any

from alignsec.ground.errors import AlignsecError

_PLACES = (Path(__file__).parents[1] / "bundled", Path(__file__).parents[3] / "config")


def path(name: str) -> Path:
    """A file of the repository's ``config/`` by its name there.

    Raises
    ------
    AlignsecError
        There is none: the installation is not whole.

    Examples
    --------
    >>> path("kinds.tsv").name
    'kinds.tsv'
    """
    found = next((place / name for place in _PLACES if (place / name).is_file()), None)
    if found is None:
        raise AlignsecError(f"{name} did not come with this installation of alignsec: install it again")
    return found


def pinned_leaderboard() -> tuple[str, str]:
    """Address and SHA-256 of the leaderboard that the study of published robustness is pinned to."""
    import yaml

    given: dict[str, Any] = yaml.safe_load(path("published.yaml").read_text(encoding="utf-8"))
    return str(given["leaderboard"]["source"]), str(given["leaderboard"]["sha256"])
