"""The real leaderboard in every shape that it is published or saved in: the same scores, the same tree."""

import csv
import gzip
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from alignsec.ground.errors import AlignsecError
from alignsec.leaderboard import export
from alignsec.leaderboard.tree import display_name, known_tree

META = ["model_name", "model_id", "rank", "layers"]
TREE = ["parent", "category", "depth", "is_leaf", "n_scored"]


@pytest.fixture(scope="module")
def published(data_dir: Path) -> Path:
    return data_dir / "brainscore" / "leaderboard_2025-05-07.csv"


@pytest.fixture(scope="module")
def cells(published: Path) -> pd.DataFrame:
    return pd.read_csv(published, dtype=str, keep_default_na=False)


@pytest.fixture(scope="module")
def wanted(published: Path) -> export.Parsed:
    return export.parse(published)


def tree_of(parsed: export.Parsed) -> dict[str, dict[str, object]]:
    table = parsed.benchmarks.astype(object).where(parsed.benchmarks.notna(), None)
    return {row["benchmark"]: {k: row[k] for k in TREE} for row in table.to_dict("records")}


def scores_of(parsed: export.Parsed) -> dict[tuple[str, str], tuple[float | None, str]]:
    return {
        (r.model, r.benchmark): (None if np.isnan(r.score) else r.score, r.status)
        for r in parsed.scores.itertuples()
    }


def decimal_commas(cells: pd.DataFrame, path: Path) -> None:
    benchmarks = [c for c in cells if c not in META]
    changed = cells.assign(**{c: cells[c].str.replace(".", ",") for c in benchmarks})
    changed.to_csv(path, sep=";", index=False)


def as_numbers(cells: pd.DataFrame) -> pd.DataFrame:
    """As a program holds them: numbers where a cell is one, nothing where it is empty."""
    out = cells.copy()
    for c in out:
        if c not in ("model_name", "layers"):
            numbers = pd.to_numeric(out[c], errors="coerce").astype(object)
            out[c] = numbers.where(numbers.notna(), out[c].replace("", None))
    return out


def shuffled(cells: pd.DataFrame, path: Path) -> None:
    columns = list(np.random.default_rng(1).permutation(cells.columns))
    cells.sample(frac=1, random_state=1)[columns].to_csv(path, index=False)


def trailing(cells: pd.DataFrame, path: Path) -> None:
    lines = cells.to_csv(index=False, lineterminator="\r\n").split("\r\n")[:-1]
    path.write_text("\r\n".join(line + ",," for line in lines) + "\r\n" + "," * (len(cells.columns) + 1))


