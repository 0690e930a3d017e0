"""Running text, on which masked-LM perplexity is measured, and its blocks."""

from pathlib import Path
from typing import Any

from experiments.finetuning.checks import check_mask, first_position
from experiments.finetuning.errors import BadInput
from experiments.finetuning.files import fingerprint, may_be_on_hub

LONGEST_BLOCK = 512  # tokens; the released code's language-modelling script has the same
MASK_SEED = 1  # of the text that perplexity is measured on


def check_text(source: str, validation: bool = False) -> None:
    """Whether load_text can find what it is asked for, as far as that can be told without the
    hub."""
    if validation and Path(source).is_dir() and not (Path(source) / "wiki.valid.raw").is_file():
        raise BadInput(
            f"no file {Path(source) / 'wiki.valid.raw'}: expected WikiText-2's validation text, to"
            " fit a masked-LM head on"
        )
    if source != "mini" and not may_be_on_hub(source):
        path = Path(source) / "wiki.test.raw"
        if not path.is_file():
            raise BadInput(
                f"no file {path}: expected mini, a folder with WikiText-2's test text as"
                " wiki.test.raw, or a name on the data hub such as Salesforce/wikitext"
            )


def load_text(source: str, validation: bool = False) -> str:
    """Running text that masked-LM perplexity is measured on: the mini language's held-out documents
    ("mini"), a folder with wiki.test.raw, or the test set of WikiText-2 on the hub (paper, section
    4.1). With `validation` other text of the same kind."""
    if source == "mini":
        from experiments.mini.tasks import held_out_text

        # 200 documents have 1,800 predicted tokens; all 600 would take three times as long for
        # each k
        documents = held_out_text()[200:] if validation else held_out_text(documents=200)
        return " ".join(" ".join(document) for document in documents)
    if Path(source).is_dir():
        path = Path(source) / ("wiki.valid.raw" if validation else "wiki.test.raw")
        try:
            return path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise BadInput(
                f"{path}: not UTF-8 at byte {error.start}; expected running text in UTF-8"
            ) from None
    from experiments.finetuning.hub import load_data  # not needed for local text

    loaded = load_data(source, "wikitext-2-raw-v1", kind="text")
    try:
        return "\n".join(loaded["validation" if validation else "test"]["text"])
    except KeyError as error:
        raise BadInput(
            f"cannot read text of the data hub's {source!r} (it has no {error}); expected"
            " WikiText-2, or give a folder with wiki.test.raw, --text"
        ) from None


def identify_text(source: str) -> str:
    """What load_text reads: the hub's name and revision, so that what is finished needs no
    network, else a hash."""
    if source == "mini":
        return fingerprint(load_text(source).encode())
    return fingerprint(Path(source) / "wiki.test.raw") if Path(source).is_dir() else source


def block_length(config: Any) -> int:
    """Tokens of a block of running text for a model of this configuration."""
    return min(LONGEST_BLOCK, config.max_position_embeddings - first_position(config))


def tokens_of(text: str, tokenizer: Any, source: str) -> list[int]:
    """A text's token ids by a model's tokenizer. BadInput for one without a mask."""
    check_mask(tokenizer, source)
    return tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]


def blocks_of(text: str, source: str, config: Any, seed: int) -> tuple[Any, Any]:
    """Text as masked-LM inputs and labels [blocks, length] for a model."""
    from experiments.finetuning.encoders import load_tokenizer  # planning needs no torch
    from experiments.finetuning.probes import mask_blocks

    tokenizer = load_tokenizer(source)
    tokens = tokens_of(text, tokenizer, source)
    return mask_blocks(tokens, tokenizer, block_length(config), seed)
