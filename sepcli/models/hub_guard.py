"""Answers of a hub, checked before its client acts on them; no torch import.

The client names files by what the hub's headers say, writes all that comes, for as long as it
comes, and waits in silence for as long as it is told to. A hook in its HTTP session looks at each
answer first. It does nothing to requests that are made outside of `watched`.
"""

import logging
import re
import threading
import time
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from sepcli.errors import WeightsError

LONGEST_WAIT_SECONDS = 120.0  # that a hub may ask for; a run that nobody watches must end
LARGEST_FILE_BYTES = 2**34  # published checkpoints have at most 0.7 GB
STALL_SECONDS = 60.0  # over which the rate of a transfer is taken
SLOWEST_BYTES_PER_SECOND = 1000.0

TRIES_WITHOUT_NETWORK = 3  # to connect, with three seconds of waits; the client would go on for 25

_BLOCK_BYTES = 256  # read at once by clients below 1.0, whose reads wait until they are filled
_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+=-]{0,127}")
_NAMING_HEADERS = ("ETag", "X-Linked-ETag", "X-Repo-Commit")
_LOG = logging.getLogger("sepcli")
_install_lock = threading.Lock()


class UnreachableError(Exception):
    """No server was there at any try to connect, for the reason that is the cause."""


@dataclass
class Transfer:
    """What is known of a file that is being fetched.

    Attributes:
        label: The file and its repository, for messages.
        on_bytes: Called with (bytes done, bytes in all, 0 where unknown).
        promised: Bytes that the hub announced; 0 where it did not.
        done: Bytes that have come.
        is_reached: Whether a server has answered anything.
        num_unreached: Tries to connect that failed before one did.
    """

    label: str
    on_bytes: Callable[[int, int], None]
    promised: int = 0
    done: int = 0
    is_reached: bool = False
    num_unreached: int = 0
    _since: float = field(default_factory=time.monotonic)
    _recent: int = 0

    def count(self, num_bytes: int) -> None:
        """Count what has come.

        Raises:
            WeightsError: It is more than was promised, or comes too slowly.
        """
        self.done += num_bytes
        self._recent += num_bytes
        if self.promised and self.done > self.promised:
            raise _refused(f"server sends more than the {self.promised:,} bytes it promised", self)
        if self.done > LARGEST_FILE_BYTES:
            raise _refused(f"server sends more than {LARGEST_FILE_BYTES / 1e9:.0f} GB", self)
        elapsed = time.monotonic() - self._since
        if elapsed > STALL_SECONDS:
            if self._recent < SLOWEST_BYTES_PER_SECOND * elapsed:
                raise WeightsError(
                    f"server sends too slowly, {self._recent / elapsed:.0f} bytes a second: "
                    f"{self.label}",
                    "run the same command again later",
                )
            self._since, self._recent = time.monotonic(), 0
        self.on_bytes(self.done, self.promised)

    def begin(self, first: int) -> None:
        """Start to count at a byte of the file: a transfer may be taken up again."""
        self.done, self._recent, self._since = first, 0, time.monotonic()


_transfer: ContextVar[Transfer | None] = ContextVar("transfer", default=None)


@contextmanager
def watched(transfer: Transfer) -> Iterator[None]:
    """Check all that a hub answers to this thread in the block, and count what it sends."""
    _install()
    token = _transfer.set(transfer)
    try:
        yield
    finally:
        _transfer.reset(token)


@dataclass(frozen=True)
class _Sessions:
    """Makes HTTP sessions as the client or its user would, each with the hook."""

    make: Callable[[], Any]

    def __call__(self) -> Any:
        session = self.make()
        if hasattr(session, "event_hooks"):  # httpx, of clients since 1.0
            hooks = session.event_hooks
            session.event_hooks = {**hooks, "response": [_on_answer, *hooks["response"]]}
        else:  # requests
            session.hooks["response"].append(_on_answer)
        session.send = _giving_up(session.send)
        return session


def _giving_up(send: Callable[..., Any]) -> Callable[..., Any]:
    """Return `send` of a session, without patience where there is no network at all.

    A server that is slow, or lost after it has answered, is tried for as long as the client likes.
    """

    def sending(*arguments: Any, **named: Any) -> Any:
        try:
            return send(*arguments, **named)
        except Exception as failure:
            transfer = _transfer.get()
            if transfer is None or transfer.is_reached or not _is_unconnected(failure):
                raise
            transfer.num_unreached += 1
            if transfer.num_unreached < TRIES_WITHOUT_NETWORK:
                raise
            raise UnreachableError(transfer.label) from failure

    return sending


