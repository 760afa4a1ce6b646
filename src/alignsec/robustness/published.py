"""Published robustness as targets of a study: which network is whose, checked and never guessed."""

import fnmatch
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alignsec.ground import downloads, tables
from alignsec.ground.errors import AlignsecError
from alignsec.ground.names import closest
from alignsec.ground.tabular import read_table
from alignsec.robustness.doubts import below, doubts_of
from alignsec.robustness.identities import AGREED, IDENTITIES, agreement, copies, identities
from alignsec.robustness.own import read_own
from alignsec.robustness.summarise import COLUMNS, EXCLUDED, WARNINGS
from alignsec.study.layout import Layout
from alignsec.study.published import CATALOGUE, File, Source, chosen, read
from alignsec.study.targets import source_of, with_source

if TYPE_CHECKING:
    import pandas as pd

MAP = ("leaderboard_model", "source", "source_model", "identity", "evidence")


@dataclass(frozen=True)
class Published:
    """What sources give to a study.

    Attributes
    ----------
    table : kind ``robustness``, every joined row; targets end in their source
    identities : `IDENTITY_COLUMNS`, a row per model and source
    shown : as `table`, of the sources that are only shown
    fates : source, source_model, fate, model: what became of every name of a source
    copies : pairs of models that may be one network, by their scores, for a person to review
    """

    table: "pd.DataFrame"
    identities: "pd.DataFrame"
    shown: "pd.DataFrame"
    fates: "pd.DataFrame"
    copies: "pd.DataFrame"


@dataclass(frozen=True)
class Tree:
    """A leaderboard: tables of the kinds ``scores`` and ``benchmarks``."""

    scores: "pd.DataFrame"
    benchmarks: "pd.DataFrame"


def whole(source: Source, folder: Path) -> "pd.DataFrame":
    """Everything that a source says of every model of its own: `model, target, value, low, high, n`.

    Targets are without the source's name; `model` is the source's. Files that only a mirror holds and that
    are not in `folder` are left out.

    Raises
    ------
    AlignsecError
        A file is missing or cannot be read, or a pattern of the catalogue fits none of its targets.
    """
    return _measured(source, _held(source, folder))


def _held(source: Source, folder: Path) -> "pd.DataFrame":
    """All of a source's files, targets that no measure has too."""
    import pandas as pd

    parts = []
    for file in source.files:
        path = folder / file.name
        if file.gathered and (not path.is_file() or not path.stat().st_size):
            continue
        frame = _read(file, path)
        parts.append(frame)
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=COLUMNS)


def _measured(source: Source, table: "pd.DataFrame") -> "pd.DataFrame":
    """The targets of a table that the catalogue's measures have, means in place of what they are of."""
    import pandas as pd

    if not len(table):
        return table
    kept = _of_measures(source, list(dict.fromkeys(table["target"])))
    table = table[table["target"].isin(kept)]
    for measure in source.measures:
        if measure.mean is None:
            continue
        inside = table["target"].map(measure.holds) & (table["target"] != measure.mean)
        # a mean is of models that have every part of it
        parts_of = table[inside].pivot(index="model", columns="target", values="value")
        mean = parts_of.dropna().mean(axis=1) if len(parts_of) else parts_of.mean(axis=1)
        rows = pd.DataFrame({"model": mean.index, "target": measure.mean, "value": mean.to_numpy()})
        table = pd.concat([table[~inside], rows], ignore_index=True)
    return table.reindex(columns=COLUMNS)


def _of_measures(source: Source, targets: Sequence[str]) -> list[str]:
    """Those of the targets that are a measure of the catalogue; each of its patterns must fit one."""
    for pattern in (p for m in source.measures for p in m.targets):
        if not any(fnmatch.fnmatchcase(t, pattern) for t in targets):
            near = closest(pattern, targets)[0][0]
            raise AlignsecError(
                f"{CATALOGUE}: {source.title} has no target {pattern!r} (closest: {near!r}): correct its "
                "measures"
            )
    return [t for t in targets if any(m.holds(t) for m in source.measures)]


