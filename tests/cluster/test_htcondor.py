"""The study on a real HTCondor pool without a shared file system, and what happens to it there."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from inspect import signature
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import yaml

from alignsec.cluster import site
from alignsec.cluster.workflow import Cluster
from alignsec.ground.errors import AlignsecError
from tests.cluster.htcondor import pool as pools
from tests.cluster.htcondor.pool import Pool, Study, wait
from tests.workflow.test_workflow import BIN, CONFIG, MODELS, ROOT

REMOTE = {"train_demo_mlp", "train_demo_cnn", "measure_demo", "preflight", "attack", "corruptions"}
# hold times, or the place of the run
OWN = {"provenance.json", "preflight.json", "models.csv"}
OWN_KINDS = {".log", ".tsv", ".ledger"}


@pytest.fixture(scope="module")
def pool() -> Iterator[Pool]:
    if why := pools.missing():
        pytest.skip(why)
    made = Pool()
    made.start()
    yield made
    made.stop()


def rows(models: list[list[str]]) -> pd.DataFrame:
    from alignsec.study import sheet

    return pd.DataFrame(models, columns=sheet.COLUMNS)


def same_files(here: Path, there: Path) -> None:
    """Both hold the same files with the same bytes, but for times."""
    names = [{p.relative_to(f) for p in f.rglob("*") if p.is_file()} for f in (here, there)]
    assert names[0] == names[1]
    for name in sorted(names[0]):
        if name.suffix in OWN_KINDS or name.name in OWN:
            continue
        if name.name.endswith("status.json"):
            contents = [json.loads((f / name).read_text()) for f in (here, there)]
            for content in contents:
                # which batch is the cheapest is timed, and what of a batch is for nothing hangs on it
                timed = ("forward_images", "forward_backward_images", "batch_sizes")
                for key in ("seconds", "peak_memory_mb", *timed):
                    content.get("cost", {}).pop(key, None)
            assert contents[0] == contents[1], name
        else:
            assert (here / name).read_bytes() == (there / name).read_bytes(), name


@pytest.mark.timeout(2400)  # a busy machine must not fail it
def test_the_study_without_a_shared_file_system_equals_the_local_one(pool: Pool, tmp_path: Path) -> None:
    study = Study(pool, "whole", CONFIG, rows(MODELS))
    running = study.controller()
    wait(lambda: "submitted to HTCondor" in study.log())
    # one folder, one controller
    second = study.snakemake("-n")
    assert second.returncode == 0, second.stdout  # which only looks
    second = study.snakemake()
    assert second.returncode == 1
    assert "another controller runs here (process" in second.stdout
    assert running.wait(timeout=1500) == 0, study.log()

    jobs = {int(i) for i in re.findall(r"submitted to HTCondor Cluster ID (\d+)", study.log())}
    ended = {
        int(i): (code, name.rpartition("-")[0])
        for i, code, name in pool.history("ClusterId", "ExitCode", "JobBatchName")
    }
    assert jobs and jobs <= set(ended)
    assert {ended[j] for j in jobs} == {("0", rule) for rule in REMOTE}  # and no light rule
    assert pool.queue("ClusterId") == []

    # the folder is closed to the jobs, which run as nobody
    closed = pool.script("root", "su", "-s", "/bin/sh", "nobody", "-c", f"ls {study.inside}", check=False)
    assert closed.returncode != 0 and "Permission denied" in closed.stderr
    printed = [p.read_text() for p in (study.folder / ".snakemake" / "htcondor").rglob("*.err")]
    assert len(printed) == len(jobs) and all("User: nobody" in text for text in printed)

    # GPU jobs hold one device each, and never the same at a time
    events = (study.folder / ".snakemake" / "htcondor" / "snakemake-rules.log").read_text()
    held = [(gpu, start, end) for cluster, gpu, start, end in pools.executions(events)
            if ended[cluster][1] in ("attack", "corruptions")]  # fmt: skip
    assert len(held) == 8
    held = [each for each in held if each[0]]  # the jobs of the model that is left out ask for none
    assert len(held) == 6 and all("," not in gpu for gpu, _, _ in held)
    assert not any(a[0] == b[0] and a[1] < b[2] and b[1] < a[2] for a, b in combinations(held, 2))

    line = [
        str(BIN / "snakemake"),
        "-s",
        str(ROOT / "Snakefile"),
        "--directory",
        str(tmp_path),
        "--cores",
        "2",
    ]
    line += ["--configfile", str(study.folder / "study.yaml")]
    (tmp_path / "models.tsv").write_bytes((study.folder / "models.tsv").read_bytes())
    environment = os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    same_files(tmp_path / "results", study.folder / "results")
    again = study.snakemake()
    assert again.returncode == 0 and "Nothing to be done" in again.stdout, again.stdout


def test_a_model_that_preflight_excludes_asks_for_no_gpu(pool: Pool) -> None:
    config = FAULTS | {"images": {"source": "digits", "count": 4}}
    study = Study(pool, "excluded", config, rows(MODELS[2:4]))
    tables = [f"results/small/models/{m}/attack/0000.parquet" for m in ("cnn", "broken")]
    assert study.snakemake("-n", *tables).returncode == 0  # preflight has said nothing yet
    done = study.snakemake(*tables)
    assert done.returncode == 0, done.stdout
    gpu = ("RequestGPUs", "WantGPULab", "GPUJobLength", "AlignsecDeadline")
    asked: dict[str, list[str]] = {}
    # the newest first; the pool has seen other studies
    for state, *given in pool.history("AlignsecState", *gpu):
        if "/models/" in state:
            asked.setdefault(state.split("/")[-3], given)
    assert asked["broken"] == ["undefined"] * len(gpu)
    assert asked["cnn"][:3] == ["1", "true", "short"] and asked["cnn"][3].isdigit()
    assert len(pd.read_parquet(study.result("models/broken/attack/0000.parquet"))) == 0
    assert "Nothing to be done" in study.snakemake("-n", *tables).stdout


def test_gpu_jobs_match_by_their_classad_only(pool: Pool) -> None:
    """The pool's policy is the GPU Lab's."""
    job = (
        "executable=/bin/sh\ntransfer_executable=False\narguments=-c true\n"
        "request_gpus=1\nrequest_memory=64MB\nrequest_disk=10MB\n"
    )
    home = pool.root / "home" / "tester"
    (home / "with.sub").write_text(job + "+WantGPULab = True\nqueue\n")
    (home / "without.sub").write_text(job + "queue\n")
    without = pool.run("condor_submit", "-terse", "/home/tester/without.sub").split(".")[0]
    given = pool.run("condor_submit", "-terse", "/home/tester/with.sub").split(".")[0]
    wait(lambda: [given] in pool.history("ClusterId"))
    assert pool.queue("ClusterId", "JobStatus") == [[without, "1"]]
    pool.run("condor_rm", without)


# ---------------------------------------------------------------------------------------------------------
# faults: one attack of seconds, something happens to it, and in the end nothing is lost or done twice

FAULTS = CONFIG | {
    "attack": {"epsilons": ["0.05"], "images_per_shard": 24, "batch_size": 4},
    "images": {"source": "digits", "count": 24},
    "zoo": CONFIG["zoo"] | {"images": 0},
}
TARGET = "results/small/models/cnn/attack/0000.parquet"


@pytest.fixture(scope="module")
def prepared(pool: Pool) -> Study:
    """All but the attack is made, and an unbroken attack kept aside."""
    study = Study(pool, "prepared", FAULTS, rows(MODELS[2:3]))
    done = study.snakemake(TARGET)
    assert done.returncode == 0, done.stdout
    for path in study.result("models/cnn/attack").iterdir():
        path.rename(study.folder / f"unbroken-{path.name}")
    return study


class Attack:
    """A copy of the prepared study whose attack is under way."""

    def __init__(self, prepared: Study, name: str, start: bool = True, **profile: Any) -> None:
        self.study = Study.__new__(Study)
        self.study.pool, self.study.name, self.study.inside = prepared.pool, name, f"/home/tester/{name}"
        self.pool = prepared.pool
        self.study.folder = prepared.folder.with_name(name)
        subprocess.run(["rm", "-rf", str(self.study.folder)], check=True)
        subprocess.run(["cp", "-a", str(prepared.folder), str(self.study.folder)], check=True)
        subprocess.run(["rm", "-rf", str(self.study.folder / ".snakemake" / "htcondor")], check=True)
        (self.study.folder / "controller.log").unlink(missing_ok=True)
        self.study.profile(**profile)
        self.unbroken = self.study.folder / "unbroken-0000.parquet"
        self.ledger = self.study.result("models/cnn/attack/0000.ledger")
        if start:
            self.running = self.study.controller(TARGET)

    def records(self) -> list[dict[str, object]]:
        if not self.ledger.is_file():
            return []
        return [json.loads(line.rpartition("\t")[0]) for line in self.ledger.read_text().splitlines()]

    def under_way(self, done: int = 8) -> str:
        """Wait until the access point knows of that many finished units; the job's cluster."""
        wait(lambda: sum(r.get("kind") == "done" for r in self.records()) >= done)
        self.before = self.ledger.read_bytes()
        return self.pool.queue("ClusterId")[0][0]

    def ends_as_unbroken(self, executions: int) -> None:
        assert self.running.wait(timeout=200) == 0, self.study.log()
        pd.testing.assert_frame_equal(
            pd.read_parquet(self.study.result("models/cnn/attack/0000.parquet")),
            pd.read_parquet(self.unbroken),
        )
        after = self.ledger.read_bytes()
        assert after.startswith(self.before), "what the access point knew is the beginning of what it knows"
        seen = [
            (r["unit"], r["epsilon"], image)
            for r in self.records() if r.get("kind") == "done" for image in r["images"]  # type: ignore[attr-defined]
        ]  # fmt: skip
        assert len(seen) == len(set(seen)), "an image was attacked twice by the same attack"
        events = "".join(
            p.read_text() for p in (self.study.folder / ".snakemake" / "htcondor").glob("*rules.log")
        )
        assert events.count("Job executing on host") >= executions
        assert self.pool.queue("ClusterId") == []


