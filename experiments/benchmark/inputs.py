"""What a trial reads: a run's model and rows and running text, or stand-ins for them."""

from typing import Any

import torch

from experiments.benchmark import stand_ins
from experiments.benchmark.trial import STEPS
from experiments.finetuning.encoders import load_classifier, load_config, load_tokenizer
from experiments.finetuning.glue import get_task
from experiments.finetuning.loading import load
from experiments.finetuning.run import Run
from experiments.finetuning.tasks import tokenize
from experiments.finetuning.texts import MASK_SEED, block_length, blocks_of, load_text, tokens_of

TRAIN_ROWS, DEV_ROWS = 16 * STEPS, 64  # of stand-ins
BLOCKS = 2
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


def first_blocks(run: Run, text: str) -> tuple[torch.Tensor, torch.Tensor]:
    """The first BLOCKS of a text, or where none is named of a made-up one, as masked-LM inputs and
    labels."""
    source = run.model_source
    config = load_config(source)
    if text:
        words = load_text(text)
    else:
        words = stand_ins.text(BLOCKS * block_length(config), len(load_tokenizer(source)))
    inputs, labels = blocks_of(words, source, config, MASK_SEED)
    return inputs[:BLOCKS], labels[:BLOCKS]


def blocks_in(text: str, source: str) -> int:
    """Blocks of a text: of mini's counted, of any other as many as WikiText-2's test text has."""
    count = (
        len(tokens_of(load_text(text), load_tokenizer(source), source))
        if text == "mini"
        else WIKITEXT_TOKENS
    )
    return count // (block_length(load_config(source)) - 2)
