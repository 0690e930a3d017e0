"""The callback in the real Trainer: norms against autograd by hand, what it finds in other
architectures, the verdict, and that it stands alone."""

import ast
import logging
import math
import sys
from types import SimpleNamespace

import pytest
import torch
from conftest import REPOSITORY
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from experiments.finetuning import callback
from experiments.finetuning.callback import GradientWatch, effective_rate, norm_of, parts_of, watch

pytest.importorskip("accelerate")
SMALL = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2, "vocab_size": 50}
QUIET = {"num_hidden_layers": 3, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
ARCHITECTURES = {  # settings, and the names of first layer, last layer and classifier
    "bert": (SMALL | QUIET, "bert.encoder.layer.0.", "bert.encoder.layer.2.", "classifier."),
    "distilbert": (
        {"dim": 16, "hidden_dim": 32, "n_heads": 2, "n_layers": 3, "vocab_size": 50}
        | {"dropout": 0.0, "attention_dropout": 0.0, "seq_classif_dropout": 0.0},
        "distilbert.transformer.layer.0.",
        "distilbert.transformer.layer.2.",
        "classifier.",
    ),
    "gpt2": (
        {"n_embd": 16, "n_head": 2, "n_layer": 3, "vocab_size": 50, "pad_token_id": 0}
        | {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0},
        "transformer.h.0.",
        "transformer.h.2.",
        "score.",
    ),
    "modernbert": (
        SMALL
        | {"num_hidden_layers": 3, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
        | {"cls_token_id": 1, "sep_token_id": 2, "reference_compile": False},
        "model.layers.0.",
        "model.layers.2.",
        "classifier.",
    ),
}


def a_model(architecture: str = "bert"):
    torch.manual_seed(0)
    config = AutoConfig.for_model(architecture, **ARCHITECTURES[architecture][0])
    return AutoModelForSequenceClassification.from_config(config)


def examples(count: int = 12):
    """Rows of eight tokens; one label in four is 1."""
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randint(5, 50, (count, 8), generator=generator)
    return [{"input_ids": row, "labels": i % 4 // 3} for i, row in enumerate(tokens)]


def a_trainer(model, folder, callbacks=None, data=None, **arguments):
    """A Trainer of plain gradient descent, so that a step can be followed by hand."""
    settings = {"per_device_train_batch_size": 4, "logging_steps": 1, "max_grad_norm": 0.0}
    settings |= {"learning_rate": 1e-2, "max_steps": 3, "optim": "sgd", "report_to": "none"}
    settings |= {"save_strategy": "no", "disable_tqdm": True, "use_cpu": True, "seed": 1}
    chosen = TrainingArguments(folder, **settings | arguments)
    return Trainer(model, chosen, train_dataset=data or examples(), callbacks=callbacks)


class Seen(TrainerCallback):
    """Where TensorBoard's and W&B's callbacks stand: what they would be given."""

    def __init__(self):
        self.records = []

    def on_log(self, args, state, control, logs, **_):
        self.records.append(dict(logs))


def by_hand(model, batches, names):
    """L2 norms of the gradient of the mean loss over batches, of parameters by their names'
    beginning, by autograd."""
    model.train()
    loss = torch.stack([model(**batch).loss for batch in batches]).mean()
    gradients = torch.autograd.grad(loss, list(model.parameters()), allow_unused=True)
    norms = []
    for name in names:
        squares = [
            gradient.float().square().sum()
            for (own, _), gradient in zip(model.named_parameters(), gradients, strict=True)
            if own.startswith(name) and gradient is not None
        ]
        norms.append(math.sqrt(sum(squares)))
    return norms


def collated(rows):
    return {
        "input_ids": torch.stack([row["input_ids"] for row in rows]),
        "labels": torch.tensor([row["labels"] for row in rows]),
    }


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_norms_are_autograds(architecture, tmp_path):
    """Of the first step, whose batch is the whole data set."""
    names = ARCHITECTURES[architecture][1:]
    rows = examples(8)
    expected = by_hand(a_model(architecture), [collated(rows)], names)
    model = a_model(architecture)
    trainer = a_trainer(model, tmp_path, data=rows, per_device_train_batch_size=8, max_steps=1)
    watch(trainer)
    trainer.train()
    record = trainer.state.log_history[0]
    got = [record[f"{part}_grad_norm"] for part in ("first_layer", "last_layer", "classifier")]
    assert got == pytest.approx(expected, rel=1e-4)
    assert record["first_to_classifier_grad"] == pytest.approx(expected[0] / expected[2], rel=1e-4)
    assert record["effective_learning_rate"] == record["learning_rate"] == 1e-2


def test_gradient_accumulation(tmp_path):
    """A record is of an optimiser step: its gradient is the mean's of two micro-batches times
    whatever number the Trainer makes of it, so the ratio is that of autograd. The cross-entropy
    that is judged is no multiple."""
    rows = examples(8)
    names = ARCHITECTURES["bert"][1:]
    expected = by_hand(a_model(), [collated(rows[:4]), collated(rows[4:])], names)
    trainer = a_trainer(
        a_model(),
        tmp_path,
        data=rows,
        gradient_accumulation_steps=2,
        max_steps=4,
        learning_rate=0.0,
    )
    watched = watch(trainer)
    trainer.train()
    assert trainer.state.global_step == 4
    for record in trainer.state.log_history[:4]:
        assert record["first_to_classifier_grad"] == pytest.approx(
            expected[0] / expected[2], rel=1e-4
        )
    with torch.no_grad():
        loss = a_model().eval()(**collated(rows)).loss.item()
    # the window is one step here, and in each all examples are seen
    assert watched.gathered() == pytest.approx((loss, ENTROPY), rel=1e-5)


def test_a_record_is_the_mean_of_its_steps_and_clipping_leaves_the_ratio(tmp_path):
    """At a rate of 0 nothing moves: three steps over the same examples have the same gradient,
    clipped to a tenth or not."""
    records = []
    for largest in (0.0, 0.01):
        trainer = a_trainer(
            a_model(),
            tmp_path,
            data=examples(4),
            learning_rate=0.0,
            max_grad_norm=largest,
            logging_steps=3,
        )
        watch(trainer)
        trainer.train()
        records += [r for r in trainer.state.log_history if "loss" in r]
    free, clipped = records
    assert free["first_layer_grad_norm"] > 5 * clipped["first_layer_grad_norm"]
    ratio = "first_to_classifier_grad"
    assert free[ratio] == pytest.approx(clipped[ratio], rel=1e-4)


def test_other_callbacks_see_it_and_the_records_keep_it(tmp_path):
    seen, alone = Seen(), Seen()
    trainer = a_trainer(a_model(), tmp_path, callbacks=[seen])
    watch(trainer)
    trainer.train()
    added = {"first_layer_grad_norm", "last_layer_grad_norm", "classifier_grad_norm"}
    added |= {"first_to_classifier_grad", "effective_learning_rate"}
    assert all(added <= set(record) for record in seen.records[:3])
    assert all(added <= set(record) for record in trainer.state.log_history[:3])
    assert not added & set(trainer.state.log_history[-1])  # the summary of the training
    # in the Trainer's own list it stands after those that were there
    trainer = a_trainer(a_model(), tmp_path, callbacks=[alone, GradientWatch()])
    trainer.train()
    assert not added & set(alone.records[0]) and added <= set(trainer.state.log_history[0])


def test_training_is_the_same_with_and_without(tmp_path):
    ends = []
    for watched in (False, True):
        trainer = a_trainer(a_model(), tmp_path, optim="adamw_torch", max_steps=4)
        if watched:
            watch(trainer)
        trainer.train()
        ends.append(torch.cat([p.flatten() for p in trainer.model.parameters()]))
    assert torch.equal(*ends)


def test_bfloat16_frozen_layers_and_wrapped_models(tmp_path, capsys):
    model = a_model()
    model.bert.encoder.layer[0].requires_grad_(False)
    trainer = a_trainer(model, tmp_path, bf16=True)
    watch(trainer)
    trainer.train()
    assert "bert.encoder.layer 2 and 3 of 3, classifier" in capsys.readouterr().out
    assert trainer.state.log_history[0]["first_layer_grad_norm"] > 0
    wrapped = nn.DataParallel(a_model())
    parts, whole, words = parts_of(wrapped)
    assert whole and words == "module.bert.encoder.layer 1 and 3 of 3, module.classifier"
    assert parts["classifier"] == list(wrapped.module.classifier.parameters())
    half = nn.Parameter(torch.ones(10_000, dtype=torch.bfloat16))
    half.grad = torch.full_like(half, 1e-3)
    assert norm_of([half, nn.Parameter(torch.ones(1))]).item() == pytest.approx(0.1, rel=1e-2)
    assert math.isnan(norm_of([nn.Parameter(torch.ones(1))]))


class Adapter(nn.Module):
    """Low-rank additions to a frozen Linear, as LoRA's."""

    def __init__(self, base):
        super().__init__()
        self.base, self.down = base, nn.Linear(base.in_features, 2, bias=False)
        self.up = nn.Linear(2, base.out_features, bias=False)

    def forward(self, inputs):
        return self.base(inputs) + self.up(self.down(inputs))


def test_adapters(tmp_path, caplog):
    """Only what is trained counts, and is not judged; a list inside the blocks is not taken for
    them."""
    model = a_model()
    model.bert.requires_grad_(False)
    for layer in model.bert.encoder.layer:
        layer.attention.self.query = Adapter(layer.attention.self.query)
        layer.experts = nn.ModuleList(nn.Linear(16, 16) for _ in range(8)).requires_grad_(False)
    parts, whole, words = parts_of(model)
    assert not whole and words == "bert.encoder.layer 1 and 3 of 3 (in part), classifier"
    query = model.bert.encoder.layer[0].attention.self.query
    assert parts["first_layer"] == [query.down.weight, query.up.weight]
    trainer = a_trainer(model, tmp_path)
    watched = watch(trainer, stop=True)
    with caplog.at_level(logging.WARNING, logger=callback.__name__):
        trainer.train()
    assert trainer.state.log_history[0]["first_layer_grad_norm"] > 0
    assert watched.failing is None and "no verdict" in caplog.text


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda m: m.bert.requires_grad_(False), "no layer (no list of like modules"),
        (lambda m: m.classifier.requires_grad_(False), "of 3, bert.pooler.dense"),
    ],
)
def test_a_part_that_is_missing_is_said_once(spoil, said, tmp_path, caplog, capsys):
    model = a_model()
    spoil(model)
    trainer = a_trainer(model, tmp_path, max_steps=10)
    watched = watch(trainer, stop=True)
    with caplog.at_level(logging.WARNING, logger=callback.__name__):
        trainer.train()
    printed = caplog.text + capsys.readouterr().out
    assert said in printed and "effective_learning_rate" in trainer.state.log_history[0]
    if said.startswith("no layer"):
        assert printed.count("no verdict") == 1 and watched.failing is None
        assert trainer.state.global_step == 10


def test_albert_shares_its_layers():
    config = AutoConfig.for_model("albert", **SMALL, embedding_size=8, num_hidden_layers=3)
    parts, _, words = parts_of(AutoModelForSequenceClassification.from_config(config))
    assert set(parts) == {"classifier"} and words.startswith("no layer")


class Stuck(nn.Module):
    """Answers with a fixed cross-entropy; its first layer gets the given share of the classifier's
    gradient."""

    def __init__(self, share, cross_entropy):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(1, 1, bias=False) for _ in range(2))
        self.classifier = nn.Linear(1, 1, bias=False)
        self.share, self.right = share, math.exp(-cross_entropy)

    def forward(self, input_ids, labels=None):
        first, last = (layer.weight.sum() for layer in self.layers)
        right = nn.functional.one_hot((labels > 0.5).long(), 2)
        chances = right * self.right + (1 - right) * (1 - self.right)
        loss = self.share * first + last + self.classifier.weight.sum()
        return {"loss": 2 * loss, "logits": chances.log()}  # a loss that is none, as one of weights


