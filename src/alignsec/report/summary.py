"""What a study found, in sentences made from the numbers only."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alignsec.analysis.names import FATES, counts, mostly_unmatched
from alignsec.analysis.parents import PREFIX
from alignsec.analysis.selections import ABOVE
from alignsec.attack import audit
from alignsec.ground import tables
from alignsec.images.shards import contradictions
from alignsec.report import claims, described
from alignsec.report.findings import ENGINEERING, Study, aggregates, human, target_table
from alignsec.study import targets as names
from alignsec.study.layout import Layout

if TYPE_CHECKING:
    import pandas as pd

LEVEL = 0.05
APART = 0.1  # of rho and r: what both exceed
NAMED = 5  # benchmarks that a sentence names
UNMATCHED = 10  # unmatched names that are listed
LISTED = 50  # models that are listed with their accuracies


def write(folder: Path) -> Path:
    """Write the findings of the study below a folder ``results/<study>``; the file written."""
    path = Layout(folder).summary
    said = [*audit.sentences(Layout(folder).audit), *_images(Layout(folder).manifest)]
    text = markdown(Study.read(folder), folder.resolve().name, said)
    tables.write_text(path, text)
    return path


def _images(manifest: Path) -> list[str]:
    """What is odd in the images of a study that attacks some."""
    if not manifest.is_file():
        return []
    found = contradictions(tables.read(manifest, "images"))
    return [f"The study has {text}: no model can be right on all of them." for text in found]


def markdown(study: Study, name: str, images: Sequence[str] = ()) -> str:
    """The findings as Markdown; every number is computed here or stands in `correlations/all.csv`.

    `images`: sentences about the images and the audit, for the caveats.
    """
    parts = [
        (f"# Findings of the study {name}", [*_lost(study), *_scope(study)]),
        ("## Which kinds of human-likeness go with robustness", claims.sentences(study.kinds)),
        ("## Leaf by leaf: a description", _leaves(study)),
        ("## What the targets are", _targets(study)),
        ("## Averages", _averages(study)),
        ("## Models and families", _families(study)),
        ("## Models without alignment scores", _accuracies(study)),
        ("## Not evaluated", _exclusions(study)),
        ("## Names", _names(study)),
        ("## Caveats", [*_caveats(study), *images]),
    ]
    return "\n".join(
        f"{head}\n\n" + "\n".join(f"- {s}" for s in lines) + "\n" for head, lines in parts if lines
    )


def _number(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")


def _with_interval(row: Any, prefix: str = "rho") -> str:
    import pandas as pd

    value = _number(row["rho" if prefix == "rho" else "partial_rho"])
    if pd.isna(row[f"{prefix}_low"]):
        return value
    return f"{value} [{_number(row[f'{prefix}_low'])}, {_number(row[f'{prefix}_high'])}]"


def _count(count: int, noun: str, plural: str = "") -> str:
    return f"{count} {noun if count == 1 else plural or noun + 's'}"


def _scope(study: Study) -> list[str]:
    from alignsec.analysis.correlate import effective_tests

    leaves = list(human(study.benchmarks[study.benchmarks["is_leaf"]])["benchmark"])
    every = int(study.benchmarks["is_leaf"].sum())
    table = study.correlations[study.correlations["is_leaf"]]
    some = study.total[
        study.total[study.targets].notna().any(axis=1) & study.total[leaves].notna().any(axis=1)
    ]
    if not study.aligned:
        return [
            "No model of the study has alignment scores, so nothing is said of human-likeness; the models' "
            "accuracies are below."
        ]
    kinds = ", ".join(f"{len(t)} {kind}" for kind, t in names.by_kind(study.targets).items())
    accuracies = f" (and {every - len(leaves)} engineering benchmarks, which are accuracies)"
    return [
        f"{_count(len(some), 'model')} of {_count(some['family'].nunique(), 'family', 'families')} have "
        f"both alignment scores and robustness; {_count(len(leaves), 'leaf benchmark')} of human-likeness"
        f"{accuracies if every > len(leaves) else ''}; {_count(len(study.targets), 'target')} ({kinds}); "
        f"{_count(int(table['p'].notna().sum()), 'test')}.",
        f"The leaves are correlated: they are worth {effective_tests(some, leaves):.0f} independent "
        "benchmarks (Li and Ji 2005).",
    ]


def _leaves(study: Study) -> list[str]:
    """What leaves say, a kind of adversarial target at a time; description, corrected within the kind."""
    if not study.aligned:
        return []
    table = study.correlations
    lines: list[str] = []
    for kind, targets in names.by_kind(study.targets).items():
        accuracies = [t for t in targets if kind.startswith("adversarial") and names.is_top1(t)]
        mine = table[table["target"].isin(accuracies) & table["is_leaf"]]
        if len(mine):
            lines += _of_kind(kind, mine)
    return lines or ["The robustness table has no accuracy under attack."]


def _of_kind(kind: str, mine: "pd.DataFrame") -> list[str]:
    count = human(mine)["benchmark"].nunique()
    leaves = f"of {_count(count, 'leaf benchmark')} of human-likeness"
    head = f"{kind[0].upper()}{kind[1:]}"
    if mine["p"].notna().sum() == 0:
        strongest = human(mine).sort_values("rho", key=abs, ascending=False, kind="stable").head(NAMED)
        listed = "; ".join(_of(r) for _, r in strongest[strongest["rho"].notna()].iterrows())
        return [
            f"{head}: none {leaves} has enough families for a test, so nothing here is evidence. Largest "
            f"correlations: {listed or 'none could be estimated'}."
        ]
    controlled = mine["partial_rho"].notna().any()
    q = "partial_q" if controlled else "q"
    left = human(mine)[human(mine)[q] < LEVEL]
    given = " after controlling clean accuracy" if controlled else ""
    lines = [
        f"{head}: {leaves}, {left['benchmark'].nunique()} {'remain' if controlled else 'are'} at q < .05"
        f"{given} for at least one of {_count(mine['target'].nunique(), 'target')}{_strongest(left)}. "
        "Where nothing goes with robustness, at most 5 % of studies have any."
    ]
    if not controlled:
        lines.append(
            f"{head}: clean accuracy of the same source was not measured, so nothing could be controlled."
        )
    for category, part in human(mine).groupby("category", sort=False):
        kept = part[part[q] < LEVEL]
        positive = int((kept["rho"] > 0).groupby(kept["benchmark"]).any().sum())
        lines.append(
            f"{str(category).capitalize()}, {kind}: {kept['benchmark'].nunique()} of "
            f"{part['benchmark'].nunique()} leaves at q < .05{given}, {positive} of them positive."
        )
    other = mine[mine["category"] == ENGINEERING]
    if len(other):
        lines.append(
            f"Engineering, {kind}: {other.loc[other[q] < LEVEL, 'benchmark'].nunique()} of "
            f"{other['benchmark'].nunique()} accuracies at q < .05{given}; they say nothing of "
            "human-likeness."
        )
    return lines + _signs(head, human(mine))


def _signs(head: str, mine: "pd.DataFrame") -> list[str]:
    """Leaves whose rank correlation and Pearson's r point apart, both beyond `APART`."""
    apart = mine[
        (mine["rho"] * mine["pearson_r"] < 0) & (mine[["rho", "pearson_r"]].abs().min(axis=1) > APART)
    ]
    apart = apart.drop_duplicates("benchmark")
    if apart.empty:
        return []
    listed = "; ".join(
        f"{r['benchmark']} (ρ = {_number(r['rho'])}, r = {_number(r['pearson_r'])}, "
        f"{names.label(r['target'])})"
        for _, r in apart.head(NAMED).iterrows()
    )
    more = f"; {len(apart) - NAMED} more" if len(apart) > NAMED else ""
    return [
        f"{head}: ρ and Pearson's r disagree in sign, so a few models far from the others decide: "
        f"{listed}{more}."
    ]


