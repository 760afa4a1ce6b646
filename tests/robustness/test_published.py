"""Published robustness: the catalogue, the name map, the join, and the real files where they are."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from alignsec.ground.errors import AlignsecError
from alignsec.ground.hashes import file_hash
from alignsec.robustness import identities, published
from alignsec.study import published as catalogues
from alignsec.study.layout import Layout

ROOT = Path(__file__).resolve().parents[2]
CATALOGUE = ROOT / "config" / "published" / "sources.yaml"
NAMES = ROOT / "config" / "published" / "name_map.tsv"
ENTRY: dict[str, Any] = {
    "title": "A table", "home": "https://example.org", "commit": "a" * 40, "licence": "MIT",
    "citation": "nobody", "names": "its own",
    "files": [{"name": "t.csv", "address": "https://example.org/t.csv", "sha256": "0" * 64}],
    "measures": [
        {"targets": ["clean_top1"], "what": "clean"},
        {"targets": ["pgd_top1@*"], "what": "PGD", "attack": "PGD", "steps": 40},
        {"targets": ["corruption_top1@*-*"], "mean": "corruption_top1@mean", "what": "corruptions"},
    ],
}  # fmt: skip


def source(**more: Any) -> catalogues.Source:
    return catalogues._source({**ENTRY, **more})


def catalogue(tmp_path: Path, **more: Any) -> Path:
    path = tmp_path / "sources.yaml"
    path.write_text(yaml.safe_dump({"mine": {**ENTRY, **more}}), encoding="utf-8")
    return path


def test_the_bundled_catalogue_pins_every_file() -> None:
    found = catalogues.read(CATALOGUE)
    assert list(found) == ["testbed", "timm", "robustbench", "robustbench_c", "biases"]
    for entry in found.values():
        for file in entry.files:
            assert entry.commit in file.address and len(file.sha256) == 64


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"licence": ""}, "mine.licence"),
        ({"files": [{"name": "../t.csv", "address": "x", "sha256": "0" * 64}]}, "mine.files.0.name"),
        ({"colour": "red"}, "'colour' was unexpected"),
        ({"commit": "main"}, "mine.commit"),
    ],
)
def test_a_catalogue_that_cannot_be_right_is_refused_by_file_and_key(
    tmp_path: Path, more: dict[str, Any], said: str
) -> None:
    with pytest.raises(AlignsecError, match=r"sources\.yaml") as told:
        catalogues.read(catalogue(tmp_path, **more))
    assert said in str(told.value)


def test_a_source_that_is_not_in_the_catalogue_is_told_with_the_nearest(tmp_path: Path) -> None:
    path = catalogue(tmp_path)
    with pytest.raises(AlignsecError, match="nearest: 'mine'"):
        catalogues.chosen(catalogues.read(path), ["mina"], path)


def write_source(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "t.csv").write_text(
        "model,clean_top1,pgd_top1@1/255,corruption_top1@fog-1,corruption_top1@fog-2,shift_top1@other\n"
        "a,.8,.2,.5,.3,.1\nb,.7,.1,.4,,.1\nc,.6,.3,.2,.4,.1\n",
        encoding="utf-8",
    )


def test_a_source_gives_its_measures_and_means_of_what_has_every_part(tmp_path: Path) -> None:
    write_source(tmp_path / "mine")
    table = published.whole(source(), tmp_path / "mine").set_index(["model", "target"])["value"]
    assert set(table.index.get_level_values(1)) == {"clean_top1", "pgd_top1@1/255", "corruption_top1@mean"}
    assert table["a", "corruption_top1@mean"] == pytest.approx(0.4)
    assert ("b", "corruption_top1@mean") not in table.index
    assert table["c", "pgd_top1@1/255"] == 0.3


def scores(clean: dict[str, float], leaves: int = 25) -> pd.DataFrame:
    rows = [(m, identities.IMAGENET, v) for m, v in clean.items()]
    for i, model in enumerate(clean):
        rows += [
            (model, f"leaf{j}", j / 30 + (0 if model.startswith("copy") else i / 7)) for j in range(leaves)
        ]
    return pd.DataFrame(rows, columns=["model", "benchmark", "score"])


def names_of(*rows: tuple[str, str, str, str]) -> pd.DataFrame:
    return pd.DataFrame([(*r, "by hand") for r in rows], columns=list(published.MAP))


def joined(tmp_path: Path) -> published.Published:
    write_source(tmp_path / "mine")
    names = names_of(
        ("A", "mine", "a", "same weights"),
        ("copy of A", "mine", "a", "same weights"),
        ("B", "mine", "b", "same weights"),
        ("C", "mine", "c", "likely"),
    )
    table = scores({"A": 0.78, "copy of A": 0.78, "B": 0.68, "C": 0.5})
    every = {"mine": published.whole(source(), tmp_path / "mine")}
    return published.join(every, [], names, table, [f"leaf{j}" for j in range(25)])


def test_every_joined_row_is_kept_under_the_leaderboards_name_and_the_sources(tmp_path: Path) -> None:
    found = joined(tmp_path)
    assert set(found.table["model"]) == {"A", "copy of A", "B", "C"}
    assert {t[-6:] for t in found.table["target"]} == {"[mine]"}
    assert len(found.table) == 3 + 3 + 2 + 3


def test_copies_have_one_network_and_an_odd_clean_accuracy_is_flagged(tmp_path: Path) -> None:
    found = joined(tmp_path).identities.set_index("model")
    assert found.loc["A", "network"] == found.loc["copy of A", "network"] != found.loc["B", "network"]
    assert list(found.index[found["flagged"]]) == ["C"]
    assert found.loc["C", "difference"] == pytest.approx(-0.1) and "median" in found.loc["C", "why"]


def test_networks_are_joined_by_a_sources_name_and_by_declared_weights_across_sources() -> None:
    rows = [
        ("A", "one", "x", "", ""), ("B", "one", "x", "", ""), ("C", "one", "y", "", "w"),
        ("D", "one", "z", "", "w"), ("A", "two", "xx", "", ""), ("E", "two", "xx", "", ""),
        ("F", "two", "yy", "", "v"),
    ]  # fmt: skip
    names = pd.DataFrame(rows, columns=["leaderboard_model", "source", "source_model", "identity", "weights"])
    assert identities.networks(names) == {
        "A": "one:x", "B": "one:x", "E": "one:x", "C": "one:y", "D": "one:y", "F": "two:yy"
    }  # fmt: skip
    # no source knows two networks by one name
    assert identities.networks(names.drop(columns="weights"))["D"] == "one:z"


def test_an_identity_that_cannot_be_checked_says_what_is_missing(tmp_path: Path) -> None:
    write_source(tmp_path / "mine")
    every = {"mine": published.whole(source(), tmp_path / "mine")}
    without = {"mine": every["mine"][every["mine"]["target"] != "clean_top1"]}
    names = names_of(("A", "mine", "a", "same weights"))
    no_clean = published.join(without, [], names, scores({"A": 0.8}), []).identities
    assert no_clean["why"].tolist() == ["not checked: the source has no clean accuracy"]
    other = scores({"A": 0.8}).replace({identities.IMAGENET: "another"})
    no_board = published.join(every, [], names, other, []).identities
    assert no_board["why"].tolist() == [f"not checked: the leaderboard has no {identities.IMAGENET}"]
    assert not no_board["flagged"].any()


def test_a_pattern_that_none_of_its_targets_fits_is_told_with_the_nearest(tmp_path: Path) -> None:
    write_source(tmp_path / "mine")
    entry = source(measures=[{"targets": ["clean_top1", "pgd_top1@1/25"], "what": "both"}])
    with pytest.raises(AlignsecError, match=r"no target 'pgd_top1@1/25' \(closest: 'pgd_top1@1/255'\)"):
        published.whole(entry, tmp_path / "mine")


def test_scores_that_agree_are_listed_for_review(tmp_path: Path) -> None:
    found = joined(tmp_path).copies
    assert found[["model", "other", "leaves"]].to_numpy().tolist() == [["A", "copy of A", 25]]


def test_every_name_of_a_source_has_a_fate(tmp_path: Path) -> None:
    write_source(tmp_path / "mine")
    every = {"mine": published.whole(source(), tmp_path / "mine")}
    found = published.join(every, [], names_of(("A", "mine", "a", "same weights")), scores({"A": 0.8}), [])
    assert dict(zip(found.fates["source_model"], found.fates["fate"], strict=True)) == {
        "a": "joined",
        "b": "no model of the leaderboard is known",
        "c": "no model of the leaderboard is known",
    }


def test_a_network_that_the_source_does_not_have_is_no_network(tmp_path: Path) -> None:
    write_source(tmp_path / "mine")
    every = {"mine": published.whole(source(), tmp_path / "mine")}
    with pytest.raises(AlignsecError, match="said to be 'aa' of mine"):
        published.join(every, [], names_of(("A", "mine", "aa", "likely")), scores({"A": 0.8}), [])


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("A\tmine\ta\tperhaps\tx", "identity 'perhaps'"),
        ("a\tmine\ta\tlikely\tx", "closest: 'A'"),
        ("A\tmine\ta\tlikely\tx\nA\tmine\tb\tlikely\tx", ":3.*already"),
    ],
)
def test_a_name_map_is_checked_row_by_row(tmp_path: Path, row: str, said: str) -> None:
    path = tmp_path / "names.tsv"
    path.write_text("\t".join(published.MAP) + f"\n{row}\n", encoding="utf-8")
    with pytest.raises(AlignsecError, match=said):
        published.read_map(path, ["mine"], ["A", "B"])


def test_own_and_published_values_of_the_same_weights_stand_side_by_side(tmp_path: Path) -> None:
    found = joined(tmp_path)
    own = pd.DataFrame(
        {"model": ["A", "A", "A", "A", "C"],
         "target": ["clean_top1", "robust_top1@2/510", "robust_top1@L2:1/255", "robust_top1@2/255",
                    "clean_top1"],
         "value": [0.78, 0.25, 0.2, 0.1, 0.4], "low": None, "high": None, "n": None}
    )  # fmt: skip
    agreed = identities.agreement(own, found.table, found.identities)
    # another norm or radius is another question, and C is only likely the same
    assert agreed[["model", "source_model", "target", "published_target"]].to_numpy().tolist() == [
        ["A", "a", "clean_top1", "clean_top1[mine]"],
        ["A", "a", "robust_top1@2/510", "pgd_top1@1/255[mine]"],
    ]
    assert agreed["difference"].tolist() == pytest.approx([-0.02, 0.05])


def test_a_study_of_its_own_and_published_robustness_has_both(tmp_path: Path) -> None:
    found, study = joined(tmp_path), Layout(tmp_path / "results")
    own = pd.DataFrame(
        [("A", "robust_top1@1/255", 0.1, None, None, None)],
        columns=["model", "target", "value", "low", "high", "n"],
    )
    warnings = pd.DataFrame(columns=["model", "warning", "value", "meaning"])
    table = published.write(found, {}, {"mine": source()}, study, (own, warnings))
    assert len(table) == len(found.table) + 1
    said = json.loads(study.sources.read_text(encoding="utf-8"))["mine"]
    assert said["targets"]["pgd_top1@1/255[mine]"]["steps"] == 40 and said["networks"] == 3


# ---- the real files ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory, data_dir: Path) -> dict[str, pd.DataFrame]:
    """The sources' whole tables, files found by their SHA-256 as the mirror does."""
    folder = data_dir / "published"
    if not folder.is_dir():
        pytest.skip(f"no published tables at {folder}: set ALIGNSEC_DATA")
    held = {file_hash(p): p for p in folder.rglob("*.csv")}
    place = tmp_path_factory.mktemp("published")
    found = {}
    for name, entry in catalogues.read(CATALOGUE).items():
        (place / name).mkdir()
        for file in entry.files:
            (place / name / file.name).symlink_to(held[file.sha256])
        found[name] = published.whole(entry, place / name)
    return found


def test_the_real_sources_have_as_many_models_and_targets_as_is_said(real: dict[str, pd.DataFrame]) -> None:
    assert {k: v["model"].nunique() for k, v in real.items()} == {
        "testbed": 335, "timm": 1267, "robustbench": 30, "robustbench_c": 12, "biases": 70,
    }  # fmt: skip
    assert (real["testbed"]["target"] == "pgd_top1@0.5/255").sum() == 186
    for table in real.values():
        assert table["value"].between(0, 1).all()


def test_every_row_of_the_map_names_a_network_of_its_source(real: dict[str, pd.DataFrame]) -> None:
    table = pd.read_csv(NAMES, sep="\t")
    for name, mine in table.groupby("source"):
        assert set(mine["source_model"]) <= set(real[str(name)]["model"])
    assert set(table["identity"]) == set(identities.IDENTITIES)
    assert table["evidence"].str.len().min() > 10
    assert not table.duplicated(["leaderboard_model", "source"]).any()
