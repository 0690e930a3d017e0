"""Each experiment from command to CSV, with a tiny model; runs that several need are trained
once."""

import dataclasses
import json
import shutil
from contextlib import contextmanager

import numpy as np
import pandas as pd
import pytest
from conftest import options
from transformers import AlbertConfig, RobertaConfig

from experiments import (
    bias_correction,
    catastrophic_forgetting,
    checkpoint_selection,
    convergence_pitfalls,
    early_signs,
    effective_learning_rate,
    generalization,
    instability_measures,
    loss_surfaces,
    mitigations,
    oscillating_scores,
    reinitialization,
    small_datasets,
    sources_of_randomness,
    strong_baseline,
    training_length,
    vanishing_gradients,
)
from experiments.benchmark import spot_check
from experiments.finetuning.errors import BadInput
from experiments.finetuning.histories import margins_from_text
from experiments.finetuning.tasks import load_splits, sample
from experiments.sweeps import grid, sweep
from experiments.sweeps.command import parse_parts
from experiments.sweeps.flags import parser
from experiments.sweeps.grid import matching_epochs
from experiments.sweeps.rows import first_failed_and_successful
from experiments.sweeps.store import stored

MODULES = (
    bias_correction,
    catastrophic_forgetting,
    checkpoint_selection,
    convergence_pitfalls,
    early_signs,
    effective_learning_rate,
    generalization,
    instability_measures,
    loss_surfaces,
    mitigations,
    reinitialization,
    small_datasets,
    strong_baseline,
    training_length,
    vanishing_gradients,
)
ALL = [module.EXPERIMENT for module in MODULES]


def settings(runs, *names):
    return sorted({tuple(getattr(run, name) for name in names) for run in runs})


def test_what_each_experiment_plans():
    plan = {e.name: e.planned(options(e, "--seeds", "2")) for e in ALL}
    assert settings(
        plan["bias_correction"], "task", "epochs", "learning_rate", "bias_correction"
    ) == [
        *(("cola", 3, 3e-4, corrected) for corrected in (False, True)),
        *(
            ("rte", 3, rate, corrected)
            for rate in (2e-4, 3e-4, 4e-4)
            for corrected in (False, True)
        ),
    ]
    more = bias_correction.planned(
        options(bias_correction.EXPERIMENT, "--tasks", "rte", "cola", "rte", "--seeds", "2")
    )
    assert settings(more, "task", "learning_rate") == [
        ("cola", 3e-4),
        ("rte", 2e-4),
        ("rte", 3e-4),
        ("rte", 4e-4),
    ]
    assert settings(plan["training_length"], "epochs", "bias_correction") == [
        (epochs, corrected) for epochs in (3, 10, 20) for corrected in (False, True)
    ]
    assert settings(
        plan["strong_baseline"], "task", "epochs", "bias_correction", "learning_rate"
    ) == [
        (task, *recipe, 3e-4)
        for task in ("cola", "mrpc", "rte")
        for recipe in ((3, False), (20, True))
    ]
    assert {(run.epochs, run.train_examples) for run in plan["small_datasets"]} == {
        (3, None),
        (3, 400),
        (12, 400),
    }
    assert len(plan["small_datasets"]) == 3 * 3 * 2
    assert settings(plan["generalization"], "epochs", "bias_correction") == [(20, True)]
    shared = {run.id for run in plan["bias_correction"]} & {
        run.id for run in plan["training_length"]
    }
    assert len(shared) == 12
    assert {run.id for run in plan["vanishing_gradients"]} < shared
    assert {run.id for run in plan["generalization"]} < {run.id for run in plan["strong_baseline"]}
    assert settings(plan["strong_baseline"], "mixout", "dropout", "decay_to_pretrained") == [
        (0.0, 0.1, False),
        (0.7, 0.0, True),
    ]
    assert settings(
        plan["reinitialization"], "epochs", "bias_correction", "reinitialized_layers"
    ) == [
        (3, False, 0),
        (3, False, 5),
        *((3, True, layers) for layers in range(7)),
        (20, True, 0),
        (20, True, 5),
    ]
    assert planned_methods() == METHODS
    assert len(plan["mitigations"]) == 2 * 2 * len(METHODS)
    assert {run.bias_correction for run in plan["mitigations"]} == {False, True}
    assert {(run.learning_rate, run.optimizer) for run in plan["convergence_pitfalls"]} == {
        (3e-4, "adamw"),
        (3e-4, "sgd"),
        (250 * 3e-4, "adamw"),
        (1.5e-3, "adamw"),  # 5 times
    }
    (rising,) = {run.warmup_ratio for run in plan["convergence_pitfalls"]} - {0.1}
    assert rising == 1.0
    assert {
        (run.train_examples, sweep.steps(run))
        for run in plan["convergence_pitfalls"]
        if run.epochs != 20
    } == {(None, 300), (2, 300), (8, 300)}
    assert {run.id for run in plan["instability_measures"]} < {
        run.id for run in plan["checkpoint_selection"]
    }
    assert {run.id for run in plan["checkpoint_selection"]} < shared | {
        run.id for run in plan["training_length"]
    }


