"""One job where HTCondor put it: runs Snakemake there, and keeps its ledger on the access point.

HTCondor returns a job's files when it ends by itself. A job that is evicted, held, removed or whose machine
dies would lose them; so the file that the job ad names (`AlignsecState`) is fetched from the access point at
the start and sent back as it grows, over the job's own line there (chirp). Where there is no such line, or
one out of order, the job checkpoints: it ends with status 85 now and then, HTCondor keeps the file and starts
it again in the same place.

Run as ``python -m alignsec.cluster.job ARGUMENTS-OF-SNAKEMAKE`` by htcondor/job.sh.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from alignsec.cluster.site import AGAIN, CHECKPOINT, versions

POLL = 1.0
SEND_EVERY = 60.0  # seconds between two copies of a growing ledger; ALIGNSEC_SEND_EVERY changes it
CHECKPOINT_EVERY = 3600.0  # seconds, where there is no line; ALIGNSEC_CHECKPOINT_EVERY changes it
REFUSED = 3


def read_ad(path: Path) -> dict[str, Any]:
    """The job ad that HTCondor leaves in the scratch folder: plain values; an absent file is an empty ad."""
    found: dict[str, Any] = {}
    if not path.is_file():
        return found
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        name, equals, text = line.partition(" = ")
        if not equals:
            continue
        if text.startswith('"') and text.endswith('"'):
            found[name] = text[1:-1].replace('\\"', '"')
        elif text in ("true", "false"):
            found[name] = text == "true"
        else:
            with contextlib.suppress(ValueError):
                found[name] = float(text) if "." in text or "E" in text else int(text)
    return found


def arguments(given: Sequence[str]) -> list[str]:
    """Snakemake's own arguments; with a shared file system ``<python> -m snakemake`` stands before them."""
    words = list(given)
    return words[3:] if len(words) > 2 and words[1:3] == ["-m", "snakemake"] else words


def environment(ad: Mapping[str, Any], scratch: Path, outside: Mapping[str, str]) -> dict[str, str]:
    """The variables of the run: homes and caches in the scratch folder, and what the slot gave the job."""
    found = dict(outside)
    found |= {
        "HOME": str(scratch),
        "XDG_CACHE_HOME": str(scratch / ".cache"),
        "MPLCONFIGDIR": str(scratch / ".cache" / "matplotlib"),
        # modules of the user's own that were sent along
        "PYTHONPATH": os.pathsep.join(filter(None, [str(Path.cwd()), outside.get("PYTHONPATH")])),
        "ALIGNSEC_STAGED": str(Path.cwd()),
    }
    if ad.get("AlignsecLastAttempt") and isinstance(ad.get("RequestMemory"), int):
        # no more memory will be asked for: a model that needs more is excluded for it, before HTCondor holds
        # the job
        found["ALIGNSEC_MEMORY_MB"] = str(int(0.9 * ad["RequestMemory"]))
    if "AlignsecLastAttempt" in ad:
        found["ALIGNSEC_ATTEMPTS_LEFT"] = "0" if ad["AlignsecLastAttempt"] else "1"
    if ad.get("AlignsecSimulatedGPUs"):
        found["ALIGNSEC_SIMULATED_GPUS"] = "1"
    return found


class Line:
    """The job's line to its folder on the access point; without one, nothing happens and `works` is false."""

    def __init__(self, ad: Mapping[str, Any], scratch: Path) -> None:
        config = Path(os.environ.get("_CONDOR_CHIRP_CONFIG") or scratch / ".chirp.config")
        self.works = bool(ad.get("WantIOProxy")) and config.is_file()
        self._said = ""

    @contextlib.contextmanager
    def _open(self) -> Iterator[Any]:
        import warnings

        with warnings.catch_warnings():
            # the bindings look for a pool's configuration, which a job has none of
            warnings.simplefilter("ignore")
            from htcondor.htchirp import HTChirp
        with HTChirp(timeout=60) as chirp:
            yield chirp

    def fetch(self, name: str) -> None:
        """Bring the file here, if the access point has it."""
        if not self.works:
            return
        here = Path(name)
        here.parent.mkdir(parents=True, exist_ok=True)
        temporary = here.with_name(f"{here.name}.fetched")
        try:
            with self._open() as chirp:
                chirp.fetch(name, str(temporary))  # relative: to the run's folder there
            # after a checkpoint, what is here may be ahead, and so may be what another machine has sent
            if here.is_file():
                self._merge(temporary, here)
            else:
                temporary.replace(here)
            temporary.unlink(missing_ok=True)
        except Exception as error:  # noqa: BLE001 - of a library that raises all kinds; the job can do without
            temporary.unlink(missing_ok=True)
            if type(error).__name__ != "DoesntExist":
                # to put what is not allowed would leave the protocol out of step, and break the job's own
                self.works = False
                self._say(f"{name} was not fetched: {type(error).__name__}: {error}")

    def _merge(self, fetched: Path, here: Path) -> None:
        from alignsec.attack.ledger import merge
        from alignsec.ground.errors import AlignsecError

        try:
            merge([fetched, here], here)
        except AlignsecError as error:  # what is here is the job's own
            self._say(f"{here} stays as it is: {error}")

    def send(self, name: str) -> bool:
        """Copy the file there under a temporary name and rename it; returns whether that worked."""
        if not self.works:
            return False
        try:
            with self._open() as chirp:
                chirp.put(name, f"{name}.coming", mode=0o644)
                chirp.rename(f"{name}.coming", name)
        except Exception as error:  # noqa: BLE001 - as above: the next copy may come through
            self._say(f"{name} was not sent: {type(error).__name__}: {error}")
            return False
        return True

    def _say(self, text: str) -> None:
        if text != self._said:  # a line that is out of order stays so
            print(text, file=sys.stderr, flush=True)
        self._said = text