def _of(row: Any) -> str:
    partial = "" if row["partial_rho"] != row["partial_rho"] else f", given {names.label(row['control'])} "
    partial += _with_interval(row, "partial") if partial else ""
    target = names.label(row["target"])
    return f"{row['benchmark']} (ρ = {_with_interval(row)}{partial}, n = {row['n']}, {target})"


def _strongest(rows: "pd.DataFrame") -> str:
    if rows.empty:
        return ""
    by = rows["partial_rho"].fillna(rows["rho"])
    best = rows.loc[by.abs().sort_values(ascending=False, kind="stable").index]
    best = best.drop_duplicates("benchmark").head(NAMED)
    verb = "; the strongest is " if len(best) == 1 else "; the strongest are "
    return verb + "; ".join(_of(r) for _, r in best.iterrows())


def _targets(study: Study) -> list[str]:
    """What attacked, how and on which images, with every caution that a published source gives."""
    of_interest = [t for t in study.targets if names.source_of(t) or names.kind(t).startswith("adversarial")]
    return described.lines(of_interest, study.sources, study.images)


def _averages(study: Study) -> list[str]:
    target = study.middle
    if target is None or not names.kind(target).startswith("adversarial"):
        return []
    table = study.correlations[study.correlations["target"] == target].set_index("benchmark")
    lines = []
    for kind in ("average", "neural", "behavior", "engineering"):
        name = f"{kind}_vision"
        if name not in table.index or table.loc[name, "rho"] != table.loc[name, "rho"]:
            continue
        row: Any = table.loc[name]
        what = "Engineering benchmarks (accuracies)" if kind == ENGINEERING else f"{kind} alignment"
        text = (
            f"{what[0].upper()}{what[1:]} and {names.label(target)}: ρ = {_with_interval(row)}, R² = "
            f"{_number(row['r2'])}, n = {row['n']}"
        )
        if row["partial_rho"] == row["partial_rho"]:
            text += f"; given clean accuracy {_with_interval(row, 'partial')}"
        text += _above_floor(study, name, target)
        if PREFIX + name in table.index:
            other: Any = table.loc[PREFIX + name]
            text += f"; as exported, missing scores as 0: {_number(other['rho'])} (n = {other['n']})"
        lines.append(text + ".")
    found = aggregates(study)
    found = found[found["target"] == target].assign(moved=lambda f: (f["rho"] - f["rho_exported"]).abs())
    found = found[found["moved"].notna()]
    if len(found) and found["moved"].max() < 0.005:
        lines.append("Counting missing scores as 0 would change no parent's correlation.")
    elif len(found):
        worst: Any = found.loc[found["moved"].idxmax()]
        lines.append(
            "Counting missing scores as 0 moves the parents' correlations by "
            f"{_number(found['moved'].median())} in the median, most for {worst['parent']} "
            f"({_number(worst['rho_exported'])} as exported, {_number(worst['rho'])} recomputed)."
        )
    return lines


