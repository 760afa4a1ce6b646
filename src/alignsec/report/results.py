"""`docs/results.md`: what the study of published robustness says, in sentences made from its numbers.

Every number of a sentence is registered as it is written (`Numbers`), with the table that it comes from, and
the register is a table of its own beside the page: nothing is typed in.
"""

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alignsec.analysis.families import MODELS
from alignsec.analysis.parents import PREFIX
from alignsec.ground import tables
from alignsec.ground.errors import AlignsecError
from alignsec.ground.hashes import file_hash
from alignsec.report.figures.kinds import PRIMARY, shown, target_of
from alignsec.study.kinds import ENGINEERING
from alignsec.study.layout import Layout
from alignsec.study.records import read_plan
from alignsec.study.targets import label, source_of

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("number", "value", "shown", "table")
LEVEL = 0.05
EVERY = "every row"
CODE = "source of `alignsec`: analysis, leaderboard, robustness, study"
_SMALL = 0.05


@dataclass
class Numbers:
    """The numbers of a page: each is written once it is known where it stands."""

    rows: list[tuple[str, float, str, str]] = field(default_factory=list)

    def __call__(self, number: str, value: float, table: str, form: str = ".2f") -> str:
        """The number as text. `number`: what it is; `table`: file and place; `form`: how it is written."""
        if value is None or not math.isfinite(value):
            text = "not estimated"
        else:
            text = format(value, form).replace("-", "−") if form != "d" else f"{int(value):,}"
        self.rows.append((number, float(value), text, table))
        return text

    def interval(
        self, number: str, row: Any, table: str, names: Sequence[str] = ("rho", "low", "high")
    ) -> str:
        """Estimate and interval of a row."""
        value, low, high = (float(row[n]) for n in names)
        # what is all in hundredths is written to the thousandth
        form = ".3f" if math.isfinite(low) and max(abs(low), abs(high)) < _SMALL else ".2f"
        text = self(number, value, table, form)
        if not math.isfinite(low):
            return f"{text} (no interval)"
        ends = self(f"{number}, low", low, table, form), self(f"{number}, high", high, table, form)
        return f"{text} [{ends[0]}, {ends[1]}]"

    def table(self) -> "pd.DataFrame":
        """`COLUMNS`, a row per number."""
        import pandas as pd

        return pd.DataFrame(self.rows, columns=list(COLUMNS))


@dataclass(frozen=True)
class Found:
    """The tables of a published study that the page is made from."""

    kinds: "pd.DataFrame"
    selections: "pd.DataFrame"
    replication: "pd.DataFrame"
    identities: "pd.DataFrame"
    rows: "pd.DataFrame"
    correlations: "pd.DataFrame"
    fates: "pd.DataFrame"
    sources: dict[str, Any]
    plan: Any
    files: dict[str, str]  # file below the study -> SHA-256

    @classmethod
    def read(cls, folder: Path) -> "Found":
        """Of the study below ``results/<study>``; `AlignsecError` where it is no finished published one."""
        study = Layout(folder)
        wanted = ("kinds", "selections", "replication", "identities", "rows", "fates")
        for name in (*wanted, "sources", "plan", "correlations"):
            if not (path := getattr(study, name)).is_file():
                raise AlignsecError(
                    f"{path} is not there: run config/published.yaml first (docs/published.md)"
                )
        read = {name: tables.read_csv(getattr(study, name)) for name in wanted}
        inputs = sorted((folder / "scores").glob("leaderboard.*")) + sorted(
            (folder / "published").glob("*/*.csv")
        )
        return cls(
            **read,
            correlations=tables.read(study.correlations, "correlations"),
            sources=json.loads(study.sources.read_text(encoding="utf-8")),
            plan=read_plan(study.plan),
            files={p.relative_to(folder).as_posix(): file_hash(p) for p in inputs if p.stat().st_size},
        )


def write(folder: Path, out: Path, picture: str) -> Path:
    """Write the page to `out`, its picture `picture` (beside it) and its numbers (``<out>.csv``); `out`."""
    import shutil

    found, numbers = Found.read(folder), Numbers()
    text = page(found, numbers, picture)
    source = Layout(folder).figure("kinds", "png")
    with tables.atomic(out.with_name(picture)) as temporary:
        shutil.copyfile(source, temporary)
    tables.write_csv(numbers.table(), out.with_suffix(".csv"))
    tables.write_text(out, text)
    return out


def page(found: Found, n: Numbers, picture: str) -> str:
    """The page as Markdown; `n` holds its numbers afterwards."""
    parts = [
        "# What published robustness says",
        "Made by `make results-page` from the study `config/published.yaml`; every number is in "
        "[results.csv](results.csv) with the table that it comes from. Correlations say what goes together "
        "on "
        "these networks; nothing here is a statement of cause.",
        f"![Kinds of benchmarks with robustness, given clean accuracy]({picture})",
        _answer(found, n),
        "## With every step",
        _steps(found, n),
        _missing(found, n),
        "## Claims of others, computed again",
        _claims(found, n),
        "## Whose network is whose",
        _identities(found, n),
        "## What attacked, and what to be careful about",
        _sources(found),
        "## Made from",
        _files(found),
    ]
    return "\n\n".join(parts) + "\n"