def _is_unconnected(failure: Exception) -> bool:
    """Return whether there was nobody to connect to, told without waiting for somebody."""
    kinds = {kind.__name__ for kind in type(failure).__mro__}  # of requests, httpx or httpx2
    return bool(kinds & {"ConnectError", "ConnectionError"}) and "Timeout" not in kinds


def _install() -> None:
    """Have the client make its sessions with the hook, whoever configured them."""
    import huggingface_hub
    from huggingface_hub.utils import _http

    with _install_lock:
        old = hasattr(_http, "configure_http_backend")  # below 1.0
        make = getattr(_http, "_GLOBAL_BACKEND_FACTORY" if old else "_GLOBAL_CLIENT_FACTORY")
        if not isinstance(make, _Sessions):
            name = "configure_http_backend" if old else "set_client_factory"
            getattr(huggingface_hub, name)(_Sessions(make))


def _on_answer(answer: Any, *_: object, **__: object) -> None:
    transfer = _transfer.get()
    if transfer is None:
        return
    transfer.is_reached = True
    headers: MutableMapping[str, str] = answer.headers
    headers.pop("X-Xet-Hash", None)  # such a transfer would go past this hook
    if answer.status_code == 429 or answer.status_code >= 500:
        _check_wait(headers, transfer)
        return
    if answer.request.method == "HEAD":
        _check_names(headers, transfer)
        _note_size(headers, transfer)
    elif answer.status_code in (200, 206):
        _watch_content(answer, transfer)


def _check_names(headers: MutableMapping[str, str], transfer: Transfer) -> None:
    """Refuse headers that are no plain names: the client makes file names of them."""
    for name in _NAMING_HEADERS:
        said = headers.get(name, "").removeprefix("W/").strip('"')
        if said and not _PLAIN_NAME.fullmatch(said):
            raise _refused(f"server sends no plain {name}", transfer)


def _check_wait(headers: MutableMapping[str, str], transfer: Transfer) -> None:
    """Say how long the hub asks to wait, before the client does.

    Raises:
        WeightsError: It asks for too long.
    """
    asked = headers.get("Retry-After", "").strip()
    limit = re.search(r"\br=0\s*;\s*t=(\d+)", headers.get("RateLimit", ""))
    seconds = float(limit[1] if limit else asked) if limit or asked.isdecimal() else 0.0
    if seconds > LONGEST_WAIT_SECONDS:
        raise WeightsError(
            f"server asks to wait {seconds:.0f} s: {transfer.label}",
            "run the same command then; `hf auth login` raises the limit",
        )
    if seconds:
        _LOG.warning("server asks to wait %.0f s: %s", seconds, transfer.label)


def _note_size(headers: MutableMapping[str, str], transfer: Transfer) -> None:
    length = "" if "Location" in headers else headers.get("Content-Length", "")
    said = headers.get("X-Linked-Size", length)
    transfer.promised = int(said) if said.isdecimal() else 0
    if transfer.promised > LARGEST_FILE_BYTES:
        raise _refused(f"file of {transfer.promised / 1e9:.0f} GB", transfer)


def _watch_content(answer: Any, transfer: Transfer) -> None:
    """Count the content as the client reads it, from where the answer begins."""
    if answer.headers.get("Content-Encoding", "identity") != "identity":
        raise _refused("server sends a compressed file, which nobody asked for", transfer)
    span = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range", ""))
    first = int(span[1]) if span and answer.status_code == 206 else 0
    if not transfer.promised and (length := answer.headers.get("Content-Length", "")).isdecimal():
        transfer.promised = first + int(length)
    transfer.begin(first)
    if hasattr(answer, "iter_raw"):
        raw = answer.iter_raw
        answer.iter_raw = lambda *size: _counted(raw(*size), transfer)
    else:
        content = answer.iter_content
        answer.iter_content = lambda **_: _counted(content(_BLOCK_BYTES), transfer)


def _counted(blocks: Iterator[bytes], transfer: Transfer) -> Iterator[bytes]:
    for block in blocks:
        transfer.count(len(block))
        yield block


def _refused(what: str, transfer: Transfer) -> WeightsError:
    return WeightsError(
        f"download refused, {what}: {transfer.label}",
        "check HF_ENDPOINT and any proxy; no server of models answers like that",
    )
