"""Which remedies a run can have, and which together: told before anything heavy is imported."""

from experiments.finetuning.errors import BadInput
from experiments.finetuning.glue import CLASSIFICATION
from experiments.finetuning.run import Run
from experiments.finetuning.tasks import task_of


def check_remedies(run: Run, kind: str, layers: int) -> None:
    """BadInput for what a run of a model of this type with so many layers cannot do."""
    plain = "is part of the fast path only: expected a call without --plain, or other experiments"
    frozen, anew, rank = run.frozen_layers, run.reinitialized_layers, run.lora_rank
    for wrong, problem in (
        (run.mixout and not run.packed, f"Mixout {plain}"),
        (rank and not run.packed, f"LoRA {plain}"),
        (run.head_epochs and not run.packed, f"training the classifier first {plain}"),
        (
            run.head_epochs and task_of(run.task, run.data_source).kind != CLASSIFICATION,
            "training the classifier first wants a class an example: expected such a task",
        ),
        (
            frozen and kind == "albert",
            "ALBERT shares one layer's weights among all: cannot freeze its lower layers; take"
            " another model",
        ),
        (frozen > layers, f"cannot freeze {frozen} layers: expected 0 to {layers}"),
        (
            frozen and anew and frozen + anew > layers,
            f"cannot draw the top {anew} of {layers} layers anew and freeze the lower {frozen}: a"
            " layer would stay random; expected fewer of either",
        ),
        (
            rank and run.mixout,
            "LoRA leaves the pre-trained weights as they are, so Mixout has nothing to mix:"
            " expected one of the two",
        ),
        (
            rank and anew,
            f"LoRA would leave the {anew} layers random that are drawn anew: expected one of the"
            " two",
        ),
        (rank and frozen, "LoRA freezes all layers: expected it without frozen layers"),
    ):
        if wrong:
            raise BadInput(problem)
