"""What the site brings in: README, configuration keys, changelog, and tables from their schemas."""

import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
# page of the site -> file of the repository
BROUGHT = {
    "index.md": "README.md",
    "configuration.md": "config/README.md",
    "htcondor.md": "htcondor/README.md",
    "changelog.md": "CHANGELOG.md",
}
REFERENCE = """# Python reference

::: alignsec
    options:
      members:
        [load_leaderboard, load_published, relate, open_study, evaluate, check, Leaderboard, Published,
         Result, AlignsecError]

::: alignsec.attack
    options:
      members: [evaluate_robustness, AttackRequest]
"""


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that lie outside ``docs/`` or are made from the code."""
    from mkdocs.structure.files import File

    made = {
        page: rewritten((ROOT / source).read_text(encoding="utf-8"), source)
        for page, source in BROUGHT.items()
    }
    made |= {"reference.md": REFERENCE, "tables.md": tables()}
    for page, content in made.items():
        files.append(File.generated(config, page, content=content))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Links of the pages in ``docs/`` to what is brought in."""
    if page.file.src_uri in BROUGHT:
        return markdown
    return rewritten(markdown, f"docs/{page.file.src_uri}")


def rewritten(text: str, source: str) -> str:
    """The text of a file of the repository with its relative links as those of the site.

    A link to a file that is no page keeps its text alone.
    """
    pages = {ROOT / file: page for page, file in BROUGHT.items()}

    def link(match: "re.Match[str]") -> str:
        said, target, anchor = match[1], match[2], match[3] or ""
        if "://" in target or not target:
            return match[0]
        path = (ROOT / source).parent.joinpath(target).resolve()
        if path in pages:
            return f"[{said}]({pages[path]}{anchor})"
        if path.parent == ROOT / "docs" and path.suffix in (".md", ".png", ".csv"):
            return f"[{said}]({path.name}{anchor})"
        return said

    return re.sub(r"\[((?:[^][]|\[[^]]*\])*)\]\(([^)#\s]*)(#[^)\s]*)?\)", link, text)


def tables() -> str:
    """A section per kind of table: its columns, what they hold, and whether a cell may be empty."""
    from alignsec.ground.schemas import KEYS, SCHEMAS
    from alignsec.report.dictionary import MEANINGS, OF_TABLE

    kinds = {"str": "text", "int": "whole number", "float": "number", "bool": "true or false"}
    parts = [
        "# Tables",
        "",
        "Kinds of tables and their columns, as every reader and writer checks them; what columns of other",
    ]
    parts += ["tables hold is below, and in `tables/dictionary.csv` of every study."]
    for name, columns in SCHEMAS.items():
        key = ", ".join(f"`{c}`" for c in KEYS.get(name, ()))
        parts += ["", f"## {name}", "", *([f"One row per {key}.", ""] if key else [])]
        parts += ["| column | unit | what it is | holds |", "|---|---|---|---|"]
        mine = {
            **MEANINGS,
            **OF_TABLE.get(name, {}),
            "*": ("as published", "a column per benchmark or target"),
        }
        for column, (kind, null) in columns.items():
            unit, said = mine[column]
            parts.append(f"| `{column}` | {unit} | {said} | {kinds[kind]}{', or nothing' if null else ''} |")
    parts += ["", "## Columns of other tables", "", "| column | unit | what it is |", "|---|---|---|"]
    shown = {column for columns in SCHEMAS.values() for column in columns}
    parts += [f"| `{c}` | {unit} | {said} |" for c, (unit, said) in MEANINGS.items() if c not in shown]
    return "\n".join(parts) + "\n"
