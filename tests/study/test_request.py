"""What an attack is asked: one dataclass, held to the schema, to its JSON and to the verbs' options."""

import dataclasses
import json
import typing
from enum import StrEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from alignsec.cli.attack import asks
from alignsec.cli.options import group
from alignsec.ground.errors import AlignsecError
from alignsec.study import config
from alignsec.study.request import Attack, AttackRequest, Norm, Precision, SearchPrecision, Version

FIELDS = {f.name: f for f in dataclasses.fields(AttackRequest)}
OF_THE_STUDY = {"job_hours", "images_per_shard", "audit"}  # how a study is cut into jobs
OTHERS: dict[str, Any] = {
    "epsilons": ("0.1", "2/255"), "norm": "L2", "version": "rand", "attacks": ("square", "fab"),
    "ladder": False, "top5": True, "precision": "tf32", "screen_precision": "bfloat16", "seed": 3,
    "batch_size": 7, "keep": True,
}  # fmt: skip
UNCHANGED = {"batch_size", "keep"}  # verdicts are the same whatever these say


def other(name: str) -> AttackRequest:
    """A request with one field at another value (its attacks need version custom)."""
    needed = {"version": "custom"} if name == "attacks" else {}
    return AttackRequest.of({name: OTHERS[name], **needed})


def plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def test_fields_defaults_and_choices_are_those_of_the_schema() -> None:
    schema = config.schema()["properties"]
    section = schema["attack"]["properties"] | {"seed": schema["seed"]}
    assert set(section) - OF_THE_STUDY == set(FIELDS) == set(OTHERS)
    hints = typing.get_type_hints(AttackRequest)
    for name, field in FIELDS.items():
        assert section[name]["default"] == plain(field.default), name
        kind, node = hints[name], section[name]
        if typing.get_origin(kind) is tuple:
            kind, node = typing.get_args(kind)[0], node["items"]
        if isinstance(kind, type) and issubclass(kind, StrEnum):
            assert node["enum"] == [k.value for k in kind], name
        else:
            types = {"string": str, "boolean": bool, "integer": int, "null": type(None)}
            given = node["type"] if isinstance(node["type"], list) else [node["type"]]
            assert {types[t] for t in given} == set(typing.get_args(kind) or [kind]), name
        assert field.metadata["meaning"].endswith((".", "?"))
    assert {n for n, f in FIELDS.items() if not f.metadata["verdicts"]} == UNCHANGED


def test_the_default_is_no_text_at_all_and_each_field_is_told_once() -> None:
    assert (AttackRequest().to_json(), AttackRequest().manner()) == ("{}", "{}")
    for name in FIELDS:
        asked = other(name)
        verdicts, manner = json.loads(asked.to_json()), json.loads(asked.manner())
        there, not_there = (manner, verdicts) if name in UNCHANGED else (verdicts, manner)
        assert there[name] == plain(OTHERS[name]) and name not in not_there
        assert AttackRequest.from_json(asked.to_json(), asked.manner()) == asked


@given(
    st.sets(st.sampled_from(["1/255", "0.25/255", "0.1", "0.5"]), min_size=1),
    st.fixed_dictionaries(
        {},
        optional={
            "norm": st.sampled_from(list(Norm)),
            "ladder": st.booleans(),
            "precision": st.sampled_from(list(SearchPrecision)),
            "screen_precision": st.sampled_from(list(Precision)),
            "seed": st.integers(0, 9),
            "batch_size": st.none() | st.integers(1, 9),
            "keep": st.booleans(),
        },
    ),
)
def test_equal_requests_have_one_text(epsilons: set[str], options: dict[str, Any]) -> None:
    asked = AttackRequest(epsilons=tuple(epsilons), **options)
    again = AttackRequest.from_json(asked.manner(), asked.to_json())
    assert again == asked and hash(again) == hash(asked)
    assert again.to_json() == asked.to_json()
    explicit = AttackRequest.of(dataclasses.asdict(asked))
    assert explicit.to_json() == asked.to_json()


def test_radii_are_floats_in_order_and_names_are_kept_as_written() -> None:
    asked = AttackRequest(epsilons=("2/255", "0.5/255", 0.1))
    assert asked.epsilons == ("2/255", "0.5/255", "0.1")
    assert asked.radii == (0.5 / 255, 2 / 255, 0.1)


