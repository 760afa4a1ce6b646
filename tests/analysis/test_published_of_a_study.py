"""The leaderboard of May 2025 with published robustness: counts, identities, and correlations from raw files.

Numbers that were found before with other programs are set beside those of this one, each with its n; where
they differ the test says why.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from alignsec.analysis import names
from alignsec.analysis.correlate import correlate
from alignsec.analysis.join import join
from alignsec.ground import downloads, tables
from alignsec.leaderboard import export, merge, registry
from alignsec.robustness import published as joining
from alignsec.robustness.identities import IDENTITIES, LIKELY, OTHER_SIZE, SAME
from alignsec.study import published
from alignsec.study.layout import Layout

CATALOGUE = Path(__file__).parents[2] / "config" / "published"
USE, SHOW = ["testbed", "timm"], ["robustbench", "robustbench_c", "biases"]
PGD = "pgd_top1@0.5/255[testbed]"
IMAGENET_A = "shift_top1@imagenet-a[timm]"
TESTBED = {
    "clean_top1[testbed]": "val",
    PGD: "pgd.linf.eps0.5",
    "pgd_top1@2/255[testbed]": "pgd.linf.eps2",
    "pgd_top1@L2:0.1[testbed]": "pgd.l2.eps0.1",
    "pgd_top1@L2:0.5[testbed]": "pgd.l2.eps0.5",
    "shift_top1@imagenet-a[testbed]": "imagenet-a",
    "shift_top1@objectnet-1.0-beta[testbed]": "objectnet-1.0-beta",
    "shift_top1@stylized_imagenet[testbed]": "stylized_imagenet",
}
EXTRA = ("gaussian_blur", "saturate", "spatter", "speckle_noise")  # held out by ImageNet-C's authors


@dataclass(frozen=True)
class Found:
    """A study and what it was made from."""

    study: Layout
    data: Path
    total: pd.DataFrame
    benchmarks: pd.DataFrame
    identities: pd.DataFrame
    robustness: pd.DataFrame

    def files(self) -> names.Files:
        return names.Files(
            self.study.dropped, self.study.scores, self.study.registry, self.study.total,
            self.study.robustness, self.study.excluded, fates=self.study.fates,
        )  # fmt: skip

    def loadable(self, source: str) -> pd.DataFrame:
        registered = tables.read(self.study.registry, "registry")["model"]
        mine = self.joined(source)
        return mine[mine["model"].isin(registered)]

    def joined(self, source: str) -> pd.DataFrame:
        return self.identities[self.identities["source"] == source]

    def correlated(self, total: pd.DataFrame, targets: Sequence[str]) -> pd.DataFrame:
        return correlate(total, self.benchmarks, targets, flips=1000).set_index(["benchmark", "target"])


def made(study: Layout, data: Path) -> None:
    """Scores, registry and published robustness of a study, as the workflow's rules make them."""
    parsed = export.parse(data / "brainscore" / "leaderboard_2025-05-07.csv")
    tables.write(parsed.scores, study.scores, "scores")
    tables.write_csv(export.dropped_table(parsed), study.dropped)
    tables.write(parsed.benchmarks, study.benchmarks, "benchmarks")
    tables.write(registry.read()[0], study.registry, "registry")
    sources = CATALOGUE / "sources.yaml"
    for name, source in published.read(sources).items():
        for file in source.files:
            joining.fetch(sources, name, file.name, study.published(name, file.name))
    joining.run(study.root, sources, CATALOGUE / "name_map.tsv", USE, SHOW, own=False)


