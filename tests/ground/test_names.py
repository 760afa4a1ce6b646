import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignsec.ground.errors import AlignsecError
from alignsec.ground.names import closest, encode

HOSTILE = [
    "../../etc/x:y=z",
    "ResNet-50",
    "resnet-50",
    " padded",
    "a/b c",
    "日本",
    "-rf",
    ".hidden",
    "a_5f",
    "a;$%,b",
]


def decode(encoded: str) -> str:
    """What `encode` made the text of: nothing is lost on the way."""
    return re.sub(rb"_([0-9a-f]{2})", lambda m: bytes([int(m[1], 16)]), encoded.encode()).decode("utf-8")


@pytest.mark.parametrize("name", HOSTILE)
def test_round_trip_of_hostile_names(name: str) -> None:
    assert decode(encode(name)) == name


@given(st.text(min_size=1, max_size=30).filter(lambda s: s.isprintable()))
def test_round_trip(name: str) -> None:
    encoded = encode(name)
    assert decode(encoded) == name
    assert set(encoded) <= set("abcdefghijklmnopqrstuvwxyz0123456789-._")
    assert encoded[0] not in "-."


@given(st.text(min_size=1, max_size=20), st.text(min_size=1, max_size=20))
def test_distinct_names_stay_distinct_on_a_case_insensitive_disk(a: str, b: str) -> None:
    try:
        pair = encode(a).lower(), encode(b).lower()
    except UnicodeEncodeError:
        return
    assert (pair[0] == pair[1]) == (a == b)


def test_errors_and_closest() -> None:
    with pytest.raises(AlignsecError, match="empty"):
        encode("")
    with pytest.raises(AlignsecError, match="too long"):
        encode("x" * 300)
    assert closest("resnet50", ["alexnet", "resnet_50", "vgg"])[0][0] == "resnet_50"
