"""What went wrong with the hub, as the error a user is shown: one line and what to do about it."""

from sepcli.errors import WeightsError
from sepcli.models import web
from sepcli.models.cache import is_offline
from sepcli.models.entry import Source


class MissingFileError(WeightsError):
    """The repository, the revision or a file in it does not exist (any more)."""


class MissingRepoError(MissingFileError):
    """Not a file but the whole repository or revision does not exist."""


def explained(entry: Source, name: str, failure: Exception) -> WeightsError:
    """Return the error a user is shown for what the client raised."""
    from huggingface_hub import errors

    repo = entry.repo
    cause: BaseException = failure
    if isinstance(failure, errors.LocalEntryNotFoundError) and failure.__cause__ is not None:
        cause = failure.__cause__  # why the hub could not be asked
    if entry.address and isinstance(cause, errors.HfHubHTTPError):
        return _explained_address(web.address(entry, name), cause.response.status_code)
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
    if isinstance(cause, errors.RemoteEntryNotFoundError) or (
        isinstance(cause, errors.HfHubHTTPError) and cause.response.status_code == 404
    ):
        return MissingFileError(
            f"repository {repo} does not hold: {name}",
            "another revision may hold it: add `--revision COMMIT`",
        )
    if is_offline() or isinstance(cause, errors.OfflineModeIsEnabled):
        return WeightsError(
            f"not in the cache, and HF_HUB_OFFLINE is set: {repo}/{name}",
            f"run `sepcli download {entry.name}` once where there is a network",
        )
    if isinstance(cause, errors.HfHubHTTPError):
        return _explained_status(repo, cause.response.status_code)
    if isinstance(cause, OSError) and cause.errno is not None and cause.strerror:
        return WeightsError(
            f"cannot write to the model cache: {cause.strerror}: {cause.filename or ''}".rstrip(
                ": "
            ),
            "set HF_HOME to a folder that can be written and has room",
        )
    return WeightsError(
        f"cannot download {name} of {repo}: {type(cause).__name__}",
        "check the network and HF_ENDPOINT, then run the same command again",
    )


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
