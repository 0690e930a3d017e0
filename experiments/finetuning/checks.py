"""What a model, its tokenizer and a task must have in common: a wrong one would train, and its
scores would mean something else.

Everything here ends in BadInput, in one line, or in a warning: a sentence that the sweep prints
once.
"""

import importlib.util
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.finetuning.errors import BadInput
from experiments.finetuning.files import read_json

LEXICONS = ("tokenizer.json", "vocab.txt", "vocab.json")  # one of these makes a tokenizer
# or these, with the package
SENTENCE_PIECE = ("spm.model", "spiece.model", "sentencepiece.bpe.model", "tokenizer.model")
SETTINGS = (
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "merges.txt",
    "bpe.codes",
)
ADAPTER = "adapter_config.json"  # how PEFT and its kin name theirs
# files of weights that are added to the model's own, and are not here
ADAPTERS = re.compile(
    r"(^|.*[_.-])(adapters?|lora|peft)[_.-](.*[_.-])?(json|safetensors|bin|pth?|ckpt|h5)",
    re.IGNORECASE,
)
INDEX = "model.safetensors.index.json"  # which file holds which weight
LFS = b"version https://git-lfs"  # how the stand-in begins that git leaves for a large file
# of a task's tokens: BERT's own vocabulary leaves less than 0.001 of GLUE's unknown
MANY_UNKNOWN, TOO_MANY_UNKNOWN = 0.05, 0.5
# parameters that a run always draws anew
HEADS = re.compile(r"(^|\.)(pre_)?classifier\.|^(score|logits_proj)\.")
POSITIONS_AFTER_PADDING = (
    "camembert",
    "mpnet",
    "data2vec-text",
    "longformer",
    "ibert",
    "xmod",
    "lilt",
    "esm",
    "luke",
    "markuplm",
)


def check_files(folder: Path, source: str = "") -> None:
    """BadInput unless a model's folder has a tokenizer, and files that are there themselves, and
    for weights beside the model's own that would have to be added to them. `source`: what a person
    calls the folder, if not by its path."""
    for path in sorted(folder.iterdir()):
        check_file(path, f"{source or folder}/{path.name}")
    there = [name for name in (*LEXICONS, *SENTENCE_PIECE) if (folder / name).is_file()]
    if not there:
        raise BadInput(
            f"no tokenizer in {source or folder}: expected {', '.join(LEXICONS)} or a"
            " sentencepiece model beside the weights"
        )
    if all(name in SENTENCE_PIECE for name in there) and not importlib.util.find_spec(
        "sentencepiece"
    ):
        raise BadInput(
            f"{folder / there[0]} needs the package sentencepiece; install it in .venv, or save"
            " tokenizer.json"
        )
    if there == ["vocab.json"] and not (folder / "merges.txt").is_file():
        raise BadInput(
            f"no file {folder / 'merges.txt'}: expected it beside vocab.json, or tokenizer.json"
        )
    for name in there:
        if not (folder / name).read_bytes().strip():
            raise BadInput(f"{folder / name} is empty; expected the model's own vocabulary")
    for name in (*LEXICONS, *SETTINGS, INDEX):
        if name.endswith(".json") and (folder / name).is_file():
            check_object(folder / name, called=f"{source or folder}/{name}")


def check_file(path: Path, called: str) -> None:
    """BadInput for what is no file, or stands for one that is not there, or is an adapter.
    `called`: its name for a person."""
    if path.is_dir():
        return
    if path.exists() and not path.is_file():
        raise BadInput(f"{called} is no regular file: expected a model's files in its folder")
    if ADAPTERS.fullmatch(path.name):
        raise BadInput(
            f"{called} is of an adapter, which would not be applied; expected the merged model"
            " (PEFT: merge_and_unload, then save_pretrained), or a model without"
        )
    if path.suffix in (".json", ".txt", ".model", ".safetensors") and path.is_file():
        with open(path, "rb") as file:
            if file.read(len(LFS)) == LFS:
                raise BadInput(
                    f"{called} is a pointer of git-lfs and not the file; get the file itself: git"
                    " lfs pull"
                )