@pytest.mark.slow
def test_evicted_in_mid_attack(prepared: Study) -> None:
    attack = Attack(prepared, "evicted")
    attack.pool.run("condor_vacate_job", attack.under_way())
    attack.ends_as_unbroken(executions=2)


@pytest.mark.slow
def test_removed_in_mid_attack(prepared: Study) -> None:
    attack = Attack(prepared, "removed")
    attack.pool.run("condor_rm", attack.under_way())
    attack.ends_as_unbroken(executions=2)


@pytest.mark.slow
def test_held_for_memory_and_tried_with_more(prepared: Study) -> None:
    attack = Attack(
        prepared, "memory", **{"set-resources": {"attack": {"request_memory": "f'{500 * attempt}MB'"}}}
    )
    attack.under_way(1)
    attack.ends_as_unbroken(executions=2)
    assert "memory usage" in attack.study.log().lower()


@pytest.mark.slow
def test_held_for_disk_and_tried_with_more(prepared: Study) -> None:
    ballast = prepared.folder / "ballast"
    ballast.write_bytes(bytes(100_000_000))
    attack = Attack(
        prepared,
        "disk",
        **{
            "set-resources": {"attack": {"request_disk": "f'{1 if attempt == 1 else 900}MB'"}},
            "default-resources": {"htcondor_transfer_input_files": "ballast"},
        },
    )
    ballast.unlink()
    attack.under_way(1)
    attack.ends_as_unbroken(executions=2)
    assert "disk" in attack.study.log().lower()


