"""The inside of a process of third-party code that `alignsec.ground.isolation` starts, and its notes."""

import contextlib
import importlib
import json
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

from alignsec.ground.errors import AlignsecError
from alignsec.ground.reasons import Excluded, told


def note(**facts: Any) -> None:
    """Inside a child: keep these facts for the supervisor, whatever comes later. Elsewhere: nothing."""
    if _NOTES is not None and os.getpid() == _NOTES[2]:
        path, known, _ = _NOTES
        known |= facts
        _dump(path, known)


_NOTES: tuple[Path, dict[str, Any], int] | None = None  # where, what, and whose: a plugin's fork has none


def _dump(path: Path, content: Any) -> None:
    temporary = path.with_suffix(path.suffix + ".new")
    temporary.write_text(json.dumps(content), encoding="utf-8")
    temporary.replace(path)


def _unplain(value: Any) -> Any:
    if isinstance(value, dict) and set(value) == {"path"}:
        return Path(value["path"])
    if isinstance(value, list):
        return [_unplain(v) for v in value]
    return value


def main(inbox: Path, outbox: Path, parent: int) -> None:
    """Run the function that `inbox` names and leave its answer at `outbox`; this process ends here."""
    global _NOTES
    _die_with(parent)
    _NOTES = outbox.with_suffix(".partial"), {}, os.getpid()
    answer: dict[str, Any]
    try:
        task = json.loads(inbox.read_text(encoding="utf-8"))
        module, _, name = task["function"].partition(":")
        function = getattr(importlib.import_module(module), name)
        answer = {"value": function(**{k: _unplain(v) for k, v in task["arguments"].items()})}
    except Excluded as excluded:
        answer = {"excluded": [excluded.reason, excluded.transient]}
    except AlignsecError as error:
        answer = {"error": str(error)}
    except Exception:  # noqa: BLE001 - the supervisor raises it
        answer = {"bug": traceback.format_exc()}
    except BaseException as error:  # noqa: BLE001 - no Ctrl-C reaches this session: it is the model's own
        answer = {"excluded": [f"crashed: it raised {told(error)}", False]}
    if os.getpid() != _NOTES[2]:
        os._exit(0)  # a copy that the plugin forked off: the answer is the original's
    _end_descendants()
    _dump(outbox, answer)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # a plugin may have closed it
            stream.flush()
    os._exit(0)  # threads and exit handlers of the plugin have no say any more


def _end_descendants() -> None:
    """Kill what the plugin started; what detached itself is a child of this process since (`_die_with`)."""
    import psutil

    for _ in range(20):  # it may go on starting some
        with contextlib.suppress(psutil.Error):
            found = psutil.Process().children(recursive=True)
            for one in found:
                with contextlib.suppress(psutil.Error):
                    one.kill()
            psutil.wait_procs(found, timeout=1)
            if not found:
                break


def _die_with(parent: int) -> None:
    """Have the kernel end this process with its supervisor, and give it descendants that lose their parent.

    On Linux; elsewhere a killed supervisor leaves it, and detached descendants may go on.
    """
    import ctypes

    if sys.platform == "linux":
        death_signal, subreaper = 1, 36  # PR_SET_PDEATHSIG and PR_SET_CHILD_SUBREAPER of prctl(2)
        ctypes.CDLL(None).prctl(death_signal, signal.SIGKILL)
        ctypes.CDLL(None).prctl(subreaper, 1)
        if os.getppid() != parent:
            os._exit(1)


if __name__ == "__main__":
    # as a module of its own name, so that `note` and the functions that import it see one state
    import alignsec.ground.child as itself

    itself.main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
