"""Models and tokenizers that do not belong together: what each leads to, before any training.

The ids are those of a list of inputs that once ended wrong; each stands for its kind."""

import json
import os
import shutil

import numpy as np
import pytest
import torch
from conftest import REPOSITORY
from safetensors.torch import load_file, save_file
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    BertForSequenceClassification,
)

from experiments.finetuning.checks import (
    check_mask,
    check_tokens,
    check_vocabulary,
    first_position,
    odd_files,
    odd_tokenizer,
)
from experiments.finetuning.encoders import checked_config, load_classifier, load_tokenizer
from experiments.finetuning.errors import BadInput
from experiments.finetuning.flat import decays
from experiments.finetuning.loading import inspect_inputs
from experiments.finetuning.sources import architecture, identify_model


@pytest.fixture
def folder(tiny_model, tmp_path):
    copy = tmp_path / "model"
    shutil.copytree(tiny_model, copy)
    return copy


def set_config(folder, **values):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def set_weights(folder, change):
    path = folder / "model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, metadata={"format": "pt"})


def without_tokenizer(folder):
    for path in folder.glob("tok*"):
        path.unlink()


def empty_vocabulary(folder):
    without_tokenizer(folder)
    (folder / "vocab.txt").write_text("")


def pointer(folder):
    without_tokenizer(folder)
    (folder / "vocab.txt").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:a\n")


def pointer_as_weights(folder):
    (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid\n")


def sentencepiece_only(folder):
    without_tokenizer(folder)
    (folder / "spm.model").write_bytes(b"x")


def no_pad(folder):
    path = folder / "tokenizer_config.json"
    path.write_text(path.read_text().replace('"[PAD]"', "null"))


def not_a_number(folder):
    def change(tensors):
        tensors["bert.encoder.layer.1.output.dense.bias"][0] = float("nan")

    set_weights(folder, change)


def infinite_embedding(folder):
    def change(tensors):
        tensors["bert.embeddings.LayerNorm.weight"][3] = float("inf")

    set_weights(folder, change)


def nothing_but_zeros(folder):
    def change(tensors):
        tensors["bert.encoder.layer.0.attention.self.key.weight"].zero_()

    set_weights(folder, change)


def relative_positions(folder):
    def change(tensors):
        name = "bert.encoder.layer.0.attention.self.distance_embedding.weight"
        tensors[name] = torch.zeros(127, 8)

    set_weights(folder, change)


def one_token_type(folder):
    def change(tensors):
        name = "bert.embeddings.token_type_embeddings.weight"
        tensors[name] = tensors[name][:1].clone()

    set_weights(folder, change)
    set_config(folder, type_vocab_size=1)


def fewer_layers(folder):
    set_config(folder, num_hidden_layers=1)


def decoder(folder):
    set_config(folder, is_decoder=True)


def smaller_vocabulary(folder):
    set_config(folder, vocab_size=20)


def file(name, content=b"{}"):
    """Put a file beside, or in place of, what is there."""
    return lambda folder: (folder / name).write_bytes(content)


def pipe(folder):
    (folder / "tokenizer.json").unlink()
    os.mkfifo(folder / "tokenizer.json")


def configured(**values):
    return lambda folder: set_config(folder, **values)


def of_another_tokenizer(folder):
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "tokenizer_class": "T5Tokenizer"}))


