"""Epsilons as people write them."""

import pytest

from alignsec.ground.errors import AlignsecError
from alignsec.study import epsilon


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["0"], "not above zero"),
        (["-1/255"], "not above zero"),
        (["3/2"], "above 0.5"),
        (["1/255", "2/510"], "the same as"),
        (["abc"], "not a number"),
        (["1/0"], "not a number"),
    ],
)
def test_epsilons_refused(texts: list[str], message: str) -> None:
    with pytest.raises(AlignsecError, match=message):
        epsilon.check(texts)


def test_epsilons_warned_and_parsed() -> None:
    assert '"0.25/255"' in epsilon.check(["0.25"])[0]
    assert epsilon.check(["0.001", "0.5/255", "1/255"][::2]) == []
    assert epsilon.parse("1/255") == 1 / 255
    assert epsilon.parse("0.5/255") == 0.5 / 255