def _answer(found: Found, n: Numbers) -> str:
    target = target_of(found.kinds)
    if target is None:
        return "No kind of benchmarks could be estimated."
    where = "correlations/kinds.csv"
    mine = shown(found.kinds, target, PRIMARY)
    human = mine[mine["area"] != ENGINEERING]
    sure = human[human["verdict"].astype(str).str.startswith("supported")]
    small = human[human["verdict"].astype(str).str.startswith("smaller")]
    count = n("kinds of human-likeness", len(human), where, "d")
    models = n("models of the primary rows", human["n"].max(), where, "d")
    families = n("families of the primary rows", human["n_families"].max(), where, "d")
    margin = n("margin", found.plan["margin"], "analysis/plan.json")
    lines = [
        f"The primary target is {label(target)}, over up to {models} networks of {families} families that "
        "were "
        f"not trained adversarially, one row per network. Of {count} kinds of human-likeness, "
        f"{n('kinds supported', len(sure), where, 'd')} are supported at a family-wise error of .05 given "
        "clean "
        f"accuracy, and {n('kinds smaller', len(small), where, 'd')} are shown to be smaller than {margin}.",
    ]
    if len(sure):
        said = "; ".join(f"{r['name']} {n.interval(str(r['kind']), r, where)}" for _, r in sure.iterrows())
        lines.append(f"Supported: {said}.")
    rest = human[human["verdict"].astype(str).str.startswith("cannot")]
    tested = human[human["p"].notna()]
    if len(rest) and len(tested):
        least: Any = tested.loc[tested["p"].idxmin()]
        lines.append(
            f"Of {n('kinds that cannot be told', len(rest), where, 'd')} kinds these data cannot tell: the "
            f"smallest family-wise p is {n('smallest p of a kind', least['p'], where, '.3f')} "
            f"({least['name']}), and with {n('families of that kind', least['n_families'], where, 'd')} "
            f"families none could be below {n('smallest p possible', least['p_least'], where, '.4f')}."
        )
        found_at = float(rest["detectable"].median())
        if math.isfinite(found_at):
            lines.append(
                f"At 80 % power a kind would have to correlate at {n('detectable rho', found_at, where)} "
                "(the "
                "median over kinds) to be found."
            )
        else:
            needed = n("models needed for an interval", MODELS, "docs/statistics.md", "d")
            lines.append(f"An interval needs {needed} models, so none is given for these kinds.")
    return "\n\n".join(lines)


def _steps(found: Found, n: Numbers) -> str:
    """The leaf that leads the plain correlations, through every selection of rows and what is held fixed."""
    where = "correlations/selections.csv"
    table = found.selections
    single = [t for t in dict.fromkeys(table["target"]) if "mean" not in str(t)] or list(table["target"][:1])
    target = single[0]
    mine = table[(table["target"] == target) & table["rho"].notna()]
    plain = mine[(mine["rows"] == EVERY) & mine["given"].isna()]
    if plain.empty:
        return "Nothing could be estimated over every row."
    leaf = str(plain.loc[plain["rho"].abs().idxmax(), "benchmark"])
    naive = found.correlations[(found.correlations["target"] == target) & found.correlations["is_leaf"]]
    lines = [
        f"The leaf of largest plain correlation with {label(str(target))} is `{leaf}`. What remains of it as "
        "rows "
        "and confounders are taken care of:",
        "",
        "| rows | held fixed | ρ [95 % interval] | networks | families | smallest q of any leaf |",
        "|---|---|---|---|---|---|",
    ]
    for (rows, given), part in mine.groupby(["rows", mine["given"].fillna("")], sort=False):
        row = part[part["benchmark"] == leaf]
        if row.empty:
            continue
        key = f"{leaf}, {rows}" + (f", given {given}" if given else "")
        q = part["q"].min() if part["q"].notna().any() else float("nan")
        one = row.iloc[0]
        lines.append(
            f"| {rows} | {_fixed(str(given))} | {n.interval(key, one, where)} | "
            f"{n(f'{key}, n', one['n'], where, 'd')} | "
            f"{n(f'{key}, families', one['n_families'], where, 'd')} | {n(f'{key}, smallest q', q, where)} |"
        )
    taken = naive_claims(naive)
    lines += [
        "",
        f"An analysis that takes all {n('rows', naive['n'].max(), 'correlations/all.csv', 'd')} "
        "rows as independent models would claim "
        f"{n('leaves claimed by a naive test', taken, 'correlations/all.csv', 'd')} leaves at q < .05.",
    ]
    return "\n".join(lines)


def _fixed(given: str) -> str:
    parts = [p for p in given.split(", ") if p]
    return ", ".join(label(p) if source_of(p) else p for p in parts) or "–"


