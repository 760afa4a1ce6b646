"""What `alignsec status` says of shards that have ended, are under way, or have not begun."""

import json
from pathlib import Path

from alignsec.cluster import status
from alignsec.cluster.job import arguments, environment, placeholders, read_ad


def ledger(path: Path, *records: dict[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(r) + "\t00000000\n" for r in records) + '{"kind":"do')


def test_settled_images_of_a_ledger_that_grows(tmp_path: Path) -> None:
    attack = tmp_path / "models" / "m" / "attack"
    ledger(
        attack / "0000.ledger",
        {"format": 1},
        {"kind": "plan", "unit": "clean"},
        {"kind": "done", "unit": "clean", "epsilon": None, "images": [0, 1, 2, 3], "correct": [True, True, False, True],
         "seconds": 1.5},
        # broken at both epsilons, and at the larger one only
        {"kind": "done", "unit": "screen", "epsilon": 0.2, "images": [0, 1, 3], "found": [[0, 0.05], [1, 0.15]],
         "seconds": 2},
    )  # fmt: skip
    found = status.collect(["m"], tmp_path, [("0000", 4), ("0001", 2)], [0.1, 0.2], "Linf")
    assert found == {"m": [status.Shard(2, 4, 3.5, False), status.Shard(0, 2, 0.0, False)]}
    ledger(
        attack / "0000.ledger",
        {"kind": "done", "unit": "square", "epsilon": 0.2, "images": [3], "found": [], "failed": [3]},
    )
    assert status.read_shard(attack, "0000", 4, [0.1, 0.2], "Linf").settled == 1
    (attack / "0001.status.json").write_text(json.dumps({"cost": {"seconds": {"clean": 1, "square": 3599}}}))
    assert status.read_shard(attack, "0001", 2, [0.1], "Linf") == status.Shard(2, 2, 3600.0, True)


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
        'RequestMemory = 1000\nAlignsecLastAttempt = true\nRank = 0.0\nRequirements = (TARGET.X > 1)\nB = "a \\"b\\""\n'
        'TransferOutput = "x/y.txt,z"\n'
    )
    ad = read_ad(tmp_path / "ad")
    assert ad == {"RequestMemory": 1000, "AlignsecLastAttempt": True, "Rank": 0.0, "B": 'a "b"',
                  "TransferOutput": "x/y.txt,z"}  # fmt: skip
    assert read_ad(tmp_path / "none") == {}
    found = environment(ad, tmp_path, {"PATH": "/bin"})
    assert found["ALIGNSEC_MEMORY_MB"] == "900" and found["HOME"] == str(tmp_path) and found["PATH"] == "/bin"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "z").write_text("kept")
    placeholders(ad)
    assert (tmp_path / "x" / "y.txt").read_bytes() == b"" and (tmp_path / "z").read_text() == "kept"
    assert arguments(["/x/python", "-m", "snakemake", "--foo"]) == ["--foo"] == arguments(["--foo"])