# what a run of each method of mitigations differs in from the default recipe's, on mini
METHODS = {
    "none": {},
    "Mixout 0.7": {"mixout": 0.7, "dropout": 0.0},
    "no dropout": {"dropout": 0.0},
    "decay to pre-trained": {"decay_to_pretrained": True},
    "layer-wise rates": {"layerwise_decay": 0.95},
    "component clipping 0.1": {"component_clipping": 0.1, "max_gradient_norm": None},
    "re-initialisation of 5": {"reinitialized_layers": 5},
    "0.3 x the rate": {"learning_rate": 9e-5},
    "Trainer's defaults": {
        "learning_rate": 7.5e-4,
        "warmup_ratio": 0.0,
        "adam_epsilon": 1e-8,
        "weight_decay": 0.0,
        "batch_size": 8,
    },
    "lower half frozen": {"frozen_layers": 12},
    "classifier first": {"head_epochs": 30},
    "LoRA, 5 x the rate": {"lora_rank": 8, "learning_rate": 1.5e-3},
    "LoRA, 10 x the rate": {"lora_rank": 8, "learning_rate": 3e-3},
    "LoRA, 20 x the rate": {"lora_rank": 8, "learning_rate": 6e-3},
}


def planned_methods(*arguments, methods=()):
    """For each method of mitigations what its runs differ in from a run of the default recipe."""
    asked = ["--methods", *methods] if methods else []
    asked += ["--seeds", "1", "--bias-correction", "on", *arguments]
    chosen = options(mitigations.EXPERIMENT, *asked)
    known = [mitigations.all_methods(chosen)]
    default = bias_correction.planned(
        options(
            bias_correction.EXPERIMENT,
            *("--tasks", "rte", "--seeds", "1", "--learning-rates", "3e-4", *arguments),
        )
    )[-1].hashed_fields()
    found = {}
    for run in mitigations.planned(chosen):
        fields = run.hashed_fields()
        if run.bias_correction:
            found[mitigations.method_of(fields, known, {3e-4})] = {
                name: value for name, value in fields.items() if value != default[name]
            }
    return found


def test_of_a_model_without_dropout_none_is_the_baseline(tiny_model, tmp_path):
    """ALBERT's own recipe has no dropout and no weight decay."""
    albert = str(shutil.copytree(tiny_model, tmp_path / "albert"))
    AlbertConfig(num_hidden_layers=24).save_pretrained(albert)
    found = planned_methods("--model", albert, methods=("none", "Mixout", "Trainer"))
    assert "decay to pre-trained" not in mitigations.all_methods(
        options(mitigations.EXPERIMENT, "--model", albert)
    )
    trainer = dict(METHODS["Trainer's defaults"])
    del trainer["weight_decay"]
    assert found == {"none": {}, "Mixout 0.7": {"mixout": 0.7}, "Trainer's defaults": trainer}
    with pytest.raises(BadInput, match="no method begins with 'no dropout': expected one of none"):
        planned_methods("--model", albert, methods=["no dropout"])


def test_the_trainers_defaults_are_its_own_whatever_the_models_recipe(tiny_model, tmp_path):
    """RoBERTa's has another beta2 and does not clip."""
    roberta = str(shutil.copytree(tiny_model, tmp_path / "roberta"))
    RobertaConfig(num_hidden_layers=2).save_pretrained(roberta)
    asked = ["--model", roberta, "--methods", "Trainer", "--seeds", "1"]
    chosen = options(mitigations.EXPERIMENT, *asked)
    theirs = {(run.adam_beta2, run.max_gradient_norm) for run in mitigations.planned(chosen)}
    assert theirs == {(0.999, 1.0)}