@pytest.mark.slow
def test_machine_killed_and_back(prepared: Study) -> None:
    lease = {"set-resources": {"attack": {"htcondor_submit_job_lease_duration": 20}}}
    attack = Attack(prepared, "machine", **lease)
    attack.under_way()
    for daemon in ("condor_startd", "condor_starter", "alignsec.cluster.job"):
        attack.pool.kill(daemon)
    attack.ends_as_unbroken(executions=2)


@pytest.mark.slow
def test_schedd_killed_and_back(prepared: Study) -> None:
    attack = Attack(prepared, "schedd")
    attack.under_way()
    attack.pool.kill("condor_schedd")
    attack.ends_as_unbroken(executions=1)


@pytest.mark.slow
def test_jobs_are_submitted_to_a_schedd_that_was_restarted(pool: Pool) -> None:
    study = Study(pool, "resubmit", CONFIG, rows(MODELS[:3]))
    running = study.controller("zoo")
    wait(lambda: study.log().count("submitted to HTCondor") >= 3)
    pool.kill("condor_schedd")
    assert running.wait(timeout=200) == 0, study.log()
    assert study.log().count("submitted to HTCondor") >= 6


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["remove", "wait"])
def test_controller_killed_and_run_again(prepared: Study, policy: str) -> None:
    attack = Attack(prepared, f"controller-{policy}", **{"default-resources": {"strays": policy}})
    cluster = attack.under_way()
    attack.pool.kill("bin/snakemake")
    attack.running.wait(timeout=30)
    attack.running = attack.study.controller(TARGET)
    attack.ends_as_unbroken(executions=2)
    log = attack.study.log()
    assert "jobs of an earlier run of this folder are in the queue" in log and f"{cluster} (attack-" in log
    assert ("they have ended" if policy == "wait" else "removed 1 of them") in log
    assert "removed the lock of a run that was killed" in log


