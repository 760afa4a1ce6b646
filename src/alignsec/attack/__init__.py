"""Adversarial robustness of one model on one set of images, for any number of epsilons."""

from typing import TYPE_CHECKING, Any

from alignsec.study.request import AttackRequest

if TYPE_CHECKING:
    from alignsec.attack.blame import ModelError
    from alignsec.attack.evaluate import evaluate_robustness

__all__ = ["AttackRequest", "ModelError", "evaluate_robustness"]


def __getattr__(name: str) -> Any:
    # imported when asked for: estimates, ledgers and the state of a study do without torch's four seconds
    if name == "evaluate_robustness":
        from alignsec.attack.evaluate import evaluate_robustness

        return evaluate_robustness
    if name == "ModelError":
        from alignsec.attack.blame import ModelError

        return ModelError
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
