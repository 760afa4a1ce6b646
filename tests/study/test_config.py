"""What a configuration is told: keys of earlier versions, unknown ones at every level."""

from typing import Any

import pytest

from alignsec.ground.errors import AlignsecError
from alignsec.study import config

# every key of version 0.1's first configuration files that has another name by now
BEFORE = {
    "scores.source": "leaderboard.source",
    "scores.sha256": "leaderboard.sha256",
    "registry.source": "leaderboard.registry",
    "models.sheet": "zoo.sheet",
    "preflight.images": "zoo.images",
    "preflight.timeout": "zoo.timeout",
    "preflight.memory_gb": "zoo.memory_gb",
    "preflight.offline": "zoo.offline",
    "preflight.exclude_flags": "zoo.exclude_flags",
    "preflight.side_effects": "zoo.side_effects",
    "corruptions.names": "robustness.corruptions.names",
    "corruptions.severities": "robustness.corruptions.severities",
    "corruptions.path": "robustness.corruptions.path",
    "statistics.completeness": "analysis.completeness",
    "statistics.collapse_duplicates": "analysis.collapse_duplicates",
    "statistics.flips": "analysis.flips",
    "figures.heatmap": "report.heatmap",
    "figures.forest": "report.forest",
    "figures.scatter": "report.scatter",
    "figures.tsne": "report.tsne",
}
KEYS = dict(config.keys())


def nested(key: str, value: Any = None) -> dict[str, Any]:
    """A configuration that has this key."""
    for part in reversed(key.split(".")):
        value = {part: value}
    return {"study": "x", **value}


def told(given: dict[str, Any]) -> str:
    with pytest.raises(AlignsecError) as error:
        config.resolve(given)
    return str(error.value)


@pytest.mark.parametrize(("before", "now"), BEFORE.items())
def test_a_key_of_an_earlier_version_is_answered_with_todays(before: str, now: str) -> None:
    assert now in KEYS
    assert told(nested(before)).startswith(f"config: {before} is now {now}: rename")


def test_every_section_that_moved_is_answered_also_where_it_is_empty_or_holds_what_never_was() -> None:
    assert {key.partition(".")[0] for key in BEFORE} == {old.partition(".")[0] for old in config.MOVED}
    for section in {key.partition(".")[0] for key in BEFORE}:
        for value in (None, {}, "text", {"no_such_key": 1}):
            said = told({"study": "x", section: value})
            assert said.startswith(f"config: {section} is now {config.MOVED[section]}: rename"), said
        assert config.MOVED[section] in KEYS


def test_all_keys_of_an_old_file_are_told_at_once() -> None:
    given = {"study": "x", "scores": {"source": "demo", "sha256": None}, "models": {"sheet": "a"}}
    assert told(given).startswith(
        "config: scores.source is now leaderboard.source; scores.sha256 is now leaderboard.sha256; "
        "models.sheet is now zoo.sheet: rename"
    )


@pytest.mark.parametrize("key", [k for k in KEYS if k != "study"])
def test_a_slip_at_any_level_is_answered_with_the_nearest_key(key: str) -> None:
    section, _, last = key.rpartition(".")
    slip = last[:-1] + ("x" if last[-1] != "x" else "y")
    full = f"{section}.{slip}" if section else slip
    assert told(nested(full, {})) == f"config: unknown key {full}: did you mean {key}?"


def test_a_key_near_to_none_is_answered_with_all_of_its_section() -> None:
    assert told(nested("report.tsne.qqqqqqqq", 1)) == (
        "config: unknown key report.tsne.qqqqqqqq: valid here are perplexity"
    )