@pytest.mark.slow
def test_stopped_by_its_own_deadline(prepared: Study) -> None:
    attack = Attack(prepared, "deadline", **{"set-resources": {"attack": {"classad_AlignsecDeadline": 25}}})
    attack.under_way(2)
    attack.ends_as_unbroken(executions=2)
    events = (attack.study.folder / ".snakemake" / "htcondor" / "snakemake-rules.log").read_text()
    assert "Job terminated and was requeued" in events and "(return value 75)" in events


@pytest.mark.slow
def test_checkpoints_where_there_is_no_line(prepared: Study) -> None:
    """Without chirp the job ends with status 85 now and then, and HTCondor starts it again in its place."""
    without: dict[str, Any] = {
        "set-resources": {"attack": {"classad_WantIOProxy": False}},
        "environment": ["ALIGNSEC_CHECKPOINT_EVERY=20"],
    }
    attack = Attack(prepared, "checkpoint", **without)
    assert attack.running.wait(timeout=200) == 0, attack.study.log()
    pd.testing.assert_frame_equal(
        pd.read_parquet(attack.study.result("models/cnn/attack/0000.parquet")),
        pd.read_parquet(attack.unbroken),
    )
    rounds = attack.pool.run("condor_history", "-limit", "1", "-af", "CheckpointNumber")
    assert int(rounds) >= 1


@pytest.mark.slow
@pytest.mark.parametrize("address", [True, False])
def test_images_come_as_packs_and_a_damaged_one_is_refused(
    prepared: Study, address: bool, tmp_path: Path
) -> None:
    """From staging by HTCondor's own transfer, or from the run's folder."""
    from alignsec.images import packing

    pool, name = prepared.pool, f"packs-{address}"
    staging = pool.root / "var" / "staging"
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True, mode=0o755)
    source = {
        "source": "packs",
        "path": "packs",
        "address": "file:///var/staging" if address else None,
        "count": 24,
    }
    study = Study(pool, name, FAULTS | {"images": source}, rows(MODELS[2:3]), {"retries": 0})
    packing.pack("digits", None, 24, 24, study.folder / "packs")
    archive = study.folder / "packs" / "0000.tar"
    if address:
        archive = archive.rename(staging / "0000.tar")
    archive.chmod(0o644)
    good = archive.read_bytes()
    study.own()
    archive.write_bytes(good[:3000] + b"X" + good[3001:])
    broken = study.snakemake(TARGET)
    assert broken.returncode == 1, broken.stdout
    printed = "".join(
        p.read_text() for p in (study.folder / ".snakemake" / "htcondor" / "attack").glob("*.err")
    )
    assert re.search(r"0000\.tar: its SHA-256 is [0-9a-f]{64}, its index has [0-9a-f]{64}", printed), printed
    archive.write_bytes(good)
    done = study.snakemake(TARGET)
    assert done.returncode == 0, done.stdout
    found = pd.read_parquet(study.result("models/cnn/attack/0000.parquet"))
    pd.testing.assert_frame_equal(found, pd.read_parquet(prepared.folder / "unbroken-0000.parquet"))


