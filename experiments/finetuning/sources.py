"""Where a model comes from: its name in a run, and its architecture. For a folder it needs no
torch, so that a plan is quick."""

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from experiments.finetuning.checks import SENTENCE_PIECE, SETTINGS, check_files, check_object
from experiments.finetuning.errors import BadInput
from experiments.finetuning.files import at_revision, fingerprint

# tokenizer_config.json decides tokens (do_lower_case) and was not hashed at first. Two of them
# stand in the ids of reference results, that of experiments/mini/checkpoint and gte-small's: they
# stay out, so that those runs keep their ids
NOT_HASHED = ("921559d2", "bc3a5982")


@lru_cache(maxsize=8)
def identify_model(source: str) -> str:
    """Run.model: the hub's name, with @REVISION where one is asked for, or the folder's name with a
    hash of its configuration, weights and all that its tokenizer reads."""
    folder = Path(source)
    if folder.is_dir():
        weights = sorted(folder.glob("*.safetensors"))
        if not (folder / "config.json").is_file() or not weights:
            raise BadInput(
                f"{folder} is no model: expected config.json and *.safetensors (pickled weights are"
                " not read)"
            )
        check_files(folder)
        first = [
            folder / name
            for name in (
                "config.json",
                "tokenizer.json",
                "vocab.txt",
                "vocab.json",
                "merges.txt",
                "spiece.model",
            )
        ]
        further = [
            folder / name for name in (*SENTENCE_PIECE, *SETTINGS) if folder / name not in first
        ]
        read = [path for path in first if path.exists()] + weights
        read += [path for path in further if path.exists() and fingerprint(path) not in NOT_HASHED]
        return f"{folder.resolve().name}@{fingerprint(*read)}"
    if source.startswith((".", "/", "~")) or at_revision(source)[0].count("/") > 1:
        raise BadInput(
            f"no model folder {source}: expected a transformers folder, or a hub name such as "
            "google-bert/bert-large-uncased"
        )
    return source


@lru_cache(maxsize=8)
def _configuration(source: str) -> dict[str, Any]:
    """A model's config.json, from a folder or the hub."""
    folder = Path(source)
    if not folder.is_dir():
        from experiments.finetuning.encoders import load_config

        return load_config(source).to_dict()
    return check_object(folder / "config.json", so=", so it names no model_type")


def architecture(source: str) -> tuple[str, int]:
    """The architecture's name in transformers and its number of layers, 0 where its
    configuration names none."""
    try:
        return str(_configuration(source)["model_type"]), int(
            _configuration(source).get("num_hidden_layers", 0)
        )
    except (KeyError, TypeError, ValueError):
        raise BadInput(
            f"{Path(source) / 'config.json'} names no model_type: expected a transformers"
            " configuration"
        ) from None


def has_masked_lm_head(source: str) -> bool:
    """Whether a folder's weights include a masked-LM head; of a name on the hub, whether its
    configuration says so."""
    folder = Path(source)
    if not folder.is_dir():
        architectures = _configuration(source).get("architectures") or ()
        return any("MaskedLM" in name or "PreTraining" in name for name in architectures)
    names: list[str] = []
    for path in folder.glob("*.safetensors"):
        names += _tensor_names(path)
    return any(name.startswith(("cls.predictions.", "lm_head.", "predictions.")) for name in names)


def _tensor_names(path: Path) -> list[str]:
    """From the header of a safetensors file: its length in 8 bytes, then JSON."""
    with open(path, "rb") as file:
        try:
            return list(json.loads(file.read(int.from_bytes(file.read(8), "little"))))
        except (ValueError, OverflowError, MemoryError, RecursionError):
            return []  # damaged: whoever loads it says so