SHAPES: dict[str, tuple[str, Callable[[pd.DataFrame, Path], object], str]] = {
    "semicolons": ("l.csv", decimal_commas, "semicolons, decimal commas"),
    "xlsx": ("l.xlsx", lambda t, p: as_numbers(t).to_excel(p, index=False), ".xlsx"),
    "gzip": ("l.csv.gz", lambda t, p: p.write_bytes(gzip.compress(t.to_csv(index=False).encode())), "gzip"),
    "utf-16": ("l.csv", lambda t, p: t.to_csv(p, index=False, encoding="utf-16", sep="\t"), "UTF-16, tabs"),
    "bom": ("l.csv", lambda t, p: t.to_csv(p, index=False, encoding="utf-8-sig"), "UTF-8 with BOM"),
    "pandas index": ("l.csv", lambda t, p: t.to_csv(p), "an index column left out"),
    "nan": ("l.csv", lambda t, p: as_numbers(t).to_csv(p, na_rep="nan"), "an index column left out"),
    "parquet": ("l.parquet", lambda t, p: t.to_parquet(p), "Parquet"),
    "shuffled": ("l.csv", shuffled, "commas"),
    "trailing": ("l.csv", trailing, "1 blank row left out, 2 empty columns left out"),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_leaderboard_saved_again_is_the_same(
    shape: str, cells: pd.DataFrame, wanted: export.Parsed, tmp_path: Path
) -> None:
    name, write, said = SHAPES[shape]
    write(cells, tmp_path / name)
    found = export.parse(tmp_path / name)
    assert said in found.understood
    assert tree_of(found) == tree_of(wanted)
    assert scores_of(found) == scores_of(wanted)
    assert found.warnings == []


def zip_of(
    table: pd.DataFrame, leaves: list[str], folder: Path, regions: dict[str, str] | None = None
) -> tuple[Path, Path]:
    """An export as the site writes it today, and its table alone. Comments, quotes, two decimals."""
    comments = "# Generated on 2026-08-05T13:00:00.000Z (EDT)\n# Date from 2020 to 2026\n"
    text = comments + table.to_csv(index=False, quoting=csv.QUOTE_ALL)
    rows = [("plugin_name", "plugin_type", "model_id", "metadata")]
    rows += [(m, "model", i, "{}") for m, i in table[["Model", "Model ID"]].itertuples(index=False)]
    for leaf in leaves:
        data = {"region": (regions or {})[leaf]} if leaf in (regions or {}) else {}
        rows.append((f"{leaf}_v1", "benchmark", "", json.dumps({"Stimuli": {}, "Data": data})))
    info = io.StringIO()
    csv.writer(info, lineterminator="\n").writerows(rows)
    with zipfile.ZipFile(folder / "e.zip", "w") as archive:
        archive.writestr("leaderboard.csv", text)
        archive.writestr("plugin-info.csv", comments + info.getvalue())
    (folder / "e.csv").write_text(text)
    return folder / "e.zip", folder / "e.csv"


def as_exported(wanted: export.Parsed, names: dict[str, str]) -> pd.DataFrame:
    """The real scores under other names of the columns, as today's site writes them."""
    order = list(wanted.benchmarks["benchmark"])
    wide = wanted.scores.pivot(index="model", columns="benchmark", values="score")[order]
    wide = wide.clip(upper=1).round(2).rename(columns=names)
    ids = {"Rank": range(1, len(wide) + 1), "Model": wide.index, "Model ID": range(100, 100 + len(wide))}
    head = pd.DataFrame(ids, index=wide.index).assign(**{"Filtered Score": wide.iloc[:, 0]})
    return pd.concat([head, wide.map(lambda v: "" if np.isnan(v) else f"{v:.2f}")], axis=1)


def short(name: str) -> str:
    """As the site shows a benchmark: no lab's prefix."""
    return name.removeprefix("tong.")


NAMED = {
    "short names": short,
    "ids": lambda n: f"{n}_v0",
    "short names with versions": lambda n: f"{short(n)}_v3",
}


@pytest.mark.parametrize("named", NAMED)
def test_an_export_of_today_has_the_tree_of_the_csv_zipped_or_not(
    named: str, wanted: export.Parsed, tmp_path: Path
) -> None:
    tree = wanted.benchmarks
    names = {b: NAMED[named](b) for b in tree["benchmark"]}
    leaves = list(tree.loc[tree["is_leaf"], "benchmark"])
    for file in zip_of(as_exported(wanted, names), leaves, tmp_path):
        found = export.parse(file)
        assert tree_of(found) == tree_of(wanted)
        assert found.warnings == []


@pytest.fixture
def later(wanted: export.Parsed, tmp_path: Path) -> tuple[Path, Path]:
    """An export with benchmarks that no one knew in May 2025: a group in V1, one of behaviour, one alone."""
    table = as_exported(wanted, {b: short(b) for b in wanted.benchmarks["benchmark"]})
    draw = np.random.default_rng(0)
    a, b, c, d, e, f = draw.uniform(0.05, 0.9, (6, len(table))).round(2)

    def put(after: str, columns: dict[str, object]) -> None:
        at = list(table.columns).index(after) + 1
        for i, (name, values) in enumerate(columns.items()):
            table.insert(at + i, name, [f"{v:.2f}" for v in values])  # type: ignore[attr-defined]

    put("Coggan2024_fMRI.V1-rdm", {"Li2026.V1": (a + b) / 2, "Li2026.V1-rdm": a, "Li2026.V1-ridgecv": b})
    # named as no other, so that only its scores tell that it is a group
    put("Hebart2023-match", {"Odd2026": (c + d) / 2, "Colour-x": c, "Shape-x": d})
    # a leaf whose name tells nothing, at the end of its area, which is the mean of it and the others
    v4 = [c for c in table if c.endswith((".V4-pls", ".V4-rdm"))]
    put(v4[-1], {"Plain2026": f})
    table["V4"] = [f"{v:.2f}" for v in table[[*v4, "Plain2026"]].replace("", "0").astype(float).mean(axis=1)]
    put("ObjectNet-top1", {"New2026-top1": e})
    tree = wanted.benchmarks
    leaves = list(tree.loc[tree["is_leaf"], "benchmark"])
    leaves += ["Plain2026", "Li2026.V1-rdm", "Li2026.V1-ridgecv", "Colour-x", "Shape-x", "New2026-top1"]
    return zip_of(table, leaves, tmp_path)


def test_groups_that_are_new_stand_above_their_own_children(later: tuple[Path, Path]) -> None:
    trees = [tree_of(export.parse(file)) for file in later]
    assert trees[0] == trees[1]
    found = {
        b: (t["parent"], t["category"], t["is_leaf"]) for b, t in trees[0].items() if b not in known_tree()
    }
    assert found == {
        "Li2026.V1": ("V1", "neural", False),
        "Li2026.V1-rdm": ("Li2026.V1", "neural", True),
        "Li2026.V1-ridgecv": ("Li2026.V1", "neural", True),
        "Plain2026": ("V4", "neural", True),
        "Odd2026": ("behavior_vision", "behavior", False),
        "Colour-x": ("Odd2026", "behavior", True),
        "Shape-x": ("Odd2026", "behavior", True),
        "New2026-top1": ("engineering_vision", "engineering", True),
    }
    known = {b: t["parent"] for b, t in trees[0].items() if b in known_tree()}
    assert known == known_tree()


def test_leaves_are_those_that_plugin_info_lists(tmp_path: Path) -> None:
    """One model: scores tell nothing. A name that begins others is a leaf where it is listed as one."""
    table = pd.DataFrame(
        [[1, "m", 7, 0.3, 0.1, 0.2, 0.9, 0.4]],
        columns=[
            "Rank",
            "Model",
            "Model ID",
            "neural_vision",
            "Lab2026",
            "Lab2026-a",
            "Lab2026-b",
            "Alone2026",
        ],
    )
    zipped, plain = zip_of(table, ["Lab2026", "Lab2026-a", "Lab2026-b"], tmp_path)
    found = export.parse(zipped)
    assert {b: t["parent"] for b, t in tree_of(found).items()} == {
        "neural_vision": None, "Lab2026": "neural_vision", "Lab2026-a": "neural_vision",
        "Lab2026-b": "neural_vision", "Alone2026": "neural_vision",
    }  # fmt: skip
    assert [b for b, t in tree_of(found).items() if t["is_leaf"]] == ["Lab2026", "Lab2026-a", "Lab2026-b"]
    assert (
        len(found.warnings) == 1
        and "'Alone2026' is no leaf by the export's plugin-info.csv" in found.warnings[0]
    )
    # alone, the table tells by its names
    assert tree_of(export.parse(plain))["Lab2026-a"]["parent"] == "Lab2026"


def test_the_area_that_metadata_tell_is_the_parent_where_columns_do_not(tmp_path: Path) -> None:
    columns = ["Rank", "Model", "Model ID", "V4", "neural_vision", "Lab2026-x", "Lab2026-y"]
    table = pd.DataFrame([[1, "m", 7, 0.3, 0.1, 0.2, 0.9]], columns=columns)
    zipped, _ = zip_of(table, columns[-2:], tmp_path, {"Lab2026-x": "V4", "Lab2026-y": "IT"})
    found = tree_of(export.parse(zipped))
    assert [found[b]["parent"] for b in columns[-2:]] == ["V4", "neural_vision"]
    assert [found[b]["category"] for b in columns[-2:]] == ["neural"] * 2


def test_a_benchmark_without_category_can_be_given_one(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text("model_name,Q0,neural_vision,Q1\nm,.1,.2,.3\n")
    assert "leaderboard.categories: {Q0: neural}" in export.parse(tmp_path / "l.csv").warnings[0]
    found = export.parse(tmp_path / "l.csv", {"Q0": "behavior"})
    assert found.warnings == [] and tree_of(found)["Q0"]["category"] == "behavior"
    with pytest.raises(AlignsecError, match=r"leaderboard\.categories: 'Q' is no benchmark .*nearest: 'Q0'"):
        export.parse(tmp_path / "l.csv", {"Q": "behavior"})


@pytest.mark.parametrize(
    "header", ["model_name,average_language,neural_language,Pereira2018-linear", "Model,Futrell2018-pearsonr"]
)
def test_a_language_leaderboard_is_refused(header: str, tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text(f"{header}\nm{',.2' * header.count(',')}\n")
    with pytest.raises(AlignsecError, match="language leaderboard"):
        export.parse(tmp_path / "l.csv")


def test_short_names_of_the_published_benchmarks_are_distinct() -> None:
    assert len({display_name(n) for n in known_tree()}) == len(known_tree())


def test_a_name_in_windows_1252_is_read_and_said(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_bytes("model_name,A,B\nréseau à café,.1,.2\nm,.3,.4\n".encode("cp1252"))
    found = export.parse(tmp_path / "l.csv")
    assert found.scores["model"].tolist()[0] == "réseau à café"
    assert any("read as Windows-1252" in w for w in found.warnings)
