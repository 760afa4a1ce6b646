"""``snakemake --logger alignsec``, of ``alignsec run``: a line per job, a bar, a failing rule's own words.

Snakemake looks for this package by its name. Its own log is under ``.snakemake/log`` as always.
"""

import logging
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent
from tqdm import tqdm

TAIL = 20  # lines of a failing job's log where none of them is a message of ours
# said of every failing job and at the end of such a run; what the job itself says is shown
_SAID = (
    "At least one job did not complete successfully",
    "Exiting because a job execution failed",
    "returned non-zero exit status",
)


class LogHandler(LogHandlerBase):
    """Snakemake's events on a terminal; a dry run and ``--verbose`` look as Snakemake makes them."""

    def __post_init__(self) -> None:
        """Start without a bar: how many jobs there are is not known yet."""
        self.bar: tqdm[Any] | None = None
        self.jobs: dict[int, tuple[str, float]] = {}
        self.ended: list[str] = []
        self.began = time.monotonic()
        self.plain = self.common_settings.dryrun or self.common_settings.verbose

    @property
    def writes_to_stream(self) -> bool:
        """In place of Snakemake's own handler."""
        return True

    @property
    def writes_to_file(self) -> bool:
        """No."""
        return False

    @property
    def has_filter(self) -> bool:
        """Snakemake's serves a dry run; else every event is needed."""
        return not self.plain

    @property
    def has_formatter(self) -> bool:
        """Snakemake's serves a dry run."""
        return False

    @property
    def needs_rulegraph(self) -> bool:
        """No."""
        return False

    def emit(self, record: logging.LogRecord) -> None:
        """Show one event."""
        try:
            if self.plain:
                print(self.format(record), file=sys.stderr, flush=True)
            else:
                self._show(getattr(record, "event", None), record)
        except Exception:  # noqa: BLE001 - a line that cannot be shown ends no run
            self.handleError(record)

    def close(self) -> None:
        """Leave the bar as it stands."""
        if self.bar is not None:
            self.bar.close()
        super().close()

    def _show(self, event: Any, record: Any) -> None:
        if event == LogEvent.JOB_INFO:
            self.jobs[record.jobid] = (named(record.rule_name, record.wildcards or {}), time.monotonic())
        elif event == LogEvent.JOB_STARTED:
            for job in record.jobs:
                name, _ = self.jobs.get(job, (f"job {job}", 0.0))
                self.jobs[job] = (name, time.monotonic())
        elif event == LogEvent.JOB_FINISHED:
            name, began = self.jobs.pop(record.job_id, (f"job {record.job_id}", time.monotonic()))
            self.ended.append(f"{name}  {time.monotonic() - began:.0f} s")
        elif event == LogEvent.PROGRESS:
            self._progress(record.done, record.total)
        elif event == LogEvent.JOB_ERROR:
            name, _ = self.jobs.pop(record.jobid, (record.rule_name, 0.0))
            self._line("\n".join([f"FAILED  {name}", *failure([Path(p) for p in record.log or ()])]))
        elif event is None or event in (LogEvent.ERROR, LogEvent.GROUP_ERROR):
            text = record.getMessage() if record.msg else ""
            if record.levelno >= logging.WARNING and text and not any(said in text for said in _SAID):
                self._line(text)

    def _progress(self, done: int, total: int) -> None:
        if self.bar is None:
            self.bar = tqdm(total=total, unit="job", desc="jobs", dynamic_ncols=True, smoothing=0.1,
                            disable=not sys.stderr.isatty())  # fmt: skip
        passed = time.monotonic() - self.began
        # the bar says so itself
        left = f", {tqdm.format_interval(passed * (total - done) / max(done, 1))} left"
        left = left if self.bar.disable and done < total else ""
        for text in self.ended:
            self._line(f"[{done}/{total}{left}] {text}")
        self.ended.clear()
        self.bar.total = total
        if not self.bar.disable:
            self.bar.update(done - self.bar.n)

    def _line(self, text: str) -> None:
        tqdm.write(text, file=sys.stderr)


def named(rule: str, wildcards: Mapping[str, str]) -> str:
    """What a job is called: its rule, and what its wildcards stand for.

    >>> named("attack", {"model": "vgg_3a1", "shard": "0000"})
    'attack vgg:1 0000'
    >>> named("join", {})
    'join'
    """
    from alignsec.ground.names import decode

    return " ".join([rule, *(decode(str(value)) for value in wildcards.values())])


def failure(logs: list[Path]) -> list[str]:
    """What the logs of a failed job say: from the first message of ours on, else their last lines."""
    said: list[str] = []
    for path in logs:
        lines = path.read_text(errors="replace").splitlines() if path.is_file() else []
        first = next((i for i, line in enumerate(lines) if line.startswith("error: ")), None)
        said += [f"  {line}" for line in (lines[-TAIL:] if first is None else lines[first : first + TAIL])]
        said.append(f"  log: {path}")
    return said