@pytest.mark.slow
def test_a_controller_that_is_a_job_itself(prepared: Study) -> None:
    """A schedd that is killed starts the controller again, which clears up after itself."""
    attack = Attack(prepared, "universe", start=False)
    words = ("cluster", "submit", "--profile", "pool", "--", "--configfile", "study.yaml", "--", TARGET)
    said = attack.pool.run("alignsec", *words, folder=attack.study.inside)
    assert "submitted to cluster" in said
    attack.under_way()
    attack.pool.kill("condor_schedd")
    wait(lambda: attack.study.result("models/cnn/attack/0000.status.json").is_file(), 200)
    wait(lambda: attack.pool.run("condor_q", "-af", "ClusterId", check=False) == "", 60)
    attack.running = subprocess.Popen(["true"])
    attack.ends_as_unbroken(executions=1)


@pytest.mark.slow
def test_three_hundred_jobs_of_a_second(pool: Pool) -> None:
    """Everything done, nothing lost; the rate is printed."""
    folder = pool.root / "home" / "tester" / "many"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "job.sh").write_text(
        "#!/bin/bash\nsleep 1; mkdir -p out\nfor a; do case $a in one:*) n=${a#one:n=};; esac; done\necho "
        "$n > out/$n.txt\n"
    )
    (folder / "job.sh").chmod(0o755)
    (folder / "Snakefile").write_text(
        'rule all:\n    localrule: True\n    input: [f"out/{i}.txt" for i in range(300)]\n'
        'rule one:\n    output: "out/{n}.txt"\n    shell: "sleep 1; echo {wildcards.n} > {output}"\n'
    )
    (folder / "pool").mkdir()
    (folder / "pool" / "config.yaml").write_text(
        "executor: htcondor\nshared-fs-usage: none\njobs: 300\nseconds-between-status-checks: "
        "1\nmax-jobs-per-second: 100\nhtcondor-jobdir: .snakemake/htcondor\nlatency-wait: "
        "5\ndefault-resources:\n  job_wrapper: job.sh\n  request_memory: 64MB\n  request_disk: 10MB\n"
    )
    subprocess.run(["chown", "-R", f"{pools.UID}:{pools.UID}", str(folder)], check=True)
    folder.chmod(0o700)
    start = time.monotonic()
    pool.run("snakemake", "--profile", "pool", folder="/home/tester/many")
    took = time.monotonic() - start
    assert sorted(int(p.read_text()) for p in (folder / "out").iterdir()) == list(range(300))
    events = (folder / ".snakemake" / "htcondor" / "snakemake-rules.log").read_text()
    stamps = [m[1] for m in re.finditer(r"^000 \(\d+\.000\.000\) (\S+ \S+) Job submitted", events, re.M)]
    assert len(stamps) == 300 and len(re.findall(r"^005 ", events, re.M)) == 300
    first, last = (pd.Timestamp(s) for s in (min(stamps), max(stamps)))
    print(
        f"300 jobs in {took:.0f} s, submitted at {300 / max((last - first).total_seconds(), 1):.0f} per "
        "second"
    )


@pytest.mark.slow
def test_with_a_shared_file_system() -> None:
    """The other profile: nothing is sent, the ledger is written where it belongs."""
    if why := pools.missing():
        pytest.skip(why)
    pool = Pool("shared")
    pool.start()
    try:
        study = Study(pool, "shared", FAULTS, rows(MODELS[2:3]))
        given = yaml.safe_load((ROOT / "htcondor" / "shared" / "config.yaml").read_text())
        given |= pools.PROFILE
        given["default-resources"] |= {"gpu_capability": "'7.0'", "classad_AlignsecSimulatedGPUs": True,
                                       "gpu_job_lengths": "short=12"}  # fmt: skip
        (study.folder / "pool" / "config.yaml").write_text(yaml.safe_dump(given))
        study.own()
        done = study.snakemake(TARGET)
        assert done.returncode == 0, done.stdout
        assert len(pd.read_parquet(study.result("models/cnn/attack/0000.parquet"))) == 24
        assert study.result("models/cnn/attack/0000.ledger").stat().st_size > 0
    finally:
        pool.stop()


