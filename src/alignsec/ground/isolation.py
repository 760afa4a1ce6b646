"""A function of ours that runs third-party code, in a process of its own.

A plugin may end the process, hang, eat the memory, print without end, write where it stands. So the
supervisor (this module: light, no torch) starts a child (`alignsec.ground.child`) in an empty working folder,
reads what it prints up to a limit, watches its clock and resident memory (no address-space limit: CUDA
reserves more than it uses), and ends it with all its descendants, detached ones too: on Linux those that lose
their parent become the child's (`child._die_with`), which ends them, or we have seen them; of a child that
crashed before either, they are known by their environment and by where they stand. Arguments go in and the
result comes out as JSON; nothing of the child is unpickled.
"""

import contextlib
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from alignsec.ground import child
from alignsec.ground.errors import AlignsecError
from alignsec.ground.reasons import Excluded

if TYPE_CHECKING:
    import psutil

OUTPUT_LIMIT = 1 << 20  # bytes that a child may print at once; what is above is counted and dropped
OUTPUT_RATE = 4 << 10  # bytes per second on top, so that the progress bar of a long job goes on
POLL = 0.2  # seconds
MEMORY_SHARE = 0.85  # of the machine's memory, where no limit is given
# Nothing is installed by itself; a file of weights may hold tensors and no code; no window is opened.
ENVIRONMENT = {
    "BS_INSTALL_DEPENDENCIES": "no",
    "TORCH_FORCE_WEIGHTS_ONLY_LOAD": "1",
    "MPLBACKEND": "Agg",
    "AWS_EC2_METADATA_DISABLED": "true",
}
MARK = "ALIGNSEC_CHILD"  # whose process this is: the folder of a call
# Told to hub libraries; zoo/loading.py closes sockets.
OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "AWS_MAX_ATTEMPTS": "1",
    "ALIGNSEC_OFFLINE": "1",
}


@dataclass
class Outcome:
    """What a child did: `value` is the function's result; `partial` what it noted before its end."""

    value: Any = None
    excluded: Excluded | None = None
    partial: dict[str, Any] = field(default_factory=dict)
    printed: int = 0  # bytes
    last: str = ""  # of what it printed, the last 4 KiB
    written: list[str] = field(default_factory=list)  # files in its working folder
    seconds: float = 0.0


def call(
    function: Callable[..., Any],
    arguments: Mapping[str, Any],
    *,
    timeout: float | None = None,
    memory: int | None = None,
    offline: bool = False,
    environment: Mapping[str, str] | None = None,
    preload: Sequence[str] = (),
) -> Outcome:
    """Run ``function(**arguments)``, a function of a module, in a process of its own and wait for it.

    Parameters
    ----------
    arguments : what JSON can hold; paths by `plain`, for the child stands elsewhere
    timeout : seconds of wall clock; None: no limit
    memory : resident bytes of the child and its children; None: 85 % of the machine's
    offline : refuse connections other than to this machine, and tell hub libraries
    preload : modules to import once, in a server that the children of this and further calls are forked from:
        for many calls with the same `environment` and `offline`

    Returns
    -------
    Outcome, whose `excluded` says why there is no `value`

    Raises
    ------
    AlignsecError
        As raised by the function.
    RuntimeError
        The function failed in a way that it does not declare: a bug of ours; the message is its traceback.
    """
    named = f"{function.__module__}:{function.__qualname__}"
    with tempfile.TemporaryDirectory(prefix="alignsec-") as place:
        stands, inbox, outbox = Path(place, "cwd"), Path(place, "in.json"), Path(place, "out.json")
        stands.mkdir()
        inbox.write_text(json.dumps({"function": named, "arguments": dict(arguments)}), encoding="utf-8")
        # relative paths inside files (manifests) are meant from here, while the child stands elsewhere
        standing = {"ALIGNSEC_FOLDER": os.environ.get("ALIGNSEC_FOLDER", str(Path.cwd()))}
        variables = ENVIRONMENT | standing | (OFFLINE if offline else {}) | dict(environment or {})
        variables |= {MARK: place}
        start = time.monotonic()
        process: subprocess.Popen[bytes] | _Forked
        if preload:
            process, opened = _fork(stands, inbox, outbox, variables, preload)
        else:
            process, opened = _start(stands, inbox, outbox, variables)
        pump = _Pump(opened)
        descendants: set[psutil.Process] = set()
        try:
            stopped = _watch(process, timeout, _limit(memory), descendants)
        finally:
            end(process)
            _end_strays(descendants, place)
            # a child that ended before it opened its output leaves the pump waiting for it
            with contextlib.suppress(OSError):
                os.close(os.open(outbox.with_suffix(".pipe"), os.O_WRONLY | os.O_NONBLOCK))
        pump.join(timeout=5)
        outcome = Outcome(
            partial=_read(outbox.with_suffix(".partial")),
            printed=pump.total,
            last=pump.last.decode("utf-8", "replace"),
            written=sorted(str(p.relative_to(stands)) for p in stands.rglob("*") if not p.is_dir()),
            seconds=round(time.monotonic() - start, 1),
        )
        answer = _read(outbox)
    outcome.excluded = stopped or (None if answer else _gone(process.returncode))
    if outcome.excluded is None:
        outcome.excluded, outcome.value = _told(named, answer)
    return outcome


