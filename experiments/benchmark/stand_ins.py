"""Stand-ins for what a machine without a hub lacks: models of the published shapes with random
weights, and rows as long as GLUE's. What is measured on them is cost, and that nothing breaks; no
score means anything.

A stand-in is a folder such as the hub would give (safetensors, configuration, tokenizer), so that
it is loaded as the real one is.
"""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    AutoConfig,
    AutoModelForPreTraining,
    PretrainedConfig,
    PreTrainedTokenizerFast,
)

from experiments.finetuning.checks import LEXICONS, SENTENCE_PIECE, SETTINGS
from experiments.finetuning.encoders import load_config
from experiments.finetuning.errors import BadInput
from experiments.finetuning.glue import Split, get_task

LARGE = {
    "num_hidden_layers": 24,
    "hidden_size": 1024,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
}
# the shapes of the models that the profiles name, as published with them (config.json on the hub)
CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "google-bert/bert-large-uncased": {"model_type": "bert", **LARGE, "vocab_size": 30522},
    "FacebookAI/roberta-large": {
        "model_type": "roberta",
        **LARGE,
        "vocab_size": 50265,
        "max_position_embeddings": 514,
        "type_vocab_size": 1,
        "layer_norm_eps": 1e-5,
    },
    "albert/albert-large-v2": {
        "model_type": "albert",
        **LARGE,
        "embedding_size": 128,
        "vocab_size": 30000,
    },
    "thenlper/gte-small": {
        "model_type": "bert",
        "num_hidden_layers": 12,
        "hidden_size": 384,
        "num_attention_heads": 12,
        "intermediate_size": 1536,
        "vocab_size": 30522,
    },
}
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
SEED = 1
# Tokens of an input of at most 128 by BERT's uncased vocabulary, special ones included: quantiles
# over GLUE's training sets (of QNLI 9,999 rows; of SciTail none was at hand, MRPC's stand there).
AT = (0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98, 1)
MRPC = (19, 36, 44, 53, 62, 70, 79, 103)
TOKENS = {
    "rte": (13, 33, 43, 56, 85, 128, 128, 128),
    "mrpc": MRPC,
    "cola": (4, 7, 9, 10, 13, 17, 23, 47),
    "qnli": (14, 30, 37, 46, 58, 71, 94, 128),
    "scitail": MRPC,
}


def configuration(source: str) -> PretrainedConfig:
    """The configuration of a model, of a published one without the hub. BadInput for another that
    is no folder."""
    if Path(source).is_dir():
        return load_config(source)
    if source not in CONFIGURATIONS:
        raise BadInput(
            f"no stand-in for {source}: expected one of {', '.join(CONFIGURATIONS)}, or a folder"
            " with config.json"
        )
    kind, *rest = CONFIGURATIONS[source].items()
    return AutoConfig.for_model(kind[1], **dict(rest))


def make_model(source: str, folder: Path) -> str:
    """A model of `source`'s shape with random weights in a folder of its name, and the whole path
    of that; a folder's own tokenizer goes with it."""
    target = folder / source.rstrip("/").split("/")[-1]
    config = configuration(source)
    torch.manual_seed(SEED)
    AutoModelForPreTraining.from_config(config).save_pretrained(target)
    if Path(source).is_dir():
        for name in (*LEXICONS, *SENTENCE_PIECE, *SETTINGS):
            if (Path(source) / name).is_file():
                shutil.copyfile(Path(source) / name, target / name)
    else:
        make_tokenizer(config).save_pretrained(target)
    return str(target.resolve())


def make_tokenizer(config: PretrainedConfig) -> PreTrainedTokenizerFast:
    """A tokenizer whose words are w0, w1 and so on, one id each; [PAD] has the model's padding
    id."""
    names = [f"w{i}" for i in range(config.vocab_size - len(SPECIAL))]
    names = [*SPECIAL[1:], *names]
    names.insert(config.pad_token_id, SPECIAL[0])
    ids = {name: i for i, name in enumerate(names)}
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    second = ":1" if config.type_vocab_size > 1 else ""
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair=f"[CLS] $A [SEP] $B{second} [SEP]{second}",
        special_tokens=[(name, ids[name]) for name in ("[CLS]", "[SEP]")],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )


def words(count: int, vocabulary: int, random: np.random.Generator) -> str:
    """So many words of make_tokenizer."""
    drawn = random.integers(0, vocabulary - len(SPECIAL), count)
    return " ".join([f"w{i}" for i in drawn])


def text(count: int, vocabulary: int) -> str:
    """Running text of so many words."""
    return words(count, vocabulary, np.random.default_rng(SEED))


def rows(task_name: str, count: int, vocabulary: int, seed: int) -> Split:
    """Rows of a task: as many tokens as GLUE's have (TOKENS), the words random, the two labels in
    turn."""
    if task_name not in TOKENS:
        raise BadInput(
            f"no stand-in for the data of {task_name}: expected --tasks of {', '.join(TOKENS)}, or"
            " a run without --random-weights"
        )
    task, random = get_task(task_name), np.random.default_rng(seed)
    sentences, texts = len(task.text_columns), []
    for length in np.interp(random.random(count), AT, TOKENS[task_name]):
        left = max(sentences, round(float(length)) - 1 - sentences)
        parts = [left // sentences + (i < left % sentences) for i in range(sentences)]
        texts.append(tuple([words(part, vocabulary, random) for part in parts]))
    return Split(texts, np.arange(count) % 2)