def _mark(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns


def placeholders(ad: Mapping[str, Any]) -> None:
    """Empty files where an output is missing: HTCondor would hold a failed job for it, and say no more.

    Snakemake deletes the outputs of a failed job itself.
    """
    for name in str(ad.get("TransferOutput", "")).split(","):
        path = Path(name.strip())
        if name.strip() and not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()


def damaged(ad: Mapping[str, Any]) -> str | None:
    """What is wrong with the archives that were sent (`AlignsecStaged`: name=SHA-256 ...), or None."""
    from alignsec.ground.hashes import file_hash

    for entry in str(ad.get("AlignsecStaged", "")).split():
        name, _, expected = entry.partition("=")
        found = file_hash(Path(name)) if Path(name).is_file() else "none: it did not come"
        if found != expected:
            return (
                f"{name}: its SHA-256 is {found}, its index has {expected}: the file in staging is damaged "
                "or another one: copy it there again, under a new folder where caches are in between (osdf)"
            )
    return None


def _seconds(name: str, default: float) -> float:
    return float(os.environ.get(name, default))


def run(words: Sequence[str], ad: Mapping[str, Any], scratch: Path, line: Line) -> int:
    """Run Snakemake on `words` to its end, or to the job's; returns the exit status for HTCondor."""
    from alignsec.ground.isolation import end

    state = str(ad.get("AlignsecState", ""))
    every = _seconds("ALIGNSEC_SEND_EVERY", SEND_EVERY)
    checkpoint = _seconds("ALIGNSEC_CHECKPOINT_EVERY", CHECKPOINT_EVERY)
    deadline = float(ad["AlignsecDeadline"]) if "AlignsecDeadline" in ad else None
    # of the job's present run on this machine: transfers and earlier checkpoints count for the pool's limits
    # as well
    already = max(0.0, time.time() - float(ad.get("JobCurrentStartDate") or time.time()))
    if state:
        line.fetch(state)
    # what the access point has, and since when
    safe, start = _mark(Path(state)) if state else None, time.monotonic()
    safe_at = looked = start
    stopped: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, lambda got, _frame: stopped.append(got))
    process = subprocess.Popen(
        [sys.executable, "-m", "snakemake", *words],
        env=environment(ad, scratch, os.environ),
        start_new_session=True,
    )
    try:
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = process.wait(min(POLL, every) or 0.2)
                code = code if code >= 0 else 128 - code
                break
            if stopped:
                code = 128 + stopped[0]
                break
            now = time.monotonic()
            found = _mark(Path(state)) if state else None
            if deadline is not None and now - start + already > deadline:
                # what is not on the access point is given to HTCondor first; the next process here stops at
                # once
                kept = found in (None, safe) or line.send(state)
                print("stopped before its time was up: it goes on from its ledger", file=sys.stderr)
                code = AGAIN if kept else CHECKPOINT
                break
            if found in (None, safe):
                continue
            if now - looked >= every:
                looked = now
                if line.send(state):
                    safe, safe_at = found, now
                    continue
            # no line, or one that is out of order, as after a restart of the schedd
            if now - safe_at > checkpoint:
                print("a checkpoint, as there is no line to the access point", file=sys.stderr)
                code = CHECKPOINT
                break
    finally:
        end(process)
    # what was settled since the last copy; while HTCondor waits for this process to end
    if state and _mark(Path(state)) not in (None, safe):
        line.send(state)
    return code


def main(given: Sequence[str]) -> int:
    """Check the two sides against each other, run, and leave what HTCondor wants to find."""
    ad = read_ad(Path(os.environ.get("_CONDOR_JOB_AD", ".job.ad")))
    scratch = Path(os.environ.get("_CONDOR_SCRATCH_DIR", "."))
    wanted, here = ad.get("AlignsecVersions"), versions()
    transferred = ad.get("ShouldTransferFiles") == "YES"
    if wanted is not None and wanted != here:
        print(
            f"error: the access point has {wanted}, this container {here}: build the image from the "
            "checkout that runs the study, or check out what the image was built from (docs/chtc.md)",
            file=sys.stderr,
        )
        code = REFUSED
    elif transferred and (wrong := damaged(ad)):
        print(f"error: {wrong}", file=sys.stderr)
        code = REFUSED
    else:
        # with a shared file system the ledger is where it belongs
        line = Line(ad if transferred else {}, scratch)
        code = run(arguments(given), ad if transferred else {**ad, "AlignsecState": ""}, scratch, line)
    if code not in (0, CHECKPOINT) and transferred:
        placeholders(ad)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
