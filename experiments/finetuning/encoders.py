"""Pre-trained encoders with a classification head.

What a checkpoint lacks (always the classifier; the pooler too for some encoders) is drawn here from
the head seed: weights N(0, initializer_range), which is 0.02 for every model of the paper, biases
0. It is listed in the run's row.
"""

import math
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.activations import ACT2FN
from transformers.models.roberta.modeling_roberta import RobertaClassificationHead
from transformers.utils import logging as transformers_logging

from experiments.finetuning.checks import (
    HEADS,
    check_configuration,
    check_files,
    check_finite,
    check_loaded,
    check_object,
    check_tokenizer,
    first_position,
)
from experiments.finetuning.errors import BadInput
from experiments.finetuning.files import located
from experiments.finetuning.flat import is_norm
from experiments.finetuning.glue import TOKENS
from experiments.finetuning.hub import CONFIGURATION, TOKENIZER, WEIGHTS, model_folder
from experiments.finetuning.lora import add_adapters
from experiments.finetuning.probes import check_layers, layer_of
from experiments.finetuning.run import Run
from experiments.finetuning.tasks import task_of

OF_CONFIGURATION = "Validation error for field"  # transformers' words
transformers_logging.set_verbosity_error()
transformers_logging.disable_progress_bar()


def load_config(source: str, **options: Any) -> PretrainedConfig:
    """A model's configuration, from a folder or the hub; BadInput where there is none that can
    be read."""
    return _load(AutoConfig, source, CONFIGURATION, **options)


def load_tokenizer(source: str) -> PreTrainedTokenizerBase:
    """A model's tokenizer, likewise; BadInput where it lacks its files or what batches are made
    of."""
    wanted = CONFIGURATION + TOKENIZER
    check_files(_folder(source, wanted), source)
    tokenizer = _load(AutoTokenizer, source, wanted)
    check_tokenizer(tokenizer, source)
    return tokenizer


def load_classifier(run: Run, label_count: int) -> tuple[PreTrainedModel, list[str]]:
    """The model of a run in float32, and the names of the parameters drawn from its head seed: its
    classifier, whether the checkpoint has one or not, and what else it lacks. BadInput for inputs
    longer than the model's positions, a checkpoint that is not that of its configuration or not
    finite, and layers by other names where they are to be told apart."""
    config = checked_config(run, label_count)
    if run.pretrained:
        model, drawn = from_checkpoint(run.model_source, config, architecture_of(run))
    else:
        torch.manual_seed(run.head_seed)
        model = architecture_of(run).from_config(config)
        names = [name for name, _ in model.named_parameters()]
        drawn = sorted([name for name in names if "classifier" in name or "pooler" in name])
    if run.reinitialized_layers or run.layerwise_decay != 1 or run.frozen_layers:
        check_layers([name for name, _ in model.named_parameters()], run.model_source)
    generator = torch.Generator().manual_seed(run.head_seed)
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name in drawn:
            if name.endswith("bias"):
                parameters[name].zero_()
            else:
                parameters[name].normal_(0.0, config.initializer_range, generator=generator)
        if run.reinitialized_layers:
            reinitialize(model, run.reinitialized_layers, generator, skip=drawn)
        if run.start_noise:
            move_start(model, run.start_noise, run.start_noise_seed)
        if run.lora_rank:
            add_adapters(model, run.lora_rank, generator)
    if isinstance(getattr(model, "classifier", None), RobertaClassificationHead):
        model.classifier.__class__ = _PaperRobertaHead
    return model, drawn


def checked_config(run: Run, label_count: int) -> PretrainedConfig:
    """The configuration of a run's model, with the run's dropout. BadInput for a decoder and for
    inputs longer than the model's positions."""
    config = load_config(run.model_source, num_labels=label_count)
    check_configuration(config, run.model_source)
    for name, value in config.to_dict().items():
        if "act" in name.split("_") and isinstance(value, str) and value not in ACT2FN:
            raise BadInput(
                f"config.json of {run.model_source} has the {name} {value!r}: expected one that"
                " transformers knows, such as gelu"
            )
    positions = getattr(config, "max_position_embeddings", math.inf)
    positions = positions - first_position(config) if positions > 0 else math.inf  # XLNet: -1
    if run.max_length > positions:
        raise BadInput(
            f"{run.model_source} has {positions} positions, fewer than --max-length"
            f" {run.max_length}; expected at most as many"
        )
    # hidden, attention and classifier dropout, whatever the architecture calls them
    for name, value in config.to_dict().items():
        if "dropout" in name and not isinstance(value, bool):
            setattr(config, name, run.dropout)
    return config


def architecture_of(run: Run) -> Any:
    """Hugging Face's classes with the head that a run's task needs."""
    of_tokens = task_of(run.task, run.data_source).kind == TOKENS
    return AutoModelForTokenClassification if of_tokens else AutoModelForSequenceClassification


def from_checkpoint(
    source: str, config: PretrainedConfig, architecture: Any = AutoModelForSequenceClassification
) -> tuple[PreTrainedModel, list[str]]:
    """A classifier with pre-trained weights, and the names of the parameters that are to be drawn:
    its head, and what the checkpoint lacks. BadInput for a checkpoint that is not that of its
    configuration, or not finite."""
    model, report = _load(
        architecture,
        source,
        CONFIGURATION + WEIGHTS,
        config=config,
        dtype=torch.float32,
        use_safetensors=True,
        output_loading_info=True,
        ignore_mismatched_sizes=True,
    )
    check_loaded(report, source)
    heads = {name for name, _ in model.named_parameters() if HEADS.search(name)}
    drawn = sorted(heads | set(report["missing_keys"]))
    kept = [(name, p) for name, p in model.named_parameters() if name not in drawn]
    check_finite(kept, source)
    return model, drawn


