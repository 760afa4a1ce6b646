"""What to cite: valid BibTeX of what a study used."""

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from alignsec import cli
from alignsec.ground.errors import AlignsecError
from alignsec.report import cite
from alignsec.study import config
from alignsec.study.published import read

ROOT = Path(__file__).resolve().parents[2]
PAPER = config.read(ROOT / "config" / "paper.yaml")
PUBLISHED = config.read(ROOT / "config" / "published.yaml")


def test_every_key_that_a_study_may_ask_for_is_there() -> None:
    known = cite.entries()
    asked = {*cite.ALWAYS, cite.ATTACK, cite.CORRUPTIONS, *cite.OF_IMAGES.values(), *cite.OF_SOURCES.values()}
    assert asked == set(known)
    for key, text in known.items():
        assert text.startswith("@") and text.count("{") == text.count("}"), key
        assert re.search(r"title = \{", text) and re.search(r"author = \{", text) and "year = {" in text


def test_every_published_source_of_the_catalogue_is_cited() -> None:
    assert set(read(ROOT / "config" / "published" / "sources.yaml")) == set(cite.OF_SOURCES)


def test_a_study_cites_what_it_used() -> None:
    assert cite.ATTACK in cite.keys(PAPER) and "russakovsky2015imagenet" in cite.keys(PAPER)
    published = cite.keys(PUBLISHED)
    assert cite.ATTACK not in published and published.count("croce2021robustbench") == 1
    assert set(cite.ALWAYS) <= set(published)


def test_the_verb_reads_a_studys_provenance(tmp_path: Path) -> None:
    (tmp_path / "provenance.json").write_text(json.dumps({"config": PUBLISHED}))
    said = CliRunner().invoke(cli.app, ["cite", "--study", str(tmp_path)])
    assert (
        said.exit_code == 0 and "taori2020measuring" in said.output and "@software{alignsec," in said.output
    )
    assert "taori" not in CliRunner().invoke(cli.app, ["cite"]).output
    with pytest.raises(AlignsecError, match="run the study first"):
        cite.bibtex(tmp_path / "nothing")


def test_the_program_says_its_version() -> None:
    said = CliRunner().invoke(cli.app, ["--version"])
    assert said.exit_code == 0 and re.fullmatch(r"alignsec \d+\.\d+\.\d+\n", said.output)