def _read(file: File, path: Path) -> "pd.DataFrame":
    import pandas as pd

    if not path.is_file():
        raise AlignsecError(f"{path}: no such file: run the study's rule `published_file` again")
    if file.layout == "robustbench corruptions":
        wide = pd.read_csv(path, header=[0, 1], index_col=0)
        wide.columns = pd.Index([f"corruption_top1@{c[0]}-{c[1]}" for c in wide.columns])
    elif file.columns is not None:
        wide = pd.read_csv(path, index_col="model")
        if missing := [c for c in file.columns if c not in wide]:
            raise AlignsecError(f"{path}: column {missing[0]!r} of the catalogue is missing")
        wide = wide[list(file.columns)].rename(columns=dict(file.columns)) / 100
    elif file.rows is not None:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
        for column, value in file.rows.items():
            frame = frame[frame[column] == value]
        kept = path.with_name(f".{path.name}")
        with tables.atomic(kept) as temporary:
            frame.to_csv(temporary, index=False)
        try:
            return read_own(kept).table
        finally:
            kept.unlink()
    else:
        return read_own(path).table
    long = wide.reset_index(names="model").melt("model", var_name="target").dropna(subset="value")
    return long.reindex(columns=COLUMNS)


def read_map(path: Path, sources: Sequence[str], leaderboard: Sequence[str]) -> "pd.DataFrame":
    """The name map: `MAP`, and `weights` where it has them, the rows of these sources.

    Raises
    ------
    AlignsecError
        The file, line and remedy: a missing column, an unknown identity, an empty cell, a model that is not
        on the leaderboard, or a model with two networks of one source.
    """
    import pandas as pd

    if not path.is_file():
        raise AlignsecError(f"{path}: no such name map: set robustness.published.name_map")
    table = read_table(path)
    places = [table.find(name) for name in MAP]
    if None in places:
        raise AlignsecError(
            f"{path}: expected are columns {', '.join(MAP)}; it has {', '.join(table.header)}"
        )
    known, rows, seen, declared = set(leaderboard), [], {}, table.find("weights")
    for i in range(len(table.rows)):
        row = {name: table.text(i, c, name) for name, c in zip(MAP, places, strict=True) if c is not None}
        row["weights"] = "" if declared is None else table.rows[i][declared].strip()
        if row["source"] not in sources:
            continue
        model, key = row["leaderboard_model"], (row["leaderboard_model"], row["source"])
        if row["identity"] not in IDENTITIES:
            raise AlignsecError(f"{table.where(i)}: identity {row['identity']!r} is none of {IDENTITIES}")
        if key in seen:
            raise AlignsecError(
                f"{table.where(i)}: {model!r} has a network of {row['source']} already: keep one"
            )
        if model not in known:
            near = closest(model, leaderboard)[0][0]
            raise AlignsecError(
                f"{table.where(i)}: {model!r} is no model of the leaderboard (closest: {near!r}): correct it"
            )
        seen[key] = i
        rows.append(row)
    return pd.DataFrame(rows, columns=[*MAP, "weights"])


