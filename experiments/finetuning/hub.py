"""Models and data sets by their names on the hub: the commit that a name means today, a model as a
folder of the client's cache, and in one line why that failed.

A name is looked up once, when a command begins; from then on it is NAME@COMMIT, so that a branch
that moves meanwhile changes nothing. The clients wait up to minutes without a word when the hub is
out of reach or limits requests; here the first such answer counts.
"""

import logging
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import httpx2
import huggingface_hub
from huggingface_hub import constants
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from experiments.finetuning.checks import ADAPTER, INDEX, LEXICONS, SENTENCE_PIECE, SETTINGS
from experiments.finetuning.errors import BadInput
from experiments.finetuning.files import at_revision, may_be_on_hub

# of a model's repository, which may hold the same weights in five more formats
CONFIGURATION = ("config.json",)
TOKENIZER = (*LEXICONS, *SENTENCE_PIECE, *SETTINGS, ADAPTER)  # an adapter to refuse it
WEIGHTS = ("model.safetensors", INDEX, "model-*-of-*.safetensors")
# what a name stands for: the client's word for it, ours, a name of it, the flag that takes a folder
KINDS = {
    "model": ("model", "model", "google-bert/bert-large-uncased", "--model"),
    "dataset": ("dataset", "data set", "nyu-mll/glue", "--data"),
    "text": ("dataset", "text", "Salesforce/wikitext", "--text"),
}


class _Client(httpx2.Client):
    """huggingface_hub's client without its silent repetitions: no connection, and no answer within
    HF_HUB_ETAG_TIMEOUT (10 s), count as offline; a hub that limits requests or is down is said at
    once."""

    def send(self, request: Any, **options: Any) -> Any:
        if constants.is_offline_mode():
            raise OfflineModeIsEnabled("HF_HUB_OFFLINE is set")
        if not any((request.extensions.get("timeout") or {}).values()):  # they would wait for ever
            longest = httpx2.Timeout(constants.HF_HUB_ETAG_TIMEOUT)
            request.extensions["timeout"] = longest.as_dict()
        try:
            response = super().send(request, **options)
        except (httpx2.ConnectError, httpx2.TimeoutException) as error:
            raise OfflineModeIsEnabled(f"{request.url.host} is out of reach ({error})") from error
        if response.status_code == 429 or response.status_code >= 500:
            response.read()
            huggingface_hub.utils.hf_raise_for_status(response)
        return response


def _client() -> _Client:
    return _Client(follow_redirects=True, timeout=None)  # the clients name one with each request


huggingface_hub.set_client_factory(_client)
# Large files come by HTTP too, and not by the second protocol that the hub offers for them (Xet):
# it has a client, repetitions and a cache of its own, and is not tried here
constants.HF_HUB_DISABLE_XET = True
huggingface_hub.utils.logging.set_verbosity_error()  # a failed download is reported once, by us


@lru_cache(maxsize=32)
def pinned(source: str, kind: str = "model") -> str:
    """NAME@COMMIT for a hub name, with or without a branch: today's commit, or out of reach of the
    hub the one in the cache; anything else as it is. `kind`: of KINDS. BadInput where neither
    knows it."""
    if Path(source).is_dir() or not may_be_on_hub(source, kind):
        return source
    name, revision = at_revision(source)
    try:
        found = huggingface_hub.HfApi().resolve_revision(
            name, repo_type=KINDS[kind][0], revision=revision
        )
    except Exception as error:
        raise BadInput(refusal(error, source, kind)) from None
    return f"{name}@{found.resolved}"


def model_folder(source: str, wanted: tuple[str, ...]) -> Path:
    """The folder in the cache with those files of a model's commit that `wanted` names, as far as
    the commit has them. BadInput where they cannot be had."""
    name, commit = at_revision(pinned(source))
    try:
        folder = huggingface_hub.snapshot_download(
            name, revision=commit, allow_patterns=list(wanted)
        )
    except Exception as error:
        raise BadInput(refusal(error, source, "model")) from None
    if not (Path(folder) / "config.json").is_file():
        raise BadInput(
            f"cannot load the model {source}: it has no config.json; expected a transformers model"
        )
    return Path(folder)