def test_what_a_first_look_is_asked_for_it_takes():
    on = mitigations.planned(options(mitigations.EXPERIMENT, "--bias-correction", "on"))
    plain = {"mixout": 0.0, "frozen_layers": 0, "learning_rate": 3e-4}
    methods = [run for run in on if any(getattr(run, k) != v for k, v in plain.items())]
    assert methods and all(run.bias_correction for run in methods)
    experiment = effective_learning_rate.EXPERIMENT
    asked = experiment.planned(options(experiment, "--multiples", "2", "--warmups", "0.1", "0.5"))
    assert {run.warmup_ratio for run in asked} == {0.1, 0.5}
    assert {run.learning_rate for run in asked} == {3e-4, 6e-4}
    usual = experiment.planned(options(experiment))
    assert {(run.warmup_ratio, run.learning_rate) for run in usual} == {(0.1, 3e-4)}


def test_methods_that_a_model_cannot_have_are_left_out(tiny_model, tmp_path, capsys):
    albert = str(shutil.copytree(tiny_model, tmp_path / "albert"))
    AlbertConfig(num_hidden_layers=2).save_pretrained(albert)
    asked = ["--model", albert, "--seeds", "1"]
    runs = mitigations.planned(options(mitigations.EXPERIMENT, *asked))
    said = capsys.readouterr().out
    assert runs and not any(run.frozen_layers or run.reinitialized_layers for run in runs)
    assert "mitigations: without 'lower half frozen': ALBERT shares" in said
    with pytest.raises(BadInput, match="ALBERT shares"):
        mitigations.planned(options(mitigations.EXPERIMENT, *asked, "--methods", "lower"))


def test_a_method_is_named_by_the_part_that_asks_for_its_task(tmp_path, monkeypatch):
    """Ten times 1.5e-4 is five times 3e-4."""
    flags = ["--methods", "LoRA", "--seeds", "1", "--results", str(tmp_path), "--tasks", "rte"]
    flags += ["--learning-rates", "3e-4", "--and", "--tasks", "cola", "--learning-rates", "1.5e-4"]
    p = parser("")
    mitigations.add_flags(p)
    chosen = parse_parts(p, flags)
    runs = mitigations.planned(chosen) + mitigations.planned(chosen.others[0])
    monkeypatch.setattr(mitigations, "row", lambda record: record["run"])
    mitigations.write(chosen, [{"run": dataclasses.asdict(run)} for run in runs])
    rows = pd.read_csv(tmp_path / "mitigations.csv")
    for task, rate in (("rte", 3e-4), ("cola", 1.5e-4)):
        found = rows[rows["task"] == task].groupby("method")["learning_rate"].first()
        assert dict(found) == pytest.approx(
            {f"LoRA, {times} x the rate": times * rate for times in (5, 10, 20)}
        )


def test_which_methods_are_asked_for():
    def names(*arguments):
        return list(mitigations.methods(options(mitigations.EXPERIMENT, *arguments)))

    assert names("--methods", "Trainer", "none", "--seeds", "2") == ["none", "Trainer's defaults"]
    assert names() == ["none", "Mixout 0.7", "0.3 x the rate", "lower half frozen"]
    with pytest.raises(BadInput, match="no method begins with 'Nothing': expected one of none, Mi"):
        names("--methods", "none", "Nothing")


def test_a_real_encoder_can_have_a_few_of_the_effective_rates():
    """--multiples below 1 are without correction, above 1 with it; --warmups at the middle rate."""
    experiment = effective_learning_rate.EXPERIMENT
    few = ["--multiples", "0.5", "1", "3", "12", "--warmups", "0.1", "--seeds", "2"]
    runs = experiment.planned(options(experiment, *few))
    assert len({run.id for run in runs}) == len(runs) == 14
    assert settings(runs, "bias_correction", "learning_rate", "adam_beta2", "warmup_ratio") == [
        (False, 1.5e-4, 0.999, 0.1),
        *((False, 3e-4, beta2, 0.1) for beta2 in (0.98, 0.999)),
        *((True, 3e-4, beta2, 0.1) for beta2 in (0.98, 0.999)),
        (True, 9e-4, 0.999, 0.1),
        (True, 3.6e-3, 0.999, 0.1),
    ]


