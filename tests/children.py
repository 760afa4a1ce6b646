"""What a child process may do to its supervisor; nothing heavy is imported."""

import os
import subprocess
import sys
import time
from pathlib import Path

from alignsec.ground.child import note


def answer(value: int) -> dict[str, int]:
    print("a line")
    return {"value": value}


def sees() -> dict[str, object]:
    return {"cwd": str(Path.cwd()), "offline": os.environ.get("HF_HUB_OFFLINE"), "stdin": sys.stdin.read()}


def notes_and_dies() -> None:
    note(reached="somewhere", a=1)
    os._exit(7)


def fails() -> None:
    raise ValueError("a bug")


def hangs() -> None:
    while True:
        time.sleep(1)


def eats() -> None:
    kept = []
    while True:
        kept.append(bytearray(10_000_000))


def prints() -> None:
    for _ in range(100):
        print("x" * 100_000)


def leaves_a_child(pid_file: str) -> None:
    child = subprocess.Popen(["sleep", "600"], start_new_session=True)
    Path(pid_file).write_text(str(child.pid))
    time.sleep(600)


def daemon(how: str) -> int:
    """The process of a daemon: child of a child that is gone, in a session of its own."""
    reading, writing = os.pipe()
    if first := os.fork():
        os.waitpid(first, 0)
        return int(os.read(reading, 20))
    os.setsid()
    if second := os.fork():
        os.write(writing, str(second).encode())
        os._exit(0)
    if how == "program":
        os.execve("/bin/sleep", ["sleep", "600"], dict(os.environ))
    if how == "program without an environment":
        os.execve("/bin/sleep", ["sleep", "600"], {})
    time.sleep(600)
    return 0


def detaches(how: str, then: str) -> None:
    note(daemon=daemon(how))
    if then == "crashes":
        time.sleep(1)
        os._exit(7)
    if then == "hangs":
        time.sleep(600)


def crashes_at_once() -> None:
    note(daemon=daemon("program"))
    os._exit(7)


def forks() -> str:
    return "the original's" if os.fork() else "the copy's"


def daemonises_itself() -> None:
    if copy := os.fork():
        note(daemon=copy)
        os._exit(0)
    os.setsid()
    time.sleep(600)


def shows_pid_and_hangs(pid_file: str) -> None:
    Path(pid_file + ".new").write_text(str(os.getpid()))
    Path(pid_file + ".new").replace(pid_file)
    time.sleep(600)


def pixel_sum(table: str) -> float:
    """Of the images of a manifest, as a model's own process reads them."""
    import numpy as np

    from alignsec.ground import tables
    from alignsec.images.pixels import load as load_pixels

    def preprocess(paths):  # type: ignore[no-untyped-def]
        assert all(p.is_absolute() for p in paths)
        return np.stack([np.full((3, 2, 2), len(p.read_bytes()) / 1e6, dtype=np.float32) for p in paths])

    return float(load_pixels(tables.read(Path(table), "images"), preprocess)[0].sum())


def same_path() -> dict[str, str]:
    """The environment in which a process finds what this one finds."""
    import os
    import sys

    return {"PYTHONPATH": os.pathsep.join(sys.path)}


def corrupted_hashes(path: str) -> list[str]:
    """SHA-256 of images (N, C, H, W) in a ``.npy`` file under corruptions of every kind of randomness."""
    import hashlib

    import numpy as np

    from alignsec.images import corrupt

    images = np.load(path)
    names = ("impulse_noise", "frost", "fog", "snow", "elastic_transform", "glass_blur")
    return [hashlib.sha256(corrupt.corrupt(images, n, 3, 0).tobytes()).hexdigest() for n in names]