def _told(named: str, answer: Mapping[str, Any]) -> tuple[Excluded | None, Any]:
    """What a child says of its end: why there is no result, or the result; what it raised is raised here."""
    if "error" in answer:
        raise AlignsecError(answer["error"])
    if "bug" in answer:
        raise RuntimeError(f"{named} failed in its own process:\n{answer['bug']}")
    if "excluded" in answer:
        return Excluded(*answer["excluded"]), None
    return None, answer["value"]


def _limit(memory: int | None) -> int:
    """Resident bytes that a child may have: as asked, as a batch system gives, else most of the machine."""
    import psutil

    # a batch system's limit comes as a variable: the whole machine is not this job's
    given = float(os.environ.get("ALIGNSEC_MEMORY_MB", 0)) * 1e6
    asked = min(memory or math.inf, given or math.inf)
    return int(asked if asked < math.inf else MEMORY_SHARE * psutil.virtual_memory().total)


def _start(
    stands: Path, inbox: Path, outbox: Path, variables: Mapping[str, str]
) -> "tuple[subprocess.Popen[bytes], Callable[[], BinaryIO]]":
    # the package may be found relative to where we stand; a path from the environment may be relative as well
    path = os.pathsep.join(str(Path(p).absolute()) for p in sys.path)
    outside = {k: _absolute(k, v) for k, v in os.environ.items()} | {"PYTHONPATH": path}
    process = subprocess.Popen(
        [sys.executable, "-m", child.__name__, str(inbox), str(outbox), str(os.getpid())],
        cwd=stands,
        env=outside | dict(variables),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    source: Any = process.stdout
    return process, lambda: source


def _end_with(supervisor: int) -> None:
    # the server, this process's parent, lives on as long as one of its children
    import psutil

    while psutil.pid_exists(supervisor):
        time.sleep(1)
    os.killpg(0, signal.SIGKILL)


class _Forked:
    """A child of the fork server, as far as `_watch` and `_end` need a ``Popen``."""

    def __init__(self, process: Any) -> None:
        self.process, self.pid = process, int(process.pid)

    def wait(self, timeout: float | None = None) -> int:
        self.process.join(timeout)
        if self.process.exitcode is None:
            raise subprocess.TimeoutExpired("fork", timeout or 0.0)
        return int(self.process.exitcode)

    @property
    def returncode(self) -> int:
        return int(self.process.exitcode)


_FORKING = threading.Lock()


def _fork(
    stands: Path, inbox: Path, outbox: Path, variables: Mapping[str, str], preload: Sequence[str]
) -> "tuple[_Forked, Callable[[], BinaryIO]]":
    import multiprocessing

    context = multiprocessing.get_context("forkserver")
    pipe = outbox.with_suffix(".pipe")
    os.mkfifo(pipe)
    with _FORKING:
        # the server takes this process's environment as it starts, with the first call; it outlives the call
        before = dict(os.environ)
        os.environ.update({k: v for k, v in variables.items() if k != MARK})
        try:
            context.set_forkserver_preload(list(preload))
            process = context.Process(
                target=_in_fork, args=(stands, inbox, outbox, pipe, dict(variables), os.getpid()), daemon=True
            )
            process.start()
        finally:
            os.environ.clear()
            os.environ.update(before)
    return _Forked(process), lambda: pipe.open("rb", buffering=0)


def _in_fork(
    stands: Path, inbox: Path, outbox: Path, pipe: Path, variables: dict[str, str], supervisor: int
) -> None:
    """A forked child makes of itself what `call` starts otherwise: own session, folder, output."""
    os.setsid()
    threading.Thread(target=_end_with, args=(supervisor,), daemon=True).start()
    os.environ.update(variables)
    os.chdir(stands)
    writing = os.open(pipe, os.O_WRONLY)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (writing, 1), (writing, 2)):
        os.dup2(source, target)
    child.main(inbox, outbox, os.getppid())


