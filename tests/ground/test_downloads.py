"""Downloads from a server on loopback: limits, retries, the mirror."""

import hashlib
import os
import stat
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from alignsec.ground import downloads
from alignsec.ground.errors import AlignsecError

BODY = b"model,score\na,.5\n"
PIN = hashlib.sha256(BODY).hexdigest()
KEY = "leaderboard.source"
PAUSE = threading.Event()


class Handler(BaseHTTPRequestHandler):
    asked: dict[str, int] = {}  # noqa: RUF012 - counted over all requests of a test

    def do_GET(self) -> None:
        self.asked[self.path] = self.asked.get(self.path, 0) + 1
        if self.path == "/gone":
            self.send_error(404)
            return
        if self.path == "/flaky" and self.asked[self.path] < 3:
            self.send_error(503)
            return
        self.send_response(200)
        if self.path == "/huge":
            self.send_header("Content-Length", str(10**12))
            self.end_headers()
            return
        if self.path not in ("/endless", "/slow"):
            short = self.path == "/cut" and self.asked[self.path] < 2
            self.send_header("Content-Length", str(len(BODY)))
            self.end_headers()
            self.wfile.write(BODY[:5] if short else BODY)
            return
        self.end_headers()
        try:
            while True:
                self.wfile.write(b"x" * (65536 if self.path == "/endless" else 1))
                PAUSE.wait(0 if self.path == "/endless" else 0.05)
        except OSError:
            pass

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    Handler.asked.clear()
    monkeypatch.delenv(downloads.MIRROR, raising=False)
    monkeypatch.setattr(downloads.time, "sleep", lambda seconds: None)  # between attempts
    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{running.server_port}"
    running.shutdown()
    running.server_close()


def test_a_file_comes_whole_with_its_hash_and_a_mode_as_the_umask_says(server: str, tmp_path: Path) -> None:
    old = os.umask(0o022)
    try:
        assert downloads.fetch(f"{server}/file", tmp_path / "a.csv", PIN, key=KEY) == PIN
    finally:
        os.umask(old)
    assert (tmp_path / "a.csv").read_bytes() == BODY
    assert stat.S_IMODE((tmp_path / "a.csv").stat().st_mode) == 0o644
    assert [p.name for p in tmp_path.iterdir()] == ["a.csv"]


def test_another_hash_than_the_pinned_one_leaves_nothing(server: str, tmp_path: Path) -> None:
    with pytest.raises(AlignsecError, match=r"^leaderboard\.sha256: .*/file has SHA-256 " + PIN):
        downloads.fetch(f"{server}/file", tmp_path / "a.csv", "0" * 64, key=KEY)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", ["huge", "endless"])
def test_what_is_too_large_is_refused_whether_it_says_so_or_not(
    server: str, tmp_path: Path, path: str
) -> None:
    with pytest.raises(AlignsecError, match="above the limit of 1,000,000: refused"):
        downloads.fetch(f"{server}/{path}", tmp_path / "a", None, key=KEY, largest=10**6)
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_drips_is_given_up(server: str, tmp_path: Path) -> None:
    with pytest.raises(AlignsecError, match=r"was not read within 0\.2 s"):
        downloads.fetch(f"{server}/slow", tmp_path / "a", None, key=KEY, longest=0.2)


def test_failures_that_may_pass_are_tried_again_and_others_not(server: str, tmp_path: Path) -> None:
    for path in ("flaky", "cut"):
        assert downloads.fetch(f"{server}/{path}", tmp_path / path, PIN, key=KEY) == PIN
    assert Handler.asked == {"/flaky": 3, "/cut": 2}
    with pytest.raises(AlignsecError, match=r"^leaderboard\.source: .*/gone cannot be read: HTTP status 404"):
        downloads.fetch(f"{server}/gone", tmp_path / "a", None, key=KEY)
    assert Handler.asked["/gone"] == 1


def test_the_mirror_gives_a_pinned_file_under_any_name_and_the_network_is_not_asked(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "mirror" / "deep" / "er"
    place.mkdir(parents=True)
    (place / "another name").write_bytes(BODY)
    (place / "a").write_bytes(b"not it")
    monkeypatch.setenv(downloads.MIRROR, str(tmp_path / "mirror"))
    assert downloads.fetch(f"{server}/gone", tmp_path / "a.csv", PIN, key=KEY) == PIN
    assert "taken from the mirror" in capsys.readouterr().err
    assert Handler.asked == {}
    # nothing is pinned, or nothing there has the pin: the network is asked
    downloads.fetch(f"{server}/file", tmp_path / "b.csv", None, key=KEY)
    with pytest.raises(AlignsecError, match="ALIGNSEC_MIRROR holds no file of the SHA-256 asked for"):
        downloads.fetch(f"{server}/gone", tmp_path / "c.csv", "0" * 64, key=KEY)
    monkeypatch.setenv(downloads.MIRROR, str(tmp_path / "nowhere"))
    with pytest.raises(AlignsecError, match=r"ALIGNSEC_MIRROR: .*nowhere: no such folder"):
        downloads.fetch(f"{server}/file", tmp_path / "d.csv", PIN, key=KEY)


def test_a_path_that_is_not_there_names_the_key(tmp_path: Path) -> None:
    with pytest.raises(AlignsecError, match=r"^robustness\.source: nowhere\.csv: no such file"):
        downloads.fetch("nowhere.csv", tmp_path / "a", None, key="robustness.source")
    with pytest.raises(AlignsecError, match="no http"):
        downloads.fetch("file:///etc/passwd", tmp_path / "a", None, key=KEY)
