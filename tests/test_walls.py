"""The walls of the house that no linter of others holds."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "alignsec"
MODULES = sorted(SOURCE.rglob("*.py"))
# functions above 60 lines, each with its reason
LONG: dict[str, str] = {}


def test_no_module_is_longer_than_400_lines() -> None:
    long = {str(p.relative_to(ROOT)): n for p in MODULES if (n := len(p.read_text().splitlines())) > 400}
    assert long == {}


def test_no_function_is_longer_than_60_lines_without_a_reason() -> None:
    """Docstrings do not count: a reader of the code skips them."""
    long = {}
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            told = node.body[0]
            text = isinstance(told, ast.Expr) and isinstance(told.value, ast.Constant)
            lines = (node.end_lineno or 0) - node.lineno + 1
            lines -= (told.end_lineno or 0) - told.lineno + 1 if text else 0
            name = f"{path.relative_to(SOURCE).with_suffix('').as_posix().replace('/', '.')}.{node.name}"
            if lines > 60 and name not in LONG and not name.startswith("cli."):
                long[name] = lines
    assert long == {}


def test_at_most_six_modules_lie_directly_in_the_package() -> None:
    assert len(list(SOURCE.glob("*.py"))) <= 6


@pytest.mark.parametrize("path", [*sorted((ROOT / "workflow").rglob("*.smk")), ROOT / "Snakefile"])
def test_rule_files_import_nothing_but_the_study(path: Path) -> None:
    imported = re.findall(r"^\s*(?:from|import) (alignsec[\w.]*)", path.read_text(), re.M)
    assert {m for m in imported if not m.startswith("alignsec.study")} == set()


def test_modules_are_named_by_text_in_the_catalogue_only() -> None:
    """What is imported by its name in a string, no linter of imports sees."""
    named = re.compile(r"""["'](alignsec\.\w+\.[\w.]+)["']""")
    found = {
        str(p.relative_to(SOURCE)): hits
        for p in MODULES
        if p.name != "catalogue.py" and (hits := named.findall(p.read_text()))
    }
    assert found == {}


@pytest.mark.parametrize("suffix", ["preflight.json", ".status.json", ".ledger", "corruptions.parquet"])
def test_the_layout_alone_spells_the_names_of_a_studys_files(suffix: str) -> None:
    spelled = re.compile(rf"""["'][^"'\s]*{re.escape(suffix)}["']""")
    found = [
        str(p.relative_to(SOURCE))
        for p in MODULES
        if p.name not in ("layout.py", "folders.py")
        and spelled.search(re.sub(r'""".*?"""', "", p.read_text(), flags=re.S))
    ]
    assert found == []


@pytest.mark.parametrize("path", sorted((ROOT / "workflow").rglob("*.smk")), ids=lambda p: p.name)
def test_a_models_name_is_never_taken_for_an_option(path: Path) -> None:
    """Names may begin with a dash; behind ``--`` a word is no option."""
    words = re.findall(r"(\S+) \{params\.model:q\}", path.read_text().replace('"\n        "', ""))
    assert set(words) <= {"--"}
