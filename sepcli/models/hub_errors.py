"""What went wrong with the hub, as the error a user is shown: one line and what to do about it."""

import errno
import os
import re
import ssl
from pathlib import Path

from sepcli.errors import WeightsError
from sepcli.models import web
from sepcli.models.cache import is_offline
from sepcli.models.entry import Source
from sepcli.models.foreign import first_line

_PROXIES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")
_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")

_DISK = (errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EPERM, errno.EDQUOT)


class MissingFileError(WeightsError):
    """The repository, the revision or a file in it does not exist (any more)."""


class MissingRepoError(MissingFileError):
    """Not a file but the whole repository or revision does not exist."""


def explained(entry: Source, name: str, failure: Exception) -> WeightsError:
    """Return the error a user is shown for what the client raised."""
    from huggingface_hub import errors

    cause: BaseException = failure
    if isinstance(failure, errors.LocalEntryNotFoundError) and failure.__cause__ is not None:
        cause = failure.__cause__  # why the hub could not be asked
    status = status_of(cause)
    if entry.address and status:
        return _explained_address(web.address(entry, name), status)
    refusal = _explained_refusal(entry, name, cause, status)
    if refusal is not None:
        return refusal
    if is_offline() or isinstance(cause, errors.OfflineModeIsEnabled):
        return WeightsError(
            f"not in the cache, and HF_HUB_OFFLINE is set: {entry.repo}/{name}",
            f"run `sepcli download {entry.name}` once where there is a network",
        )
    if status:
        return _explained_status(entry.repo, status)
    return _explained_connection(f"{name} of {entry.repo}", innermost(cause))


def status_of(failure: BaseException) -> int:
    """Return the HTTP status that a hub answered with; 0 where it gave no answer."""
    from huggingface_hub.errors import HfHubHTTPError

    answer = failure.response if isinstance(failure, HfHubHTTPError) else None
    return 0 if answer is None else answer.status_code


def innermost(failure: BaseException) -> BaseException:
    """Return the first of the failures that led to this one."""
    seen = {id(failure)}
    while (below := failure.__cause__ or failure.__context__) and id(below) not in seen:
        failure = below
        seen.add(id(failure))
    return failure


def _explained_refusal(
    entry: Source, name: str, cause: BaseException, status: int
) -> WeightsError | None:
    """Return the error for what a hub says it does not have or does not give; None for others."""
    from huggingface_hub import errors

    repo = entry.repo
    if isinstance(cause, errors.GatedRepoError):
        return WeightsError(
            f"repository is gated: {repo}",
            "accept its terms on its page of the hub, then run `hf auth login`",
        )
    if isinstance(cause, errors.RepositoryNotFoundError):
        return MissingRepoError(
            f"no such repository on the hub, or a private one: {repo}",
            "check the name; for a private one run `hf auth login`",
        )
    if isinstance(cause, errors.RevisionNotFoundError):
        return MissingRepoError(
            f"repository {repo} has no revision: {entry.revision}", "try `--revision main`"
        )
    if status == 404:
        return MissingFileError(
            f"repository {repo} does not hold: {name}",
            "another revision may hold it: add `--revision COMMIT`",
        )
    return None


def _explained_address(address: str, status: int) -> WeightsError:
    if status in (404, 410):
        return MissingFileError(
            f"no file at the address any more: {address}",
            "look for it on the authors' pages, and write its address into your models.toml",
        )
    return WeightsError(
        f"server does not give {address}: HTTP {status}", "run the same command again later"
    )


def _explained_status(repo: str, status: int) -> WeightsError:
    if status in (401, 403):
        return WeightsError(
            f"hub refuses access to {repo}: HTTP {status}",
            "run `hf auth login`, and accept the repository's terms on its page of the hub",
        )
    if status == 429:
        return WeightsError(
            "hub asks to slow down: HTTP 429",
            "wait some minutes; `hf auth login` raises the limit",
        )
    return WeightsError(
        f"hub does not answer for {repo}: HTTP {status}", "run the same command again later"
    )


def _explained_connection(file: str, cause: BaseException) -> WeightsError:
    """Return the error for what stands in the way to the hub, or to the cache."""
    absent = [name for name in _CERTIFICATES if _is_absent(os.environ.get(name, ""))]
    if absent and isinstance(cause, OSError) and cause.filename is None:
        return WeightsError(
            f"no such file of certificates: {absent[0]}={os.environ[absent[0]]}",
            f"unset {absent[0]}, or let it name a file that is there",
        )
    if isinstance(cause, ssl.SSLCertVerificationError):
        return WeightsError(
            f"certificate of the hub is not trusted: {cause.verify_message}",
            "let SSL_CERT_FILE name a file with your network's certificates",
        )
    proxies = [name for name in _PROXIES if os.environ.get(name) or os.environ.get(name.lower())]
    named = " and ".join(proxies)
    of_proxy = re.search("proxy|socks", str(cause), re.IGNORECASE)
    if proxies and of_proxy:
        said = re.sub(r"//[^/@]*@", "//", first_line(cause))  # without a password
        return WeightsError(
            f"proxy cannot be used for {file}: {said}",
            f"correct or unset {named}; SOCKS needs: pip install socksio pysocks",
        )
    if isinstance(cause, OSError) and cause.strerror and _is_of_the_disk(cause):
        where = f": {cause.filename}" if cause.filename else ""
        return WeightsError(
            f"cannot write to the model cache: {cause.strerror}{where}",
            "set HF_HOME to a folder that can be written and has room",
        )
    said = cause.strerror if isinstance(cause, OSError) and cause.strerror else first_line(cause)
    settings = f"the network, HF_ENDPOINT and {named}" if proxies else "the network and HF_ENDPOINT"
    return WeightsError(
        f"cannot download {file}: {said}", f"check {settings}, then run the same command again"
    )


def _is_absent(path: str) -> bool:
    return bool(path) and not Path(path).exists()


def _is_of_the_disk(cause: OSError) -> bool:
    """Return whether a failure is of files: those of a network name none."""
    return bool(cause.filename) or cause.errno in _DISK