def test_parts_of_a_call_may_have_other_warm_ups_and_b2(tmp_path, capsys):
    """Of an encoder whose runs are dear: b2 at one warm-up, a warm-up at one b2."""
    flags = ["--plan", "--results", str(tmp_path), "--seeds", "5", "--bias-correction", "off"]
    flags += ["--multiples", "1", "--warmups", "0.1", "--beta2s", "0.98"]
    experiment = effective_learning_rate.EXPERIMENT
    sweep.sweep([experiment], [*flags, "--and", "--warmups", "0.5", "--beta2s", "0.999"])
    assert "10 runs, 0 finished, 10 to train" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("experiment", "given", "planned", "left_out"),
    [
        (sources_of_randomness, ["cola", "rte", "mrpc"], {"cola"}, "rte, mrpc"),
        (catastrophic_forgetting, ["rte", "cola"], {"rte"}, "cola"),
        (spot_check, ["rte", "rte", "cola"], {"rte"}, "cola"),
        (instability_measures, ["rte", "stsb", "tagging"], {"rte"}, "stsb, tagging"),
        (oscillating_scores, ["rte", "tagging"], {"tagging"}, "rte"),
        (sources_of_randomness, ["cola"], {"cola"}, ""),
        (instability_measures, ["cola", "rte"], {"cola", "rte"}, ""),
    ],
)
def test_tasks_that_an_experiment_does_without_are_named(
    experiment, given, planned, left_out, capsys
):
    chosen = options(experiment.EXPERIMENT, "--tasks", *given, "--seeds", "1", "--random-weights")
    assert {run.task for run in experiment.planned(chosen)} == planned
    said = capsys.readouterr().err
    if left_out:
        assert said.startswith(f"{experiment.EXPERIMENT.name}: without {left_out}, since it")
    else:
        assert said == ""


def test_two_labels_a_word_are_not_two_classes(tmp_path):
    (tmp_path / "train.conll").write_text("a X\nb O\n\n" * 10)
    chosen = options(instability_measures.EXPERIMENT, "--data", str(tmp_path), "--seeds", "1")
    assert instability_measures.planned(chosen) == []
    with pytest.raises(BadInput, match="it needs one of two classes an example; expected another"):
        instability_measures.write(chosen, [])


def test_how_many_seeds():
    def counts(*arguments):
        runs = training_length.planned(options(training_length.EXPERIMENT, *arguments))
        return {
            (epochs, rate): len(
                [run for run in runs if (run.epochs, run.learning_rate) == (epochs, rate)]
            )
            for epochs in (3, 10, 20)
            for rate in (2e-4, 3e-4)
        }

    assert counts() == {
        (3, 2e-4): 2,
        (3, 3e-4): 6,
        (10, 2e-4): 0,
        (10, 3e-4): 0,
        (20, 2e-4): 0,
        (20, 3e-4): 1,
    }
    assert set(counts("--seeds", "4").values()) == {8}
    assert counts("--seeds", "3-4", "--long-seeds", "3")[20, 3e-4] == 2
    assert counts("--seeds", "3-4", "--long-seeds", "0")[20, 3e-4] == 0
    with pytest.raises(BadInput, match="--long-seeds 2 is below the first of --seeds, 3"):
        counts("--seeds", "3-4", "--long-seeds", "2")
    assert counts("--seeds", "4", "--long-seeds", "1") == {
        (3, 2e-4): 8,
        (3, 3e-4): 8,
        (10, 2e-4): 2,
        (10, 3e-4): 2,
        (20, 2e-4): 2,
        (20, 3e-4): 2,
    }
    assert counts("--long-seeds", "5")[20, 2e-4] == 10 and counts("--long-seeds", "5")[3, 2e-4] == 6
    assert counts("--seeds", "4", "--long-seeds", "0") == {
        (3, 2e-4): 8,
        (3, 3e-4): 8,
        (10, 2e-4): 0,
        (10, 3e-4): 0,
        (20, 2e-4): 0,
        (20, 3e-4): 0,
    }


def test_a_first_look_is_part_of_the_whole():
    """What mini does by default are settings of the whole study, with fewer seeds."""
    for experiment in ALL:
        quick, whole = (
            experiment.planned(options(experiment, *arguments))
            for arguments in ([], ["--seeds", "3"])
        )
        assert {run.id for run in quick} <= {run.id for run in whole} and len(quick) <= len(whole)


@pytest.mark.parametrize(("examples", "epochs"), [(3668, 11), (8551, 26), (104743, 312)])
def test_matching_epochs_are_the_papers(examples, epochs):
    assert matching_epochs(examples, 1000) == epochs