REFUSED = {
    "adapter": (file("adapter_config.json"), ["adapter_config.json is of an adapter", "merge_and"]),
    "adapter weights": (file("adapter_model.safetensors"), ["adapter_model.safetensors is of an"]),
    "adapter pickled": (file("pytorch_adapter.bin"), ["pytorch_adapter.bin is of an adapter"]),
    "LoRA": (file("pytorch_lora_weights.safetensors"), ["would not be applied"]),
    "a pipe": (pipe, ["tokenizer.json is no regular file"]),
    "null": (configured(hidden_size=None), ["/config.json: Validation", "expected int, got None"]),
    "text": (
        configured(hidden_size="16"),
        ["/config.json: Validation", "int, got str (value: '16"],
    ),
    "dropout": (
        configured(hidden_dropout_prob="0.1"),
        ["/config.json: Val", "value '0.1' doesn't"],
    ),
    "activation": (
        configured(hidden_act="banana"),
        ["config.json of", "hidden_act 'banana'", "gel"],
    ),
    "cut config": (
        file("config.json", b"{"),
        ["config.json is no whole JSON", "names no model_type"],
    ),
    "no config": (file("config.json", b""), ["config.json is no whole JSON"]),
    "deep config": (
        file("config.json", b"[" * 200_000),
        ["config.json is no", "nested too deeply"],
    ),
    "list config": (file("config.json", b"[1]"), ["config.json holds '[1]', so it", "{...}"]),
    "list": (file("tokenizer_config.json", b"[]"), ["tokenizer_config.json holds '[]'"]),
    "cut tokenizer": (file("tokenizer.json", b"{"), ["tokenizer.json is no whole JSON"]),
    "deep tokenizer": (file("tokenizer.json", b"[" * 200_000), ["tokenizer.json is no whole"]),
    "empty tokenizer": (file("tokenizer.json"), ["cannot load the tokenizer of"]),
    "map": (file("special_tokens_map.json", b"3"), ["special_tokens_map.json holds '3'"]),
    "cut index": (file("model.safetensors.index.json", b"{"), ["index.json is no whole JSON"]),
    "another tokenizer": (of_another_tokenizer, ["the tokenizer of", "as T5Tokenizer, which tok"]),
    "S1": (without_tokenizer, ["no tokenizer in", "tokenizer.json"]),
    "S4": (not_a_number, ["not finite", "bert.encoder.layer.1.output.dense.bias"]),
    "S4 infinite": (infinite_embedding, ["not finite", "embeddings.LayerNorm.weight"]),
    "S4 zeros": (nothing_but_zeros, ["are empty", "layer.0.attention.self.key.weight holds 0"]),
    "S5 relative positions": (relative_positions, ["1 encoder weights", "distance_embedding"]),
    "S5 fewer layers": (fewer_layers, ["16 encoder weights", "encoder.layer.1"]),
    "S17": (decoder, ["is_decoder", "expected an encoder"]),
    "U1 vocabulary": (smaller_vocabulary, ["word_embeddings.weight is [", "[20, 16]"]),
    "U2": (no_pad, ["no pad token", "[PAD]"]),
    "U3 types": (one_token_type, ["knows 1 token type", "--segment-ids off"]),
    "U4 empty": (empty_vocabulary, ["vocab.txt is empty"]),
    "U4 pointer": (pointer, ["pointer of git-lfs", "git lfs pull"]),
    "U4 weights": (pointer_as_weights, ["model.safetensors is a pointer of git-lfs"]),
    "U5": (sentencepiece_only, ["needs the package sentencepiece"]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_in_one_line(case, folder, tiny_run):
    change, words = REFUSED[case]
    change(folder)
    with pytest.raises(BadInput) as refusal:
        architecture(str(folder))
        inspect_inputs(tiny_run(model=identify_model(str(folder)), model_source=str(folder)))
    assert "\n" not in str(refusal.value)
    for word in words:
        assert word in str(refusal.value)


def cut_at_the_start(folder):
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "truncation_side": "left"}))


def a_token_twice(folder):
    """As mini's words without a tokenizer.json, one of them in another's place."""
    words = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    without_tokenizer(folder)
    lines = [*words, "cat"]
    (folder / "vocab.txt").write_text("\n".join(lines))
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer"}')


def weights_beside(folder):
    shutil.copy(folder / "model.safetensors", folder / "model-00001-of-00002.safetensors")


def an_adapter_inside(folder):
    (folder / "mine").mkdir()
    (folder / "mine" / "adapter_config.json").write_text("{}")


ODD = {
    "truncation_side": (cut_at_the_start, "cuts long inputs at their start (truncation_side left)"),
    "a token twice": (a_token_twice, "vocab.txt has 1 tokens twice, 'cat' first"),
    "weights": (weights_beside, "not read: model-00001-of-00002.safetensors; read is model.safet"),
    "an adapter inside": (an_adapter_inside, "mine holds an adapter, which is not applied"),
    "nothing": (lambda folder: None, None),
}


@pytest.mark.parametrize("case", ODD)
def test_odd_and_said(case, folder):
    change, said = ODD[case]
    change(folder)
    identify_model(str(folder))
    warnings = odd_files(folder) + odd_tokenizer(load_tokenizer(str(folder)), str(folder))
    assert len(warnings) == (said is not None)
    assert said is None or said in warnings[0]


def test_odd_ones_are_printed_before_training(folder, tiny_run):
    cut_at_the_start(folder)
    weights_beside(folder)
    run = tiny_run(model=identify_model(str(folder)), model_source=str(folder))
    assert len(inspect_inputs(run)) == 2


def test_u3_ids_beyond_the_embedding(tiny_model):
    tokenizer = load_tokenizer(str(tiny_model))
    config = AutoConfig.from_pretrained(tiny_model)
    ids, types = [np.array([2, config.vocab_size])], [np.array([0, 0])]
    with pytest.raises(BadInput, match=f"id {config.vocab_size} .* of {config.vocab_size} rows"):
        check_tokens(ids, types, config, tokenizer, "here")


