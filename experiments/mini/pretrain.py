"""Pre-train the model organism, as BERT was: masked words and sentence pairs.

Claim   : the folder experiments/mini/checkpoint is what this script writes, from nothing but the
          seeds below.
Command : python -m experiments.mini.pretrain --output experiments/mini/checkpoint
Cost    : see experiments/mini/checkpoint/pretraining_log.csv, last row (one thread of one core).

A post-LayerNorm BERT of 24 layers x 64 hidden units sees an endless stream of generated documents.
Seven batches in eight hold pairs [CLS] A [SEP] B [SEP] in which B follows A in its document (70 %)
or comes from another document (30 %; BERT: 50 %): the pooler learns to tell, as in BERT's
next-sentence prediction. The eighth holds running text that fills the positions. 15 % of the words
are predicted (80 % masked, 10 % exchanged, 10 % kept). AdamW with bias correction, linear warm-up
over 10 % of the steps, linear decay, clip 1.0, no dropout (nothing is seen twice).
"""

import argparse
import csv
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from tqdm import tqdm
from transformers import BertConfig, BertForPreTraining, PreTrainedTokenizerFast

from experiments.mini import language
from experiments.mini.tasks import held_out_text

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PAD, CLS, SEP, MASK = 0, 2, 3, 4
POSITIONS = 64
SEED = 1
LOG_EVERY = 250  # steps
LOG_COLUMNS = [
    "step",
    "masked_lm_loss",
    "pair_accuracy",
    "held_out_perplexity",
    "unigram_perplexity",
    "seconds",
]


