"""What `alignsec status` says of shards that have ended, are under way, or have not begun."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from alignsec.attack.ledger import Ledger, read
from alignsec.cli import main
from alignsec.cluster import status
from alignsec.cluster.job import Line, arguments, environment, placeholders, read_ad
from alignsec.study.layout import Models, of_study


def ledger(path: Path, *records: dict[str, object]) -> None:
    """Of a job that writes its next record at this moment."""
    path.unlink(missing_ok=True)
    kept = Ledger(path, {})
    for record in records:
        kept.append(record)
    kept.close()
    with path.open("a") as handle:
        handle.write('{"kind":"done","unit":"squ')


def test_settled_images_of_a_ledger_that_grows(tmp_path: Path) -> None:
    models = Models(tmp_path)
    attack = tmp_path / "m" / "attack"
    done = {"kind": "done", "epsilon": None}
    broken = [[0, 0.05], [1, 0.15]]  # row of the batch, distance
    ledger(
        attack / "0000.ledger",
        {"kind": "plan", "unit": "clean"},
        done
        | {
            "unit": "clean",
            "images": ["a:0", "b:0", "c:0", "d:0"],
            "correct": [True, True, False, True],
            "seconds": 1.5,
        },
        # broken at both epsilons, and at the larger one only
        done
        | {"unit": "screen", "epsilon": 0.2, "images": ["a:0", "b:0", "d:0"], "found": broken, "seconds": 2},
    )
    found = status.collect(["m"], models, [("0000", 4), ("0001", 2)], [0.1, 0.2], "Linf")
    assert found == {"m": [status.Shard(2, 4, 3.5, False), status.Shard(0, 2, 0.0, False)]}
    ledger(
        attack / "0000.ledger",
        {"kind": "done", "unit": "square", "epsilon": 0.2, "images": ["d:0"], "found": []},
        {"kind": "failed", "unit": "square", "epsilon": 0.2, "images": ["d:0"]},
    )
    assert status.read_shard(models, "m", "0000", 4, [0.1, 0.2], "Linf").settled == 1
    (attack / "0001.status.json").write_text(json.dumps({"cost": {"seconds": {"clean": 1, "square": 3599}}}))
    assert status.read_shard(models, "m", "0001", 2, [0.1], "Linf") == status.Shard(2, 2, 3600.0, True)


def test_what_the_access_point_has_is_merged_with_what_is_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whichever of the two is larger."""

    class Chirp:
        def __enter__(self) -> "Chirp":
            return self

        def __exit__(self, *_: object) -> None: ...

        def fetch(self, name: str, to: str) -> None:
            shutil.copy(tmp_path / "there.ledger", to)

    def grown(name: str, count: int) -> None:
        kept = Ledger(tmp_path / name, {"seed": 0})
        for number in range(count):
            kept.append({"kind": "done", "of": name, "number": number})
        kept.close()

    grown("here.ledger", 1)
    shutil.copy(tmp_path / "here.ledger", tmp_path / "there.ledger")
    grown("here.ledger", 1)
    grown("there.ledger", 5)
    line = Line({}, tmp_path)
    line.works = True
    monkeypatch.setattr(line, "_open", Chirp)
    line.fetch(str(tmp_path / "here.ledger"))
    assert len([r for r in read(tmp_path / "here.ledger") if r["kind"] == "done"]) == 1 + 1 + 5
    # that of another job leaves what is here, which is this job's own
    (tmp_path / "there.ledger").unlink()
    Ledger(tmp_path / "there.ledger", {"seed": 1}).close()
    before = (tmp_path / "here.ledger").read_bytes()
    line.fetch(str(tmp_path / "here.ledger"))
    assert (tmp_path / "here.ledger").read_bytes() == before
    assert "stays as it is" in capsys.readouterr().err
    assert line.works and sorted(f.name for f in tmp_path.iterdir()) == ["here.ledger", "there.ledger"]