@pytest.mark.parametrize("labels", [1, 2, 3])
def test_s2_u1_an_old_head_is_drawn_anew(labels, folder, tiny_run):
    """As N(0, 0.02) from the head seed, exactly as where the checkpoint has none."""
    expected, _ = load_classifier(tiny_run(head_seed=3), 2)
    tuned = BertForSequenceClassification.from_pretrained(folder, num_labels=labels)
    tuned.save_pretrained(folder)
    runs = [tiny_run(model_source=str(folder), head_seed=seed) for seed in (3, 4)]
    (model, drawn), (other, _) = (load_classifier(run, 2) for run in runs)
    assert drawn == ["classifier.bias", "classifier.weight"]
    assert torch.equal(model.classifier.weight, expected.classifier.weight)
    assert not torch.equal(model.classifier.weight, other.classifier.weight)
    assert torch.equal(model.bert.pooler.dense.weight, other.bert.pooler.dense.weight)


def test_s3_all_that_a_tokenizer_reads_counts(folder):
    ids = {identify_model(str(folder))}
    for name, content in (
        ("tokenizer_config.json", '{"do_lower_case": false}'),
        ("special_tokens_map.json", "{}"),
        ("spm.model", "x"),
        ("added_tokens.json", "{}"),
    ):
        (folder / name).write_text(content)
        identify_model.cache_clear()
        ids.add(identify_model(str(folder)))
    assert len(ids) == 5


def test_s3_the_reference_results_of_mini_keep_their_ids():
    assert identify_model(str(REPOSITORY / "experiments/mini/checkpoint")) == "checkpoint@6ba7558e"


def test_s3_the_reference_results_of_gte_small_keep_their_ids(gte_small):
    assert identify_model(str(gte_small)) == "gte-small@ae667c1c"


class Words:
    """A tokenizer as far as check_vocabulary asks."""

    def __init__(self, words, lowers):
        self.words, self.lowers = words, lowers

    def get_vocab(self):
        return dict.fromkeys(self.words, 0)

    def tokenize(self, text):
        return [text.lower() if self.lowers else text]


@pytest.mark.parametrize(
    ("share", "words", "lowers", "said"),
    [
        (0.001, ["the", "cat"], True, []),
        (0.26, ["the", "cat"], True, ["26% of the tokens of rte are unknown"]),
        (0.0, ["The", "cat", "the"], True, ["lower-cases its input"]),
        (0.0, ["The", "cat", "the"], False, []),
    ],
)
def test_s18_a_vocabulary_that_fits_badly_warns(share, words, lowers, said):
    warnings = check_vocabulary(share, Words(words, lowers), "here", "rte")
    assert len(warnings) == len(said)
    for warning, words_of_it in zip(warnings, said, strict=True):
        assert words_of_it in warning
    with pytest.raises(BadInput, match="60% of the tokens of rte are unknown"):
        check_vocabulary(0.6, Words(words, lowers), "here", "rte")


@pytest.mark.parametrize("kind", ["mpnet", "camembert", "data2vec-text", "roberta", "bert"])
def test_u10_the_positions_there_are(kind, tiny_run, tmp_path):
    """Hugging Face's own forward takes just so many tokens, and one more is an IndexError."""
    config = AutoConfig.for_model(
        kind,
        vocab_size=50,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=40,
    )
    model = AutoModelForSequenceClassification.from_config(config).eval()
    positions = config.max_position_embeddings - first_position(config)
    with torch.no_grad():
        model(input_ids=torch.full((1, positions), 7))
        with pytest.raises((IndexError, RuntimeError, ValueError)):
            model(input_ids=torch.full((1, positions + 1), 7))
    config.save_pretrained(tmp_path)
    fits = tiny_run(model_source=str(tmp_path), max_length=positions)
    assert checked_config(fits, 2).model_type == kind
    with pytest.raises(BadInput, match=f"has {positions} positions, fewer than --max-length"):
        checked_config(tiny_run(model_source=str(tmp_path), max_length=positions + 1), 2)


@pytest.mark.parametrize("name", ["mask", "cls", "sep"])
def test_u9_a_tokenizer_without_what_perplexity_needs(name, folder):
    path = folder / "tokenizer_config.json"
    settings = json.loads(path.read_text())
    path.write_text(json.dumps({**settings, f"{name}_token": None}))
    tokenizer = load_tokenizer(str(folder))
    assert getattr(tokenizer, f"{name}_token_id") is None
    with pytest.raises(BadInput, match=f"has no {name} token"):
        check_mask(tokenizer, str(folder))


@pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert", "electra", "modernbert"])
def test_norms_and_biases_do_not_decay_whatever_their_names(kind):
    """By the type of the module that a parameter is of."""
    config = AutoConfig.for_model(kind)
    with torch.device("meta"):
        model = AutoModelForSequenceClassification.from_config(config)
    for module_name, module in model.named_modules():
        norm = "norm" in type(module).__name__.lower()
        for name, _ in module.named_parameters(recurse=False):
            full = f"{module_name}.{name}"
            assert decays(full) == (not norm and "bias" not in name), full
