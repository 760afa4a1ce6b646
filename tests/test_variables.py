"""docs/variables.md lists every environment variable of ours, and no other."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PLACES = ("src", "workflow", "htcondor", "container", "tests", "Makefile", "Dockerfile", "Snakefile")


def test_the_table_of_variables_is_what_the_code_asks_for() -> None:
    files = [
        p
        for place in PLACES
        for p in ([ROOT / place] if (ROOT / place).is_file() else (ROOT / place).rglob("*"))
    ]
    used = set()
    for path in files:
        if path.is_file() and path.suffix not in (".pyc", ".png") and path != Path(__file__):
            used |= set(
                re.findall(r"\bALIGNSEC_[A-Z_]+\b", path.read_text(encoding="utf-8", errors="replace"))
            )
    table = re.findall(r"^\| `(ALIGNSEC_[A-Z_]+)` \|", (ROOT / "docs" / "variables.md").read_text(), re.M)
    assert sorted(table) == sorted(used)
