"""What may be said of kinds of benchmarks, in sentences made from the table of kind ``kinds``.

A correlation that is not what it looks like is named for what it is: gone with clean accuracy, the families'
and not their models', or carried by networks that were trained adversarially.
"""

import math
from typing import TYPE_CHECKING, Any

from alignsec.study.kinds import ENGINEERING
from alignsec.study.targets import kind, label

if TYPE_CHECKING:
    import pandas as pd

GIVEN = "primary, given covariates"
PRIMARY, WITH, ONLY = "primary", "with adversarially trained", "adversarially trained only"
SUPPORTED, SMALLER, UNTOLD, CONTRADICTED = "supported", "smaller", "cannot tell", "contradicted"
ERROR = 0.05  # family-wise, as of the verdicts


def sentences(kinds: "pd.DataFrame | None") -> list[str]:
    """A few for each primary target that is no clean accuracy: what is supported, and whether within families
    too; what is too small to matter, what cannot be told; which raw correlations clean accuracy takes away,
    and which need adversarially trained networks. Engineering kinds are accuracies: they are told apart and
    never counted."""
    if kinds is None or kinds.empty:
        return []
    lines = []
    for target in dict.fromkeys(kinds["target"]):
        if kind(str(target)) != "clean":
            lines += _of_target(kinds[kinds["target"] == target], str(target))
    return lines


def _of_target(table: "pd.DataFrame", target: str) -> list[str]:
    primary = table[(table["rows"] == PRIMARY) & table["rho"].notna()]
    mine = primary[primary["area"] != ENGINEERING]
    what = label(target)
    if mine.empty:
        return [f"{what}: no kind of human-likeness could be estimated over the primary models."]
    given = ", given clean accuracy" if mine["control"].notna().any() else ""
    sure, small, rest = (_said(mine, verdict) for verdict in (SUPPORTED, SMALLER, UNTOLD))
    lines = [
        f"{what}, {int(mine['n'].max())} models of {int(mine['n_families'].max())} families, "
        f"{_trained(table, mine)} trained adversarially{given}: of {len(mine)} kinds of human-likeness "
        f"{len(sure)} are supported (family-wise error .05), {len(small)} are shown to be smaller than "
        f"{_number(mine['margin'].iloc[0])}, of {len(rest)} the data cannot tell."
    ]
    lines += [f"Supported{_where(row)}." for _, row in sure.iterrows()]
    if len(small):
        lines.append(f"Too small to matter: {'; '.join(small['name'])}.")
    detectable = float(rest["detectable"].median()) if len(rest) else math.nan
    if math.isfinite(detectable):
        lines.append(
            f"What cannot be told would have to correlate at about {_number(detectable)} to be found in four "
            "of five such studies."
        )
    others = mine.drop(sure.index)
    lines += _of_families(others)
    lines += _confounded(others)
    accuracies = _said(primary[primary["area"] == ENGINEERING], SUPPORTED)
    if len(accuracies):
        lines.append(f"Accuracies that go with it, no human-likeness: {'; '.join(accuracies['name'])}.")
    human = table[table["area"] != ENGINEERING]
    return lines + _given(human, set(sure["kind"])) + _carried(human, set(sure["kind"]))


def _trained(table: "pd.DataFrame", primary: "pd.DataFrame") -> str:
    """How many of the primary models are trained adversarially: a plan may take them in."""
    only, whole = (table.loc[table["rows"] == r, "n"].max() for r in (ONLY, WITH))
    return f"{int(only)}" if only > 0 and primary["n"].max() == whole else "none"


def _said(table: "pd.DataFrame", verdict: str, column: str = "verdict") -> "pd.DataFrame":
    return table[table[column].astype(str).str.startswith(verdict)]


def _where(row: Any) -> str:
    """A supported kind, and what becomes of it within families."""
    if _contradicted(row):
        where = " over all models but contradicted within families, where the sign is the other"
    else:
        where = " between families but not held within them" if _between(row) else ""
    within = f"; within families {_estimate(row, 'within_')}" if math.isfinite(row["within_rho"]) else ""
    return f"{where}: {row['name']}, {_estimate(row)}, {_p(row['p'])}{within}"


def _of_families(others: "pd.DataFrame") -> list[str]:
    """Kinds that are not supported and seem to go with robustness, though not within families."""
    lines = []
    for _, row in others.iterrows():
        if _contradicted(row):
            said = "Contradicted within families, where the sign is the other"
        elif row["low"] * row["high"] > 0 and _between(row):
            said = "Not held within families, and not supported"
        else:
            continue
        lines.append(
            f"{said}: {row['name']}, {_estimate(row)} over all models; within families "
            f"{_estimate(row, 'within_')}."
        )
    return lines


