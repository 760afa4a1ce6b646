"""Adversarial robustness of one model on one set of images, for any number of epsilons."""

from alignsec.attack.engine import evaluate_robustness

__all__ = ["evaluate_robustness"]