ENTROPY = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))  # of examples()


@pytest.mark.parametrize(
    ("share", "loss", "failing"),
    [
        (1e-3, ENTROPY, True),
        (1e-3, ENTROPY - 0.019, True),
        (1e-3, ENTROPY - 0.021, False),  # it learns
        (4e-3, ENTROPY, False),  # the first layer gets its gradient
        (math.nan, math.nan, True),
    ],
)
def test_the_verdict(share, loss, failing, tmp_path, caplog):
    """After 30 % of the steps, once, also where nothing is logged by then; it ends the run only if
    asked to."""
    stop = share == 1e-3
    trainer = a_trainer(Stuck(share, loss), tmp_path, max_steps=20, logging_steps=500)
    watched = watch(trainer, stop=stop)
    with caplog.at_level(logging.WARNING, logger=callback.__name__):
        trainer.train()
    assert watched.failing is failing
    lines = [line.getMessage() for line in caplog.records]
    assert len(lines) == failing and all("label entropy 0.562" in line for line in lines)
    assert trainer.state.global_step == (6 if failing and stop else 20)
    assert not trainer.model._forward_hooks


@pytest.mark.parametrize(("done", "told"), [(0, False), (2, False), (3, True), (7, True)])
def test_a_run_that_goes_on_after_the_window_is_not_judged(done, told, caplog):
    """The third of ten steps is the one that is judged."""
    state = SimpleNamespace(max_steps=10, global_step=done, is_world_process_zero=True)
    with caplog.at_level(logging.WARNING, logger=callback.__name__):
        callback.GradientWatch().on_train_begin(None, state, None, model=a_model())
    assert (f"no verdict on this run: it goes on at step {done}" in caplog.text) == told


