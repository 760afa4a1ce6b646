"""Who looks after the queue: one controller to a folder, no job left behind by one that was killed.

The executor plugin does not take up the jobs of an earlier run, nor remove a job that HTCondor holds. So a
run that starts first sees to what its folder has in the queue, and one that ends removes what is held.
"""

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from alignsec.ground import locks
from alignsec.ground.errors import AlignsecError

POLICIES = ("remove", "wait")
SUBMIT = Path("htcondor") / "controller.sub"
STATES = {
    1: "idle",
    2: "running",
    3: "removed",
    4: "completed",
    5: "held",
    6: "returning files",
    7: "suspended",
}
ATTRIBUTES = ["ClusterId", "JobStatus", "JobBatchName", "HoldReason"]
_GONE_WITHIN = 120.0  # seconds, from being removed to being out of the queue
_EVENTS = "snakemake-rules.log"


def _bindings() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import htcondor2
    return htcondor2


def _ours(folder: Path, more: str = "") -> str:
    return f'AlignsecVersions isnt undefined && Iwd == "{folder}"{more}'


def queue(folder: Path, more: str = "") -> list[dict[str, Any]]:
    """This folder's jobs in the queue of the access point.

    Raises
    ------
    AlignsecError
        The access point's schedd does not answer.
    """
    for patience in (1.0, 5.0, 0.0):
        try:
            found = _bindings().Schedd().query(constraint=_ours(folder, more), projection=ATTRIBUTES)
            break
        except Exception as error:
            # a schedd that was restarted refuses the session that it does not remember, once
            if not patience:
                raise AlignsecError(
                    f"HTCondor's schedd does not answer ({error}): is this an access point? Try condor_q"
                ) from error
            time.sleep(patience)
    return [dict(ad) for ad in found]


def _remove(folder: Path, more: str = "") -> None:
    htcondor = _bindings()
    try:
        htcondor.Schedd().act(
            htcondor.JobAction.Remove, _ours(folder, more), "alignsec: its controller is gone"
        )
    except Exception as error:
        raise AlignsecError(f"{folder}: jobs could not be removed from the queue: {error}") from error


def describe(jobs: Sequence[dict[str, Any]]) -> list[str]:
    """A line for each job: its number, rule, state, and why it is held."""
    return [
        f"{job['ClusterId']} ({job.get('JobBatchName', '')}): "
        f"{STATES.get(job['JobStatus'], job['JobStatus'])}"
        + (f": {job['HoldReason']}" if job["JobStatus"] == 5 and job.get("HoldReason") else "")
        for job in jobs
    ]


class Controller:
    """Holds a folder for this process; the operating system gives it back however the process ends."""

    def __init__(self, folder: Path) -> None:
        from filelock import FileLock, Timeout

        place = folder / ".snakemake"
        place.mkdir(exist_ok=True)
        self._lock = FileLock(place / "controller.lock")
        note = place / "controller.json"
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            who = {}
            with contextlib.suppress(OSError, ValueError):  # it may be about to be written
                who = json.loads(note.read_text(encoding="utf-8"))
            raise AlignsecError(
                f"{folder}: another controller runs here (process {who.get('process', '?')} on "
                f"{who.get('host', '?')}, since {who.get('since', '?')}): follow it with `alignsec status`, "
                "or end it (condor_rm of its local-universe job, or SIGINT) before starting another"
            ) from None
        now = time.strftime("%Y-%m-%d %H:%M:%S")
        note.write_text(
            json.dumps({"process": os.getpid(), "host": socket.gethostname(), "since": now}), encoding="utf-8"
        )