def check_object(path: Path, so: str = "", called: str = "") -> dict[str, Any]:
    """What a JSON file of a model holds. BadInput unless that is an object; `so`: what follows from
    that; `called`: its name for a person, if not its path."""
    called = called or str(path)
    try:
        content = read_json(path)
    except ValueError as error:
        raise BadInput(
            f"{called} is no whole JSON ({error}){so}; expected the model's own file, get it again"
        ) from None
    if not isinstance(content, dict):
        raise BadInput(
            f"{called} holds {str(content)[:40]!r}{so}; expected names with values, {{...}}:"
            " get the model's own file again"
        )
    return content


def odd_files(folder: Path) -> list[str]:
    """Warnings about a model's folder: weights that are not read, a vocabulary with a token
    twice."""
    lines = []
    read = {"model.safetensors"}
    index = folder / INDEX
    if not (folder / "model.safetensors").is_file() and index.is_file():
        read = set(check_object(index).get("weight_map", {}).values())
    if unread := sorted({path.name for path in folder.glob("*.safetensors")} - read):
        lines.append(
            f"{folder} has weights that are not read: {', '.join(unread)[:200]}; read is"
            f" {', '.join(sorted(read))[:200]}"
        )
    if inside := sorted(folder.glob(f"*/{ADAPTER}")):
        lines.append(f"{inside[0].parent} holds an adapter, which is not applied")
    vocabulary = folder / "vocab.txt"
    if vocabulary.is_file() and not (folder / "tokenizer.json").is_file():
        tokens = Counter(vocabulary.read_text(encoding="utf-8", errors="replace").splitlines())
        if twice := [token for token, count in tokens.items() if count > 1]:
            lines.append(
                f"{vocabulary} has {len(twice)} tokens twice, {twice[0]!r} first: only the last of"
                " each is used; is it the model's own?"
            )
    return lines


def check_tokenizer(tokenizer: Any, source: str) -> None:
    """BadInput unless a tokenizer has what batches are made of."""
    if tokenizer.pad_token_id is None:
        raise BadInput(
            f"the tokenizer of {source} has no pad token: expected one in tokenizer_config.json,"
            " such as [PAD]"
        )


def odd_tokenizer(tokenizer: Any, source: str) -> list[str]:
    """Warnings about a tokenizer's settings that change what a model sees."""
    if getattr(tokenizer, "truncation_side", "right") == "right":
        return []
    return [
        f"the tokenizer of {source} cuts long inputs at their start (truncation_side"
        f" {tokenizer.truncation_side}), and published runs cut at the end; is it the model's own?"
    ]


def check_mask(tokenizer: Any, source: str) -> None:
    """BadInput unless a tokenizer has what masked-LM perplexity needs."""
    for name in ("mask", "cls", "sep"):
        if getattr(tokenizer, f"{name}_token_id") is None:
            raise BadInput(
                f"the tokenizer of {source} has no {name} token, so no perplexity can be measured;"
                " expected one in tokenizer_config.json, or another model"
            )


def check_tokens(
    input_ids: Sequence[np.ndarray],
    types: Sequence[np.ndarray],
    config: Any,
    tokenizer: Any,
    source: str,
) -> None:
    """BadInput for token ids or token types beyond the model's embeddings."""
    rows, largest = getattr(config, "vocab_size", None), max(int(ids.max()) for ids in input_ids)
    if rows is not None and largest >= rows:
        raise BadInput(
            f"the tokenizer's vocabulary is larger than the embedding of {source}: id {largest}"
            f" ({tokenizer.convert_ids_to_tokens(largest)!r}) of {rows} rows; expected the model's"
            " own tokenizer"
        )
    kinds, highest = (
        getattr(config, "type_vocab_size", None),
        max(int(kind.max()) for kind in types),
    )
    if kinds and highest >= kinds:
        raise BadInput(
            f"{source} knows {kinds} token type(s) and pairs of sentences need {highest + 1};"
            f" expected type_vocab_size {highest + 1} in its config.json, or --segment-ids off"
        )


