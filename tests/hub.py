"""A stand-in for the Hugging Face hub on the loopback device, spoken to by the real client.

It serves folders as repositories and misbehaves on request: refuses, fails, cuts connections short.
"""

import hashlib
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import pytest
from huggingface_hub import constants, file_download
from huggingface_hub.utils import _http

COMMIT = "0123456789abcdef0123456789abcdef01234567"
patient_client = pytest.mark.skipif(
    not hasattr(_http, "parse_ratelimit_headers"),
    reason="this client gives up where a hub asks to wait",
)
HUB_DATA = Path(__file__).parent / "data" / "hub"


@dataclass
class Hub:
    """Repositories and faults of a running stand-in.

    Attributes:
        repos: Folder by `org/name`.
        statuses: Answers of these requests instead of the file, one after the other, by method.
        cut_after: Bytes of a file after which the connection breaks, one request each.
        error_code: What the `X-Error-Code` header says with a status of `statuses`.
        any_revision: Whether every revision exists; else only `main` and `COMMIT` do.
        delay_seconds: Pause in the middle of each file.
        headers: Added to each answer, or in place of its own.
        drip_seconds: Pause after each byte of a file; 0 for none.
        extra: Bytes sent behind a file, unannounced.
        requests: Method, path and Range header of all requests so far.
        authorizations: Their Authorization headers.
    """

    repos: dict[str, Path] = field(default_factory=dict)
    statuses: dict[str, list[int]] = field(default_factory=lambda: {"HEAD": [], "GET": []})
    cut_after: list[int] = field(default_factory=list)
    error_code: str = ""
    any_revision: bool = True
    delay_seconds: float = 0.0
    headers: dict[str, str] = field(default_factory=dict)
    drip_seconds: float = 0.0
    extra: int = 0
    requests: list[tuple[str, str, str]] = field(default_factory=list)
    authorizations: list[str] = field(default_factory=list)
    url: str = ""

    def count(self, method: str, name: str = "") -> int:
        """Return how many requests of this method asked for a file of this name."""
        return sum(m == method and path.endswith(name) for m, path, _ in self.requests)

    def serve(self, repo: str, folder: Path | str) -> None:
        """Offer a folder, or one of `tests/data/hub`, as a repository."""
        self.repos[repo] = HUB_DATA / folder if isinstance(folder, str) else folder


def set_client(monkeypatch: pytest.MonkeyPatch, **constants_by_name: object) -> None:
    """Set what the client of this process read from its environment when it was loaded."""
    for name, value in constants_by_name.items():
        # some are newer than our floor; clients below 0.36 keep what they read in a second place
        monkeypatch.setattr(constants, name, value, raising=False)
        if hasattr(file_download, name):
            monkeypatch.setattr(file_download, name, value)
    drop_session()


def drop_session() -> None:
    """Let the client make a new session, as a new process does."""
    drop = getattr(_http, "close_session", None) or _http.reset_sessions
    drop()


def resumed_at(ranges: Sequence[str]) -> list[int]:
    """Return where each transfer began, to the next thousand bytes.

    Clients below 1.0 hand on whole blocks of 256 bytes, so they may lose some of the last one.
    """
    starts = [int(span.removeprefix("bytes=").removesuffix("-") or 0) for span in ranges]
    return [-(-start // 1000) * 1000 for start in starts]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self, *, with_body: bool) -> None:
        path = unquote(self.path.split("?")[0])
        self.hub.requests.append((self.command, path, self.headers.get("Range", "")))
        self.hub.authorizations.append(self.headers.get("Authorization", ""))
        parts = path.strip("/").split("/")
        if len(parts) < 5 or parts[2] != "resolve":
            return self._refuse(404, "")
        if self.hub.statuses[self.command]:
            status = self.hub.statuses[self.command].pop(0)
            if status != 200:
                return self._refuse(status, self.hub.error_code)
        folder = self.hub.repos.get("/".join(parts[:2]))
        if folder is None:
            return self._refuse(404, "RepoNotFound")
        if not self.hub.any_revision and parts[3] not in ("main", COMMIT):
            return self._refuse(404, "RevisionNotFound")
        file = folder.joinpath(*parts[4:])
        if not file.is_file():
            return self._refuse(404, "EntryNotFound")
        self._send(file.read_bytes(), parts[3], file.suffix, with_body)

    def _refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        self.send_header("X-Repo-Commit", COMMIT)
        if code:
            self.send_header("X-Error-Code", code)
        for name, value in self.hub.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send(self, content: bytes, revision: str, suffix: str, with_body: bool) -> None:
        start = 0
        wanted = self.headers.get("Range", "")
        if wanted.startswith("bytes="):
            start = int(wanted.removeprefix("bytes=").split("-")[0])
        if wanted and start >= len(content):
            return self._refuse(416, "")
        body = content[start:]
        self.send_response(206 if wanted else 200)
        known_by = hashlib.sha256(content)
        if suffix in (".json", ".toml", ".yaml"):  # small files are git's own
            known_by = hashlib.sha1(b"blob %d\0" % len(content) + content)
        headers = {
            "X-Repo-Commit": revision if len(revision) == 40 else COMMIT,
            "ETag": f'"{known_by.hexdigest()}"',
            "Accept-Ranges": "bytes",
            "Content-Length": str(len(body)),
        }
        if wanted:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        if self.hub.extra and with_body:
            del headers["Content-Length"]
            headers["Transfer-Encoding"] = "chunked"
        for name, value in (headers | self.hub.headers).items():
            self.send_header(name, value)
        self.end_headers()
        if with_body:
            self._send_content(body)

    def _send_content(self, body: bytes) -> None:
        if self.hub.cut_after and (cut := self.hub.cut_after.pop(0)) < len(body):
            self.wfile.write(body[:cut])
            self.wfile.flush()
            self.close_connection = True
        elif self.hub.extra:
            for block in (body, bytes(self.hub.extra), b""):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(block), block))
        elif self.hub.drip_seconds:
            for byte in body:
                self.wfile.write(bytes([byte]))
                time.sleep(self.hub.drip_seconds)
        elif self.hub.delay_seconds:
            self.wfile.write(body[: len(body) // 2])
            time.sleep(self.hub.delay_seconds)
            self.wfile.write(body[len(body) // 2 :])
        else:
            self.wfile.write(body)


@contextmanager
def running_hub() -> Iterator[Hub]:
    """Yield a stand-in that listens at `hub.url` until the block is left."""
    hub = Hub()
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