@pytest.fixture(scope="module")
def found(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Found:
    if not (data_dir / "published").is_dir():
        pytest.skip(f"no published robustness in {data_dir}")
    study = Layout(tmp_path_factory.mktemp("published"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(downloads.MIRROR, str(data_dir))
        made(study, data_dir)
    scores, benchmarks = tables.read(study.scores, "scores"), tables.read(study.benchmarks, "benchmarks")
    merged = merge.merge(scores, benchmarks, tables.read(study.registry, "registry"), everything=True)
    robustness = tables.read(study.robustness, "robustness")
    total = join(merged, benchmarks, robustness).total
    tables.write(total, study.total, "total_scores")
    return Found(study, data_dir, total, benchmarks, tables.read_csv(study.identities), robustness)


# ---- who joined --------------------------------------------------------------------------------------------


def test_every_join_is_a_row_of_the_reviewed_map_and_no_row_of_it_is_lost(found: Found) -> None:
    rows = pd.read_csv(CATALOGUE / "name_map.tsv", sep="\t", keep_default_na=False)
    said = set(zip(rows["leaderboard_model"], rows["source"], rows["source_model"], strict=True))
    have = found.identities[["model", "source", "source_model"]].itertuples(index=False, name=None)
    assert set(have) == said  # all of its models are on the leaderboard of May 2025
    used = {(m, s) for m, s, _ in said if s in USE}
    sources = found.robustness["target"].str.extract(r"\[(.+)\]$")[0]
    assert set(zip(found.robustness["model"], sources, strict=True)) == used


def test_a_name_that_both_have_joins_nothing_without_a_row(found: Found, tmp_path: Path) -> None:
    lines = (CATALOGUE / "name_map.tsv").read_text(encoding="utf-8").splitlines(keepends=True)
    fewer = tmp_path / "map.tsv"
    fewer.write_text("".join(line for line in lines if not line.startswith("alexnet\t")), encoding="utf-8")
    scores = tables.read(found.study.scores, "scores")
    names = joining.read_map(fewer, ["testbed"], list(scores["model"]))
    whole = tables.read(found.study.published_whole("testbed"), "robustness")
    assert "alexnet" in set(whole["model"])
    joined = joining.join({"testbed": whole}, [], names, scores, [])
    assert "alexnet" not in set(joined.table["model"])
    assert len(joined.identities) == len(found.joined("testbed")) - 1


@pytest.mark.parametrize(
    ("source", "same", "size", "likely", "networks"),
    [("testbed", 32, 6, 23, 43), ("timm", 42, 9, 23, 64), ("robustbench", 3, 0, 3, 2),
     ("robustbench_c", 9, 0, 0, 5), ("biases", 10, 0, 4, 8)],
)  # fmt: skip
def test_models_per_source_and_identity_and_networks_once_copies_are_merged(
    found: Found, source: str, same: int, size: int, likely: int, networks: int
) -> None:
    """As reviewed: a change of the map changes this table, and docs/published.md.

    Against the first map: three torchvision V2 networks run at 224 or 299 where timm has 176, the AdvProp
    networks that no plugin loads are known by name only, and resnet50_robust_l2_eps3 loads Engstrom's
    weights, where `biases` has Salman's: not one network.
    """
    mine = found.joined(source)
    counted = mine["identity"].value_counts()
    assert [counted.get(i, 0) for i in IDENTITIES] == [same, size, likely]
    assert mine["network"].nunique() == networks
    said = json.loads(found.study.sources.read_text(encoding="utf-8"))[source]
    assert said["networks"] == networks and sum(said["joined"].values()) == len(mine)
    # one network per name of the source, unless two of its names are of one network elsewhere
    assert mine["network"].nunique() <= mine["source_model"].nunique()


def test_every_network_is_one_checkpoint_and_every_checkpoint_one_network(found: Found) -> None:
    rows = pd.read_csv(CATALOGUE / "name_map.tsv", sep="\t", keep_default_na=False)
    assert ((rows["weights"] != "") == (rows["identity"] != LIKELY)).all()
    network = dict(zip(found.identities["model"], found.identities["network"], strict=True))
    known = rows[rows["weights"] != ""]
    pairs = set(zip(known["leaderboard_model"].map(network), known["weights"], strict=True))
    assert len(pairs) == len({n for n, _ in pairs}) == len({w for _, w in pairs})


def test_what_runs_at_another_size_than_timm_s_row_is_of_no_same_identity(found: Found) -> None:
    mine = found.joined("timm").set_index("model")["identity"]
    assert mine[["resnet_50_v2", "resnet_101_v2", "resnet_152_v2"]].tolist() == [OTHER_SIZE] * 3
    assert mine["resnet_50_v1"] == SAME
    raw = pd.read_csv(found.data / "published" / "timm" / "results-imagenet.csv")
    row = raw[raw["model"] == "resnet50.tv2_in1k"].set_index("img_size")["top1"]
    value = found.robustness.set_index(["model", "target"])["value"]
    assert set(row.index) == {176, 224} and value["resnet_50_v2", "clean_top1[timm]"] * 100 == (
        pytest.approx(row[176])
    )


def test_pairs_that_agree_in_their_scores_are_listed_and_none_is_new(found: Found) -> None:
    pairs = tables.read_csv(found.study.copies)
    network = dict(zip(found.identities["model"], found.identities["network"], strict=True))
    assert len(pairs) and (pairs["model"].map(network) == pairs["other"].map(network)).all()
    assert {"alexnet", "alexnet_ks_torevert"} in [
        {a, b} for a, b in zip(pairs["model"], pairs["other"], strict=True)
    ]
    assert (pairs["leaves"] >= 20).all() and (pairs["alike"] > 0.4 * pairs["leaves"]).all()


def test_flags_are_a_pandas_line_on_the_raw_files(found: Found) -> None:
    board = raw_leaderboard(found.data)["ImageNet-top1"]
    raw = raw_testbed(found.data)["val"] / 100
    mine = found.joined("testbed")
    difference = board.loc[mine["model"]].to_numpy() - raw.loc[mine["source_model"]].to_numpy()
    assert mine["difference"].to_numpy() == pytest.approx(difference, abs=1e-9, nan_ok=True)
    middle = np.nanmedian(difference[mine["identity"] == SAME])
    flagged = np.abs(difference - middle) > 0.03
    assert mine["flagged"].tolist() == flagged.tolist()
    # the plugin normalises Xception otherwise than its weights want
    assert mine.set_index("model")["flagged"]["xception"]


def test_every_name_of_every_source_has_a_fate(found: Found) -> None:
    raw = raw_testbed(found.data)
    fates = tables.read_csv(found.study.fates)
    mine = fates[fates["source"] == "testbed"]
    assert sorted(mine["source_model"]) == sorted(raw.index)
    # rows of the file that have other settings only
    unmeasured = raw.index[raw["val"].isna()]
    assert set(mine.loc[mine["fate"].str.startswith("no value"), "source_model"]) == set(unmeasured)
    used = set(fates.loc[(fates["source"] == "timm") & (fates["fate"] == "joined"), "source_model"])
    assert used == set(found.joined("timm")["source_model"])
    told = names.of_study(found.files())
    counts = names.counts(told)
    assert counts.loc["timm", "used"] == len(used)
    assert counts.loc[SHOW, "used"].eq(0).all() and counts.loc[SHOW, "excluded"].gt(0).all()
    assert counts.loc[["leaderboard", "registry", "testbed"], "total"].tolist() == [455, 741, 338]
    assert told["why"].notna().any() and not told["name"].isna().any()
    lost = told[(told["where"] == "leaderboard") & (told["fate"] == "unmatched")]
    assert lost["why"].str.contains("name map").all() and lost["closest"].notna().all()


def test_sources_to_show_are_tabulated_and_in_no_correlation(found: Found) -> None:
    shown = tables.read_csv(found.study.shown)
    assert set(shown["target"].str.extract(r"\[(.+)\]$")[0]) == set(SHOW)
    assert not any(f"[{s}]" in t for s in SHOW for t in found.robustness["target"])
    value = shown.set_index(["model", "target"])["value"]
    assert value["resnet_50_v1", "clean_top1[robustbench]"] == pytest.approx(0.7652)
    assert value["resnet_50_v1", "robust_top1@4/255[robustbench]"] == 0
    # RobustBench's own mean, to its two digits
    assert value["resnet_50_v1", "corruption_top1@mean[robustbench_c]"] == pytest.approx(0.3948, abs=5e-5)


# ---- values and correlations from the raw files ------------------------------------------------------------


def raw_testbed(data: Path) -> pd.DataFrame:
    return pd.read_csv(data / "published" / "testbed" / "robustness_top1s.csv", index_col="model")


def raw_leaderboard(data: Path) -> pd.DataFrame:
    """One row per name, of two the one with more numbers, then the later; `X` and empty are missing."""
    raw = pd.read_csv(data / "brainscore" / "leaderboard_2025-05-07.csv", keep_default_na=False, dtype=object)
    numbers = raw.drop(columns=["model_name", "model_id"]).apply(pd.to_numeric, errors="coerce")
    order = pd.DataFrame({"n": numbers.notna().sum(axis=1), "id": raw["model_id"].astype(int)})
    best = order.sort_values(["n", "id"]).index
    numbers.index = raw["model_name"]
    numbers = numbers.iloc[best]
    return numbers[~numbers.index.duplicated(keep="last")]


def test_the_values_are_the_raw_ones_and_corruptions_those_on_disk(found: Found) -> None:
    raw = raw_testbed(found.data) / 100
    wide = found.robustness.pivot(index="model", columns="target", values="value")
    mine = found.joined("testbed").set_index("model")["source_model"]
    disk = [c for c in raw if c.endswith("_on-disk") and c.split(".")[1] not in EXTRA]
    assert len(disk) == 15 * 5
    raw["corruptions"] = raw[disk].mean(axis=1, skipna=False)
    for target, column in {**TESTBED, "corruption_top1@mean[testbed]": "corruptions"}.items():
        expected = raw[column].loc[mine].to_numpy()
        assert wide.loc[mine.index, target].to_numpy() == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_timm_rows_are_those_of_the_default_size_and_classes_of_a_shift_are_a_clean_accuracy(
    found: Found,
) -> None:
    value = found.robustness.set_index(["model", "target"])["value"]
    raw = pd.read_csv(found.data / "published" / "timm" / "results-imagenet-a-clean.csv")
    rows = raw[raw["model"] == "convnext_tiny.in12k_ft_in1k"].set_index("img_size")["top1"]
    assert set(rows.index) == {224, 288}
    assert value["convnext_tiny:in12k_ft_in1k", "clean_top1@imagenet-a-classes[timm]"] * 100 == (
        pytest.approx(rows[224])
    )


def test_correlations_are_pandas_and_scipy_on_the_raw_files(found: Found) -> None:
    board, raw = raw_leaderboard(found.data), raw_testbed(found.data) / 100
    mine = found.joined("testbed")
    y = raw.loc[mine["source_model"]].set_index(pd.Index(mine["model"]))
    total = found.total[found.total["model"].isin(mine["model"])]
    table = found.correlated(total, list(TESTBED))
    leaves = found.benchmarks.loc[found.benchmarks["is_leaf"], "benchmark"]
    compared = 0
    for leaf in leaves:
        for target, column in TESTBED.items():
            pair = pd.DataFrame({"x": board[leaf], "y": y[column]}, index=y.index).dropna()
            row = table.loc[(leaf, target)]
            assert row["n"] == len(pair), (leaf, target)
            if len(pair) < 5 or pair["x"].min() == pair["x"].max():
                assert np.isnan(row["rho"])
                continue
            line = stats.linregress(pair["x"], pair["y"])
            expected = [
                pair["x"].corr(pair["y"], method="spearman"), stats.spearmanr(pair["x"], pair["y"]).statistic,
                line.rvalue, line.slope, line.intercept,
            ]  # fmt: skip
            got = row[["rho", "rho", "pearson_r", "slope", "intercept"]].astype(float).tolist()
            assert got == pytest.approx(expected, abs=1e-9), (leaf, target)
            compared += 1
    assert compared > 0.9 * len(leaves) * len(TESTBED)


def test_imagenet_a_is_seen_net_of_the_accuracy_on_its_200_classes(found: Found) -> None:
    row = found.correlated(found.total, [IMAGENET_A]).loc[("Hermann2020cueconflict-shape_match", IMAGENET_A)]
    control = "clean_top1@imagenet-a-classes[timm]"
    both = ["Hermann2020cueconflict-shape_match", IMAGENET_A, control]
    assert (row["control"], row["partial_n"]) == (control, len(found.total[both].dropna()))


# ---- numbers found before ----------------------------------------------------------------------------------


def test_the_numbers_found_before_on_the_registry_s_rows_come_out_again(found: Found) -> None:
    """36 rows of the registry have testbed's PGD at 0.5/255: 29 networks; 11 families of names, 10 since
    imagenet_l2_3_0 is of the family of the network whose weights it has."""
    total = found.total[found.total[PGD].notna()]
    assert len(total) == 57  # of the whole leaderboard
    mine = found.loadable("testbed")
    rows = mine[mine["model"].isin(total["model"])]
    total = total[total["model"].isin(rows["model"])]
    assert (len(rows), rows["network"].nunique(), total["family"].nunique()) == (36, 29, 10)
    table = found.correlated(total, [PGD]).droplevel("target")
    average, shape = table.loc["average_vision"], table.loc["Hermann2020cueconflict-shape_match"]
    assert (average["n"], round(average["rho"], 2)) == (33, 0.16)
    assert (shape["n"], round(shape["rho"], 2)) == (36, 0.70)
    exported = table.loc["exported_behavior_vision"]
    assert (exported["n"], round(exported["r2"], 3)) == (36, 0.001)


def test_one_row_per_network_shrinks_the_strongest_leaf_as_found_before(found: Found) -> None:
    network = found.loadable("testbed").set_index("model")["network"]
    total = found.total[found.total[PGD].notna() & found.total["model"].isin(network.index)]
    one = total[~total["model"].map(network).duplicated()]
    shape = one["Hermann2020cueconflict-shape_match"].corr(one[PGD], method="spearman")
    assert (len(one), round(shape, 2)) == (29, 0.63)


def test_counting_missing_scores_as_zero_hides_engineering_against_imagenet_a(found: Found) -> None:
    """Of the registry's models, as found before: .82 becomes .13 over 49."""
    mine = found.loadable("timm")
    total = found.total[found.total["model"].isin(mine["model"])]
    pairs = total[["engineering_vision", "exported_engineering_vision", IMAGENET_A]].dropna()
    rho = pairs.corr(method="spearman")[IMAGENET_A].round(2)
    assert len(pairs) == 49
    assert (rho["engineering_vision"], rho["exported_engineering_vision"]) == (0.82, 0.13)