def reinitialize(
    model: PreTrainedModel, top: int, generator: torch.Generator, skip: list[str]
) -> None:
    """Draw the pooler and the `top` uppermost layers anew: weights N(0, initializer_range), biases
    0, LayerNorm 1 and 0 (Zhang et al. 2021, section 4). The parameters in `skip` are new already.
    """
    layers = model.config.num_hidden_layers
    if not 0 < top <= layers:
        raise BadInput(f"cannot draw the top {top} layers anew: expected 1 to {layers}")
    for name, p in model.named_parameters():
        if name in skip or layers_above(name, model.config) >= top:
            continue
        if name.endswith("bias"):
            p.zero_()
        elif is_norm(name):
            p.fill_(1.0)
        else:
            p.normal_(0.0, model.config.initializer_range, generator=generator)


def move_start(model: PreTrainedModel, share: float, seed: int) -> None:
    """Multiply every parameter w by 1 + share * z, z from N(0, 1): another start that differs by
    rounding only, for a small share."""
    generator = torch.Generator().manual_seed(seed)
    for p in model.parameters():
        p.mul_(1 + share * torch.randn(p.shape, generator=generator))


def layers_above(name: str, config: PretrainedConfig) -> int:
    """How many encoder layers stand above a parameter: 0 for the head and the last layer, all of
    them for the embeddings and for what all layers share, as DeBERTa's and MPNet's relative
    positions."""
    layer = layer_of(name)
    if layer is not None:
        return config.num_hidden_layers - 1 - layer
    return 0 if HEADS.search(name) or "pooler" in name else config.num_hidden_layers


def load_masked_lm(source: str, head: dict[str, torch.Tensor] | None = None) -> PreTrainedModel:
    """The pre-trained model with its own masked-LM head, or with the given parameters by name,
    in float32."""
    model, lacking = load_without_head(source)
    if missing := sorted(set(lacking) - set(head or {})):
        raise BadInput(
            f"{source} has no masked-LM head ({missing[0]} is missing): expected a checkpoint of"
            " masked-LM pre-training"
        )
    model.load_state_dict(head or {}, strict=False)
    return model


def load_without_head(source: str) -> tuple[PreTrainedModel, list[str]]:
    """A masked-LM model and the names of the parameters that its checkpoint lacks, which are
    random."""
    torch.manual_seed(1)
    model, report = _load(
        AutoModelForMaskedLM,
        source,
        CONFIGURATION + WEIGHTS,
        dtype=torch.float32,
        use_safetensors=True,
        output_loading_info=True,
    )
    known = [(n, p) for n, p in model.named_parameters() if n not in report["missing_keys"]]
    check_finite(known, source)
    # tied ones once
    return model, [name for name, _ in model.named_parameters() if name in report["missing_keys"]]


class _PaperRobertaHead(RobertaClassificationHead):
    """HF's head without its first dropout: the paper's code feeds the dense layer as BERT's
    pooler is fed."""

    def forward(self, features: torch.Tensor, **_: object) -> torch.Tensor:
        return self.out_proj(self.dropout(torch.tanh(self.dense(features[:, 0]))))


def _folder(source: str, wanted: tuple[str, ...]) -> Path:
    """A model's folder: its own, or the one of the hub's cache with the files that are wanted."""
    folder = Path(located(source))
    return folder if folder.is_dir() else model_folder(source, wanted)


def _load(kind: Any, source: str, wanted: tuple[str, ...], **options: Any) -> Any:
    """from_pretrained on a folder, of the hub's names on the one in the cache with the files that
    are wanted; without remote code, without asking the hub for more, and with one clear line when
    it fails."""
    folder = _folder(source, wanted)
    if "use_safetensors" in options and not any(folder.glob("*.safetensors")):
        raise BadInput(
            f"{source} has no *.safetensors: expected such weights (pickled ones, as in"
            " pytorch_model.bin, are not read); take a revision that has them, or another model"
        )
    try:
        return kind.from_pretrained(
            str(folder), trust_remote_code=False, local_files_only=True, **options
        )
    except SafetensorError as error:
        raise BadInput(
            f"cannot read the weights of {source} ({error}); expected undamaged safetensors files"
        ) from None
    except ImportError as error:
        raise BadInput(
            f"{source} needs a package that is not installed"
            f" ({str(error).strip().splitlines()[0]}); install it, or take another model"
        ) from None
    except Exception as error:  # whatever a configuration out of order makes transformers raise
        raise BadInput(
            f"cannot load {_what_failed(kind, source, folder, error)}:"
            f" {_reason(error, folder, source)}"
        ) from None


def _what_failed(kind: Any, source: str, folder: Path, error: Exception) -> str:
    """What transformers could not load, with the file that says how."""
    if kind is AutoConfig or OF_CONFIGURATION in str(error):
        return f"{source}/config.json"
    if kind is AutoTokenizer:
        settings = folder / "tokenizer_config.json"
        named = check_object(settings).get("tokenizer_class") if settings.is_file() else None
        by = f" as {named}, which tokenizer_config.json names" if named else ""
        return f"the tokenizer of {source}{by}"
    return f"the model {source} by its config.json"


def _reason(error: Exception, folder: Path, source: str) -> str:
    """Why, in one line, and what was expected."""
    lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()]
    if isinstance(error, KeyError) or not lines:
        lines = [f"{type(error).__name__} {''.join(lines)}".strip()]
    # OF_CONFIGURATION ends in a colon, and what is wrong stands in the next line
    said = " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]
    said = said.partition(" Errors: ")[0].rstrip(".").replace(str(folder), source)[:250]
    return f"{said}; expected the files of one transformers model, as save_pretrained writes them"
