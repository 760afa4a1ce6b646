"""The documents at their word: every `snakemake` and `alignsec` command in them, and the map of the rooms."""

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from alignsec import cli
from alignsec.study import config
from tests.study.test_config import BEFORE
from tests.workflow.test_workflow import BIN, ROOT, command

PAGES = [
    ROOT / "README.md",
    *sorted(p for f in ("docs", "config", "htcondor") for p in (ROOT / f).glob("*.md")),
]
COMMANDS = typer.main.get_command(cli.app)
# why a command of the documents cannot be dry-run here
NEEDS = {
    "--report": "a finished study",
    "--profile": "a pool",
    "config/leaderboard.yaml": "a robustness table of one's own",
    "study.yaml": "a configuration of one's own",
    "spread": "the figure that its page adds",
}


def commands(program: str) -> Iterator[tuple[str, str]]:
    """(page, command) of every line of a block and every code in a sentence that is one of the program's."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        blocks = re.findall(r"^```.*?\n(.*?)^```", text, re.M | re.S)
        lines = [line.partition("  #")[0] for block in blocks for line in block.splitlines()]
        rest = re.sub(r"^```.*?\n.*?^```", "", text, flags=re.M | re.S)
        lines += [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", rest)]
        for line in lines:
            if re.match(rf"(\w+=\S+ )*{program} ", line):
                yield page.name, line.strip()


SNAKEMAKE = sorted({text for _, text in commands("snakemake")})
ALIGNSEC = sorted({(page, text) for page, text in commands("alignsec")})


def words(text: str) -> list[str]:
    """Of a command: no assignments before it, no substitution in it."""
    found = shlex.split(re.sub(r"\$\([^)]*\)", "1", text))
    return found[found.index("snakemake" if "snakemake" in found else "alignsec") + 1 :]


def test_there_are_commands_to_test() -> None:
    assert len(SNAKEMAKE) >= 12 and len(ALIGNSEC) >= 12
    assert not [text for text in SNAKEMAKE if "…" in text or "..." in text]


@pytest.mark.parametrize("text", SNAKEMAKE)
def test_a_documented_command_is_understood_as_it_is_meant(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--configfile A target` would take the target for a file; without `--cores` nothing runs."""
    parse_args = pytest.importorskip("snakemake.cli").parse_args
    monkeypatch.chdir(ROOT)
    given = parse_args(words(text))[1]
    assert all(Path(f).suffix == ".yaml" for f in given.configfile or [])
    assert all((ROOT / f).is_file() for f in given.configfile or [] if str(f) != "study.yaml")
    assert given.cores or given.dryrun or given.report or given.executor == "htcondor", text
    targets = {"figures", "model_sheet", "zoo", "robustness", "estimate", "audit", "all"}
    assert set(given.targets) <= targets


@pytest.mark.workflow
@pytest.mark.parametrize("text", SNAKEMAKE)
def test_a_documented_command_runs(text: str, tmp_path: Path) -> None:
    """As written, but dry: with the configurations that ship, in another folder."""
    given = words(text)
    if why := next(
        (why for word, why in NEEDS.items() if word in given and "model_sheet" not in given), None
    ):
        pytest.skip(f"needs {why}")
    _, environment = command(tmp_path)
    # first, as `--configfile` would take them for files
    line = [str(BIN / "snakemake"), "-n", "-q", "-s", str(ROOT / "Snakefile"), "-d", str(tmp_path), *given]
    done = subprocess.run(line, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("page", "text"), ALIGNSEC)
def test_a_documented_verb_is_there(page: str, text: str) -> None:
    found, seen = COMMANDS, "alignsec"
    for word in words(text):
        inside = getattr(found, "commands", None)
        if inside is None or word.startswith(("-", "<")):
            break
        assert word in inside, f"{page}: {text}: {seen} has no {word}"
        found, seen = inside[word], f"{seen} {word}"
    options = {o for p in found.params for o in (*p.opts, *p.secondary_opts)} | {"--help", "--"}
    asked = [word for word in words(text) if word.startswith("-") and word != "--"]
    if "--" in words(text):
        asked = asked[: 0 if words(text).index("--") < 3 else None]
    assert set(asked) <= options, f"{page}: {text}"


def test_the_map_names_every_room_with_its_key_rules_and_verbs() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Where things are")[2]
    rows = [
        [c.strip() for c in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("| ")
    ]
    rooms = {row[0]: [re.findall(r"`([^`]+)`", cell) for cell in row[2:]] for row in rows[1:]}
    source = ROOT / "src" / "alignsec"
    packages = {p.name for p in source.iterdir() if (p / "__init__.py").is_file()}
    assert set(rooms) == packages - {"cli"}
    assert {key for keys, _, _ in rooms.values() for key in keys} >= set(config.schema()["properties"])
    rules = {p.name for p in (ROOT / "workflow" / "rules").glob("*.smk")}
    assert {name for _, names, _ in rooms.values() for name in names} == rules
    for room, (_, _, verbs) in rooms.items():
        if room == "study":
            given = {v.removeprefix("alignsec ") for v in verbs}
            assert given == {*COMMANDS.commands} - packages
        else:
            group = COMMANDS.commands.get(room)
            assert set(verbs) == set(group.commands if group else ()), room


def test_no_page_names_what_is_gone() -> None:
    """Keys and verbs of earlier versions, files that are not there."""
    gone = [*(f"`alignsec {old} " for old in cli.MOVED), *(f"`{key}" for key in BEFORE), "retry_excluded"]
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        assert [old for old in gone if old in text] == [], page.name
        paths = re.findall(
            r"`((?:src|workflow|tests|config|envs|container|htcondor|profiles)/[\w./-]+)`", text
        )
        made = re.findall(r"^```\w+ file=(\S+)$", text, re.M)  # by the reader of that page
        assert [path for path in paths if not (ROOT / path).exists() and path not in made] == [], page.name
