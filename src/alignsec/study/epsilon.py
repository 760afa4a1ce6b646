"""Epsilons as people write them: ``"1/255"``, ``"0.001"``."""

import re
from collections.abc import Sequence
from enum import StrEnum
from fractions import Fraction

from alignsec.ground.errors import AlignsecError


class Norm(StrEnum):
    """Norms of a perturbation."""

    LINF = "Linf"
    L2 = "L2"


def parse(text: str) -> float:
    """An epsilon string as a float of the [0, 1] pixel range; ``AlignsecError`` if it is not a number.

    >>> parse("0.5/255") * 255
    0.5
    """
    try:
        over, _, under = text.partition("/")
        if re.search(r"[eE][+-]?\d{3}", text):  # Fraction would write out a billion digits of 1e999999999
            raise ValueError("its exponent is too large")
        # "0.5/255" too, which Fraction does not read
        return float(Fraction(over) / Fraction(under or 1))
    except (ValueError, ZeroDivisionError, OverflowError, TypeError, AttributeError) as error:
        raise AlignsecError(f'epsilon {text!r} is not a number: write it like "1/255" or "0.001"') from error


def check(texts: Sequence[str], norm: str = Norm.LINF, large: float = 32 / 255) -> list[str]:
    """Refuse impossible epsilons; return the warnings about unlikely ones.

    Refused: none at all, zero, negative, duplicated (``1/255`` and ``2/510`` too), and for Linf above 0.5.
    Warned about for Linf: above `large`, since a bare 0.25 meaning 0.25/255 is the classic mistake.
    """
    warnings: list[str] = []
    if not texts:
        raise AlignsecError('no epsilon given: name at least one, for example "1/255"')
    seen: dict[float, str] = {}
    for text in texts:
        value = parse(text)
        if value <= 0:
            raise AlignsecError(
                f"epsilon {text!r} is not above zero: remove it (robust accuracy at 0 is clean "
                "accuracy, which is always reported)"
            )
        if norm == Norm.LINF and value > 0.5:
            raise AlignsecError(
                f'epsilon {text!r} is above 0.5, where any image can be made grey: did you mean "{text}/255"?'
            )
        if norm == Norm.LINF and value > large:
            warnings.append(
                f"epsilon {text!r} is {value * 255:.4g}/255, far above what studies use: "
                f'did you mean "{text}/255"?'
            )
        if value in seen:
            raise AlignsecError(f"epsilon {text!r} is the same as {seen[value]!r}: keep one")
        seen[value] = text
    return warnings
