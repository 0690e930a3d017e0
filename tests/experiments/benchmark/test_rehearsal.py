"""Rehearsal: each check fails when it should, the stand-ins are of the published shapes, hours and
disk are what runs really take, the command."""

import json
import math
import shutil
from dataclasses import replace
from types import SimpleNamespace

import pandas as pd
import pytest
import safetensors.torch
import torch
from conftest import options
from transformers import AutoModelForSequenceClassification

from experiments import bias_correction, mitigations
from experiments.benchmark import rehearsal, stand_ins, study, trial
from experiments.benchmark.inputs import first_blocks, real_inputs
from experiments.benchmark.stand_ins import CONFIGURATIONS, TOKENS, configuration, make_tokenizer
from experiments.finetuning import own, packing
from experiments.finetuning.errors import BadInput
from experiments.finetuning.tasks import tokenize
from experiments.finetuning.training import train
from experiments.sweeps.flags import DTYPES
from experiments.sweeps.sweep import steps


def silent(part):
    pass


def changed(change):
    """Inputs of a run whose model `change` has changed."""

    def inputs(run):
        model, train_set, dev_set = real_inputs(run)
        with torch.no_grad():
            change(model)
        return model, train_set, dev_set

    return inputs


def test_nothing_is_wrong_with_a_sound_run(tiny_run, tmp_path):
    run = tiny_run(learning_rate=1e-3, dropout=0.1)
    cost, wrong = trial.take_steps(run, real_inputs, silent, keep=tmp_path / "kept")
    assert wrong == []
    assert cost["seconds_per_step"] > 0 and cost["evaluation_seconds_per_example"] > 0
    assert abs(cost["first_loss"] - math.log(2)) < 0.1
    assert 0.1 < cost["memory_gb"] < 10
    model, train_set, _ = real_inputs(run)
    assert cost["parameters"] == sum(p.numel() for p in model.parameters())
    kept = safetensors.torch.load((tmp_path / "kept").read_bytes())
    assert set(kept) == {name for name, _ in model.named_parameters()}

    cost, wrong = trial.points_of_surface(run, real_inputs, (tmp_path / "kept",) * 2, silent)
    assert wrong == [] and cost["seconds_per_example"] > 0


def test_nothing_is_wrong_with_a_label_a_word(tiny_run):
    """Five classes and none: the loss is expected near ln 6."""
    cost, wrong = trial.take_steps(tiny_run(task="tagging"), real_inputs, silent)
    assert wrong == [] and cost["evaluation_seconds_per_example"] > 0
    assert abs(cost["first_loss"] - math.log(6)) < 0.1


def test_the_first_loss_that_is_expected():
    """Near the logarithm of the number of classes; of a regression none is."""
    assert trial.wrong_losses([1.8], 6) == [] == trial.wrong_losses([9.0], 1)
    assert "expected about ln 6 = 1.8" in trial.wrong_losses([0.69], 6)[0]
    assert "not finite" in trial.wrong_losses([math.nan], 1)[0]


@pytest.mark.parametrize(
    "remedy", [{"lora_rank": 2}, {"frozen_layers": 1}, {"head_epochs": 1}], ids=lambda r: [*r][0]
)
def test_nothing_is_wrong_with_a_remedy(tiny_run, remedy):
    cost, wrong = trial.take_steps(tiny_run(learning_rate=1e-3, **remedy), real_inputs, silent)
    assert wrong == [] and cost["seconds_per_step"] > 0


def test_an_adapter_that_gets_no_gradient(tiny_run):
    """B would be told, A not: its gradient is 0 while B is."""
    run = tiny_run(lora_rank=2)
    model, *_ = real_inputs(run)
    trial.prepare(model, run)
    for name, p in model.named_parameters():
        p.grad = torch.full_like(p, float("classifier" in name))
    (told,) = trial.dead_parts(trial.with_gradient(model))
    assert "lora_up vanishes (of 4 matrices)" in told


