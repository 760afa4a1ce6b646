"""What may be said of kinds of benchmarks, in sentences made from the table of kind ``kinds``."""

import math
from typing import TYPE_CHECKING, Any

from alignsec.study.kinds import ENGINEERING
from alignsec.study.targets import kind, label

if TYPE_CHECKING:
    import pandas as pd

PRIMARY, WITH, ONLY = "primary", "with adversarially trained", "adversarially trained only"
SUPPORTED, SMALLER, UNTOLD = "supported", "smaller", "cannot tell"


def sentences(kinds: "pd.DataFrame | None") -> list[str]:
    """A few for each primary target that is no clean accuracy: what is supported, what is too small to
    matter, what cannot be told, and what is contradicted within families. Engineering kinds are accuracies:
    they are told apart and never counted."""
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
    sure, small = (mine[mine["verdict"].astype(str).str.startswith(v)] for v in (SUPPORTED, SMALLER))
    rest = mine[mine["verdict"].astype(str).str.startswith(UNTOLD)]
    lines = [
        f"{what}, {int(mine['n'].max())} models of {int(mine['n_families'].max())} families, "
        f"{_trained(table, mine)} trained adversarially{given}: of {len(mine)} kinds of human-likeness "
        f"{len(sure)} are supported (family-wise error .05), {len(small)} are shown to be smaller than "
        f"{_number(mine['margin'].iloc[0])}, of {len(rest)} the data cannot tell."
    ]
    lines += [f"Supported: {_row(row)}." for _, row in sure.iterrows()]
    if len(small):
        lines.append(f"Too small to matter: {'; '.join(small['name'])}.")
    detectable = float(rest["detectable"].median()) if len(rest) else math.nan
    if math.isfinite(detectable):
        lines.append(
            f"What cannot be told would have to correlate at about {_number(detectable)} to be found in four "
            "of five such studies."
        )
    against = mine[mine["within_verdict"].astype(str).str.startswith("contradicted")]
    if len(against):
        lines.append(
            f"Contradicted within families, where the sign is the other: {'; '.join(against['name'])}."
        )
    accuracies = primary[
        (primary["area"] == ENGINEERING) & primary["verdict"].astype(str).str.startswith(SUPPORTED)
    ]
    if len(accuracies):
        lines.append(f"Accuracies that go with it, no human-likeness: {'; '.join(accuracies['name'])}.")
    only = table[(table["rows"] == WITH) & (table["area"] != ENGINEERING)]
    more = only[only["verdict"].astype(str).str.startswith(SUPPORTED) & ~only["kind"].isin(sure["kind"])]
    if len(more):
        lines.append(f"Only where adversarially trained networks take part: {'; '.join(more['name'])}.")
    return lines


def _trained(table: "pd.DataFrame", primary: "pd.DataFrame") -> str:
    """How many of the primary models are trained adversarially: a plan may take them in."""
    only, whole = (table.loc[table["rows"] == r, "n"].max() for r in (ONLY, WITH))
    return f"{int(only)}" if only > 0 and primary["n"].max() == whole else "none"


def _row(row: Any) -> str:
    said = f"{row['name']}, ρ = {_number(row['rho'])}"
    if math.isfinite(row["low"]):
        said += f" [{_number(row['low'])}, {_number(row['high'])}]"
    within = f"; within families {_number(row['within_rho'])}" if math.isfinite(row["within_rho"]) else ""
    return f"{said}, family-wise p = {row['p']:.3f}{within}"


def _number(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")
