"""What one fine-tuning run is, and its id: a hash of the fields that change the result."""

import hashlib
import json
from dataclasses import dataclass, field, fields
from typing import Any

# part of every id: raise it when training or a default changes in a way the fields do not show
SCHEMA = 4


def _unhashed(default: Any) -> Any:
    return field(default=default, metadata={"changes_result": False})


@dataclass(frozen=True)
class Run:
    """One fine-tuning run. The defaults are what the paper's Table 3 has for BERT, with the
    default recipe's 3 epochs."""

    # ---------------------------------------- fields that change the result (hashed into the id)
    model: str  # hub name (NAME@REVISION where asked for), or "folder@hash of its files"
    data: str  # hub name likewise, "mini@hash" or "folder@hash of the task's files"
    task: str  # a name in glue.TASKS, or that of data of one's own (own.py)
    learning_rate: float  # the peak, reached at the end of warm-up
    # Adam with (Kingma and Ba 2015) or without (Devlin et al. 2019) bias correction
    bias_correction: bool
    epochs: int = 3
    batch_size: int = 16  # the last, smaller batch of an epoch is kept
    # tokens, special ones included; longer inputs lose the end of the longer sentence
    max_length: int = 128
    # share of all steps with linearly rising learning rate; then as `schedule` has it
    warmup_ratio: float = 0.1
    adam_beta1: float = 0.9
    adam_beta2: float = 0.999
    adam_epsilon: float = 1e-6
    # decoupled, with the scheduled rate; not on biases and LayerNorm weights
    weight_decay: float = 0.01
    max_gradient_norm: float | None = 1.0  # global L2 norm; None: no clipping
    dropout: float = 0.1  # hidden, attention and classifier dropout
    head_seed: int = 1  # initialises the classifier and whatever else the checkpoint lacks
    order_seed: int = 1  # permutes the training examples, anew every epoch
    dropout_seed: int = 1  # draws the dropout masks
    pretrained: bool = True  # False: the same architecture with random weights
    # "bfloat16": autocast, with float32 weights and optimiser; "tf32": float32 whose matrix
    # products a GPU rounds to 10 bits of mantissa; "float32" sets that off
    dtype: str = "float32"
    # size of a random sample of the training set; None: all of it
    train_examples: int | None = None
    sampling_seed: int = 1  # draws that sample, the same for all runs
    optimizer: str = "adamw"  # the paper's; or "sgd": without momentum, same schedule
    # top layers drawn anew, and the pooler with them (Zhang et al. 2021)
    reinitialized_layers: int = 0
    # probability of mixing pre-trained weights in, per input neuron (Lee et al. 2020); goes with
    # dropout 0
    mixout: float = 0.0
    # weight decay pulls towards the pre-trained weights and not towards 0
    decay_to_pretrained: bool = False
    # learning rate of a layer as a share of that of the layer above it
    layerwise_decay: float = 1.0
    # L2 norm to which the gradient of each parameter tensor is clipped (Yang and Ma 2022)
    component_clipping: float | None = None
    # packing.py's fast path; False: HF's own forward, with other dropout masks for a seed
    packed: bool = True
    # second sentences have token type 1; False: zeros, as in the released script
    # (experiments/README.md)
    segment_ids: bool = True
    # every weight w starts as w (1 + start_noise z), z from N(0, 1): a start moved by rounding
    start_noise: float = 0.0
    start_noise_seed: int = 0  # draws z
    # lower layers that are not trained, and the embeddings with them; 0: everything is
    frozen_layers: int = 0
    # rank of LoRA on query and value (Hu et al. 2022), beside pre-trained weights as they are; 0:
    # none
    lora_rank: int = 0
    lora_alpha: float = 16.0  # what LoRA adds counts times lora_alpha / lora_rank
    # epochs in which the classifier alone is trained, before everything is (Kumar et al. 2022)
    head_epochs: int = 0
    # the rate after warm-up: "linear" decays to 0, "constant" stays; with warmup_ratio 0 and bias
    # correction that is torch's Adam as many loops call it
    schedule: str = "linear"
    # on dev, in every pass over the run's own training set; None: training.EVALUATIONS_PER_EPOCH
    evaluations_per_epoch: int | None = None
    # cpu or cuda, which draws other dropout masks for a seed. In the CSV stands the outcome's,
    # which names the device
    device: str = "cpu"
    # ---------------------------------------- fields that do not
    model_source: str = _unhashed("")  # hub name or folder to load the model from
    data_source: str = _unhashed("")  # "mini", hub name or folder
    git_commit: str = _unhashed("unknown")  # of the code, when the sweep began
    keep_weights: bool = _unhashed(False)  # store the trained weights too, when the run is trained
    checkpoint_minutes: float = _unhashed(0.0)  # between two checkpoints inside the run; 0: none
    checkpoint_folder: str = _unhashed("")  # where they are kept until the run is finished
    # CPU threads of one run: one, since a second run uses a second core better
    threads: int = _unhashed(1)

    @property
    def id(self) -> str:
        """16 hexadecimal digits over SCHEMA and the fields that change the result, as far as they
        are not at their default: a field that is added later does not change the ids of the runs
        there are."""
        default = {f.name: f.default for f in fields(self)}
        canonical = json.dumps(
            [
                SCHEMA,
                {
                    name: value
                    for name, value in self.hashed_fields().items()
                    if value != default[name]
                },
            ],
            sort_keys=True,
        )
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]

    @property
    def seed(self) -> int | str:
        """What a row calls the run: its seed, or where one of the three is held
        head/order/dropout."""
        seeds = self.head_seed, self.order_seed, self.dropout_seed
        return seeds[0] if len(set(seeds)) == 1 else "/".join(map(str, seeds))

    def hashed_fields(self) -> dict[str, Any]:
        return {
            f.name: getattr(self, f.name)
            for f in fields(self)
            if f.metadata.get("changes_result", True)
        }