@pytest.mark.parametrize(
    "labels", [[0.0, 1.0], [[0.0, 1.0], [1.0, 1.0]]], ids=["numbers", "several labels"]
)
def test_no_verdict_without_classes(labels, tmp_path, caplog):
    rows = [{**row, "labels": labels[i % 2]} for i, row in enumerate(examples())]
    trainer = a_trainer(Stuck(0.0, 0.6), tmp_path, data=rows, max_steps=10)
    watched = watch(trainer, stop=True)
    with caplog.at_level(logging.WARNING, logger=callback.__name__):
        trainer.train()
    assert watched.failing is None and trainer.state.global_step == 10
    assert [line.getMessage()[:10] for line in caplog.records] == ["no verdict"]


def test_labels_of_tokens(tmp_path):
    """Those of -100 count neither as labels nor in the cross-entropy."""
    trainer = a_trainer(a_model(), tmp_path, max_steps=1)
    watched = watch(trainer)
    trainer.train()
    watched.labels.clear(), watched.losses.clear()
    watched.examples, watched.inside = 0, True
    labels = torch.tensor([[1, -100, 2], [0, 1, -100]])
    logits = torch.randn(2, 3, 3)
    watched.look(trainer.model, (), {"labels": labels}, {"logits": logits})
    loss = nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten()).item()
    entropy = -(0.5 * math.log(0.5) + 2 * 0.25 * math.log(0.25))
    assert watched.gathered() == pytest.approx((loss, entropy))


