"""What the tests share. Real data and a real encoder lie beside the repository on development
machines and in CI."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # a test that reached for the hub would hang or lie
REPOSITORY = Path(__file__).resolve().parents[1]
TIMING_COLUMNS = ("seconds",)  # the only columns in which the same run may differ from itself
SHARED = REPOSITORY.parent / "shared"


def _present(path: Path) -> Path:
    if not path.is_dir():
        pytest.skip(f"{path} is not on this machine")
    return path


def options(experiment, *arguments: str):
    """The flags of an experiment, read from arguments as on the command line."""
    from experiments.sweeps.command import parse
    from experiments.sweeps.flags import parser

    p = parser("")
    experiment.add_flags(p)
    return parse(p, arguments)


@pytest.fixture
def glue() -> Path:
    return _present(SHARED / "glue")


@pytest.fixture
def gte_small() -> Path:
    return _present(SHARED / "models" / "gte-small")


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of 2 layers x 16 with random weights and mini's vocabulary: seconds instead of
    minutes."""
    import torch
    from transformers import BertConfig, BertForPreTraining

    from experiments.mini.pretrain import make_tokenizer

    folder = tmp_path_factory.mktemp("tiny-model")
    tokenizer = make_tokenizer()
    torch.manual_seed(0)
    BertForPreTraining(
        BertConfig(
            vocab_size=len(tokenizer),
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=64,
        )
    ).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def tiny_run(tiny_model: Path):
    """A function that makes a Run of the tiny model on mini's entailment task."""
    from experiments.finetuning.run import Run
    from experiments.finetuning.sources import identify_model
    from experiments.finetuning.tasks import identify_data

    def make(**fields) -> Run:
        task = fields.pop("task", "rte")
        return Run(
            **{
                "model": identify_model(str(tiny_model)),
                "model_source": str(tiny_model),
                "task": task,
                "data": identify_data(task, "mini"),
                "data_source": "mini",
                "learning_rate": 1e-3,
                "bias_correction": True,
                "epochs": 1,
                "max_length": 64,
                **fields,
            }
        )

    return make


def small_model(architecture: str, outputs: int = 2, of: str = "SequenceClassification"):
    """A classifier, of texts or of tokens, of 4 layers x 16, as far from its initialisation as
    after training: LayerNorms and biases count."""
    import torch
    import transformers

    from experiments.finetuning.encoders import _PaperRobertaHead

    more = (
        {"num_hidden_groups": 2, "inner_group_num": 1, "embedding_size": 8}
        if architecture == "albert"
        else {}
    )
    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(
        architecture,
        **more,
        hidden_size=16,
        num_attention_heads=2,
        intermediate_size=32,
        vocab_size=50,
        num_hidden_layers=4,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        max_position_embeddings=600,
        classifier_dropout_prob=0.0,
        num_labels=outputs,
    )
    model = getattr(transformers, f"AutoModelFor{of}").from_config(config)
    if architecture == "roberta" and of == "SequenceClassification":
        model.classifier.__class__ = _PaperRobertaHead
    with torch.no_grad():
        for p in model.parameters():
            p += 0.1 * torch.randn_like(p)
    return model


def a_batch(model, longest: int):
    """Six examples of 2 to `longest` tokens for small_model, padded."""
    import numpy as np

    rng = np.random.default_rng(0)
    lengths = rng.integers(2, longest + 1, 6)
    lengths[3] = longest
    mask = (np.arange(longest) < lengths[:, None]).astype(np.int64)
    types = (
        rng.integers(0, 2, mask.shape)
        if model.config.model_type != "roberta"
        else np.zeros_like(mask)
    )
    return {
        "input_ids": np.where(mask, rng.integers(5, 50, mask.shape), model.config.pad_token_id),
        "attention_mask": mask,
        "token_type_ids": types * mask,
    }