def join(
    sources: Mapping[str, "pd.DataFrame"],
    show: Sequence[str],
    names: "pd.DataFrame",
    scores: "pd.DataFrame",
    leaves: Sequence[str],
) -> Published:
    """Sources' values under the leaderboard's names, with what is known of whether they are the same network.

    Parameters
    ----------
    sources : name -> `whole` of it
    show : those of them that are shown and not correlated
    names : `read_map`
    scores : table of kind ``scores``
    leaves : leaf benchmarks, by which copies are found

    Raises
    ------
    AlignsecError
        The map has a network that its source does not.
    """
    import pandas as pd

    wide = scores.pivot(index="model", columns="benchmark", values="score")
    joined, fates = {}, []
    for source, table in sources.items():
        mine = names[names["source"] == source]
        theirs = set(table["model"])
        if len(table):
            _all_there(mine, source, theirs)
        rows = mine[["leaderboard_model", "source_model"]].merge(
            table, left_on="source_model", right_on="model"
        )
        rows = rows.assign(
            model=rows["leaderboard_model"], target=[with_source(t, source) for t in rows["target"]]
        )
        joined[source] = rows.sort_values(["model", "target"], kind="stable")[list(COLUMNS)]
        whose = mine.groupby("source_model")["leaderboard_model"].agg("; ".join)
        for name in sorted(theirs):
            fate = ("joined", whose[name]) if name in whose else ("no model of the leaderboard is known", "")
            fates.append((source, name, *fate))
    used = [s for s in sources if s not in show]
    return Published(
        table=_together([joined[s] for s in used]),
        identities=identities(names[names["source"].isin(list(sources))], joined, wide),
        shown=_together([joined[s] for s in sources if s in show]),
        fates=pd.DataFrame(fates, columns=["source", "source_model", "fate", "model"]),
        copies=copies(wide.loc[sorted(set(names["leaderboard_model"]))], leaves),
    )


def _together(parts: "Sequence[pd.DataFrame]") -> "pd.DataFrame":
    """Tables of kind ``robustness`` one below the other."""
    import pandas as pd

    held = [part.astype(object) for part in parts if len(part)]
    whole = pd.concat(held, ignore_index=True) if held else pd.DataFrame(columns=list(COLUMNS))
    return tables.validate(whole, "robustness")


def _all_there(mine: "pd.DataFrame", source: str, theirs: set[str]) -> None:
    for model, name in zip(mine["leaderboard_model"], mine["source_model"], strict=True):
        if name not in theirs:
            near = closest(name, sorted(theirs))[0][0]
            raise AlignsecError(
                f"robustness.published.name_map: {model!r} is said to be {name!r} of {source}, which has no "
                f"such network (closest: {near!r}): correct it"
            )


def of_study(
    catalogue: Mapping[str, Source], show: Sequence[str], folder: Path, names: Path, tree: Tree
) -> tuple[Published, "dict[str, pd.DataFrame]"]:
    """The sources' files below `folder`, a folder each, joined with a leaderboard; and `whole` of each."""
    import pandas as pd

    held = {name: _held(source, folder / name) for name, source in catalogue.items()}
    every = {name: _measured(source, held[name]) for name, source in catalogue.items()}
    benchmarks = tree.benchmarks
    leaves = list(benchmarks.loc[benchmarks["is_leaf"], "benchmark"])
    known = list(dict.fromkeys(tree.scores["model"]))
    found = join(every, show, read_map(names, list(catalogue), known), tree.scores, leaves)
    left = [
        (name, model, "no value that a measure of the catalogue has", "")
        for name, table in held.items()
        for model in sorted(set(table["model"]) - set(every[name]["model"]))
    ]
    fates = pd.concat([found.fates, pd.DataFrame(left, columns=found.fates.columns)], ignore_index=True)
    return replace(found, fates=fates), every