def test_every_study_has_a_status(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its sheet lies beside its configuration; one that attacks nothing is told as such."""

    def said() -> str:
        monkeypatch.setattr("sys.argv", ["alignsec", "status", "--configfile", "mine/study.yaml"])
        with pytest.raises(SystemExit) as end:
            main()
        assert end.value.code == 0
        return capsys.readouterr().out

    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    study = {
        "study": "x",
        "zoo": {"sheet": "m.tsv"},
        "images": {"count": 5},
        "attack": {"images_per_shard": 4},
    }
    (tmp_path / "mine" / "study.yaml").write_text(yaml.safe_dump(study))
    (tmp_path / "mine" / "m.tsv").write_text("model\tsource\tspec\tfamily\tnote\na b\ttimm\tresnet18\tf\t\n")
    assert "shards:  0 of 2\nimages:  0 of 5 settled" in said()
    files = of_study("x").models.attack_status("a b", "0000")
    files.parent.mkdir(parents=True)
    files.write_text(json.dumps({"cost": {"seconds": {"clean": 3600}}}))
    assert "shards:  1 of 2\nimages:  4 of 5 settled (80.0 %)\nhours:   1.00 of attack so far" in said()
    own = {"study": "own", "leaderboard": {"source": "l.csv", "registry": "installed"}}
    (tmp_path / "mine" / "study.yaml").write_text(
        yaml.safe_dump(own | {"robustness": {"source": "mine.csv"}})
    )
    assert said() == "models:  none is attacked, robustness comes from mine.csv\nstudy:   no findings yet\n"
    of_study("own").root.mkdir(parents=True)
    of_study("own").summary.touch()
    assert "findings in results/own/summary.md" in said()


def test_the_text_has_states_hours_and_what_is_held() -> None:
    found = {"a": [status.Shard(8, 8, 3600, True)], "b": [status.Shard(2, 8, 1800, False)]}
    jobs = [
        {"ClusterId": 7, "JobStatus": 2, "JobBatchName": "attack-3"},
        {"ClusterId": 8, "JobStatus": 5, "JobBatchName": "attack-4", "HoldReason": "memory usage exceeded"},
    ]
    text = status.text(found, jobs, (1.0, 4.0))
    assert "models:  1 of 2 attacked" in text
    assert "images:  10 of 16 settled (62.5 %)" in text
    assert "hours:   1.50 of attack so far; 1.0 to 4.0 were estimated in all" in text
    assert "queue:   1 running, 1 held" in text and "2 attack" in text
    assert "left:    about 0.9 h with 1 at a time" in text
    assert "held:    8 (attack-4): held: memory usage exceeded" in text


def test_the_job_ad_and_what_the_job_makes_of_it(tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "ad").write_text(
        "RequestMemory = 1000\nAlignsecLastAttempt = true\nRank = 0.0\n"
        'Requirements = (TARGET.X > 1)\nB = "a \\"b\\""\n'
        'TransferOutput = "x/y.txt,z"\n'
    )
    ad = read_ad(tmp_path / "ad")
    assert ad == {"RequestMemory": 1000, "AlignsecLastAttempt": True, "Rank": 0.0, "B": 'a "b"',
                  "TransferOutput": "x/y.txt,z"}  # fmt: skip
    assert read_ad(tmp_path / "none") == {}
    found = environment(ad, tmp_path, {"PATH": "/bin"})
    assert found["ALIGNSEC_ATTEMPTS_LEFT"] == "0"
    assert environment(ad | {"AlignsecLastAttempt": False}, tmp_path, {})["ALIGNSEC_ATTEMPTS_LEFT"] == "1"
    assert "ALIGNSEC_ATTEMPTS_LEFT" not in environment({}, tmp_path, {})
    assert found["ALIGNSEC_MEMORY_MB"] == "900" and found["HOME"] == str(tmp_path) and found["PATH"] == "/bin"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "z").write_text("kept")
    placeholders(ad)
    assert (tmp_path / "x" / "y.txt").read_bytes() == b"" and (tmp_path / "z").read_text() == "kept"
    assert arguments(["/x/python", "-m", "snakemake", "--foo"]) == ["--foo"] == arguments(["--foo"])