def _families(study: Study) -> list[str]:
    table = human(study.correlations)
    mine = table[(table["target"] == study.middle) & table["is_leaf"]]
    lines = []
    both = mine[mine["rho_within"].notna() & mine["rho_between"].notna()]
    if len(both):
        opposed = both[
            ((both["rho_between"] > 0) & (both["rho_within_high"] < 0))
            | ((both["rho_between"] < 0) & (both["rho_within_low"] > 0))
        ]
        gap = (both["rho_within"] - both["rho_between"]).abs()
        row: Any = both.loc[gap.idxmax()]
        lines.append(
            f"{names.label(row['target'])}: of {_count(len(both), 'leaf', 'leaves')} of human-likeness, the "
            "interval within families lies wholly on the other side of 0 than the correlation between "
            f"families for {len(opposed)} (by chance about {0.025 * len(both):.0f}). The largest difference: "
            f"{row['benchmark']}, {_number(row['rho_within'])} within families, "
            f"{_number(row['rho_between'])} between."
        )
    hangs = mine[(mine["partial_q"] < LEVEL) & (mine["lofo_low"] * mine["lofo_high"] < 0)]
    if len(hangs):
        listed = ", ".join(
            f"{r['benchmark']} (on {r['lofo_family']})" for _, r in hangs.head(NAMED).iterrows()
        )
        lines.append(f"The sign hangs on one family for {listed}.")
    if len(study.duplicates):
        models = int((study.duplicates["n"] - study.duplicates["n_collapsed"]).max())
        moved = (study.duplicates["rho"] - study.duplicates["rho_collapsed"]).abs().max()
        lines.append(
            f"Counting the same weights once takes away up to {_count(models, 'model')} and moves rho by at "
            f"most {_number(moved)}."
        )
    return lines + claims.twins(study.twins, study.benchmarks)


def _above_floor(study: Study, benchmark: str, target: str) -> str:
    """The estimate over the models above the floor that the plan declares for an attack; none: nothing."""
    table = study.selections
    if table is None:
        return ""
    mine = table[(table["rows"] == ABOVE) & (table["benchmark"] == benchmark) & (table["target"] == target)]
    found = [
        f"{given} {_number(row['rho'])} (n = {row['n']})"
        for given, part in (("raw", mine[mine["given"].isna()]), ("given clean", mine[mine["given"].notna()]))
        for _, row in part.head(1).iterrows()
        if row["rho"] == row["rho"]
    ]
    return f"; one row per network, above the floor of the attack: {', '.join(found)}" if found else ""


_COMING_FROM = {
    "leaderboard": "rows of the leaderboard",
    "registry": "registered models",
    "sheet": "models of the sheet",
    "robustness": "names of the robustness table",
}


