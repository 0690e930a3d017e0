"""Is this run failing? A callback for anybody's Hugging Face Trainer. This file needs nothing of
the project: copy it.

    from callback import watch
    watch(trainer)      # before trainer.train(); watch(trainer, stop=True) ends a failing run

Every record of the training log gets, so that trainer_state.json, TensorBoard and W&B show them:

    first_layer_grad_norm      L2, after clipping, of all of a layer's parameters; the mean over
    last_layer_grad_norm       the steps since the last record. First and last: of the layers that
    classifier_grad_norm       are trained. Classifier: the last trained Linear outside the layers.
    first_to_classifier_grad   the first of these over the third: global clipping does not move it
    effective_learning_rate    of the last step, in units of the unbiased moments: the schedule's;
                               for an Adam that does not correct its bias times
                               (1 - b1^t) / sqrt(1 - b2^t). It does not if its parameter groups say
                               correct_bias or bias_correction is False, or you do. Of several
                               groups the largest.

The verdict falls once, after 30 % of the steps, from the tenth before, on classifiers of texts or
tokens (2 to 1,000 classes): a run is failing if the first layer gets under 3 / 1000 of the
classifier's gradient and the cross-entropy is not 0.02 nats below the entropy of the labels, which
the best constant answer reaches. Both are counted from what the model is given and answers, of all
processes: the logged loss can be a multiple, since transformers 5.23 sums BERT's over micro-batches
and over processes. Where only a part of a layer is trained (LoRA) there is no verdict, since
nothing is known of how small that part's gradient may be.

How often that is right: the bounds were set on 448 runs of a small BERT, of whose 190 failed ones
they catch 96, and flag 4 others, which learnt little. Of another model that was not known then,
gte-small on GLUE, they catch 77 of 110 failed runs and flag 2 of 191 others. (Runs are stored with
the gradient of one matrix of the first layer: 1 / 1000 of the classifier's, since a whole layer has
3 to 4 times the norm of that matrix.)

Not tried: a GPU; FSDP and DeepSpeed, whose gradients lie in pieces. float16 without clipping: the
norms are the loss scale's multiples, their ratio holds.
"""

import logging
import math
from collections import Counter
from typing import Any

import torch
from torch import distributed, nn
from torch.nn.functional import cross_entropy
from transformers import Trainer, TrainerCallback

WINDOW = (0.2, 0.3)  # of all steps: what the verdict looks at
VANISHED = 3e-3  # first layer's gradient over the classifier's
NEAR = 0.02  # nats below the label entropy
MOST_CLASSES = 1000
LOWEST_RATE = 1e-7  # of the first 30 % of the steps: at a lower one nothing is learnt
BOTH = {"first_layer", "classifier"}
LOG = logging.getLogger(__name__)


def watch(trainer: Trainer, **options: Any) -> "GradientWatch":
    """Put a GradientWatch before the Trainer's other callbacks: TensorBoard's and W&B's then see
    what it adds to a record. Given as callbacks=[GradientWatch()] it comes after them, and only
    log_history and the console show it."""
    callback = GradientWatch(**options)
    trainer.callback_handler.callbacks.insert(0, callback)
    return callback


