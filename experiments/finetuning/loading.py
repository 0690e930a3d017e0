"""What a run is made of: model, tokenizer and data, and what computes and what is trained."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from transformers import PreTrainedModel

from experiments.finetuning.checks import (
    check_tokens,
    check_vocabulary,
    odd_files,
    odd_tokenizer,
    unknown_share,
)
from experiments.finetuning.encoders import layers_above, load_classifier, load_tokenizer
from experiments.finetuning.files import located
from experiments.finetuning.flat import decays
from experiments.finetuning.glue import TOKENS
from experiments.finetuning.optimizers import ParameterGroup
from experiments.finetuning.own import check_dev_size, is_own
from experiments.finetuning.packing import PackedClassifier
from experiments.finetuning.possible import check_remedies
from experiments.finetuning.remedies import choose_trained
from experiments.finetuning.run import Run
from experiments.finetuning.tasks import (
    TokenizedSplit,
    load_splits,
    sample,
    task_of,
    tokenize,
)
from experiments.finetuning.tokens import TaggedSplit, tokenize_words

MANY_CUT = 0.1  # share of texts that are longer than the longest input, from which on to say so
Network: TypeAlias = PackedClassifier | torch.nn.Module  # the fast path, or the model itself


def load(run: Run) -> tuple[PreTrainedModel, list[str], Any, TokenizedSplit, TokenizedSplit]:
    """A run's model, the names of its parameters that the head seed drew, its tokenizer, its
    training and its dev set. BadInput where these do not belong together."""
    tokenizer = load_tokenizer(run.model_source)
    train_set, dev_set = tokenized_splits(run, tokenizer)
    model, drawn = load_classifier(run, task_of(run.task, run.data_source).outputs)
    for split in (train_set, dev_set):
        check_tokens(
            split.input_ids, split.token_type_ids, model.config, tokenizer, run.model_source
        )
    return model, drawn, tokenizer, train_set, dev_set


def inspect_inputs(run: Run) -> list[str]:
    """What is odd about a run's model and data, a sentence each; BadInput for what cannot be
    trained. It trains nothing."""
    *_, tokenizer, train_set, dev_set = load(run)
    share = unknown_share(train_set.input_ids, tokenizer)
    odd = check_vocabulary(share, tokenizer, run.model_source, run.task)
    odd += odd_tokenizer(tokenizer, run.model_source)
    if (folder := Path(located(run.model_source))).is_dir():
        odd += odd_files(folder)
    for name, split in load_splits(run.task, run.data_source).items():
        blank = sum(not all(part.strip() for part in texts) for texts in split.texts)
        if blank:  # GLUE's QQP has a few
            odd.append(f"{blank} of {len(split.texts)} {name} examples of {run.task} lack a text")
    if is_own(run.data_source):
        odd += check_dev_size(task_of(run.task, run.data_source))
    cut = float(np.mean([len(ids) >= run.max_length for ids in train_set.input_ids]))
    if cut > MANY_CUT and not isinstance(dev_set, TaggedSplit):
        odd.append(
            f"{cut:.0%} of the training texts of {run.task} fill the {run.max_length} tokens of"
            " --max-length: what lies beyond is not read"
        )
    if isinstance(dev_set, TaggedSplit) and (unread := dev_set.unread_share):
        odd.append(
            f"{unread:.2%} of the words of {run.task}'s dev set lie beyond --max-length"
            f" {run.max_length} or have no token: they are answered with no class"
        )
    return odd


def tokenized_splits(run: Run, tokenizer: Any) -> tuple[TokenizedSplit, TokenizedSplit]:
    """The training and the dev set of a run, as tokens."""
    splits = load_splits(run.task, run.data_source)
    train_split = splits["train"]
    if run.train_examples is not None:
        train_split = sample(train_split, run.train_examples, run.sampling_seed)
    task = task_of(run.task, run.data_source)
    if task.kind == TOKENS:
        return (
            tokenize_words(train_split, tokenizer, run.max_length, task.labels),
            tokenize_words(splits["dev"], tokenizer, run.max_length, task.labels),
        )
    train_set = tokenize(train_split, tokenizer, run.max_length, run.segment_ids)
    return train_set, tokenize(splits["dev"], tokenizer, run.max_length, run.segment_ids)


def prepare(
    model: torch.nn.Module, run: Run, drawn: Sequence[str] = ()
) -> tuple[Network, list[ParameterGroup]]:
    """What computes logits (the fast path, or the model itself), and the tensors to train. `drawn`:
    the parameters, besides the classifier's, that the checkpoint lacks."""
    check_remedies(run, model.config.model_type, getattr(model.config, "num_hidden_layers", 0))
    choose_trained(model, run, drawn)
    if not run.packed:
        return model, groups_by_layer(model, run)
    network = PackedClassifier(model, run.dropout, run.dropout_seed, run.mixout, run.lora_alpha)
    if run.layerwise_decay != 1:
        return network, groups_by_layer(model, run)
    decayed = [network.flat.decayed]
    return network, [ParameterGroup([network.flat.trained], decayed, anchors(decayed, run))]


def groups_by_layer(model: torch.nn.Module, run: Run) -> list[ParameterGroup]:
    """A model's trained parameters by the share of the learning rate that their layer gets."""
    by_share: dict[float, list[tuple[str, torch.Tensor]]] = {}
    for name, p in model.named_parameters():
        if not p.requires_grad:
            continue
        share = run.layerwise_decay ** layers_above(name, model.config)
        by_share.setdefault(share, []).append((name, p))
    groups = []
    for share, named in by_share.items():
        decayed = [p.data for name, p in named if decays(name)]
        parameters = [p for _, p in named]
        groups.append(ParameterGroup(parameters, decayed, anchors(decayed, run), share))
    return groups


def anchors(decayed: list[torch.Tensor], run: Run) -> list[torch.Tensor] | None:
    """What weight decay pulls to; None: to 0."""
    return [p.clone() for p in decayed] if run.decay_to_pretrained else None