# ---------------------------------------------------------------------------------------------------------


LENGTHS = {"short": 12.0, "medium": 24.0, "long": 168.0}


@pytest.mark.parametrize(
    ("hours", "length"),
    [(None, "short"), (1, "short"), (10.8, "short"), (10.9, "medium"), (30, "long"), (999, "long")],
)
def test_job_length_is_the_shortest_that_fits(hours: float | None, length: str) -> None:
    assert site.job_length(hours, LENGTHS) == length


def test_the_deadline_comes_before_the_limit() -> None:
    assert site.deadline(12) == 11.5 * 3600
    assert site.deadline(1) == 0.95 * 3600


def test_what_a_site_must_set_is_asked_for() -> None:
    with pytest.raises(AlignsecError, match="container_image is not set"):
        site.read({"container_image": "unset"}, 1, False)
    with pytest.raises(AlignsecError, match="'short' is not like short=12"):
        site.read({"gpu_job_lengths": "short"}, 1, False)
    found = site.read({"gpu_job_lengths": "long=168 short=12"}, 4, False)
    assert list(found.lengths) == ["short", "long"] and found.attempts == 4
    assert site.read({"gpu_job_lengths": "none"}, 1, False).lengths == {}


def test_images_that_no_job_would_find_are_refused() -> None:
    apart, together = site.read({}, 1, False), site.read({}, 1, True)
    whole = {"names": ["fog"], "path": None}
    packs = {"source": "packs", "path": "data/packs", "address": None}
    site.check(apart, packs, whole, "a.tsv", ROOT)
    with pytest.raises(AlignsecError, match=r"images\.source folders is a path on this machine.*images pack"):
        site.check(apart, {"source": "folders"}, whole, "a.tsv", ROOT)
    with pytest.raises(
        AlignsecError, match=r"robustness\.corruptions\.path data/c is a folder on this machine"
    ):
        site.check(apart, {"source": "digits"}, {"names": ["fog"], "path": "data/c"}, "a.tsv", ROOT)
    with pytest.raises(AlignsecError, match=r"images\.path /data/packs: .* or set images\.address"):
        site.check(apart, packs | {"path": "/data/packs"}, whole, "a.tsv", ROOT)
    site.check(apart, packs | {"path": "/data/packs", "address": "osdf:///x"}, whole, "a.tsv", ROOT)
    with pytest.raises(AlignsecError, match=r"zoo\.sheet \.\./a\.tsv"):
        site.check(apart, packs, whole, "../a.tsv", ROOT)
    for name in (
        "/a.tsv",
        "a b.tsv",
        "a,b.tsv",
        "a;b.tsv",
        "a=b.tsv",
        "$(a).tsv",
        "50%.tsv",
        "-a.tsv",
        "ä.tsv",
        "a'b",
    ):
        with pytest.raises(AlignsecError, match="below the run's folder, by a relative path of letters"):
            site.check(apart, packs, whole, name, ROOT)
    with pytest.raises(AlignsecError, match=r"configuration file \.\./study\.yaml"):
        site.check(apart, packs, whole, "a.tsv", ROOT, ["config/a.yaml", "../study.yaml"])
    site.check(apart, packs, whole, "config/my-1_a+b.tsv", ROOT, ["config/a.yaml"])
    with pytest.raises(AlignsecError, match="no Snakefile here"):
        site.check(together, packs, whole, "a.tsv", ROOT / "src")
    site.check(together, {"source": "folders"}, whole, "/x/a.tsv", ROOT)