def _missing(found: Found, n: Numbers) -> str:
    """What counting missing scores as 0 does to the parent that it changes most."""
    where, table = "correlations/all.csv", found.correlations.set_index(["benchmark", "target"])
    best: tuple[float, str, str] | None = None
    for parent, target in table.index:
        exported = (PREFIX + str(parent), target)
        if str(parent).startswith(PREFIX) or exported not in table.index or source_of(str(target)) is None:
            continue
        change = abs(float(table.loc[(parent, target), "rho"]) - float(table.loc[exported, "rho"]))
        if math.isfinite(change) and (best is None or change > best[0]):
            best = change, str(parent), str(target)
    if best is None:
        return ""
    _, parent, target = best
    mine: Any = table.loc[(parent, target)]
    theirs: Any = table.loc[(PREFIX + parent, target)]
    return (
        f"Missing scores matter: `{parent}` as the mean of what was measured correlates with {label(target)} "
        "at "
        f"{n(f'{parent}, {target}', mine['rho'], where)} "
        f"({n(f'{parent}, {target}, n', mine['n'], where, 'd')} models), and as exported, where a missing "
        "score "
        f"counts as 0, at {n(f'{parent} as exported, {target}', theirs['rho'], where)} "
        f"({n(f'{parent} as exported, {target}, n', theirs['n'], where, 'd')} models)."
    )


def naive_claims(table: "pd.DataFrame") -> int:
    """How many leaves a test that takes models as independent claims at q < .05 (t of Spearman's rho)."""
    import numpy as np
    from scipy.stats import false_discovery_control
    from scipy.stats import t as student

    have = table[table["rho"].notna() & (table["n"] > 3) & (table["rho"].abs() < 1)]
    if have.empty:
        return 0
    rho, n = have["rho"].to_numpy(float), have["n"].to_numpy(float)
    p = 2 * student.sf(np.abs(rho) * np.sqrt((n - 2) / (1 - rho**2)), n - 2)
    return int((false_discovery_control(p) < LEVEL).sum())


def _claims(found: Found, n: Numbers) -> str:
    where = "correlations/replication.csv"
    lines = [
        "| work | claim | published | here [95 % interval] | n | verdict |",
        "|---|---|---|---|---|---|",
    ]
    for _, row in found.replication.iterrows():
        name = str(row["claim"])
        published = row["published"]
        said = "–" if not math.isfinite(published) else n(f"{name}, published", published, where)
        ours = n.interval(name, row, where, ("ours", "low", "high"))
        lines.append(
            f"| {row['work']} | {row['said']} | {said} | {ours} | {n(f'{name}, n', row['n'], where, 'd')} | "
            f"{row['verdict']} |"
        )
    lines += [
        "",
        "What was computed for each claim, and the region in which it would hold, are in "
        "`config/published/claims.yaml`. *Different data*: the published number is of other models, attacks "
        "or "
        "benchmarks, so that ours is no contradiction.",
    ]
    return "\n".join(lines)


def _identities(found: Found, n: Numbers) -> str:
    where = "robustness/identities.csv"
    lines = [
        "| source | models of the source | identity | rows joined | networks | flagged |",
        "|---|---|---|---|---|---|",
    ]
    for (source, identity), part in found.identities.groupby(["source", "identity"]):
        key = f"{source}, {identity}"
        theirs = int((found.fates["source"] == source).sum())
        lines.append(
            f"| {source} | {n(f'{source}, models', theirs, 'robustness/fates.csv', 'd')} | {identity} | "
            f"{n(f'{key}, rows', len(part), where, 'd')} | "
            f"{n(f'{key}, networks', part['network'].nunique(), where, 'd')} | "
            f"{n(f'{key}, flagged', int(part['flagged'].astype(bool).sum()), where, 'd')} |"
        )
    out = found.rows[~found.rows["primary"].astype(bool)]
    lines += [
        "",
        f"{n('rows outside the primary analysis', len(out), 'analysis/rows.csv', 'd')} of "
        f"{n('rows', len(found.rows), 'analysis/rows.csv', 'd')} rows of model and source are not in the "
        "primary "
        "analysis; `analysis/rows.csv` says why of each. None is joined by similarity of names "
        "([published.md](published.md)).",
    ]
    return "\n".join(lines)


def _sources(found: Found) -> str:
    lines = []
    for name, source in found.sources.items():
        lines.append(f"- **{source['title']}** (`{name}`, {source['licence']}): {source['citation']}")
        cautions = [*source["cautions"], *(c for t in source["targets"].values() for c in t["cautions"])]
        lines += [f"  - {c}" for c in dict.fromkeys(cautions)]
    return "\n".join(lines)


def _files(found: Found) -> str:
    lines = ["| file | SHA-256 |", "|---|---|"]
    lines += [f"| `{name}` | `{digest}` |" for name, digest in sorted(found.files.items())]
    lines.append(f"| {CODE} | `{code_hash()}` |")
    return "\n".join(lines)


def code_hash() -> str:
    """SHA-256 of the package's source of everything that this page rests on, file by file in order."""
    root = Path(__file__).resolve().parents[1]
    digest = hashlib.sha256()
    for room in ("analysis", "leaderboard", "robustness", "study"):
        for path in sorted((root / room).rglob("*.py")):
            digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()
