"""alignsec: are vision models that see more like humans harder to attack?

The library behind the Snakemake workflow, and its steps for a notebook:

>>> import alignsec
>>> print(*(name for name in alignsec.__all__ if name.islower()))
check evaluate load_leaderboard load_published open_study relate

`load_…` read what is there to relate, `relate` and `open_study` analyse; `check` and `evaluate` run a
model, and import torch when they are called. Nothing is imported before it is asked for.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from alignsec.api.loading import Leaderboard, load_leaderboard, load_published
    from alignsec.api.models import check, evaluate
    from alignsec.api.relating import Result, open_study, relate
    from alignsec.ground.errors import AlignsecError

__version__ = "0.1.0"
__all__ = [
    "AlignsecError", "Leaderboard", "Result", "check", "evaluate", "load_leaderboard", "load_published",
    "open_study", "relate",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name == "AlignsecError":
        from alignsec.ground.errors import AlignsecError

        return AlignsecError
    if name in ("check", "evaluate"):
        from alignsec.api import models

        return getattr(models, name)
    if name in ("Leaderboard", "load_leaderboard", "load_published"):
        from alignsec.api import loading

        return getattr(loading, name)
    if name in __all__:
        from alignsec.api import relating

        return getattr(relating, name)
    raise AttributeError(f"module 'alignsec' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