def dead_layer(model):
    model.bert.encoder.layer[0].output.LayerNorm.weight.zero_()


def large_classifier(model):
    model.classifier.bias.copy_(torch.tensor([20.0, -20.0]))


def not_a_number(model):
    model.bert.encoder.layer[0].output.dense.weight[0, 0] = math.nan


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (dead_layer, "word_embeddings.weight vanishes"),
        (large_classifier, "the loss starts at"),
        (not_a_number, "the loss is not finite"),
    ],
)
def test_what_is_wrong_with_a_model(tiny_run, change, words):
    run = tiny_run(learning_rate=1e-3)
    assert words in "; ".join(trial.take_steps(run, changed(change), silent, False)[1])


def test_a_fast_path_that_differs(tiny_run, monkeypatch):
    def norm(x, module):
        return 1.01 * torch.nn.functional.layer_norm(x, x.shape[-1:], module.weight, module.bias)

    monkeypatch.setattr(packing, "_norm", norm)
    wrong = trial.take_steps(tiny_run(), real_inputs, silent, False)[1]
    assert any("fast and plain path differ" in problem for problem in wrong)
    assert trial.take_steps(tiny_run(packed=False), real_inputs, silent, False)[1] == []


def test_weights_that_do_not_move(tiny_run):
    run = tiny_run(learning_rate=1e-12)
    (problem,) = trial.take_steps(run, real_inputs, silent, False)[1]
    assert "weights are the same" in problem


def test_a_gradient_that_is_not_finite():
    weight = torch.ones(2, 2, requires_grad=True)
    weight.grad = torch.full((2, 2), math.inf)
    assert trial.dead_parts([("a", weight)]) == ["the gradient of a is not finite (of 1 matrices)"]


def test_layers_that_are_not_put_back(tiny_run, tmp_path, monkeypatch):
    run = tiny_run(learning_rate=1e-3)
    trial.take_steps(run, changed(far_away), silent, False, tmp_path / "kept")
    blocks = first_blocks(run, "mini")
    assert blocks[0].shape == (2, 64)
    cost, wrong = trial.put_layers_back(run, blocks, tmp_path / "kept", silent)
    assert wrong == [] and cost["perplexity"] != pytest.approx(cost["pretrained_perplexity"])
    right = trial.put_back
    monkeypatch.setattr(trial, "put_back", lambda f, p, top, n: right(f, p, 0, n))
    wrong = trial.put_layers_back(run, blocks, tmp_path / "kept", silent)[1]
    assert "all layers put back give" in wrong[0]


def far_away(model):
    for p in model.bert.encoder.parameters():
        p.add_(torch.randn_like(p))


def test_stand_ins_have_the_published_shapes():
    """Millions of parameters with a classifier. Lan et al. 2020, Table 1: 334 for BERT-large and
    18 for ALBERT-large, Liu et al. 2019 355 for RoBERTa-large; gte-small's weights have 33.4."""
    expected = dict(zip(CONFIGURATIONS, (335.1, 355.4, 17.7, 33.4), strict=True))
    for name, millions in expected.items():
        with torch.device("meta"):
            model = AutoModelForSequenceClassification.from_config(configuration(name))
        assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(millions, abs=0.05)
    with pytest.raises(BadInput, match="no stand-in for some/model"):
        configuration("some/model")


def test_stand_in_rows_are_as_long_as_glues():
    tokenizer = make_tokenizer(configuration("google-bert/bert-large-uncased"))
    means = {"rte": 66.6, "mrpc": 53.2, "cola": 11.3, "qnli": 49.2}  # of the training sets
    for task, mean in means.items():
        split = stand_ins.rows(task, 1000, len(tokenizer), 1)
        lengths = pd.Series([len(ids) for ids in tokenize(split, tokenizer, 128).input_ids])
        assert lengths.mean() == pytest.approx(mean, rel=0.06)
        assert lengths.min() >= TOKENS[task][0] - 1 and lengths.max() <= TOKENS[task][-1] + 1


