"""The logs at a path: of a file, of a run's folder, of a folder of seeds, of a store."""

import re
from pathlib import Path

from analysis.diagnosis.logs import EXPECTED, read_text
from analysis.diagnosis.records import Log
from analysis.shared.reading import BadInput

OF_RESULTS = re.compile(r"(all|train|eval|test|predict)_results\.json")  # the Trainer's
STORED = re.compile(rb'\A\{"schema"|"outcome"')  # a store's run, or the beginning of one
ENDINGS = (".csv", ".tsv", ".json", ".jsonl", ".txt", ".log", ".md")  # of logs in a folder


def read_logs(path: Path, metric: str | None = None) -> list[Log]:
    """The logs at a path: one, or those of all runs of a store. `metric` names the score to look
    at. BadInput where there is none."""
    if not path.exists():
        raise BadInput(f"no file or folder {path}: {EXPECTED}")
    if path.is_dir():
        return read_folder(path, metric)
    if not path.is_file():  # a pipe has no end while somebody may write to it
        raise BadInput(
            f"{path} is no file but a pipe or device: {EXPECTED}; - reads standard input"
        )
    data = path.read_bytes()
    wide = data[:2] in (b"\xff\xfe", b"\xfe\xff")  # a spreadsheet's "Unicode text"
    try:
        text = data.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        what = "convert it, e.g. with iconv"
        if "tfevents" in path.name:
            what = "TensorBoard's own files are not read: export a CSV, or take trainer_state.json"
        raise BadInput(
            f"{path} is no UTF-8 text (byte {error.start}): {EXPECTED}; {what}"
        ) from None
    name = str(path.parent if path.name == "trainer_state.json" else path)
    return [read_text(text, name, metric)]


def read_folder(folder: Path, metric: str | None) -> list[Log]:
    """The log of a run's or checkpoint's folder, or those of a store's runs."""
    if (folder / "trainer_state.json").is_file():
        return read_logs(folder / "trainer_state.json", metric)
    states = []
    for path in folder.glob("checkpoint-*/trainer_state.json"):
        if number := re.fullmatch(r"checkpoint-(\d+)", path.parent.name):
            states.append((int(number[1]), path))
    if states:
        log = read_logs(max(states)[1], metric)[0]
        log.name = str(folder)
        return [log]
    if logs := of_a_store(folder, metric):
        return logs
    if logs := one_each(folder, metric):
        return logs
    raise BadInput(
        f"{folder} holds no log (no trainer_state.json, no checkpoint-N/trainer_state.json, no"
        f" runs/*.json, no folders or files of them): {EXPECTED}"
    )


def of_a_store(folder: Path, metric: str | None) -> list[Log]:
    """The runs of a store, or of its folder of runs, with a note of those that are no whole runs;
    none where there is no such file."""
    if (folder / "runs").is_dir():
        folder = folder / "runs"
    elif folder.name != "runs":
        return []
    logs: list[Log] = []
    unread = []
    for path in sorted(folder.glob("*.json")):
        if not path.is_file() or STORED.search(path.read_bytes()):
            try:
                logs += read_logs(path, metric)
            except BadInput as error:
                unread.append(error)
    if unread and not logs:
        raise unread[0]
    if unread:
        logs[0].notes += [f"warning: left out: {error}" for error in unread]
    return logs


def one_each(folder: Path, metric: str | None) -> list[Log]:
    """The logs of the folders and files in a folder, a seed each; those that hold none are named in
    a note."""
    logs: list[Log] = []
    unread = []
    paths = [path for path in sorted(folder.iterdir()) if path.name[0] != "."]
    runs = [path for path in paths if path.is_dir() and holds_a_state(path)]
    # beside runs' folders a file is a summary of theirs, or settings
    files = [path for path in paths if path.is_file() and path.suffix.lower() in ENDINGS]
    for path in runs or files:
        try:
            if OF_RESULTS.fullmatch(path.name):
                raise BadInput("final numbers, no log")
            logs += read_logs(path, metric)
        except BadInput:
            unread.append(path.name)
    if runs:
        unread += [path.name for path in paths if path.is_dir() and path not in runs]
        unread += [path.name for path in files]
    if logs and unread:
        logs[0].notes.append(f"warning: no log, and left out: {', '.join(unread)} in {folder}")
    return logs


def holds_a_state(folder: Path) -> bool:
    """Whether a folder is a run's, by the files of the Trainer."""
    patterns = ("trainer_state.json", "checkpoint-*/trainer_state.json")
    return any(any(folder.glob(pattern)) for pattern in patterns)