@pytest.mark.parametrize(
    ("rows", "sample", "epochs"),
    [
        (640, 320, 6),  # 3 x 40 steps of 16, in epochs of 20
        (1005, 502, 6),  # as many steps an epoch as 1,000 examples have: 3 x 63, in 32
        (1600, 1000, 5),  # 3 x 100, in 63
    ],
)
def test_half_of_a_set_that_is_too_small_for_the_papers_sample(
    rows, sample, epochs, tmp_path, capsys
):
    for part, count in (("train", rows), ("dev", 20)):
        lines = [f"{('the dog', 'a cat')[i % 2]},{'xy'[i % 2]}" for i in range(count)]
        (tmp_path / f"{part}.csv").write_text("\n".join(["body,kind", *lines]))
    data = ["--data", str(tmp_path), "--text-columns", "body", "--label-column", "kind"]
    runs = small_datasets.planned(options(small_datasets.EXPERIMENT, *data, "--seeds", "1"))
    assert {(run.epochs, run.train_examples) for run in runs} == {
        (3, None),
        (3, sample),
        (epochs, sample),
    }
    said = f"has {rows:,} training examples, so half of them, {sample:,}, are the sample, not 1,000"
    assert (said in capsys.readouterr().out) == (sample < 1000)


def test_the_sample_is_the_same_in_every_run_and_another_for_another_seed():
    whole = load_splits("mrpc", "mini")["train"]
    one, again, other = (sample(whole, 400, seed) for seed in (1, 1, 2))
    assert one.texts == again.texts and one.texts != other.texts
    assert len(set(map(whole.texts.index, one.texts))) == 400  # without replacement
    assert sorted(one.texts, key=whole.texts.index) == one.texts
    with pytest.raises(BadInput, match="1,601 of 1,600"):
        sample(whole, 1601, 1)


def test_chosen_prefers_the_default_rate_then_low_seeds():
    def record(rate, seed, failed):
        seeds = dict.fromkeys(("head_seed", "order_seed", "dropout_seed"), seed)
        return {"run": {"learning_rate": rate, **seeds}, "outcome": {"failed": failed}}

    records = [
        record(2e-4, 1, False),
        record(3e-4, 2, False),
        record(3e-4, 1, False),
        record(4e-4, 2, True),
        record(4e-4, 1, True),
        record(1e-3, 1, True),
    ]
    picked = first_failed_and_successful(records, 3e-4, 2)
    assert [(r["run"]["learning_rate"], r["run"]["head_seed"]) for r in picked[False]] == [
        (3e-4, 1),
        (3e-4, 2),
    ]
    assert [(r["run"]["learning_rate"], r["run"]["head_seed"]) for r in picked[True]] == [
        (4e-4, 1),
        (4e-4, 2),
    ]


