"""Adversarial robustness of one model on one set of images, for any number of epsilons."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from alignsec.attack.engine import evaluate_robustness

__all__ = ["evaluate_robustness"]


def __getattr__(name: str) -> Any:
    # imported when asked for: estimates, ledgers and the state of a study do without torch's four seconds
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from alignsec.attack.engine import evaluate_robustness

    return evaluate_robustness
