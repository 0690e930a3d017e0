"""Files: hashes of their contents, writing them whole, where folders are on this machine."""

import argparse
import hashlib
import json
import os
import stat
import tempfile
from pathlib import Path
from typing import Any

from experiments.finetuning.errors import BadInput

REPOSITORY = Path(__file__).resolve().parents[2]


def fingerprint(*parts: bytes | Path) -> str:
    """8 hexadecimal digits over the contents of files or over bytes: names what a run was made
    from."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path):
            with open(part, "rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        else:
            digest.update(part)
    return digest.hexdigest()[:8]


def read_json(path: Path) -> Any:
    """What a JSON file holds. OSError where there is none, and ValueError for a damaged one, one
    nested deeper than Python goes, and what is no file: a pipe would be waited for without end."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise ValueError("no regular file")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except RecursionError:
        raise ValueError("nested too deeply") from None


def write_atomically(path: Path, content: str | bytes) -> None:
    """Make `path` hold `content`, whole or not at all, also when the machine stops in between."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def named(text: str) -> str:
    """For argparse: a name or a path, but not an empty one: a shell variable that is not set would
    mean the default, or the folder one is in. Of --results=~/x a shell leaves the ~ as it is."""
    if not text.strip():
        raise argparse.ArgumentTypeError(
            f"{text!r} is empty: expected a name or a path, or no such flag (is a shell variable"
            " not set?)"
        )
    return os.path.expanduser(text)


def folder(text: str) -> Path:
    """For argparse: likewise, as a path."""
    return Path(named(text))


def portable(source: str) -> str:
    """A folder's whole path, or its path inside the repository, which other machines of a
    cluster have too; a hub name as it is."""
    folder = Path(source).resolve()
    if not folder.is_dir():
        return source
    return str(folder.relative_to(REPOSITORY)) if folder.is_relative_to(REPOSITORY) else str(folder)


def located(source: str) -> str:
    """Where a portable source is on this machine."""
    return str(REPOSITORY / source) if (REPOSITORY / source).is_dir() else source


def at_revision(source: str) -> tuple[str, str | None]:
    """A hub name and the branch, tag or commit it names after an @, None for the newest; a folder's
    path is left as it is. BadInput for a folder with a revision, which would be ignored."""
    name, at, revision = source.partition("@")
    if not at or Path(source).is_dir():
        return source, None
    if not revision or Path(name).is_dir():
        raise BadInput(
            f"no folder {source}: expected a folder's own path, or a hub name with a revision after"
            " the @"
        )
    return name, revision


def may_be_on_hub(source: str, kind: str = "dataset") -> bool:
    """Whether a source reads as NAMESPACE/NAME on the hub, or NAMESPACE/NAME@REVISION; a model may
    lack the namespace, as old ones do."""
    slashes = (0, 1) if kind == "model" else (1,)
    return not source.startswith((".", "/", "~")) and at_revision(source)[0].count("/") in slashes
