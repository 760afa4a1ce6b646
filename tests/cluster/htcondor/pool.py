"""A real one-machine HTCondor pool for the tests (pool.sh), and studies whose folder its jobs cannot read."""

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from alignsec.study import sheet

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = Path(__file__).with_name("pool.sh")
UID = 1000
SENT = ("Snakefile", "workflow", "profiles", "htcondor", "envs", "config")

# as htcondor/config.yaml, but for what this pool has not: a container engine, CHTC's GPUs, hours
PROFILE: dict[str, Any] = {
    "htcondor-held-timeout": 3,
    "latency-wait": 5,
    "seconds-between-status-checks": 1,
    "max-jobs-per-second": 100,
    "resources": {"gpu": 2},
}
DEFAULTS = {
    "gpu_capability": "'7.0'",
    "classad_AlignsecSimulatedGPUs": True,
}


def missing() -> str | None:
    """Why there can be no pool here, or None."""
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        return "a pool of its own needs root on Linux"
    if not (shutil.which("debootstrap") or shutil.which("apt-get")):
        return "a pool of its own needs debootstrap"
    done = subprocess.run(["unshare", "--mount", "--pid", "--fork", "true"], capture_output=True, check=False)
    return None if done.returncode == 0 else "a pool of its own needs the right to make namespaces"


class Pool:
    """Started with `start`; commands in it are run as an ordinary user, its jobs as nobody."""

    def __init__(self, mode: str = "noshare") -> None:
        root = os.environ.get("POOL_ROOT") or f"{tempfile.gettempdir()}/alignsec-condor-pool"
        self.root = Path(root)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        # the parts, not the checkout: that may lie in a folder which only its owner can read
        python = {
            str(Path(sys.base_prefix).resolve()),
            str(Path(sys.prefix).resolve()),
            str(ROOT / "src"),
            str(ROOT / "workflow"),
        }
        self.path = f"{sys.prefix}/bin:/usr/bin:/bin"
        self.environment = os.environ | {
            "POOL_ROOT": root,
            "POOL_MODE": mode,
            "POOL_BIND": " ".join(sorted(python)),
            "POOL_PATH": self.path,
            "POOL_PORT": str(port),
            "POOL_CPUS": "4",
            "POOL_GPUS": "4,1,2",
            "POOL_GPULAB": "1",
        }

    def script(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            ["bash", str(SCRIPT), *words], env=self.environment, capture_output=True, text=True, check=False
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def start(self) -> None:
        self.script("stop")
        self.script("start")

    def stop(self) -> None:
        self.script("stop")

    def run(self, *words: str, folder: str = "/", check: bool = True) -> str:
        """What a command prints that the submitting user runs in the pool."""
        done = self.script("run", folder, *words, check=check)
        return done.stdout

    def kill(self, pattern: str) -> None:
        """SIGKILL, from outside: to daemons and controllers of this pool only."""
        master = Path(f"{self.root}.pid").read_text().strip()
        inside = ["nsenter", "-t", master, "-m", "-p", "chroot", str(self.root)]
        subprocess.run([*inside, "pkill", "-9", "-f", pattern], check=False)

    def history(self, *attributes: str) -> list[list[str]]:
        printed = self.run("condor_history", "-af:t", *attributes)
        return [line.split("\t") for line in printed.splitlines()]

    def queue(self, *attributes: str) -> list[list[str]]:
        printed = self.run("condor_q", "-nobatch", "-allusers", "-af:t", *attributes)
        return [line.split("\t") for line in printed.splitlines()]


class Study:
    """A folder of the submitting user's, at mode 0700, with the parts of a clone that a run needs."""

    def __init__(
        self, pool: Pool, name: str, config: dict[str, Any], rows: Any, profile: dict[str, Any] | None = None
    ):
        self.pool, self.name = pool, name
        self.inside = f"/home/tester/{name}"
        self.folder = pool.root / self.inside[1:]
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        for part in SENT:
            copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
            copy(ROOT / part, self.folder / part)
        sheet.write(rows, self.folder / "models.tsv")
        (self.folder / "study.yaml").write_text(yaml.safe_dump(config))
        self.profile(**(profile or {}))

    def profile(self, **more: Any) -> None:
        """The product's profile with this pool's differences, at pool/config.yaml."""
        given = yaml.safe_load((ROOT / "htcondor" / "config.yaml").read_text())
        defaults = given["default-resources"] | DEFAULTS | more.pop("default-resources", {})
        environment = more.pop("environment", ["ALIGNSEC_SEND_EVERY=0.2"])
        for container in ("universe", "container_image", "image_mb"):
            defaults.pop(container)
        defaults["environment"] = ";".join([f"PATH={self.pool.path}", *environment])
        given |= PROFILE | {"default-resources": defaults} | more
        (self.folder / "pool").mkdir(exist_ok=True)
        (self.folder / "pool" / "config.yaml").write_text(yaml.safe_dump(given))
        self.own()

    def own(self) -> None:
        subprocess.run(["chown", "-R", f"{UID}:{UID}", str(self.folder)], check=True)
        self.folder.chmod(0o700)

    def command(self, *words: str) -> list[str]:
        return ["bash", str(SCRIPT), "run", self.inside, "env", "OMP_NUM_THREADS=1", "snakemake",
                "--configfile", "study.yaml", "--profile", "pool", *words]  # fmt: skip

    def snakemake(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a controller to its end."""
        return subprocess.run(
            self.command(*words), env=self.pool.environment, text=True, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def controller(self, *words: str) -> subprocess.Popen[str]:
        """Start a controller; its output goes to a file."""
        with (self.folder / "controller.log").open("a") as log:
            return subprocess.Popen(
                self.command(*words),
                env=self.pool.environment,
                text=True,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def log(self) -> str:
        return (self.folder / "controller.log").read_text()

    def result(self, name: str) -> Path:
        return self.folder / "results" / "small" / name


def wait(what: Callable[[], Any], seconds: float = 300, poll: float = 0.25) -> Any:
    """What `what` returns once that is something."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if found := what():
            return found
        time.sleep(poll)
    raise AssertionError(f"not within {seconds:g} s: {what}")


def executions(events: str) -> Iterator[tuple[int, str, str, str]]:
    """(cluster, GPUs, start, end) of every execution that an event log tells of, times as text."""
    began: dict[int, tuple[str, str]] = {}
    for event in events.split("\n...\n"):
        head = re.match(r"\s*(\d{3}) \((\d+)\.\d+\.\d+\) (\S+ \S+)", event)
        if head is None:
            continue
        number, cluster, at = head[1], int(head[2]), head[3]
        if number == "001":
            gpus = re.search(r"AvailableGPUs = \{ *(.*?) *\}", event)
            began[cluster] = (gpus[1] if gpus else "", at)
        elif number in ("004", "005", "009", "012", "024") and cluster in began:
            gpu, start = began.pop(cluster)
            yield cluster, gpu, start, at