def test_a_task_without_a_stand_in_is_named():
    with pytest.raises(BadInput, match="no stand-in for the data of sst2: expected --tasks of rte"):
        stand_ins.rows("sst2", 1, 100, 1)


def test_every_dtype_has_its_bounds():
    assert set(trial.LOGITS_DIFFER) == set(trial.NORMS_DIFFER) == set(DTYPES)


def test_dev_rows_of_data_of_ones_own(tmp_path):
    table = pd.DataFrame({"text": [f"{i}" for i in range(30)], "label": ["yes", "no"] * 15})
    table.to_csv(tmp_path / "table.csv", index=False)
    source = own.asked_for(str(tmp_path / "table.csv"), ("text",), "label", None)
    assert study.dev_rows("own:table", source) == 6


def test_kinds_of_runs(tiny_model):
    model = ("--model", str(tiny_model), "--seeds", "2", "--reinitialized-layers", "1")
    planned = mitigations.planned(options(mitigations.EXPERIMENT, *model))
    kinds = {study.kind_of(run) for run in planned}
    assert kinds == {
        *study.BASE,
        "Mixout",
        "no dropout",
        "decay to pre-trained",
        "layer-wise rates",
        "component clipping",
        "re-initialised",
        "lower layers frozen",
        "LoRA",
        "classifier first",
    }
    more = bias_correction.planned(
        options(bias_correction.EXPERIMENT, *model[:4], "--tasks", "rte", "cola")
    )
    trials = study.chosen([planned, more])
    assert len(trials) == len(kinds) + 1
    assert [trial.run.task for trial in trials].count("cola") == 1
    assert {trial.kind for trial in trials[:2]} == set(study.BASE)


def test_costs_are_those_of_whole_runs(tiny_run):
    """Evaluations and the size of a record, against a run that was trained; seconds by hand."""
    run = tiny_run(epochs=2)
    record = train(run)
    model = {"model": run.model, "task": run.task, "memory_gb": 1.0, "parameters": 100}
    plain = {**model, "kind": "corrected", "seconds_per_step": 2.0, "load_seconds": 3.0}
    plain |= {"evaluation_seconds_per_example": 0.5, "matrices": 10}
    cola = {**plain, "task": "cola", "seconds_per_step": 0.5}
    mixed = {**model, "kind": "Mixout", "seconds_per_step": 4.0}
    costs = study.Costs([plain, cola, mixed])
    assert study.evaluations(run) == len(record["history"]["evaluations"])
    size = len(json.dumps(record["history"]))
    assert size / 2 < costs.record(run) < 2 * size

    mixout = replace(run, mixout=0.5, dropout=0.0)
    assert costs.step(run) == 2
    assert costs.step(mixout) == 4
    assert costs.step(tiny_run(task="cola", mixout=0.5)) == 4 * 0.5 / 2
    dev = len(real_inputs(run)[2].labels)
    kept = replace(run, keep_weights=True)
    row = study.row_of("one", [kept, mixout], 7200.0, 5.0, costs)
    evaluating = 2 * study.evaluations(run) * dev * 0.5
    assert row["hours_evaluating"] == pytest.approx(evaluating / 3600)
    assert row["hours_training"] == pytest.approx(steps(run) * (2 + 4) / 3600)
    assert row["hours"] == pytest.approx((steps(run) * 6 + evaluating + 2 * 3 + 7200) / 3600)
    assert row["memory_gb"] == 5
    assert row["disk_gb"] == pytest.approx((400 + 2 * costs.record(run)) / 1e9)


def rehearsed(monkeypatch, *arguments):
    """The command; its exit status."""
    monkeypatch.setattr("sys.argv", ["", *arguments])
    try:
        rehearsal.main()
    except SystemExit as ended:
        return ended.code
    return 0