def write(
    found: Published,
    every: "Mapping[str, pd.DataFrame]",
    catalogue: Mapping[str, Source],
    study: Layout,
    own: "tuple[pd.DataFrame, pd.DataFrame] | None" = None,
) -> "pd.DataFrame":
    """Write what sources give to a study, beside its `own` table and warnings; the table written."""
    import pandas as pd

    table, warnings = found.table, pd.DataFrame(doubts_of(found.table, published=True), columns=WARNINGS)
    agreed = pd.DataFrame(columns=list(AGREED))
    if own is None:
        tables.write_csv(pd.DataFrame(columns=EXCLUDED), study.excluded)
    else:
        agreed = agreement(own[0], found.table, found.identities)
        clean = found.table[found.table["target"].str.startswith("clean_top1[")]
        known = [
            (m, v, f"{source_of(t)}'s table")
            for m, t, v in zip(clean["model"], clean["target"], clean["value"], strict=True)
        ]
        short = pd.DataFrame(below(own[0], known), columns=WARNINGS)
        table = _together([own[0], table])
        warnings = pd.concat([own[1], short, warnings], ignore_index=True)
    for name, frame in every.items():
        tables.write(
            tables.validate(frame.astype(object), "robustness"), study.published_whole(name), "robustness"
        )
    tables.write_csv(found.identities, study.identities)
    tables.write_csv(found.fates, study.fates)
    tables.write_csv(found.copies, study.copies)
    tables.write_csv(found.shown, study.shown)
    tables.write_csv(agreed, study.agreement)
    tables.write_csv(warnings, study.warnings)
    tables.write_text(
        study.sources, json.dumps(described(catalogue, found), indent=1, ensure_ascii=False) + "\n"
    )
    tables.write(table, study.robustness, "robustness")
    return table


def described(catalogue: Mapping[str, Source], found: Published) -> dict[str, Any]:
    """Of every source what a reader must know beside its numbers, and how many models it gave."""
    said: dict[str, Any] = {}
    for name, source in catalogue.items():
        mine = found.identities[found.identities["source"] == name]
        joined = [t for t in (found.table, found.shown) if len(t)]
        said[name] = {
            "title": source.title,
            "home": source.home,
            "commit": source.commit,
            "licence": source.licence,
            "citation": source.citation,
            "images": source.images,
            "cautions": list(source.cautions),
            "models": int((found.fates["source"] == name).sum()),
            "joined": {str(k): int(v) for k, v in mine["identity"].value_counts().sort_index().items()},
            "networks": int(mine["network"].nunique()),
            "targets": {
                target: {
                    "attack": m.attack,
                    "steps": m.steps,
                    "what": m.what,
                    "images": m.images,
                    "cautions": list(m.cautions),
                }
                for t in joined
                for target in dict.fromkeys(t["target"])
                if str(target).endswith(f"[{name}]")
                and (m := source.measure(str(target).removesuffix(f"[{name}]"))) is not None
            },
        }
    return said


def fetch(catalogue: Path, source: str, file: str, out: Path) -> None:
    """Download a file of a source to `out`; of a gathered one that no mirror holds, leave an empty file.

    Raises
    ------
    AlignsecError
        No such source or file, or it cannot be had as the catalogue pins it.
    """
    mine = chosen(read(catalogue), [source], catalogue)[source]
    found = next((f for f in mine.files if f.name == file), None)
    if found is None:
        raise AlignsecError(
            f"{catalogue}: {source} has no file {file!r}: it has {[f.name for f in mine.files]}"
        )
    if found.gathered and downloads.mirrored(found.sha256) is None:
        print(f"{file}: gathered from many files, and no mirror holds it ({downloads.MIRROR}): left out")
        tables.write_text(out, "")
        return
    downloads.fetch(found.address, out, found.sha256, key=f"{CATALOGUE}.{source}")


def run(
    folder: Path, catalogue: Path, names: Path, use: Sequence[str], show: Sequence[str], *, own: bool
) -> str:
    """Join the sources of a study below ``results/<study>`` (`join`, `write`); what there is, in a line."""
    study = Layout(folder)
    sources = chosen(read(catalogue), [*use, *show], catalogue)
    tree = Tree(tables.read(study.scores, "scores"), tables.read(study.benchmarks, "benchmarks"))
    found, every = of_study(sources, show, study.published_files, names, tree)
    held = None
    if own:
        held = tables.read(study.own, "robustness"), tables.read_csv(study.own_warnings)
    table = write(found, every, sources, study, held)
    return (
        f"{table['model'].nunique()} models, {table['target'].nunique()} targets; of published ones "
        f"{len(found.identities)} identities, {int(found.identities['flagged'].sum())} flagged"
    )