def test_the_image_is_fetched_beside_packs_and_has_room() -> None:
    """HTCondor's own list of what is sent has the image in it; a list of ours must, too."""
    given = {
        "container_image": "osdf:///chtc/staging/u/x.sif",
        "image_mb": "12000",
        "gpu_job_lengths": "none",
    }
    found = site.commands(
        site.read(given, 1, False),
        site.Machine(memory_mb=1000, disk_mb=200),
        site.Travel(
            inputs=["Snakefile"],
            packs=site.Packs(
                lambda _: [{"name": "0000.tar", "sha256": "ab", "path": "packs/0000.tar", "bytes": 10**8}],
                "osdf:///chtc/staging/u/packs/",
                lambda input: ["Snakefile", *input],
            ),
        ),
        "v",
    )
    assert found["classad_TransferInput"](None, ["weights.pt"]) == (
        "Snakefile,weights.pt,osdf:///chtc/staging/u/packs/0000.tar,osdf:///chtc/staging/u/x.sif"
    )
    assert found["classad_AlignsecStaged"](None) == "0000.tar=ab"
    assert found["request_disk"](None, attempt=2) == "13000MB"


@pytest.mark.parametrize("address", [None, "osdf:///chtc/staging/u/packs"])
def test_packs_and_gpu_of_an_excluded_model_vanish(tmp_path: Path, address: str | None) -> None:
    """Every resource of both is none, which Snakemake drops."""
    from alignsec.images import packing

    packing.pack("digits", None, 8, 4, tmp_path / "packs")
    given = {"container_image": "docker://x", "gpu_job_lengths": "short=12", "gpu_capability": "7.5"}
    made = Cluster.__new__(Cluster)
    made.config = {"images": {"source": "packs", "path": str(tmp_path / "packs"), "address": address}}
    made.sheet, made.versions, made.hours = "models.tsv", "v", {}
    made.models = {m: {"model": m} for m in ("in", "out")}
    made.site, made.workflow = site.read(given, 1, False), SimpleNamespace(configfiles=[])
    asked = made.needs(
        1000, 200, gpu=True, gpu_memory_gb=8, images=lambda _: (0, 4), wanted=lambda w: w.model == "in",
        state=lambda _: "a.ledger",
    )  # fmt: skip

    def value(name: str, model: str) -> Any:
        found = asked[name]
        more = {
            k: v for k, v in {"attempt": 1, "input": ["p.json"]}.items() if k in signature(found).parameters
        }
        return found(SimpleNamespace(model=model), **more)

    gpu = {
        "request_gpus", "gpus_minimum_memory", "gpus_minimum_capability", "classad_WantGPULab",
        "classad_GPUJobLength", "classad_is_resumable", "allowed_job_duration", "classad_AlignsecDeadline",
        "max_retries", "retry_until", "classad_AlignsecStaged",
    }  # fmt: skip
    assert {n for n, v in asked.items() if callable(v) and value(n, "out") is None} == gpu
    assert not {n for n in gpu if value(n, "in") is None}
    sent = "htcondor_transfer_input_files" if address is None else "classad_TransferInput"
    assert "0000.tar" in value(sent, "in") and "0000.tar" not in value(sent, "out")


def test_versions_of_both_sides_are_compared(tmp_path: Path) -> None:
    """An image of other code refuses at once, and leaves what HTCondor wants to find."""
    (tmp_path / ".job.ad").write_text(
        'AlignsecVersions = "snakemake 1.0, alignsec 0 (x)"\nShouldTransferFiles = "YES"\n'
        'TransferOutput = "a/b.txt,c"\n'
    )
    environment = os.environ | {
        "_CONDOR_JOB_AD": str(tmp_path / ".job.ad"),
        "_CONDOR_SCRATCH_DIR": str(tmp_path),
    }
    line = [sys.executable, "-m", "alignsec.cluster.job", "--version"]
    done = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert (
        f"the access point has snakemake 1.0, alignsec 0 (x), this container {site.versions()}" in done.stderr
    )
    assert (tmp_path / "a" / "b.txt").read_bytes() == b"" and (tmp_path / "c").exists()