def _contradicted(row: Any) -> bool:
    return str(row["within_verdict"]).startswith(CONTRADICTED)


def _between(row: Any) -> bool:
    """Within families there may be nothing, and is no room for as much as over all models."""
    return _holds(row, "within_", 0) and not _holds(row, "within_", row["rho"])


def _confounded(rest: "pd.DataFrame") -> list[str]:
    """Raw correlations that would be supported and are not, given clean accuracy."""
    raw = rest[rest["control"].notna() & (rest["raw_p"] <= ERROR) & (rest["raw_low"] * rest["raw_high"] > 0)]
    lines, unsure = [], []
    for _, row in raw.iterrows():
        if _holds(row, "", 0) and not _holds(row, "", row["raw_rho"]):
            lines.append(
                f"Vanishes given clean accuracy: {row['name']}, raw {_estimate(row, 'raw_')}, "
                f"{_p(row['raw_p'])}; given clean accuracy {_estimate(row)}."
            )
        else:
            unsure.append(row["name"])
    if unsure:
        lines.append(
            f"Raw correlations of which clean accuracy may leave all or nothing: {'; '.join(unsure)}."
        )
    return lines


def _given(table: "pd.DataFrame", sure: set[str]) -> list[str]:
    """What is left of the supported kinds where covariates are held fixed as well."""
    mine = table[(table["rows"] == GIVEN) & table["kind"].isin(sure) & table["rho"].notna()]
    if mine.empty:
        return []
    said = [f"{row['name']}, {_estimate(row)}, {_p(row['p'])}" for _, row in mine.iterrows()]
    return [f"Supported kinds given {mine['control'].iloc[0]} jointly: {'; '.join(said)}."]


def _carried(table: "pd.DataFrame", sure: set[str]) -> list[str]:
    """Kinds that are supported only with networks that were trained adversarially."""
    by = {(r["rows"], r["kind"]): r for _, r in table[table["rho"].notna()].iterrows()}
    more = _said(table[(table["rows"] == WITH) & ~table["kind"].isin(sure)], SUPPORTED)
    lines = []
    for _, row in more.iterrows():
        said = [f"{_estimate(row)} with them"]
        for which, words in ((PRIMARY, "without"), (ONLY, "among them alone")):
            if (other := by.get((which, row["kind"]))) is not None:
                said.append(f"{_estimate(other)} {words}")
        lines.append(
            f"Only where adversarially trained networks take part: {row['name']}, {'; '.join(said)}."
        )
    return lines


def twins(table: "pd.DataFrame | None", benchmarks: "pd.DataFrame") -> list[str]:
    """Networks trained both adversarially and not (`alignsec.analysis.twins`), counted; nothing is tested."""
    if table is None or table.empty:
        return []
    accuracies = benchmarks.loc[benchmarks["category"] == ENGINEERING, "benchmark"]
    shown = table[~table["quantity"].isin(accuracies)]
    said = [
        f"{label(str(q))} higher in {int((part['difference'] > 0).sum())} of {len(part)} (median difference "
        f"{_number(part['difference'].median())})"
        for q, part in shown.groupby("quantity", sort=False)
    ]
    models, pairs = table["model"].nunique(), len(table.drop_duplicates(["model", "twin"]))
    return [
        f"{models} network{'' if models == 1 else 's'} trained adversarially and not, same family, "
        f"architecture, parameters and data, make {pairs} pair{'' if pairs == 1 else 's'} "
        f"(correlations/twins.csv). Trained adversarially: {'; '.join(said)}. Pairs share models, and "
        "nothing is tested."
    ]


def _holds(row: Any, prefix: str, value: float) -> bool:
    """Does the interval hold it? Where there is no interval it holds nothing."""
    return bool(row[f"{prefix}low"] <= value <= row[f"{prefix}high"])


def _estimate(row: Any, prefix: str = "") -> str:
    said = f"ρ = {_number(row[f'{prefix}rho'])}"
    if math.isfinite(row[f"{prefix}low"]):
        said += f" [{_number(row[f'{prefix}low'])}, {_number(row[f'{prefix}high'])}]"
    return said


def _p(value: float) -> str:
    return "family-wise p < .001" if value < 0.0005 else f"family-wise p = {value:.3f}"


def _number(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")