def _absolute(key: str, value: str) -> str:
    return str(Path(value).absolute()) if key in ("TORCH_HOME", "HF_HOME", "XDG_CACHE_HOME") else value


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


class _Pump(threading.Thread):
    """Passes a child's output on to our stderr, up to a limit."""

    def __init__(self, opened: Callable[[], BinaryIO]) -> None:
        super().__init__(daemon=True)
        self.opened, self.total, self.dropped, self.last = opened, 0, 0, b""
        self.start()

    def run(self) -> None:
        allowance, last = float(OUTPUT_LIMIT), time.monotonic()
        with self.opened() as source:
            while chunk := os.read(source.fileno(), 1 << 16):
                now = time.monotonic()
                allowance, last = min(OUTPUT_LIMIT, allowance + OUTPUT_RATE * (now - last)), now
                self.total += len(chunk)
                self.last = (self.last + chunk)[-4096:]
                shown = chunk[: int(allowance)]
                allowance -= len(shown)
                self.dropped += len(chunk) - len(shown)
                sys.stderr.write(shown.decode("utf-8", "replace"))
                sys.stderr.flush()
        if self.dropped:
            print(f"\n[{self.dropped} bytes of the model's output were dropped]", file=sys.stderr)


def _watch(
    process: "subprocess.Popen[bytes] | _Forked",
    timeout: float | None,
    memory: int,
    descendants: "set[psutil.Process]",
) -> Excluded | None:
    """Wait for the end, noting descendants; the reason if it had to be stopped."""
    import psutil

    start = time.monotonic()
    with contextlib.suppress(psutil.NoSuchProcess):
        watched = psutil.Process(process.pid)
        while True:
            try:
                process.wait(POLL)
                return None
            except subprocess.TimeoutExpired:
                pass
            if timeout is not None and time.monotonic() - start > timeout:
                return Excluded(f"timeout: no end after {timeout:g} s")
            descendants.update(watched.children(recursive=True))
            if _resident((watched, *descendants)) > memory:
                return Excluded(f"out of memory: above {memory / 2**30:.3g} GiB of resident memory")
    process.wait()
    return None


def _resident(processes: "Iterable[psutil.Process]") -> int:
    import psutil

    total = 0
    for one in processes:
        with contextlib.suppress(psutil.Error):
            # the number may be another process's by now
            total += one.memory_info().rss if one.is_running() else 0
    return total


def _end_strays(descendants: "set[psutil.Process]", place: str) -> None:
    """Kill what a child left that ended too early to do so itself.

    That is descendants that were seen, and what carries its mark or stands in its folder.
    """
    import psutil

    for one in (*descendants, *psutil.process_iter()):
        with contextlib.suppress(psutil.Error):
            if one in descendants or one.environ().get(MARK) == place or one.cwd().startswith(place):
                one.kill()


def end(process: "subprocess.Popen[bytes] | _Forked") -> None:
    """Kill the child's session, and those of its children that left it."""
    import psutil

    with contextlib.suppress(psutil.Error):
        for one in psutil.Process(process.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                one.kill()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _gone(code: int) -> Excluded:
    if code == -signal.SIGKILL:
        return Excluded("killed: by signal SIGKILL, often for want of memory on the machine")
    if code < 0:
        return Excluded(f"crashed: by signal {signal.Signals(-code).name}")
    return Excluded(f"crashed: the process ended with exit status {code} and no result")


def plain(value: Any) -> Any:
    """What JSON can hold of a value of paths, lists and plain types; `call`'s child turns it back."""
    if isinstance(value, Path):
        return {"path": str(value.absolute())}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    return value
