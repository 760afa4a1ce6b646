"""Tables for a paper: they fit its page, nothing of a hostile name is lost, and LaTeX sets them."""

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from alignsec.analysis import duplicates
from alignsec.analysis.correlate import correlate
from alignsec.report import findings, latex
from alignsec.report.glyphs import escape, longest, measure
from tests import planted_study as planted

HOSTILE = [
    r"C:\models\input", "50% a_b", "a^b~c", "# {x} $y$ & z", "é ü Ω ß ł ε", "\N{GRINNING FACE} 模型",
    "--a---b–—", "[x]", "*", "a  b ", " a b", "t\tn\nx", "x" * 300, "a|b<c>", "\"q\" 's' `t` ’u‘",
    "ąęij̈", "ﬁ", "fi", "\x07", "i̇İıîjǰ", "?`!`,,<<>>", r"\end{document}", r"\\", "%", "-", "", "é",
    "e\u0301", "0.5", "_" * 80, "\udcff",
]  # fmt: skip


def log_of(tables: dict[str, str], folder: Path) -> str:
    """What pdfLaTeX says of an article with these tables and the preamble that they name."""
    if shutil.which("pdflatex") is None:
        pytest.skip("no pdflatex: install texlive-latex-base")
    inputs = []
    for name, code in tables.items():
        (folder / f"{name}.tex").write_text(code, encoding="utf-8")
        inputs.append(rf"\typeout{{table {name}}}\input{{{name}.tex}}\clearpage")
    text = "\n".join(
        [r"\documentclass{article}", latex.PREAMBLE, r"\begin{document}", *inputs, r"\end{document}"]
    )
    (folder / "all.tex").write_text(text, encoding="utf-8")
    for _ in range(3):  # a longtable learns its widths
        done = subprocess.run(
            ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"],
            cwd=folder, capture_output=True, text=True, errors="replace", check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-3000:]
    return (folder / "all.log").read_text(encoding="utf-8", errors="replace")


def overfull(log: str) -> list[float]:
    """How many points each box is too wide or too high."""
    return [float(found) for found in re.findall(r"Overfull \\[hv]box \(([\d.]+)pt", log)]


def test_all_tables_of_the_real_leaderboard_fit_an_articles_page(data_dir: Path, tmp_path: Path) -> None:
    total, tree, measured, _ = planted.study(data_dir)
    table = correlate(total, tree, list(dict.fromkeys(measured["target"])), flips=1000)
    excluded = pd.DataFrame(
        {"model": HOSTILE, "step": "preflight", "reason": [f"load failed: {h}" for h in HOSTILE[::-1]]}
    )
    same = duplicates.compare(total, total.drop(index=0), tree, [*table["target"].unique()])
    doubts = pd.DataFrame(columns=["model", "warning", "value", "meaning"])
    study = findings.Study(total, tree, measured, table, excluded, same, doubts)
    made = {n: latex.table(f, c, f"tab:{n}") for n, (f, c) in findings.all_tables(study).items()}
    log = log_of(made, tmp_path)
    assert max(overfull(log), default=0.0) < 10
    assert "Float too large" not in log and "Missing character" not in log


def test_tables_of_hostile_names_and_of_many_columns_are_set_and_fit(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    wide = pd.DataFrame({"model": HOSTILE, "family": HOSTILE[::-1]})
    wide = wide.assign(
        **{f"corruption_top1@gaussian_noise-{i}": rng.normal(size=len(wide)) for i in range(30)}
    )
    names = pd.DataFrame([[1.0] * len(HOSTILE)], columns=HOSTILE)
    texts = pd.DataFrame({f"column {i}": ["lorem ipsum " * 9, None, True] for i in range(12)})
    frames = {
        "wide": wide,
        "names": names,
        "texts": texts,
        "empty": wide.head(0),
        "long": wide.sample(90, replace=True, random_state=0),
    }
    made = {
        n: latex.table(f, " ".join(h for h in HOSTILE if len(h) < 40), f"tab:{n}") for n, f in frames.items()
    }
    log = log_of(made, tmp_path)
    assert max(overfull(log), default=0.0) < 10
    assert "multiply defined" not in log and "Float too large" not in log


def test_different_texts_stay_different_and_are_ascii() -> None:
    texts = [*HOSTILE, *map(chr, range(32, 0x3000)), "–-", "---", "''", '"', "’’", "”", "?‘", "¿", ",,"]
    texts = list(dict.fromkeys(texts))
    codes = [escape(t) for t in texts]
    assert len(set(codes)) == len(texts)
    assert all(c.isascii() and "\n" not in c for c in codes)
    assert escape("\N{GRINNING FACE}") == "{[}U+1F600{]}"
    assert escape("é Ω") == r"\'{e} $\Omega$"


@pytest.mark.parametrize("text", HOSTILE)
def test_breaking_a_text_takes_nothing_away_and_leaves_no_part_too_long(text: str) -> None:
    broken = escape(text, 7)
    assert broken.replace(r"\allowbreak{}", "") == escape(text)
    if longest(text) > 7:
        assert r"\allowbreak{}" in broken
    assert measure(text) >= longest(text) >= 0


def test_an_estimate_and_its_interval_share_a_cell() -> None:
    frame = pd.DataFrame(
        {
            "benchmark": ["V1", "V4", "IT"],
            "rho": [0.4212, -0.5, np.nan],
            "rho_low": [-0.0312, np.nan, np.nan],
            "rho_high": [0.7312, np.nan, np.nan],
        }
    )
    text = latex.table(frame, "c", "tab:x")
    assert r"benchmark & rho {[}95 \%{]} \\" in text
    assert r"V1 & 0.421 {[}$-$0.031, 0.731{]} \\" in text
    assert r"V4 & $-$0.500 \\" in text and r"IT & -- \\" in text


def test_a_table_too_wide_is_set_in_parts_that_repeat_the_model_and_hold_every_column_once() -> None:
    columns = [f"corruption_top1@fog-{i:02}" for i in range(40)]
    text = latex.table(pd.DataFrame([["m"] + [0.5] * 40], columns=["model", *columns]), "c", "tab:x")
    parts = text.count(r"\begin{table}")
    assert parts > 1
    assert text.startswith(f"% Needs {latex.PREAMBLE} and 345pt")
    assert (
        len(re.findall(r"^model &", text, re.MULTILINE))
        == len(re.findall("^m &", text, re.MULTILINE))
        == parts
    )
    seen = text.replace(r"\allowbreak{}", "")
    assert all(seen.count(escape(c)) == 1 for c in columns)
    assert re.findall(r"\\label\{(.*?)\}", text) == ["tab:x", *(f"tab:x-{i}" for i in range(2, parts + 1))]
    assert f"(part {parts} of {parts})" in text
