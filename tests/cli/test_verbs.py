"""What the command line says: verbs of earlier versions, a group for every stage."""

import sys

import pytest
import typer

from alignsec import cli

COMMANDS = typer.main.get_command(cli.app)


def said(*words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Exit status and standard error."""
    monkeypatch.setattr(sys, "argv", ["alignsec", *words])
    with pytest.raises(SystemExit) as end:
        cli.main()
    code = end.value.code
    assert isinstance(code, int)
    return code, capsys.readouterr().err


def exists(words: str) -> bool:
    command = COMMANDS
    for word in words.split():
        command = getattr(command, "commands", {}).get(word)
    return command is not None


@pytest.mark.parametrize(("before", "now"), cli.MOVED.items())
def test_a_verb_of_an_earlier_version_is_answered_with_todays(
    before: str, now: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exists(now) and not exists(before)
    code, text = said(*before.split(), "--some", "thing", monkeypatch=monkeypatch, capsys=capsys)
    assert (code, text) == (2, f"error: `alignsec {before}` is now `alignsec {now}`: see its --help\n")


@pytest.mark.parametrize(
    "words", [["resnet50"], ["lab/net", "--source", "timm"], ["--source", "timm", "net"]]
)
def test_attacking_a_model_by_its_name_is_now_a_verb(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, text = said("attack", *words, monkeypatch=monkeypatch, capsys=capsys)
    assert code == 2 and "`alignsec attack NAME` is now `alignsec attack run NAME`" in text
    code, text = said("attack", "estimat", monkeypatch=monkeypatch, capsys=capsys)
    assert "'estimat'" in text and "is now" not in text


def test_every_verb_of_every_stage_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    stages = ("leaderboard", "images", "zoo", "attack", "robustness", "analysis", "report", "demo", "cluster")
    assert all(len(COMMANDS.commands[stage].commands) >= 1 for stage in stages)
    for name in [*stages, "config"]:
        for verb in COMMANDS.commands[name].commands.values():
            assert verb.help, f"{name} {verb.name}"


def test_a_controller_is_submitted_where_there_is_htcondor_only(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    place = tmp_path_factory.mktemp("bin")
    monkeypatch.setenv("PATH", str(place))
    words = ("cluster", "submit", "--", "--configfile", "my study.yaml")
    code, text = said(*words, monkeypatch=monkeypatch, capsys=capsys)
    assert code == 2 and "no condor_submit on this machine" in text and "snakemake --cores all" in text
    (place / "condor_submit").write_text('#!/bin/sh\nfor w; do printf "%s\\n" "$w"; done\n')
    (place / "condor_submit").chmod(0o755)
    monkeypatch.chdir(place)
    code, text = said(*words, monkeypatch=monkeypatch, capsys=capsys)
    assert code == 2 and "no htcondor/controller.sub here" in text
    (place / "htcondor").mkdir()
    (place / "htcondor" / "controller.sub").touch()
    monkeypatch.setattr(sys, "argv", ["alignsec", *words])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 0
    assert capsys.readouterr().out.splitlines()[:3] == [
        "profile=htcondor", "snakemake=--configfile 'my study.yaml'", "htcondor/controller.sub",
    ]  # fmt: skip
