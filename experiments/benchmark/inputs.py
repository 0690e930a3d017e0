"""What a trial reads: a run's model and rows and running text, or stand-ins for them."""

from typing import Any

import torch

from experiments.benchmark import stand_ins
from experiments.benchmark.trial import STEPS
from experiments.finetuning.checks import check_mask, first_position
from experiments.finetuning.encoders import load_classifier, load_config, load_tokenizer
from experiments.finetuning.glue import get_task
from experiments.finetuning.loading import load
from experiments.finetuning.probes import mask_blocks
from experiments.finetuning.run import Run
from experiments.finetuning.tasks import tokenize
from experiments.finetuning.texts import load_text

TRAIN_ROWS, DEV_ROWS = 16 * STEPS, 64  # of stand-ins
BLOCKS = 2
LONGEST_BLOCK = 512  # tokens, as in catastrophic_forgetting
MASK_SEED = 1
WIKITEXT_TOKENS = 273_178  # of WikiText-2's test text by BERT's uncased vocabulary


def real_inputs(run: Run) -> Any:
    """A run's model, training and dev set."""
    model, _, _, train_set, dev_set = load(run)
    return model, train_set, dev_set


def made_up_inputs(run: Run) -> Any:
    """The same with stand-ins for the rows."""
    tokenizer = load_tokenizer(run.model_source)
    sets = []
    for count, seed in ((TRAIN_ROWS, 1), (DEV_ROWS, 2)):
        split = stand_ins.rows(run.task, count, len(tokenizer), seed)
        sets.append(tokenize(split, tokenizer, run.max_length, run.segment_ids))
    model, _ = load_classifier(run, len(get_task(run.task).labels))
    return model, *sets


def block_length(source: str) -> int:
    """Tokens of a block of running text."""
    config = load_config(source)
    return min(LONGEST_BLOCK, config.max_position_embeddings - first_position(config))


def tokens_of(text: str, source: str) -> list[int]:
    """A text's tokens, of a made-up one as many as BLOCKS take."""
    tokenizer = load_tokenizer(source)
    check_mask(tokenizer, source)
    made_up = stand_ins.text(BLOCKS * block_length(source), len(tokenizer))
    return tokenizer(load_text(text) if text else made_up, add_special_tokens=False, verbose=False)[
        "input_ids"
    ]


def blocks_of(run: Run, text: str) -> tuple[torch.Tensor, torch.Tensor]:
    """The first BLOCKS of a text as masked-LM inputs and labels."""
    source = run.model_source
    tokenizer, tokens = load_tokenizer(source), tokens_of(text, source)
    inputs, labels = mask_blocks(tokens, tokenizer, block_length(source), MASK_SEED)
    return inputs[:BLOCKS], labels[:BLOCKS]


def blocks_in(text: str, source: str) -> int:
    """Blocks of a text: of mini's counted, of any other as many as WikiText-2's test text has."""
    count = len(tokens_of(text, source)) if text == "mini" else WIKITEXT_TOKENS
    return count // (block_length(source) - 2)