def make_tokenizer() -> PreTrainedTokenizerFast:
    """One token per word: the language is closed, so nothing is gained by word pieces."""
    vocabulary = {word: i for i, word in enumerate([*SPECIAL, *language.vocabulary()])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", CLS), ("[SEP]", SEP)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=POSITIONS,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )


def make_model(vocabulary_size: int) -> BertForPreTraining:
    torch.manual_seed(SEED)
    return BertForPreTraining(
        BertConfig(
            vocab_size=vocabulary_size,
            hidden_size=64,
            num_hidden_layers=24,
            num_attention_heads=2,
            intermediate_size=256,
            max_position_embeddings=POSITIONS,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        )
    )


def pretraining_batches(
    word_ids: dict[str, int], batch_size: int, seed: int
) -> Iterator[dict[str, torch.Tensor]]:
    """Endless batches: input_ids, token_type_ids, attention_mask [batch, length],
    next_sentence_label [batch]."""
    rng, stream = Random(f"pre-training {seed}"), language.documents(seed)

    def encode(sentences: list[str]) -> list[int]:
        return [word_ids[word] for word in " ".join(sentences).split()]

    def pair() -> tuple[list[int], list[int], int]:
        # BERT's labels: 0 follows, 1 does not
        text, from_elsewhere = next(stream), int(rng.random() < 0.3)
        length_a, length_b = (1 + int(rng.random() * 1.6) for _ in range(2))
        start = int(rng.random() * (len(text) - length_a))
        follows = next(stream) if from_elsewhere else text[start + length_a :]
        a, b = encode(text[start : start + length_a]), encode(follows[:length_b])
        while len(a) + len(b) > POSITIONS - 3:
            (a if len(a) > len(b) else b).pop()
        return a, b, from_elsewhere

    def running_text() -> tuple[list[int], list[int], int]:
        words = encode(next(stream) + next(stream))[: POSITIONS - 2]
        return words, [], -100  # no pair, nothing to tell

    def examples_of_one_length() -> Iterator[list[tuple[list[int], list[int], int]]]:
        # pairs of like length share a batch: half the padding (a fine-tuning run must never do
        # this)
        while True:
            pool = [pair() for _ in range(14 * batch_size)]
            pool.sort(key=lambda example: len(example[0] + example[1]))
            groups = [pool[i : i + batch_size] for i in range(0, len(pool), batch_size)]
            for _ in range(2):
                groups.append([running_text() for _ in range(batch_size)])
            yield from language.shuffled(rng, groups)

    for examples in examples_of_one_length():
        ids = [[CLS, *a, SEP, *b, *([SEP] if b else [])] for a, b, _ in examples]
        position = torch.arange(max(map(len, ids)))
        length = torch.tensor([[len(row)] for row in ids])
        second = torch.tensor([[len(a) + 2] for a, _, _ in examples])  # where sentence B begins
        yield {
            "input_ids": torch.tensor([row + [PAD] * (len(position) - len(row)) for row in ids]),
            "token_type_ids": ((second <= position) & (position < length)).long(),
            "attention_mask": (position < length).long(),
            "next_sentence_label": torch.tensor([label for _, _, label in examples]),
        }


def mask_words(
    batch: dict[str, torch.Tensor],
    vocabulary_size: int,
    generator: torch.Generator,
) -> dict[str, torch.Tensor]:
    """Choose 15 % of the words as targets: 80 % become [MASK], 10 % another word, 10 % stay
    (Devlin et al. 2019, 3.1)."""
    ids = batch["input_ids"]
    draw, kind = torch.rand(2, *ids.shape, generator=generator)
    chosen = (draw < 0.15) & (ids >= len(SPECIAL))
    exchanged = torch.randint(len(SPECIAL), vocabulary_size, ids.shape, generator=generator)
    masked = torch.where(
        chosen & (kind < 0.8), MASK, torch.where(chosen & (kind >= 0.9), exchanged, ids)
    )
    return {**batch, "input_ids": masked, "labels": torch.where(chosen, ids, -100)}


@torch.no_grad()
def held_out_perplexity(model: BertForPreTraining, word_ids: dict[str, int]) -> tuple[float, float]:
    """Perplexity per predicted word on the held-out text: (this model, unigram model fitted on
    the same text)."""
    sentences: list[str] = []
    for text in held_out_text():
        sentences += text
    words = [word_ids[word] for word in " ".join(sentences).split()]
    width = POSITIONS - 2
    blocks = torch.tensor(words[: len(words) // width * width]).view(-1, width)
    edge = torch.ones(len(blocks), 1, dtype=torch.long)
    ids = torch.cat([CLS * edge, blocks, SEP * edge], dim=1)
    batch = mask_words({"input_ids": ids}, len(word_ids), torch.Generator().manual_seed(SEED))
    labels, model_was_training = batch["labels"], model.training
    model.eval()
    logits = torch.cat(
        [model(input_ids=chunk).prediction_logits for chunk in batch["input_ids"].split(64)]
    )
    model.train(model_was_training)
    counts = torch.bincount(blocks.flatten(), minlength=len(word_ids)).double()
    unigram_loss = -(counts / counts.sum()).log()[labels[labels != -100]].mean()
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten())
    return loss.exp().item(), unigram_loss.exp().item()


def make_optimizer(
    model: BertForPreTraining, learning_rate: float, steps: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """AdamW without decay of biases and LayerNorms, and its schedule over the steps."""
    decayed = [
        p for n, p in model.named_parameters() if "bias" not in n and "LayerNorm.weight" not in n
    ]
    spared = [p for n, p in model.named_parameters() if "bias" in n or "LayerNorm.weight" in n]
    optimizer = torch.optim.AdamW(
        [{"params": decayed}, {"params": spared, "weight_decay": 0.0}],
        lr=learning_rate,
        eps=1e-6,
        weight_decay=0.01,
        fused=True,
    )
    return optimizer, torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / (0.1 * steps), (steps - step) / (0.9 * steps))
    )


def one_step(
    model: BertForPreTraining, optimizer: torch.optim.Optimizer, batch: dict[str, torch.Tensor]
) -> tuple[float, float] | None:
    """One step on a masked batch. Of a batch of pairs the masked-LM loss (nats) and the share of
    pairs told rightly, both before the step."""
    output = model(**{k: v for k, v in batch.items() if k not in ("labels", "next_sentence_label")})
    masked_lm_loss = torch.nn.functional.cross_entropy(
        output.prediction_logits.flatten(0, 1), batch["labels"].flatten()
    )
    loss, labels, seen = masked_lm_loss, batch["next_sentence_label"], None
    if (labels >= 0).all():
        logits = output.seq_relationship_logits
        loss = loss + torch.nn.functional.cross_entropy(logits, labels)
        right = (logits.argmax(-1) == labels).float().mean().item()
        seen = masked_lm_loss.item(), right
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return seen


def log_row(
    step: int,
    seen: list[tuple[float, float]],
    perplexities: tuple[float, float],
    started: float,
) -> list[Any]:
    """A row of LOG_COLUMNS: means over what has been seen since the last one, and held-out
    perplexities."""
    means = [sum(column) / len(column) for column in zip(*seen, strict=True)]
    numbers = [f"{x:.4f}" for x in (*means, *perplexities)]
    return [step, *numbers, round(time.monotonic() - started)]


def options_of() -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--output", type=Path, required=True, help="folder to write the checkpoint to"
    )
    parser.add_argument(
        "--steps", type=int, default=10000, help="optimiser steps (default %(default)s)"
    )
    parser.add_argument(
        "--batch-size", type=int, default=32, help="sequences per step (default %(default)s)"
    )
    parser.add_argument(
        "--learning-rate", type=float, default=1e-3, help="peak learning rate (default %(default)s)"
    )
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default %(default)s)")
    return parser.parse_args()


def main() -> None:
    options = options_of()
    torch.set_num_threads(options.threads)
    tokenizer = make_tokenizer()
    word_ids = tokenizer.get_vocab()
    model = make_model(len(word_ids)).train()
    optimizer, schedule = make_optimizer(model, options.learning_rate, options.steps)
    batches = pretraining_batches(word_ids, options.batch_size, SEED)
    generator = torch.Generator().manual_seed(SEED)

    options.output.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    seen: list[tuple[float, float]] = []
    with open(options.output / "pretraining_log.csv", "w", newline="") as log:
        writer = csv.writer(log)
        writer.writerow(LOG_COLUMNS)
        for step in tqdm(range(1, options.steps + 1), mininterval=30):
            batch = mask_words(next(batches), len(word_ids), generator)
            if of_pairs := one_step(model, optimizer, batch):
                seen.append(of_pairs)
            schedule.step()
            if step % LOG_EVERY == 0 or step == options.steps:
                perplexities = held_out_perplexity(model, word_ids)
                writer.writerow(log_row(step, seen, perplexities, started))
                log.flush()
                seen.clear()
    # for fine-tuning, as in BERT
    model.config.hidden_dropout_prob = model.config.attention_probs_dropout_prob = 0.1
    model.save_pretrained(options.output)
    tokenizer.save_pretrained(options.output)


if __name__ == "__main__":
    main()
