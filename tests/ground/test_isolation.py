"""A child process that does what it likes leaves nothing behind but its row."""

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from alignsec.ground import isolation
from alignsec.ground.errors import AlignsecError
from alignsec.ground.reasons import FLAGS, KINDS, Excluded, kind_of
from alignsec.zoo.sources import load
from tests import children


@pytest.fixture(params=[(), ("json",)], ids=["started", "forked"])
def preload(request: pytest.FixtureRequest) -> tuple[str, ...]:
    return request.param  # type: ignore[no-any-return]


def test_a_result_comes_back_and_the_child_stands_elsewhere(
    preload: tuple[str, ...], capfd: pytest.CaptureFixture[str]
) -> None:
    outcome = isolation.call(children.answer, {"value": 3}, preload=preload)
    assert outcome.value == {"value": 3}
    assert outcome.excluded is None
    assert outcome.printed == len("a line\n")
    assert "a line" in capfd.readouterr().err
    seen = isolation.call(children.sees, {}, preload=preload, offline=True).value
    assert seen["cwd"] != str(Path.cwd())
    assert not Path(seen["cwd"]).exists()
    assert seen["stdin"] == ""


def test_offline_is_told_to_hub_libraries() -> None:
    assert isolation.call(children.sees, {}, offline=True).value["offline"] == "1"
    assert "HF_HUB_OFFLINE" not in os.environ or os.environ["HF_HUB_OFFLINE"] != "1"


def test_what_it_noted_survives_its_death(preload: tuple[str, ...]) -> None:
    outcome = isolation.call(children.notes_and_dies, {}, preload=preload)
    assert outcome.partial == {"reached": "somewhere", "a": 1}
    assert outcome.excluded is not None
    assert outcome.excluded.reason == "crashed: the process ended with exit status 7 and no result"


def test_time_and_memory_are_limited(preload: tuple[str, ...]) -> None:
    late = isolation.call(children.hangs, {}, preload=preload, timeout=5).excluded
    assert late is not None
    assert (kind_of(late.reason), late.transient) == ("timeout", True)
    big = isolation.call(children.eats, {}, preload=preload, memory=1 << 29).excluded
    assert big is not None
    assert big.reason == "out of memory: above 0.5 GiB of resident memory"


def test_the_child_of_a_child_goes_too(tmp_path: Path) -> None:
    isolation.call(children.leaves_a_child, {"pid_file": str(tmp_path / "pid")}, timeout=5)
    pid = int((tmp_path / "pid").read_text())
    waited = time.monotonic() + 60
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie" and time.monotonic() < waited:
        time.sleep(0.1)
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == "zombie"


def alive(pid: int) -> bool:
    """Whether the process goes on within a second."""
    waited = time.monotonic() + 1
    while time.monotonic() < waited:
        try:
            if psutil.Process(pid).status() == "zombie":
                return False
        except psutil.NoSuchProcess:
            return False
        time.sleep(0.05)
    return True


@pytest.mark.skipif(sys.platform != "linux", reason="detached processes are found on Linux only")
@pytest.mark.parametrize("then", ["ends", "crashes", "hangs"])
@pytest.mark.parametrize("how", ["copy", "program", "program without an environment"])
def test_a_daemon_does_not_outlive_its_call(how: str, then: str, preload: tuple[str, ...]) -> None:
    timeout = 3 if then == "hangs" else 60
    given = {"how": how, "then": then}
    outcome = isolation.call(children.detaches, given, timeout=timeout, preload=preload)
    reason = outcome.excluded.reason.partition(":")[0] if outcome.excluded else ""
    assert reason == {"ends": "", "crashes": "crashed", "hangs": "timeout"}[then]
    assert not alive(outcome.partial["daemon"])


@pytest.mark.skipif(sys.platform != "linux", reason="detached processes are found on Linux only")
def test_a_crash_before_anyone_looked_leaves_no_daemon(preload: tuple[str, ...]) -> None:
    outcome = isolation.call(children.crashes_at_once, {}, preload=preload)
    assert outcome.excluded is not None
    assert not alive(outcome.partial["daemon"])


def test_a_copy_that_a_plugin_forks_has_no_say(preload: tuple[str, ...]) -> None:
    for _ in range(3):
        assert isolation.call(children.forks, {}, preload=preload).value == "the original's"
    gone = isolation.call(children.daemonises_itself, {}, preload=preload)
    assert gone.excluded is not None and not alive(gone.partial["daemon"])
    assert gone.excluded.reason == "crashed: the process ended with exit status 0 and no result"


@pytest.mark.parametrize("preload", ["()", "('json',)"], ids=["started", "forked"])
def test_a_killed_supervisor_takes_its_child_along(tmp_path: Path, preload: str) -> None:
    code = (
        "from alignsec.ground import isolation\nfrom tests import children\n"
        f"isolation.call(children.shows_pid_and_hangs, {{'pid_file': {str(tmp_path / 'pid')!r}}}, "
        f"preload={preload})"
    )
    process = subprocess.Popen([sys.executable, "-c", code])
    waited = time.monotonic() + 60
    while not (tmp_path / "pid").exists() and time.monotonic() < waited:
        time.sleep(0.1)
    pid = int((tmp_path / "pid").read_text())
    process.kill()
    process.wait()
    waited = time.monotonic() + 20
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie" and time.monotonic() < waited:
        time.sleep(0.1)
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == "zombie"


def test_bugs_of_ours_and_errors_of_the_user_are_raised() -> None:
    with pytest.raises(RuntimeError, match="a bug"):
        isolation.call(children.fails, {})
    with pytest.raises(AlignsecError, match="not one of"):
        isolation.call(load, {"source": "nowhere", "spec": "x"})


def test_endless_output_is_cut(preload: tuple[str, ...], capfd: pytest.CaptureFixture[str]) -> None:
    outcome = isolation.call(children.prints, {}, preload=preload)
    assert outcome.printed == 100 * 100_001
    text = capfd.readouterr().err
    assert len(text) < 2 * isolation.OUTPUT_LIMIT
    assert "bytes of the model's output were dropped" in text


def test_every_reason_is_of_the_list() -> None:
    for kind in KINDS:
        assert kind_of(kind.replace(" N", " 17") + ": more") == kind
    assert kind_of("weights of another network than arch=cnn") == "weights of another network"
    with pytest.raises(KeyError, match=r"ground/reasons\.py"):
        Excluded("because")
    assert not set(KINDS) & set(FLAGS)