def submit(folder: Path, words: Sequence[str], profile: str = "htcondor") -> str:
    """Submit Snakemake itself as a job of the access point; returns what HTCondor says to it.

    Parameters
    ----------
    folder : the checkout that the run is to stand in
    words : Snakemake's arguments
    profile : folder of the profile

    Raises
    ------
    AlignsecError
        No HTCondor on this machine, no checkout in `folder`, or HTCondor refuses the job.
    """
    program = shutil.which("condor_submit")
    if program is None:
        raise AlignsecError(
            "no condor_submit on this machine: run this on an HTCondor access point (docs/chtc.md), or run "
            "the study here with snakemake --cores all"
        )
    if not (folder / SUBMIT).is_file():
        raise AlignsecError(f"{folder}: no {SUBMIT} here: submit from the checkout's own folder")
    done = subprocess.run(
        [program, f"profile={profile}", f"snakemake={quoted(words)}", str(SUBMIT)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise AlignsecError(f"condor_submit: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def quoted(words: Sequence[str]) -> str:
    """Arguments in the syntax of a submit file's quoted ``arguments``.

    >>> print(quoted(["--configfile", "it's mine.yaml", 'a"b', "$x"]))
    --configfile 'it''s mine.yaml' 'a""b' '$(DOLLAR)x'
    """
    return " ".join(
        word
        if re.fullmatch(r"[\w./:=@,+-]+", word)
        else "'" + word.replace("'", "''").replace('"', '""').replace("$", "$(DOLLAR)") + "'"
        for word in words
    )


def be_patient(seconds: float = 900.0) -> None:
    """Let the executor plugin's submissions wait for a schedd that is being restarted.

    The plugin gives up a whole run when one submission fails, and the first after a restart of the schedd
    always does: its session is not known there any more. Only what fails before anything is submitted is
    tried again.
    """
    htcondor = _bindings()
    plain = htcondor.Schedd

    class Patient(plain):  # type: ignore[misc, valid-type]
        def __init__(self, location: Any = None) -> None:
            self._location = location
            self._wait(lambda: plain.__init__(self, location))

        def submit(self, *arguments: Any, **options: Any) -> Any:
            return self._wait(lambda: plain.submit(self, *arguments, **options))

        def _wait(self, do: Callable[[], Any]) -> Any:
            until, pause = time.monotonic() + seconds, 1.0
            while True:
                try:
                    return do()
                except Exception as error:
                    text = str(error)
                    if not any(t in text for t in ("connect to schedd", "SECMAN", "locate")):
                        raise
                    if time.monotonic() > until:
                        raise
                    print(f"the schedd does not answer ({text}): waiting for it", flush=True)
                    time.sleep(pause)
                    pause = min(2 * pause, 30.0)
                    # it may be elsewhere by now
                    with contextlib.suppress(Exception):
                        plain.__init__(self, self._location)

    htcondor.Schedd = Patient


def recover(folder: Path, policy: str = "remove", poll: float = 20.0) -> list[str]:
    """Bring the folder into the state that a run may start from; returns what was done, in sentences.

    Parameters
    ----------
    policy : ``remove`` the jobs that an earlier controller left in the queue (their ledgers are here, so what
        they settled is kept), or ``wait`` until they have ended; held ones are removed in any case

    Raises
    ------
    AlignsecError
        An unknown policy, no schedd, a run alive in the folder, or jobs that do not leave the queue.
    """
    if policy not in POLICIES:
        raise AlignsecError(f"strays: {policy!r} is none of {', '.join(POLICIES)}")
    said = []
    strays = queue(folder)
    if strays:
        said.append(f"{len(strays)} jobs of an earlier run of this folder are in the queue:")
        said += [f"  {line}" for line in describe(strays)]
        if policy == "wait":
            for line in said:
                print(line, flush=True)
            said = []
            while queue(folder, " && JobStatus =!= 5"):
                time.sleep(poll)
            said.append("they have ended")
        if left := queue(folder):
            _remove(folder)
            since = time.monotonic()
            while queue(folder):
                if time.monotonic() - since > _GONE_WITHIN:
                    raise AlignsecError(
                        f"{folder}: jobs of an earlier run do not leave the queue: see condor_q, and run "
                        "again"
                    )
                time.sleep(min(poll, 2.0))
            said.append(f"removed {len(left)} of them; what they settled is in their ledgers")
    if locks.unlock(folder):
        said.append("removed the lock of a run that was killed")
    return said


def set_events_aside(jobdir: Path) -> None:
    """Keep an earlier run's event log under another name: the plugin would take its jobs' ends for ours."""
    events = jobdir / _EVENTS
    if events.is_file():
        events.replace(jobdir / f"{int(events.stat().st_mtime)}-{_EVENTS}")


def remove_held(folder: Path) -> list[str]:
    """Remove this folder's held jobs from the queue; returns a line for each, with the reason of its hold."""
    held = queue(folder, " && JobStatus == 5")
    if held:
        _remove(folder, " && JobStatus == 5")
    return describe(held)