@contextmanager
def shorter():
    """3, 4 and 5 epochs for 3, 10 and 20: the same grid in a third of the time."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (*MODULES, grid):
            if hasattr(module, "LENGTHS"):
                patch.setattr(module, "LENGTHS", (3, 4, 5))
        patch.setattr(grid, "LONG_EPOCHS", 4)
        patch.setattr(
            strong_baseline,
            "RECIPES",
            {**strong_baseline.RECIPES, "paper's recipe": {"epochs": 5, "bias_correction": True}},
        )
        patch.setattr(
            instability_measures,
            "CONDITIONS",
            {**instability_measures.CONDITIONS, "paper's recipe": (5, True)},
        )
        yield


@pytest.fixture(scope="module")
def swept(tiny_model, tmp_path_factory):
    """All experiments on the tiny model, at a rate at which the default recipe's first run
    succeeds and its second fails."""
    results = tmp_path_factory.mktemp("results")
    arguments = [
        "--model",
        str(tiny_model),
        "--tasks",
        "rte",
        "--seeds",
        "2",
        "--long-seeds",
        "1",
        "--learning-rates",
        "1e-3",
        "--results",
        str(results),
        "--engine",
        "serial",
        "--points",
        "4",
        "--layers",
        "0",
        "1",
        "--long-layers",
        "0",
    ]
    sweep_all(arguments)
    return results, arguments


def sweep_all(arguments):
    """small_datasets with a sample of 800; in the others --sample-size would be the whole set. Of
    the experiments with most settings one seed. Then convergence_pitfalls, which shows what else
    the store has."""
    modules = (mitigations, effective_learning_rate, small_datasets, convergence_pitfalls)
    apart = [module.EXPERIMENT for module in modules]
    of_all = arguments[: arguments.index("--points")]  # before the flags of single ones
    with shorter():
        sweep.sweep([experiment for experiment in ALL if experiment not in apart], arguments)
        one = [*of_all, "--seeds", "1"]
        sweep.sweep([mitigations.EXPERIMENT], [*one, "--reinitialized-layers", "1"])
        few = ["--multiples", "0.5", "3", "--warmups", "0.1", "0.5"]
        sweep.sweep([effective_learning_rate.EXPERIMENT], [*one, *few])
        sweep.sweep([small_datasets.EXPERIMENT], [*of_all, "--sample-size", "800"])
        sweep.sweep([convergence_pitfalls.EXPERIMENT], of_all)


@pytest.mark.slow
def test_all_csvs(swept):
    results, _ = swept
    tables = {path.stem: pd.read_csv(path) for path in results.glob("*.csv")}
    assert len(tables["bias_correction"]) == 4
    assert tables["small_datasets"].groupby("condition")["steps"].first().to_dict() == {
        "full": 300,
        "sample, same epochs": 150,
        "sample, same iterations": 300,
    }
    assert tables["strong_baseline"]["recipe"].value_counts().to_dict() == {
        "default": 2,
        "mixout": 2,
        "paper's recipe": 1,
    }
    assert set(tables["training_length"]["epochs"]) == {3, 4, 5}
    # on all examples with the paper's method: 4 of 3 epochs, 4 longer ones
    assert len(tables["generalization"]) == 8
    curves = tables["generalization_curves"]
    assert (curves.groupby("run").size() == 16).all() and curves["step"].max() == 500
    rates = tables["bias_correction_learning_rate"].set_index("step")
    assert rates.loc[1, "with"] == 0 and rates.loc[31, "without"] == pytest.approx(1)
    assert rates.loc[31, "with"] == pytest.approx((1 - 0.999**31) ** 0.5 / (1 - 0.9**31))
    forgetting = tables["catastrophic_forgetting"]
    ends = forgetting[forgetting["layers_put_back"] == 2]
    assert (ends["perplexity"] == ends["pretrained_perplexity"]).all() and set(ends["failed"]) == {
        False,
        True,
    }
    assert (
        forgetting[forgetting["layers_put_back"] == 0]["perplexity"]
        != forgetting["pretrained_perplexity"].iloc[0]
    ).all()
    gradients = tables["vanishing_gradients"]
    assert set(gradients["matrix"]) == {"query", "key", "value", "output", "pooler", "classifier"}
    assert gradients.groupby("run")["step"].max().eq(290).all()
    assert len(tables["loss_surfaces"]) == 16 and len(tables["loss_surfaces_lines"]) == 3 * 21
    lines = tables["loss_surfaces_lines"].set_index(["line", "position"])["loss"]
    assert lines["pre-trained to failed", 1.0] == pytest.approx(
        lines["failed to successful", 0.0], rel=1e-5
    )


@pytest.mark.slow
def test_the_neighbours_csvs(swept):
    results, _ = swept
    tables = {path.stem: pd.read_csv(path) for path in results.glob("*.csv")}
    layers = tables["reinitialization"]
    assert layers.groupby(
        ["bias_correction", "epochs", "reinitialized_layers"]
    ).size().to_dict() == {(False, 3, 0): 2, (True, 3, 0): 2, (True, 3, 1): 2, (True, 5, 0): 1}
    # of accuracy; mini's dev set has 300 examples
    halves = (layers["selection_score"] * 150 + layers["reporting_score"] * 150) / 300
    assert halves.tolist() == pytest.approx(layers["score"].tolist(), abs=0.004)
    methods = tables["mitigations"].groupby(["method", "bias_correction"]).size()
    assert len(methods) == len(METHODS) * 2 and (methods == 1).all()
    cost = tables["mitigations"].groupby("method")["step_operations"].first()
    assert cost["Trainer's defaults"] < 0.6 * cost["none"] and cost["Mixout 0.7"] == cost["none"]
    points = tables["checkpoint_selection"]
    last = points[points["step"] == points["total_steps"]]
    assert (last["score"] == last["final_score"]).all() and len(last) == points[
        "run"
    ].nunique() == 5
    early = tables["early_signs"]
    assert set(early["share"]) == {0.1, 0.2, 0.3} and len(early) == 3 * 5
    assert np.isfinite(early[["train_loss", "first_layer_gradient", "classifier_gradient"]]).all(
        axis=None
    )
    pitfalls = tables["convergence_pitfalls"].groupby("condition").size().to_dict()
    own = ("SGD", "rate too high", "rate rising to the end", "2 examples", "8 examples")
    assert {name: pitfalls[name] for name in own} == dict.fromkeys(own, 2)
    answers = tables["instability_measures"]
    labels = pd.read_csv(results / "instability_measures_labels.csv", dtype=str)["labels"].iloc[0]
    for _, run in answers.iterrows():  # what is stored gives the score that was measured
        right = (margins_from_text(run["dev_margins"]) > 0) == (np.array(list(labels)) == "1")
        assert right.mean() == pytest.approx(run["score"])


@pytest.mark.slow
def test_a_second_sweep_trains_and_changes_nothing(swept, capsys):
    results, arguments = swept
    before = {
        path: path.read_bytes()
        for path in results.rglob("*")
        if path.is_file() and path.suffix in (".csv", ".json")
    }
    sweep_all(arguments)
    said = capsys.readouterr().out
    assert "different runs, 0 to train" in said and "6 finished, 0 to train" in said
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.slow
def test_weights_are_made_again_when_missing(swept, tmp_path, capsys):
    results, arguments = swept
    rows = (results / "catastrophic_forgetting.csv").read_bytes()
    kept = sorted((results / "weights").iterdir())
    assert kept
    content = kept[0].read_bytes()
    kept[0].unlink()
    shutil.rmtree(results / "perplexities")
    # the same model elsewhere is the same model
    moved = shutil.copytree(arguments[1], tmp_path / "tiny-model0")
    sweep.sweep(
        [catastrophic_forgetting.EXPERIMENT],
        ["--model", str(moved), *arguments[2 : arguments.index("--points")]],
    )
    assert "training 1 runs again" in capsys.readouterr().out
    assert (
        kept[0].read_bytes() == content
        and (results / "catastrophic_forgetting.csv").read_bytes() == rows
    )


@pytest.mark.slow
def test_a_surface_goes_on_where_it_was(swept, tmp_path, monkeypatch):
    """Rows that are finished are not measured again."""
    results, arguments = swept
    rows = [[(0.0, 0.0)], [(1.0, 0.0)]]
    record = stored(results)[0]
    weights, calls = [], []
    monkeypatch.setattr(loss_surfaces, "train_for_weights", lambda pair, *_: weights.append(pair))
    monkeypatch.setattr(loss_surfaces, "weights_of", lambda *_: b"")
    monkeypatch.setattr(
        loss_surfaces,
        "measure",
        lambda row, plane: calls.append(row) or [(*point, 1.0, 2.0) for point in row],
    )
    opts = options(loss_surfaces.EXPERIMENT, "--results", str(tmp_path), "--engine", "serial")
    loss_surfaces.measured_rows((record, record), rows[:1], opts)
    for _ in range(2):
        measured = loss_surfaces.measured_rows((record, record), rows, opts)
    assert len(weights) == 2  # the third time nothing is missing
    assert calls == rows and json.loads(json.dumps(measured)) == [
        [[0.0, 0.0, 1.0, 2.0]],
        [[1.0, 0.0, 1.0, 2.0]],
    ]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--seeds", "1001-1025"], "expected seeds up to 1000"),
        (["--seeds", "5", "--head-seed", "5"], "expected none of them held"),
    ],
)
def test_sources_of_randomness_needs_seeds_that_it_can_move(flags, said, tmp_path):
    experiment = sources_of_randomness.EXPERIMENT
    opts = options(experiment, *flags, "--results", str(tmp_path))
    with pytest.raises(BadInput, match=said):
        experiment.planned(opts)


def test_sources_of_randomness_says_what_was_moved(tmp_path):
    experiment = sources_of_randomness.EXPERIMENT
    opts = options(experiment, "--seeds", "26-27", "--repeats", "2", "--results", str(tmp_path))
    moved = [sources_of_randomness.moved_in(run) for run in experiment.planned(opts)]
    expected = []
    for what in ("nothing", "all seeds", "head", "order", "dropout", "rounding", "rounding"):
        expected += [(what, 26), (what, 27)]
    assert moved == expected