def load_data(source: str, configuration: str | None, kind: str = "dataset") -> Any:
    """The splits of a data set on the hub. BadInput where it cannot be had, and for another commit
    than the one asked for: out of reach of the hub `datasets` takes whatever its cache has."""
    import datasets  # heavy

    datasets.utils.logging.set_verbosity(logging.CRITICAL)  # what fails is reported once, by us
    datasets.disable_progress_bars()  # of cutting files into splits; downloads have theirs
    name, revision = at_revision(source)
    commit = revision if revision and re.fullmatch("[0-9a-f]{40}", revision) else None
    try:
        loaded = commit and _cached_data(name, configuration or "default", commit)
        loaded = loaded or datasets.load_dataset(name, configuration, revision=revision)
    except Exception as error:  # whatever a card or a file out of order makes datasets raise
        raise BadInput(refusal(error, source, kind)) from None
    files: list[str] = []
    for of_split in loaded.cache_files.values():
        files += [file["filename"] for file in of_split]
    if commit and not all(commit in file for file in files):
        raise BadInput(
            f"{source}: found another revision in the cache; expected that one, or a connection to"
            " the data hub"
        )
    return loaded


def _cached_data(name: str, configuration: str, commit: str) -> Any:
    """A commit's splits as `datasets` keeps them, without asking the hub: a study's runs would
    soon meet its limit. None where they are not kept."""
    import datasets
    from datasets.packaged_modules.cache.cache import Cache

    if "/" not in name:
        return None
    namespace, short = name.split("/")
    folder = f"{namespace}___{datasets.naming.camelcase_to_snakecase(short)}"
    root = Path(datasets.config.HF_DATASETS_CACHE).expanduser()
    for kept in (root / folder / configuration).glob(f"*/{commit}"):
        version = kept.parent.name
        return Cache(
            dataset_name=short,
            repo_id=name,
            config_name=configuration,
            version=version,
            hash=commit,
        ).as_dataset()
    return None


def refusal(error: BaseException, source: str, kind: str) -> str:
    """One line for a model or data set that could not be had: what, why, and what to do."""
    _, what, _, flag = KINDS[kind]
    reason, remedy = _why(error, source, kind)
    return f"cannot load the {what} {source}: {reason}; {remedy}, or give a folder with {flag}"


def _why(error: BaseException, source: str, kind: str) -> tuple[str, str]:
    """What went wrong, and what a person can do about it."""
    name, revision = at_revision(source)
    page = f"{constants.ENDPOINT}/{'' if kind == 'model' else 'datasets/'}{name}"
    for cause in _causes(error):
        if isinstance(cause, GatedRepoError) or "is a gated dataset" in str(cause):
            return "it is gated", f"ask for access at {page}, then log in (HF_TOKEN)"
        if isinstance(cause, RevisionNotFoundError):
            return f"it has no revision {revision}", f"expected one that {page} lists"
        if _is_missing(cause):
            return (
                "the hub has none of that name, or it is private",
                f"expected a name such as {KINDS[kind][2]}, or log in (HF_TOKEN)",
            )
        if isinstance(cause, HfHubHTTPError):
            return _answer(cause)
        if isinstance(cause, OfflineModeIsEnabled):
            return _offline()
        if isinstance(cause, httpx2.HTTPError):
            return (
                f"the download broke off ({type(cause).__name__})",
                "what is complete is kept: repeat the call",
            )
    text = str(error).strip().splitlines()
    reason = text[0].rstrip(".")[:200] if text else type(error).__name__
    if constants.is_offline_mode() and "find cache" in reason:  # datasets' words
        return _offline()
    return reason, "expected one that the clients can read"


def _is_missing(error: BaseException) -> bool:
    """Of a repository that it does not have the hub says 401 to whoever is not logged in."""
    if isinstance(error, RepositoryNotFoundError):
        return True
    if not isinstance(error, HfHubHTTPError) or isinstance(error, EntryNotFoundError):
        return False
    return error.response.status_code in (401, 404) and "Invalid credentials" not in str(error)


def _answer(error: HfHubHTTPError) -> tuple[str, str]:
    """Of a hub that answers with an error."""
    status = error.response.status_code
    if status == 429:
        seconds = re.search(r"t=(\d+)", error.response.headers.get("ratelimit", ""))
        after = seconds[1] if seconds else error.response.headers.get("retry-after", "300")
        return (
            "the hub limits requests (429)",
            f"wait {after} seconds and repeat the call; who is logged in (HF_TOKEN) has a higher"
            " limit",
        )
    if isinstance(error, EntryNotFoundError):
        return f"it has no file {error.response.url.path.split('/')[-1]}", "expected a whole one"
    if status == 401:
        return "the hub does not know the token", "expected another HF_TOKEN, or none"
    return f"the hub answers {status}", "repeat the call later"


def _offline() -> tuple[str, str]:
    if constants.is_offline_mode():
        return "it is not in the cache and HF_HUB_OFFLINE is set", "expected HF_HUB_OFFLINE=0"
    return (
        f"it is not in the cache and {constants.ENDPOINT} is out of reach",
        "expected a connection",
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what led to it, the nearest first."""
    while error is not None:
        if not isinstance(error, LocalEntryNotFoundError):  # says only that the cache lacks it
            yield error
        error = error.__cause__ or error.__context__