def test_effective_rate():
    """Step 10 by hand; the paper's Adam told by its group or by the user."""
    weight = nn.Parameter(torch.ones(1))
    adam = torch.optim.AdamW([weight], lr=0.1, betas=(0.9, 0.999))
    too_large = 0.1 * (1 - 0.9**10) / math.sqrt(1 - 0.999**10)
    assert effective_rate(adam, 10, None) == 0.1
    assert effective_rate(adam, 10, False) == pytest.approx(too_large)
    assert too_large == pytest.approx(0.1 * 6.5, rel=0.01)
    for key in ("correct_bias", "bias_correction"):
        groups = [{"params": [weight], key: False}]
        uncorrected = torch.optim.AdamW(groups, lr=0.1, betas=(0.9, 0.999))
        assert effective_rate(uncorrected, 10, None) == pytest.approx(too_large)
        assert effective_rate(uncorrected, 10, True) == 0.1
    other = nn.Parameter(torch.ones(1))
    adam.add_param_group({"params": [other], "lr": 0.3})
    assert effective_rate(adam, 10, None) == 0.3
    assert effective_rate(torch.optim.SGD([weight], lr=0.2), 10, False) == 0.2


def test_effective_rate_is_that_of_a_loop_of_adam():
    """The first step of an uncorrected Adam moves as far as a corrected one at that rate."""
    weight = nn.Parameter(torch.ones(1))
    adam = torch.optim.AdamW([weight], lr=0.1, betas=(0.9, 0.98), weight_decay=0.0, eps=0.0)
    rate = effective_rate(adam, 1, False)
    gradient, first, second = 0.7, 0.0, 0.0
    first, second = 0.1 * gradient, 0.02 * gradient**2
    uncorrected = 0.1 * first / math.sqrt(second)
    adam.param_groups[0]["lr"] = rate
    weight.grad = torch.tensor([gradient])
    adam.step()
    assert 1 - weight.item() == pytest.approx(uncorrected, rel=1e-5)


def test_it_can_be_copied(tmp_path):
    """Nothing of the project is imported, and a copy works."""
    source = (REPOSITORY / "experiments" / "finetuning" / "callback.py").read_text()
    modules = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            modules |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules.add(node.module.split(".")[0])
    assert modules - set(sys.stdlib_module_names) == {"torch", "transformers"}


def test_mini_watched(tmp_path):
    """The documented example, three steps of it; the labels' entropy is the task's."""
    from experiments.mini.watched import trainer_on_mini

    trainer = trainer_on_mini(str(tmp_path), 1, 3e-4, False, max_steps=3, logging_steps=1)
    watch(trainer)
    trainer.train()
    first, second, third = trainer.state.log_history[:3]
    assert first["effective_learning_rate"] == 0  # the paper's schedule begins there
    factor = (1 - 0.9**2) / math.sqrt(1 - 0.999**2)
    assert second["effective_learning_rate"] == pytest.approx(3e-4 / 30 * factor)
    assert 0.05 < third["first_to_classifier_grad"] < 5


@pytest.mark.parametrize(("rate", "told"), [(0.0, True), (1e-3, False)])
def test_a_rate_of_0_is_said(rate, told, tmp_path, caplog):
    trainer = a_trainer(a_model(), tmp_path, max_steps=10, learning_rate=rate)
    watch(trainer)
    trainer.train()
    assert ("the learning rate was never above 0" in caplog.text) == told