def _lost(study: Study) -> list[str]:
    """What a reader must know before any number: most of a sheet or table found no partner."""
    if study.names is None:
        return []
    table = counts(study.names)
    return [
        f"**{table.loc[where, 'unmatched']} of {table.loc[where, 'total']} {_COMING_FROM[where]} match "
        "nothing on "
        "the leaderboard**, so what follows is about the others (Names, below)."
        for where in mostly_unmatched(study.names)
    ]


def _names(study: Study) -> list[str]:
    if study.names is None:
        return []
    lines = []
    for where, row in counts(study.names).iterrows():
        parts = [f"{row[fate]} {fate}" for fate in FATES if row[fate]]
        came = _COMING_FROM.get(str(where), f"models of {where}")
        lines.append(f"{row['total']} {came}: {', '.join(parts)}.")
    alone = study.names[
        study.names["where"].isin(["sheet", "robustness"]) & (study.names["fate"] == "unmatched")
    ]
    for name, near in list(zip(alone["name"], alone["closest"], strict=True))[:UNMATCHED]:
        lines.append(f"{name!r} was not matched; the most similar name is {near!r}.")
    if len(alone) > UNMATCHED:
        lines.append(f"{len(alone) - UNMATCHED} more were not matched: `registry/names.csv` has them all.")
    return lines


def _accuracies(study: Study) -> list[str]:
    """What was measured of the models that no correlation is over."""
    import pandas as pd

    every = study.targets
    clean = names.control_of(study.attacked[0], every) if study.attacked else None
    shown = list(dict.fromkeys([*([clean] if clean else []), *(study.attacked or every)]))
    cells = study.robustness.set_index(["model", "target"])["value"].to_dict()
    lines = []
    for model in study.unscored[:LISTED]:
        known = [(t, cells[model, t]) for t in shown if pd.notna(cells.get((model, t)))]
        said = "; ".join(f"{names.label(t)}: {_number(value)}" for t, value in known)
        lines.append(f"{model}: {said or 'nothing was measured'}.")
    rest = len(study.unscored) - len(lines)
    if rest:
        lines.append(f"{_count(rest, 'more model')} in tables/models.csv.")
    return lines


def _exclusions(study: Study) -> list[str]:
    if study.excluded.empty:
        return ["Every model was evaluated."]
    # what is closest to a name is the name's own affair
    reasons = study.excluded["reason"].str.partition(" (closest: ")[0]
    grouped = study.excluded.groupby(reasons)["model"].nunique().sort_values(ascending=False, kind="stable")
    return [f"{_count(int(count), 'model')}: {reason}" for reason, count in grouped.items()]


def _caveats(study: Study) -> list[str]:
    from alignsec.analysis.families import FAMILIES

    table = study.correlations
    lines = ["A correlation over published models is no effect of alignment: nothing was assigned to them."]
    blunt = target_table(study)
    for _, row in blunt[(blunt["tied"] > 0.5) & (blunt["models"] > 1)].iterrows():
        floor = row["at_zero"] > 0.5
        where = f"{row['at_zero']:.0%} of the models are at 0" if floor else f"{row['tied']:.0%} are tied"
        lines.append(f"{names.label(row['target'])}: {where}, so it can hardly tell models apart.")
    for meaning, models in study.warnings.groupby("meaning", sort=False)["model"]:
        lines.append(f"Doubts about {_count(models.nunique(), 'model')}: {meaning}.")
    noisy = blunt[blunt["sampling"] > 0.1]
    if len(noisy):
        worst: Any = noisy.loc[noisy["sampling"].idxmax()]
        lines.append(
            f"Sampling of images makes more than a tenth of the variance of {_count(len(noisy), 'target')}, "
            f"most for {names.label(str(worst['target']))} ({min(worst['sampling'], 1):.0%}): more images "
            "would sharpen them."
        )
    untested = table[table["is_leaf"] & table["rho"].notna() & table["p"].isna()]
    if len(untested):
        lines.append(
            f"{_count(untested['benchmark'].nunique(), 'leaf benchmark')} with too few models or fewer than "
            f"{FAMILIES} families, or with one that dominates: no test and no interval."
        )
    alone = [t for t in study.targets if names.kind(t) != "clean" and not names.control_of(t, study.targets)]
    if alone:
        whose = "" if len(alone) == len(study.targets) else f" for {_count(len(alone), 'target')}"
        lines.append(f"Clean accuracy was not measured{whose}, and it is the main confounder.")
    if table["p_ols"].notna().any():
        lines.append("R² and p_ols are of ordinary least squares, which takes models as independent.")
    lines.append("Families are those of the model sheet, or guessed from the names where there is none.")
    return lines
