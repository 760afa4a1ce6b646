"""A study killed ten times, all its processes, goes on each time and ends as one that was not."""

import bisect
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import uuid
from base64 import urlsafe_b64decode
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import psutil
import pytest

from alignsec.ground import locks
from alignsec.ground.errors import AlignsecError
from tests.workflow.test_workflow import BIN, MODELS, ROOT, command, configure, planned, write_sheet

pytestmark = pytest.mark.workflow

KILLS = 10
SEED = 2026
NETWORKS = 8  # of the demo, of two families
PARTS = ("Makefile", "Snakefile", "profiles", "workflow", "envs", "config")
TARGETS = ("results/small/tables/models.csv",)
TIMES = ("seconds",)  # columns


@dataclass
class Run:
    """A started command with its children, told from all other processes by a variable that they inherit."""

    line: Sequence[str]
    folder: Path
    environment: dict[str, str]
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)

    def __post_init__(self) -> None:
        self.output = self.folder / f"{self.mark}.txt"
        self.started = time.monotonic()
        with self.output.open("wb") as handle:
            self.process = subprocess.Popen(
                self.line, cwd=self.folder, env=self.environment | {"ALIGNSEC_TEST_RUN": self.mark},
                stdin=subprocess.DEVNULL, stdout=handle, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip

    def text(self) -> str:
        return self.output.read_text("utf-8", "replace")

    def alive(self) -> bool:
        return self.process.poll() is None

    def working(self) -> bool:
        """Whether its first job was begun."""
        return "\nExecute " in self.text()

    def finished(self) -> int:
        """How many jobs have ended well."""
        return self.text().count("\nFinished jobid: ")

    def tree(self) -> list[psutil.Process]:
        """All its processes that are alive, those with a session of their own and orphans among them."""
        found = []
        for process in psutil.process_iter():
            try:
                mine = process.environ().get("ALIGNSEC_TEST_RUN") == self.mark
                if mine and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except psutil.Error:  # ended meanwhile, or another user's
                continue
        return found

    def kill(self) -> None:
        """SIGKILL to the session that it was started in, then to every descendant that is left."""
        assert self.alive(), f"it ended before it was to be killed:\n{self.text()}"
        tree = psutil.Process(self.process.pid).children(recursive=True)
        os.killpg(self.process.pid, signal.SIGKILL)
        while tree:
            for process in tree:
                try:
                    process.kill()
                except psutil.NoSuchProcess:
                    continue
            tree = self.tree()
        self.process.wait()


def wait_for(run: Run, condition: Callable[[], bool]) -> None:
    while run.alive() and not condition():
        time.sleep(0.05)


@dataclass
class Moment:
    """So many jobs have ended (None: the first is not yet begun), and so many seconds have passed since."""

    jobs: int | None
    seconds: float

    def wait(self, run: Run, before: int) -> None:
        """Until `run` is there, or one job further; `before`: how many jobs ended in earlier runs."""
        since = run.started
        if self.jobs is not None:
            jobs = self.jobs
            wait_for(run, lambda: run.working() and before + run.finished() >= jobs)
            since = time.monotonic()

        def there() -> bool:
            further = self.jobs is not None and before + run.finished() > max(self.jobs, before)
            return further or time.monotonic() - since >= self.seconds

        wait_for(run, there)


def unkilled(run: Run) -> list[float]:
    """See a run to its end: seconds from its start to its first job, and to the end of each job."""
    times: list[float] = []
    while True:
        alive = run.alive()
        reached = run.working() + run.finished()
        times += [time.monotonic() - run.started] * (reached - len(times))
        if not alive:
            break
        time.sleep(0.05)
    assert run.process.returncode == 0, run.text()
    return times


def moments(times: Sequence[float], seed: int) -> list[Moment]:
    """One in every tenth of the unkilled run, which here ends with the start of its last job."""
    random_ = random.Random(seed)
    found = []
    for tenth in range(KILLS):
        at = (tenth + random_.random()) / KILLS * times[-2]
        reached = bisect.bisect(times[:-2], at)
        found.append(Moment(reached - 1, at - times[reached - 1]) if reached else Moment(None, at))
    return found


def interrupted(folder: Path) -> list[str]:
    """Outputs that Snakemake knows to be unfinished, by its own marks."""
    place = folder / ".snakemake" / "incomplete"
    marks = ("".join(m.relative_to(place).parts).replace("@", "") for m in place.rglob("*") if m.is_file())
    return sorted(urlsafe_b64decode(m).decode() for m in marks)


def killed(start: Callable[[], Run], times: Sequence[float], recover: Callable[[], None]) -> None:
    """Start, kill, recover at every moment, then let it end."""
    ended, torn = 0, set()
    for moment in moments(times, SEED):
        run = start()
        moment.wait(run, ended)
        run.kill()
        ended += run.finished()
        now = interrupted(run.folder)
        torn.update(now)
        print(f"killed {moment} after {time.monotonic() - run.started:.1f} s, {ended} jobs ended, in", *now)
        recover()
    run = start()
    wait_for(run, lambda: False)
    assert run.process.returncode == 0, run.text()
    assert torn and not interrupted(run.folder)
    # what had ended was not done again
    assert ended + run.finished() <= len(times) - 1


def files(results: Path) -> list[Path]:
    """But logs, and what an interrupted write leaves behind under a name of its own."""
    relative = (p.relative_to(results) for p in results.rglob("*") if p.is_file())
    return sorted(p for p in relative if p.parts[0] != "logs" and not p.name.startswith("."))


def assert_same(one: Path, two: Path) -> None:
    """Tables have the same values, columns and order; weights, figures and texts the same bytes."""
    assert files(one) == files(two)
    for name in files(one):
        first, second = one / name, two / name
        if name.suffix in (".parquet", ".csv"):
            read = pd.read_parquet if name.suffix == ".parquet" else pd.read_csv
            frames = [read(p).drop(columns=list(TIMES), errors="ignore") for p in (first, second)]
            pd.testing.assert_frame_equal(*frames, check_exact=True, obj=str(name))
        elif name.suffix == ".json":  # times and costs are among the values
            assert json.loads(first.read_text()).keys() == json.loads(second.read_text()).keys(), name
        elif name.suffix != ".ledger":
            assert first.read_bytes() == second.read_bytes(), name


def small(folder: Path) -> Run:
    line, environment = command(folder, "--", *TARGETS)
    return Run(line, folder, environment)


def unlock(folder: Path) -> None:
    done = subprocess.run(
        [str(BIN / "alignsec"), "unlock"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.timeout(1800)  # a busy machine must not fail it
def test_a_study_killed_at_ten_moments_ends_with_the_data_of_one_that_was_not(tmp_path: Path) -> None:
    folders = [tmp_path / "whole", tmp_path / "killed"]
    for folder in folders:
        folder.mkdir()
        configure(
            folder,
            images={"source": "digits", "count": 4},
            attack={"epsilons": ["0.02", "0.05"], "images_per_shard": 4},
            zoo={"images": 8},
            robustness={"corruptions": {"names": []}},
        )
        write_sheet(folder, [MODELS[0], MODELS[2]])
    times = unkilled(small(folders[0]))
    print(f"unkilled: {times[-1]:.1f} s, {len(times) - 1} jobs")
    killed(lambda: small(folders[1]), times, lambda: unlock(folders[1]))
    assert_same(*(f / "results" / "small" for f in folders))
    assert planned(folders[1], *TARGETS) == {}


def test_a_lock_stays_while_jobs_of_the_killed_run_go_on(tmp_path: Path) -> None:
    """Where Snakemake alone was killed; a job that is started beside them would write the same ledger."""
    (tmp_path / ".snakemake" / "locks").mkdir(parents=True)
    (tmp_path / ".snakemake" / "locks" / "0.output.lock").touch()
    (tmp_path / "alignsec").write_text("print(flush=True); import time; time.sleep(60)")
    for verb, refused in (("attack", True), ("status", False)):
        line = [sys.executable, str(tmp_path / "alignsec"), verb]
        with subprocess.Popen(line, cwd=tmp_path, stdout=subprocess.PIPE) as job:
            try:
                assert job.stdout is not None and job.stdout.readline()
                if refused:
                    with pytest.raises(AlignsecError, match=f"killed run are alive .process {job.pid}"):
                        locks.unlock(tmp_path)
                else:
                    assert locks.unlock(tmp_path)
            finally:
                job.kill()


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_demo_killed_at_ten_moments_ends_with_the_data_of_one_that_was_not(tmp_path: Path) -> None:
    """By `make run` alone, in clones with the environment that is active here; of its first networks."""
    folders = [tmp_path / "whole", tmp_path / "killed"]
    for folder in folders:
        folder.mkdir()
        for part in PARTS:
            copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
            copy(ROOT / part, folder / part)
        models = folder / "config" / "demo" / "models.tsv"
        models.write_text("".join(models.read_text().splitlines(keepends=True)[: NETWORKS + 1]))
        (folder / ".venv").symlink_to(sys.prefix)

    def make(folder: Path) -> Run:
        line = ["make", "--old-file=setup", "run", "CORES=2"]
        return Run(line, folder, dict(os.environ))

    times = unkilled(make(folders[0]))
    print(f"unkilled: {times[-1]:.1f} s, {len(times) - 1} jobs")
    killed(lambda: make(folders[1]), times, lambda: None)
    assert_same(*(f / "results" / "demo" for f in folders))
