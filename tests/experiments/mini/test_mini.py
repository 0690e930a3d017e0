"""The model organism's checkpoint and the script that makes it."""

import csv
import subprocess
import sys

import numpy as np
import pytest
import torch
from conftest import REPOSITORY
from transformers import (
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertForPreTraining,
)

from experiments.mini import language, watched
from experiments.mini.pretrain import (
    MASK,
    SPECIAL,
    held_out_perplexity,
    mask_words,
    pretraining_batches,
)

CHECKPOINT = REPOSITORY / "experiments" / "mini" / "checkpoint"


def last_row(folder):
    with open(folder / "pretraining_log.csv") as file:
        return list(csv.DictReader(file))[-1]


def test_checkpoint_is_a_model_folder_like_any_other():
    assert (CHECKPOINT / "model.safetensors").stat().st_size <= 6_000_000
    config = AutoModelForSequenceClassification.from_pretrained(
        CHECKPOINT, local_files_only=True
    ).config
    assert (config.num_hidden_layers, config.hidden_size, config.hidden_dropout_prob) == (
        24,
        64,
        0.1,
    )
    assert (
        AutoModelForMaskedLM.from_pretrained(CHECKPOINT, local_files_only=True).config.vocab_size
        == config.vocab_size
    )
    tokenizer = AutoTokenizer.from_pretrained(CHECKPOINT, local_files_only=True)
    assert sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().get) == [
        *SPECIAL,
        *language.vocabulary(),
    ]
    encoded = tokenizer("the dog", "a cat .")
    assert tokenizer.convert_ids_to_tokens(encoded["input_ids"]) == [
        "[CLS]",
        "the",
        "dog",
        "[SEP]",
        "a",
        "cat",
        ".",
        "[SEP]",
    ]
    assert encoded["token_type_ids"] == [0, 0, 0, 0, 1, 1, 1, 1]


def test_checkpoint_has_the_perplexity_its_log_says():
    model = BertForPreTraining.from_pretrained(CHECKPOINT, local_files_only=True)
    ours, unigram = held_out_perplexity(
        model, AutoTokenizer.from_pretrained(CHECKPOINT).get_vocab()
    )
    assert ours == pytest.approx(float(last_row(CHECKPOINT)["held_out_perplexity"]), rel=1e-3)
    assert unigram == pytest.approx(float(last_row(CHECKPOINT)["unigram_perplexity"]), rel=1e-3)
    assert ours < unigram / 10


def test_masking_rates():
    ids = torch.randint(len(SPECIAL), 200, (400, 60), generator=torch.Generator().manual_seed(0))
    ids[:, 0] = 2
    batch = mask_words({"input_ids": ids}, 200, torch.Generator().manual_seed(0))
    chosen = batch["labels"] != -100
    assert not chosen[:, 0].any()
    assert chosen[:, 1:].float().mean() == pytest.approx(0.15, abs=0.01)
    assert (batch["input_ids"][chosen] == MASK).float().mean() == pytest.approx(0.8, abs=0.02)
    assert (batch["input_ids"][chosen] == ids[chosen]).float().mean() == pytest.approx(
        0.1, abs=0.02
    )
    assert torch.equal(batch["labels"][chosen], ids[chosen])
    assert torch.equal(batch["input_ids"][~chosen], ids[~chosen])


def test_pretraining_pairs():
    word_ids = {word: i for i, word in enumerate([*SPECIAL, *language.vocabulary()])}
    stream, again = (pretraining_batches(word_ids, 8, seed=3) for _ in range(2))
    batches = [next(stream) for _ in range(64)]
    assert all(torch.equal(a["input_ids"], next(again)["input_ids"]) for a in batches)
    labels = torch.cat([batch["next_sentence_label"] for batch in batches])
    assert (labels == -100).float().mean() == pytest.approx(1 / 8, abs=0.01)
    assert (labels[labels >= 0] == 1).float().mean() == pytest.approx(0.3, abs=0.06)
    for batch in batches:
        assert batch["input_ids"].shape[1] <= 64
        separators = (batch["input_ids"] == 3).sum(1)
        assert torch.equal(separators, torch.where(batch["next_sentence_label"] == -100, 1, 2))
        np.testing.assert_array_equal(batch["attention_mask"], (batch["input_ids"] != 0).long())


def test_the_script_writes_a_model_folder(tmp_path):
    subprocess.run(
        [
            sys.executable,
            "-m",
            "experiments.mini.pretrain",
            "--output",
            tmp_path,
            "--steps",
            "2",
            "--batch-size",
            "4",
        ],
        check=True,
        cwd=REPOSITORY,
        capture_output=True,
    )
    assert last_row(tmp_path)["step"] == "2"
    assert (
        AutoModelForSequenceClassification.from_pretrained(tmp_path).config.hidden_dropout_prob
        == 0.1
    )
    assert len(AutoTokenizer.from_pretrained(tmp_path)) == len(
        AutoTokenizer.from_pretrained(CHECKPOINT)
    )


def test_a_missing_package_is_one_line(monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr("sys.argv", ["watched"])
    with pytest.raises(SystemExit) as ended:
        watched.main()
    said = "error: the Trainer needs the package accelerate: pip install accelerate\n"
    assert ended.value.code == 2 and capsys.readouterr().err == said