def test_the_attacks_of_a_version_in_their_order() -> None:
    assert AttackRequest().run == (Attack.APGD_CE, Attack.APGD_T, Attack.FAB_T, Attack.SQUARE)
    assert other("attacks").run == (Attack.SQUARE, Attack.FAB)
    asked = AttackRequest(version="custom", attacks=("square",), top5=True, seed=2).for_stochastic()
    assert asked.run == (Attack.APGD_CE, Attack.APGD_DLR)
    assert asked == AttackRequest(version=Version.RAND, seed=2) and asked.stochastic


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"norm": "L1"}, "norm 'L1' is not one of Linf, L2"),
        ({"version": "fast"}, "attack version 'fast' is not one of standard, rand, custom"),
        ({"version": "custom"}, "version custom needs a list of attacks: apgd-ce, apgd-dlr"),
        ({"version": "custom", "attacks": ["pgd"]}, "attack 'pgd' is not one of"),
        ({"version": "custom", "attacks": ["fab", "fab"]}, "an attack is named twice: fab, fab"),
        ({"attacks": ["fab"]}, "version standard has its own attacks"),
        ({"version": "rand", "top5": True}, "top5 is not defined for version rand"),
        ({"screen_precision": "float16"}, "screen_precision 'float16' is not one of float32, bfloat16"),
        ({"precision": "bfloat16"}, "precision 'bfloat16' is not one of float32, tf32"),
        ({"batch_size": 0}, "batch_size 0 is not a whole number of 1 or above"),
        ({"batch_size": 1.5}, "batch_size 1.5 is not a whole number"),
        ({"seed": -1}, "seed -1 is not a whole number of 0 or above"),
        ({"seed": True}, "seed True is not a whole number"),
        ({"ladder": "no"}, "ladder 'no' is neither true nor false"),
        ({"epsilons": ()}, "no epsilon given"),
        ({"epsilons": ("8",)}, "'8' is above 0.5"),
        ({"screen_precison": "float32"}, "no option 'screen_precison': did you mean 'screen_precision'"),
    ],
)
def test_what_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(AlignsecError, match=message):
        AttackRequest.of(options)


@pytest.mark.parametrize("text", ["[]", "{", '{"norms": "L2"}'])
def test_json_that_is_no_request(text: str) -> None:
    with pytest.raises(AlignsecError, match=r"request|no option 'norms'"):
        AttackRequest.from_json(text)


def asked_by(*arguments: str) -> tuple[AttackRequest | None, str]:
    """What a verb with these arguments is given, and what it printed."""
    seen: list[AttackRequest] = []
    app = group("A program.")

    @app.command()
    @asks
    def verb(request: AttackRequest, more: int = 0) -> None:
        seen.append(request)

    done = CliRunner().invoke(app, list(arguments))
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return (seen[0] if seen else None), done.output


def test_every_field_is_an_option_of_the_verbs() -> None:
    assert asked_by() == (AttackRequest(), "")
    for name in FIELDS:
        flag = "--" + name.replace("_", "-").removesuffix("s" if name in ("epsilons", "attacks") else "")
        value = OTHERS[name]
        words: list[str] = []
        if isinstance(value, bool):
            words = [flag if value else flag.replace("--", "--no-")]
        else:
            for one in value if isinstance(value, tuple) else [value]:
                words += [flag, str(one)]
        words += ["--version", "custom"] if name == "attacks" else []
        assert asked_by(*words)[0] == other(name), name


def test_single_options_stand_over_the_text_and_later_texts_over_earlier() -> None:
    first, second = '{"norm":"L2","seed":1}', '{"seed":2,"keep":true}'
    found, _ = asked_by("--request", first, "--request", second, "--seed", "0", "--no-keep")
    assert found == AttackRequest(norm=Norm.L2, seed=0, keep=False)
    # neither the text nor the option is a request by itself
    found, _ = asked_by("--request", '{"version":"custom"}', "--attack", "fab")
    assert found == AttackRequest(version=Version.CUSTOM, attacks=(Attack.FAB,))


def test_an_option_that_is_none_is_refused() -> None:
    found, text = asked_by("--norm", "L1")
    assert found is None and "L1" in text
    with pytest.raises(AlignsecError, match=r"above 0\.5"):
        asked_by("--epsilon", "8")
