"""An own table against the published leaderboard: every name has a fate, as the verbs write it."""

from pathlib import Path

import pandas as pd
import pytest

from alignsec.analysis import names
from alignsec.analysis.join import join
from alignsec.ground import tables
from alignsec.leaderboard import export, merge, registry
from alignsec.robustness.own import of_study


@pytest.fixture(scope="module")
def found(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """Of 57 names: 45 in the registry too, 8 on the leaderboard only, 4 misspelled."""
    folder = tmp_path_factory.mktemp("names")
    board = data_dir / "brainscore" / "leaderboard_2025-05-07.csv"
    parsed = export.parse(board)
    loadable, _ = registry.read()
    listed = list(dict.fromkeys(parsed.scores["model"]))
    both = [m for m in listed if m in set(loadable["model"])]
    alone = [m for m in listed if m not in set(loadable["model"])]
    given = [*both[:45], *alone[:8], *(f"{m}-x" for m in both[45:49])]
    rows = "".join(f'"{m}",clean_top1,0.{50 + i % 40},100\n' for i, m in enumerate(given))
    (folder / "own.csv").write_text(f"model,target,value,n\n{rows}")
    own, excluded = of_study(folder / "own.csv", listed)
    merged = merge.merge(parsed.scores, parsed.benchmarks, loadable, everything=True)
    total = join(merged, parsed.benchmarks, own.table).total
    written = {"scores": parsed.scores, "registry": loadable, "total_scores": total, "robustness": own.table}
    for kind, table in written.items():
        tables.write(table, folder / f"{kind}.parquet", kind)
    tables.write_csv(excluded, folder / "excluded.csv")
    tables.write_csv(export.dropped_table(parsed), folder / "dropped.csv")
    return names.of_study(
        names.Files(
            folder / "dropped.csv", folder / "scores.parquet", folder / "registry.parquet",
            folder / "total_scores.parquet",
            folder / "robustness.parquet", folder / "excluded.csv", own=folder / "own.csv",
        )
    )  # fmt: skip


def test_what_came_in_is_what_is_accounted_for(found: pd.DataFrame) -> None:
    table = names.counts(found)
    assert table.loc["robustness"].to_dict() == {
        "used": 53, "excluded": 0, "unmatched": 4, "duplicate": 0, "total": 57
    }  # fmt: skip
    # 455 rows of the published file, 741 registered names
    assert table.loc["leaderboard", "total"] == 455 and table.loc["registry", "total"] == 741
    assert table.loc["leaderboard", ["used", "duplicate"]].tolist() == [53, 12]
    assert table.loc["registry", "used"] == 45


def test_a_misspelled_name_has_the_one_that_was_meant_beside_it(found: pd.DataFrame) -> None:
    lost = found[(found["where"] == "robustness") & (found["fate"] == "unmatched")]
    assert lost["closest"].tolist() == [name.removesuffix("-x") for name in lost["name"]]