def small_study(monkeypatch, *modules):
    """Only these experiments."""
    names = {module.EXPERIMENT.name: module for module in modules}
    for of_module in (rehearsal, study):
        monkeypatch.setattr(of_module, "modules", lambda: names)


def test_an_experiment_without_a_run_is_left_out_of_the_plan(tiny_run):
    """As oscillating_scores has none in the profile paper."""
    run = tiny_run()
    row = {"model": run.model, "task": run.task, "kind": study.kind_of(run), "memory_gb": 1.0}
    row |= {"parameters": 100, "seconds_per_step": 2.0, "load_seconds": 3.0, "matrices": 10}
    costs = study.Costs([row | {"evaluation_seconds_per_example": 0.5}])
    table = study.plan({"one": [run], "none": []}, SimpleNamespace(), costs, 0)
    assert [line["experiment"] for line in table] == ["one", "all together"]
    assert table[1]["hours"] == table[0]["hours"] > 0


@pytest.fixture
def study_of_two(monkeypatch):
    small_study(monkeypatch, bias_correction, mitigations)
    monkeypatch.setattr(rehearsal, "with_measurements", lambda trials, planned: trials)
    # no experiment that has --text and the like
    monkeypatch.setattr(rehearsal, "prepared", with_text(rehearsal.prepared))


def with_text(prepared):
    def with_its_flags(given, folder):
        given.text, given.blocks, given.of_each, given.points = None, None, None, None
        return prepared(given, folder)

    return with_its_flags


def test_ready(study_of_two, tiny_model, tmp_path, capsys, monkeypatch):
    arguments = ("--model", str(tiny_model), "--results", str(tmp_path), "--tasks", "rte")
    assert rehearsed(monkeypatch, *arguments, "--plan") == 0
    assert "would try tiny-model" in capsys.readouterr().out
    assert rehearsed(monkeypatch, *arguments) == 0
    printed = capsys.readouterr()
    assert "verdict: ready" in printed.out and printed.err == ""
    assert "4 of 4" in printed.out and "all together" in printed.out
    table = pd.read_csv(tmp_path / "rehearsal.csv")
    assert table["part"].value_counts().to_dict() == {"trial": 4, "plan": 3, "verdict": 1}
    assert table["git_commit"].notna().all() and (table["weights"] == "pre-trained").all()
    assert table.loc[table["part"] == "trial", "wrong"].isna().all()
    whole = table[table["experiment"] == "all together"].iloc[0]
    each = table[table["part"] == "plan"]["hours"]
    assert max(each[each != whole["hours"]]) <= whole["hours"] < each.sum() - whole["hours"] + 1e-9
    assert list(tmp_path.glob("rehearsal-*")) == []

    free = SimpleNamespace(free=1.0)
    monkeypatch.setattr(rehearsal.shutil, "disk_usage", lambda folder: free)
    assert "GB of disk" in rehearsal.too_large([{"disk_gb": 7.0}], SimpleNamespace(results=""))[0]


def test_a_damaged_model_is_not_ready(study_of_two, tiny_model, tmp_path, capsys, monkeypatch):
    damaged = tmp_path / "damaged"
    shutil.copytree(tiny_model, damaged)
    weights = safetensors.torch.load_file(damaged / "model.safetensors")
    weights["bert.encoder.layer.0.output.dense.weight"][0, 0] = math.nan
    safetensors.torch.save_file(weights, damaged / "model.safetensors", metadata={"format": "pt"})
    results = tmp_path / "results"
    arguments = ("--model", str(damaged), "--results", str(results), "--tasks", "rte")
    assert rehearsed(monkeypatch, *arguments) == 1
    printed = capsys.readouterr()
    assert "verdict: not ready" in printed.out
    assert "wrong: damaged, rte, default: BadInput: the weights of" in printed.err
    table = pd.read_csv(results / "rehearsal.csv")
    assert table["part"].tolist() == ["trial"] * 4 + ["verdict"]
    assert "not finite" in table["wrong"].iloc[-1]