def unknown_share(input_ids: Iterable[np.ndarray], tokenizer: Any) -> float:
    """Share of the tokens that the vocabulary does not know."""
    if tokenizer.unk_token_id is None:
        return 0.0
    tokens = np.concatenate(list(input_ids))
    return float(np.mean(tokens == tokenizer.unk_token_id))


def check_vocabulary(share: float, tokenizer: Any, source: str, task: str) -> list[str]:
    """Warnings about a vocabulary that fits a task badly. BadInput where it does not fit at all."""
    if share >= TOO_MANY_UNKNOWN:
        raise BadInput(
            f"{share:.0%} of the tokens of {task} are unknown to the tokenizer of {source};"
            " expected a model (--model) with its own tokenizer files, and a text in its language"
        )
    warnings = []
    if share >= MANY_UNKNOWN:
        warnings.append(
            f"{share:.0%} of the tokens of {task} are unknown to the tokenizer of {source}; is it"
            " the model's own?"
        )
    words = [word for word in tokenizer.get_vocab() if word.isalpha()]
    capitals = sum(word != word.lower() for word in words)
    if capitals > 0.05 * len(words) and tokenizer.tokenize("The") == tokenizer.tokenize("the"):
        warnings.append(
            f"the tokenizer of {source} lower-cases its input, yet {capitals:,} words of its"
            " vocabulary have capitals; is do_lower_case missing in its tokenizer_config.json?"
        )
    return warnings


def check_loaded(report: dict[str, Any], source: str) -> None:
    """BadInput unless a checkpoint holds the encoder of its configuration, no less and no more; its
    old head does not matter.

    `report`: from_pretrained's loading info, with missing, unexpected and mismatched keys.
    """
    for name, in_file, in_model in sorted(report.get("mismatched_keys", ())):
        if not HEADS.search(name):
            raise BadInput(
                f"{source}: {name} is {list(in_file)} in the weights and {list(in_model)} by"
                " config.json; expected a configuration and weights of one model"
            )
    lacking = sorted(
        name for name in report["missing_keys"] if not HEADS.search(name) and "pooler" not in name
    )
    if lacking:
        raise BadInput(
            f"{source} lacks {len(lacking)} encoder weights, {lacking[0]} first; "
            "expected a complete checkpoint of the architecture in its config.json"
        )
    surplus = sorted(
        name
        for name in report["unexpected_keys"]
        if re.search(r"(^|\.)(encoder|embeddings|transformer|layers?)\.", name)
        and "position_ids" not in name
        and not name.startswith(("cls.", "lm_head.", "predictions."))
    )
    if surplus:
        raise BadInput(
            f"{source} has {len(surplus)} encoder weights that config.json knows nothing of,"
            f" {surplus[0]} first; expected a configuration and weights of one model"
        )


def check_finite(parameters: Iterable[tuple[str, Any]], source: str) -> None:
    """BadInput for weights that are not finite, or matrices that hold one value only, as of a
    checkpoint that was saved before its parts were gathered: every run of theirs would count as
    failed. RoBERTa's only token type is 0 throughout."""
    for name, p in parameters:
        if p.dim() > 1 and "token_type" not in name and bool((p == p.flatten()[0]).all()):
            raise BadInput(
                f"the weights of {source} are empty: {name} holds {p.flatten()[0].item():g} only;"
                " expected trained ones"
            )
        if not bool(p.isfinite().all()):
            raise BadInput(
                f"the weights of {source} are not finite: {name} has NaN or infinite values;"
                " expected others"
            )


def check_configuration(config: Any, source: str) -> None:
    """BadInput for a decoder, which sees only what lies before a token."""
    for name in ("is_decoder", "add_cross_attention", "is_encoder_decoder"):
        if getattr(config, name, False):
            raise BadInput(
                f"config.json of {source} says {name}: expected an encoder, which sees all of its"
                " input"
            )


def first_position(config: Any) -> int:
    """The position id of an example's first token: RoBERTa and its kin count from after the
    padding id, the others from 0."""
    counted = "roberta" in config.model_type or config.model_type in POSITIONS_AFTER_PADDING
    return config.pad_token_id + 1 if counted else 0