class GradientWatch(TrainerCallback):
    """What the text above says. stop: end a failing run. bias_correction: whether Adam corrects its
    bias; read from the optimizer where None."""

    def __init__(self, stop: bool = False, bias_correction: bool | None = None) -> None:
        self.stop, self.bias_correction = stop, bias_correction
        self.failing: bool | None = None  # the verdict, once it has fallen

    def on_train_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Find what to watch, and say what it is."""
        self.parts, self.whole, found = parts_of(given["model"])
        self.speaks = state.is_world_process_zero
        self.say(f"watching the gradients of {found}", print if len(self.parts) == 3 else None)
        begin, end = (round(share * state.max_steps) for share in WINDOW)
        self.window = (begin, max(end, begin + 1))
        if state.global_step >= self.window[1]:
            self.say(
                f"no verdict on this run: it goes on at step {state.global_step}, and judged are"
                f" steps {begin} to {self.window[1]}"
            )
        self.norms: dict[str, list[torch.Tensor]] = {part: [] for part in self.parts}
        self.judged: dict[str, list[torch.Tensor]] = {part: [] for part in self.parts}
        self.failing, self.rate, self.highest, self.inside = None, math.nan, 0.0, False
        self.labels, self.losses, self.examples = Counter[int](), list[float](), 0
        self.hook = given["model"].register_forward_hook(self.look, with_kwargs=True)

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.inside = self.window[0] <= state.global_step < self.window[1]

    @torch.compiler.disable
    def look(self, module: nn.Module, _: Any, inputs: dict[str, Any], output: Any) -> None:
        """Count the labels of a batch, but those below 0, which mean none; inside the window add
        up the cross-entropy of the answers."""
        labels = inputs.get("labels")
        logits = output.get("logits") if isinstance(output, dict) else None
        if not module.training or labels is None or logits is None or labels.is_floating_point():
            return
        # not several labels an example, numbers, or words of a language
        if logits.shape[:-1] == labels.shape and 1 < logits.shape[-1] <= MOST_CLASSES:
            told = labels >= 0
            self.labels.update(labels[told].tolist())
            if self.inside:
                answers = logits.detach()[told].float()
                self.losses.append(float(cross_entropy(answers, labels[told], reduction="sum")))
                self.examples += int(told.sum())

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Norms and rate of this step; nothing waits for the norms."""
        for part, parameters in self.parts.items():
            self.norms[part].append(norm_of(parameters))
            if self.inside:
                self.judged[part].append(self.norms[part][-1])
        self.rate = effective_rate(given["optimizer"], state.global_step + 1, self.bias_correction)
        self.highest = max(self.highest, self.rate)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any], **_: Any) -> None:
        """Add to a record of training what was measured since the last one."""
        if "loss" not in logs:
            return
        added = {f"{part}_grad_norm": mean(norms) for part, norms in self.norms.items()}
        if set(self.parts) >= BOTH:
            added["first_to_classifier_grad"] = ratio(self.norms)
        added["effective_learning_rate"] = self.rate
        logs.update(added)
        state.log_history[-1].update(added)
        self.norms = {part: [] for part in self.parts}

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
        """The verdict; a warning if the run is failing, or if there can be none."""
        if state.global_step != self.window[1]:
            return control
        self.hook.remove()
        if self.highest <= LOWEST_RATE:
            self.say(
                f"the learning rate was never above {self.highest:.1g}: nothing is learnt at it"
            )
        share, (loss, entropy) = ratio(self.judged), self.gathered()
        if math.isnan(entropy) or not set(self.parts) >= BOTH or not self.whole:
            self.say(
                "no verdict on this run: it needs trained layers, a classifier, and classes as"
                " labels (not smoothed, no regression, one an example or token)"
            )
            return control
        # a value that is not a number is as bad as can be
        self.failing = not share >= VANISHED and not loss < entropy - NEAR
        if self.failing:
            self.say(
                f"this run is failing: after {WINDOW[1]:.0%} of the steps the first layer gets"
                f" {share:.1e} of the classifier's gradient, cross-entropy {loss:.3f}, label"
                f" entropy {entropy:.3f}; {'stopped' if self.stop else 'stop it'}, see that Adam"
                " corrects its bias, lower the rate, or take another seed"
            )
            control.should_training_stop = control.should_training_stop or self.stop
        return control

    def gathered(self) -> tuple[float, float]:
        """Mean cross-entropy and label entropy (nats), of all processes; NaN without labels."""
        seen = [(self.labels, sum(self.losses), self.examples)]
        if distributed.is_available() and distributed.is_initialized():
            one, seen = seen[0], seen * distributed.get_world_size()
            distributed.all_gather_object(seen, one)
        examples, labels = sum(part[2] for part in seen), Counter[int]()
        for counted, *_ in seen:
            labels.update(counted)
        if not examples:
            return math.nan, math.nan
        shares = [count / labels.total() for count in labels.values()]
        entropy = -sum(share * math.log(share) for share in shares)
        return sum(part[1] for part in seen) / examples, entropy

    def say(self, line: str, how: Any = None) -> None:
        """One line, from one process; a warning unless `how` to say it."""
        if self.speaks:
            (how or LOG.warning)(line)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.hook.remove()


def mean(norms: list[torch.Tensor]) -> float:
    return sum(map(float, norms)) / len(norms) if norms else math.nan


def ratio(norms: dict[str, list[torch.Tensor]]) -> float:
    """First layer's mean norm over the classifier's; NaN where one is missing or both are 0."""
    first, last = (mean(norms.get(part, [])) for part in ("first_layer", "classifier"))
    return first / last if last else math.nan


def parts_of(model: nn.Module) -> tuple[dict[str, list[nn.Parameter]], bool, str]:
    """The trained parameters of first layer, last layer and classifier, as far as there are such;
    whether the first layer is trained as a whole; and in words what they are."""
    parts, whole = {}, False
    name, layers = layers_of(model)
    trained = [i for i, layer in enumerate(layers) if trained_of(layer)]
    found = "no layer (no list of like modules with trained parameters)"
    if trained:
        first, last = trained[0], trained[-1]
        parts["first_layer"] = trained_of(layers[first])
        parts["last_layer"] = trained_of(layers[last])
        whole = len(parts["first_layer"]) == len(list(layers[first].parameters()))
        found = f"{name} {first + 1} and {last + 1} of {len(layers)}{'' if whole else ' (in part)'}"
    inside, classifier = set(layers.modules()), "no classifier"
    for path, module in model.named_modules():
        if isinstance(module, nn.Linear) and module not in inside and trained_of(module):
            parts["classifier"], classifier = trained_of(module), path
    return parts, whole, f"{found}, {classifier}"


def layers_of(model: nn.Module) -> tuple[str, nn.ModuleList]:
    """The model's layers, and their name: of all module lists of blocks of one class the one with
    the most parameters, which contains any lists inside its blocks (experts, heads)."""
    name, layers, most = "", nn.ModuleList(), 0
    for path, module in model.named_modules():
        if isinstance(module, nn.ModuleList) and len(module) > 1:
            size = sum(p.numel() for p in module.parameters())
            if size > most and len(set(map(type, module))) == 1:
                name, layers, most = path, module, size
    return name, layers


def trained_of(module: nn.Module) -> list[nn.Parameter]:
    return [p for p in module.parameters() if p.requires_grad]


def norm_of(parameters: list[nn.Parameter]) -> torch.Tensor:
    """L2 norm of their gradients, in float32; NaN where none has any."""
    norms = [
        torch.linalg.vector_norm(p.grad, dtype=torch.float32)
        for p in parameters
        if p.grad is not None
    ]
    return torch.stack(norms).norm() if norms else torch.tensor(math.nan)


def effective_rate(optimizer: Any, step: int, corrects: bool | None) -> float:
    """The largest learning rate of its groups in step t (from 1), in units of the unbiased
    moments."""
    rates = []
    for group in optimizer.param_groups:
        said = group.get("correct_bias", group.get("bias_correction", True))
        rate = float(group["lr"])
        if "betas" in group and not (said if corrects is None else corrects):
            first, second = group["betas"]
            rate *= (1 - first**step) / math.sqrt(1 - second**step)
        rates.append(rate)
    return max(rates)
