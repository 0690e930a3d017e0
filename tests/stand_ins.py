"""Small stand-ins for the models and data sets that the profiles take from the hub, as the files of
a repository there: random weights, tokenizers trained on made-up sentences, data sets as parquet
files with the card that names them."""

import io
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pyarrow
import pyarrow.parquet
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import (
    AlbertConfig,
    AlbertForPreTraining,
    AlbertTokenizer,
    BertConfig,
    BertForPreTraining,
    BertModel,
    BertTokenizer,
    RobertaConfig,
    RobertaForMaskedLM,
    RobertaTokenizer,
)

Files = dict[str, bytes]
WHO = ["gardener", "pilot", "sister", "baker", "student", "neighbour", "judge", "painter"]
DOES = ["sees", "paints", "visits", "follows", "forgets", "repairs", "praises", "buys"]
WHAT = ["bridge", "garden", "letter", "violin", "castle", "boat", "window", "orchard"]
SMALL: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 160,
}


def sentence(rng: Random) -> str:
    return f"The {rng.choice(WHO)} {rng.choice(DOES)} the {rng.choice(WHAT)} ."


def sentences(count: int, seed: int = 0) -> list[str]:
    rng = Random(seed)
    return [sentence(rng) for _ in range(count)]


# ------------------------------------------------------------------------------------- tokenizers


def wordpiece() -> BertTokenizer:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer.train_from_iterator(
        sentences(300), trainers.WordPieceTrainer(special_tokens=special, show_progress=False)
    )
    return BertTokenizer(vocab=tokenizer.get_vocab(), do_lower_case=True)


def byte_level_bpe() -> RobertaTokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        vocab_size=400,
        show_progress=False,
    )
    tokenizer.train_from_iterator(sentences(300), trainer)
    made = json.loads(tokenizer.to_str())["model"]
    merges = [tuple(pair) for pair in made["merges"]]
    return RobertaTokenizer(vocab=made["vocab"], merges=merges)


def unigram() -> AlbertTokenizer:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    special = ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer.train_from_iterator(
        sentences(300),
        trainers.UnigramTrainer(
            special_tokens=special, unk_token="<unk>", vocab_size=100, show_progress=False
        ),
    )
    pieces = json.loads(tokenizer.to_str())["model"]["vocab"]
    return AlbertTokenizer(vocab=[(piece, score) for piece, score in pieces])


# ----------------------------------------------------------------------------------------- models


def saved(model: Any, tokenizer: Any, **options: Any) -> Files:
    """The files that a model and its tokenizer are kept in."""
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder, **options)
        tokenizer.save_pretrained(folder)
        return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def bert_large() -> Files:
    """As google-bert's repository has it: LayerNorm's parameters by TensorFlow's names, gamma and
    beta, and vocab.txt beside tokenizer.json."""
    torch.manual_seed(1)
    tokenizer = wordpiece()
    model = BertForPreTraining(BertConfig(vocab_size=len(tokenizer), **SMALL))
    spread_layer_norms(model)
    files = saved(model, tokenizer)
    words = sorted(tokenizer.get_vocab().items(), key=lambda pair: pair[1])
    files["vocab.txt"] = "".join(f"{word}\n" for word, _ in words).encode()
    files["tokenizer_config.json"] = b'{"do_lower_case": true, "model_max_length": 512}'
    return old_names(files)


def roberta_large() -> Files:
    torch.manual_seed(2)
    tokenizer = byte_level_bpe()
    config = RobertaConfig(
        vocab_size=len(tokenizer), type_vocab_size=1, pad_token_id=1, bos_token_id=0, **SMALL
    )
    return saved(RobertaForMaskedLM(config), tokenizer)


def albert_large() -> Files:
    torch.manual_seed(3)
    tokenizer = unigram()
    config = AlbertConfig(vocab_size=len(tokenizer), embedding_size=8, pad_token_id=0, **SMALL)
    return saved(AlbertForPreTraining(config), tokenizer)


def gte_small(**options: Any) -> Files:
    """Without pooler and masked-LM head, in float16, as thenlper's."""
    torch.manual_seed(4)
    tokenizer = wordpiece()
    config = BertConfig(vocab_size=len(tokenizer), **SMALL)
    return saved(BertModel(config, add_pooling_layer=False).half(), tokenizer, **options)


def spread_layer_norms(model: torch.nn.Module) -> None:
    """LayerNorms that are not 1 and 0, so that it shows where they are not loaded."""
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.LayerNorm):
                module.weight.uniform_(0.5, 1.5)
                module.bias.uniform_(-0.5, 0.5)


def old_names(files: Files) -> Files:
    """The same weights with LayerNorm's parameters called gamma and beta."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        path.write_bytes(files["model.safetensors"])
        renamed = {}
        for name, tensor in load_file(path).items():
            name = name.replace("LayerNorm.weight", "LayerNorm.gamma")
            renamed[name.replace("LayerNorm.bias", "LayerNorm.beta")] = tensor
        save_file(renamed, path, metadata={"format": "pt"})
        return {**files, "model.safetensors": path.read_bytes()}


# -------------------------------------------------------------------------------------- data sets


def parquet(columns: dict[str, list]) -> bytes:
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(columns), buffer)
    return buffer.getvalue()


def data_set(configurations: dict[str, dict[str, dict[str, list]]]) -> Files:
    """A repository of parquet files, one a split, and the card that names them: columns by
    configuration and split."""
    card, files = ["---", "configs:"], {}
    for configuration, splits in configurations.items():
        card += [f"- config_name: {configuration}", "  data_files:"]
        for split, columns in splits.items():
            card += [f"  - split: {split}", f"    path: {configuration}/{split}-*"]
            files[f"{configuration}/{split}-00000-of-00001.parquet"] = parquet(columns)
    return {"README.md": "\n".join([*card, "---", "A stand-in."]).encode(), **files}


def pairs(count: int, seed: int, names: tuple[str, str], labels: Iterator) -> dict[str, list]:
    first, second = sentences(count, seed), sentences(count, seed + 1)
    return {names[0]: first, names[1]: second, "label": [next(labels) for _ in range(count)]}


def alternating(*values: Any) -> Iterator:
    while True:
        yield from values


def glue(rte: tuple[int, int] = (2490, 277)) -> Files:
    """RTE and CoLA with GLUE's numbers of rows."""
    both, one = ("sentence1", "sentence2"), {"train": 8551, "validation": 1043}
    splits = {"train": rte[0], "validation": rte[1]}
    return data_set(
        {
            "rte": {
                split: {**pairs(rows, rows, both, alternating(0, 1)), "idx": list(range(rows))}
                for split, rows in splits.items()
            },
            "cola": {
                split: {
                    "sentence": sentences(rows, rows),
                    "label": [i % 2 for i in range(rows)],
                    "idx": list(range(rows)),
                }
                for split, rows in one.items()
            },
        }
    )


def scitail() -> Files:
    both, labels = ("sentence1", "sentence2"), ("entailment", "neutral")
    splits = {}
    for split, rows in (("train", 23596), ("validation", 1304)):
        columns = pairs(rows, rows, both, alternating(*labels))
        splits[split] = {"gold_label": columns.pop("label"), **columns}
    return data_set({"snli_format": splits})


def wikitext() -> Files:
    splits = {}
    for seed, split in enumerate(("train", "validation", "test")):
        splits[split] = {"text": [" ".join(sentences(20, seed + i)) + "\n" for i in range(20)]}
    return data_set({"wikitext-2-raw-v1": splits})
