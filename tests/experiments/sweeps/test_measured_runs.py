"""Which runs forgetting and surfaces are measured on, and what a model without a masked-LM head,
or without pre-training, gives."""

import dataclasses

import pandas as pd
import pytest
import torch
from builders import a_result
from conftest import options
from transformers import BertConfig

from experiments import catastrophic_forgetting, generalization, loss_surfaces
from experiments.finetuning.sources import _configuration, has_masked_lm_head
from experiments.sweeps import store
from experiments.sweeps.sweep import drop_weights
from experiments.sweeps.training_runs import unique


@pytest.mark.parametrize(
    ("arguments", "measured"),
    [([], 2), (["--seeds", "5"], 3), (["--seeds", "5", "--of-each", "4"], 4)],
)
def test_so_many_failed_and_successful_runs_are_measured(
    arguments, measured, tiny_run, tmp_path, monkeypatch
):
    records = [
        {"run": dataclasses.asdict(tiny_run(head_seed=seed)), "outcome": {"failed": seed % 2 == 0}}
        for seed in range(1, 11)
    ]
    monkeypatch.setattr(catastrophic_forgetting, "curves", lambda record: [])
    monkeypatch.setattr(catastrophic_forgetting, "train_for_weights", lambda *_: None)
    monkeypatch.setattr(catastrophic_forgetting, "weights_of", lambda *_: b"")
    monkeypatch.setattr(
        catastrophic_forgetting,
        "measure_all",
        lambda _, jobs, *__: [(job, [{"seed": job[0]["run"]["head_seed"]}]) for job in jobs],
    )
    catastrophic_forgetting.write(
        options(
            catastrophic_forgetting.EXPERIMENT,
            "--results",
            str(tmp_path),
            "--text",
            "mini",
            *arguments,
        ),
        records,
    )
    seeds = pd.read_csv(tmp_path / "catastrophic_forgetting.csv")["seed"].tolist()
    assert sorted(seeds) == list(range(1, 2 * measured + 1))  # every second one has failed


def test_a_table_stays_while_nothing_new_is_measured(tiny_run, tmp_path, monkeypatch):
    """An earlier call's table goes while this one measures; where all is measured it is never
    away, since another process may be drawing it."""
    there = []
    row = {"perplexity": 2.0, "pretrained_perplexity": 2.0, "words": 5, "layers_put_back": 0}
    table = tmp_path / "catastrophic_forgetting.csv"
    table.write_text("of another model")
    monkeypatch.setattr(catastrophic_forgetting, "curves", lambda record: [])
    monkeypatch.setattr(
        catastrophic_forgetting, "train_for_weights", lambda *_: there.append(table.exists())
    )
    monkeypatch.setattr(catastrophic_forgetting, "weights_of", lambda *_: b"")
    monkeypatch.setattr(
        catastrophic_forgetting, "measure_all", lambda _, jobs, *__: [(job, [row]) for job in jobs]
    )
    record = {"run": dataclasses.asdict(tiny_run()), "outcome": {"failed": True}}
    flags = ["--results", str(tmp_path), "--text", "mini"]
    for _ in range(2):
        chosen = options(catastrophic_forgetting.EXPERIMENT, *flags)
        catastrophic_forgetting.write(chosen, [record])
        assert pd.read_csv(table).to_dict("records") == [row]
    assert there == [False, True]


@pytest.mark.parametrize(
    ("together", "kept"),
    [
        ([catastrophic_forgetting, loss_surfaces], range(1, 11)),
        ([catastrophic_forgetting], range(1, 9)),
        ([loss_surfaces], range(5, 11)),
    ],
)
def test_a_sweep_keeps_the_weights_that_one_of_its_experiments_measures(
    together, kept, tiny_run, tmp_path
):
    """Even seeds have failed. --of-each 4 of seeds 1 to 12 are 1 to 8; --pairs 2 keeps three of
    each of 5 to 12, so 5 to 10. Seed 12's were not asked for and stored all the same, as where a
    run stood in. Seed 13 is in no plan, and another sweep's business."""
    seeds_of = {catastrophic_forgetting: range(1, 13), loss_surfaces: range(5, 13)}
    planned = {
        experiment.EXPERIMENT.name: [
            tiny_run(head_seed=seed, keep_weights=seed < 12) for seed in seeds_of[experiment]
        ]
        for experiment in together
    }
    for run in [*unique(planned.values()), tiny_run(head_seed=13, keep_weights=True)]:
        store.save(
            tmp_path,
            run,
            {**a_result(failed=run.head_seed % 2 == 0), "weights": b"w"},
        )
    opts = options(loss_surfaces.EXPERIMENT, "--results", str(tmp_path), "--pairs", "2")
    vars(opts).update(of_each=4, fit_head=False)
    drop_weights([experiment.EXPERIMENT for experiment in together], planned, opts)
    assert [
        seed
        for seed in range(1, 14)
        if store.weights_path(tmp_path, tiny_run(head_seed=seed)).exists()
    ] == [*kept, 13]


def test_weights_that_a_call_found_are_not_its_to_drop(tiny_run, tmp_path):
    """Another call on the store may be measuring them."""
    runs = [tiny_run(head_seed=seed, keep_weights=True) for seed in range(1, 13)]
    for run in runs:
        result = {**a_result(failed=run.head_seed % 2 == 0), "weights": b"w"}
        store.save(tmp_path, run, result)
    opts = options(loss_surfaces.EXPERIMENT, "--results", str(tmp_path))
    planned = {"loss_surfaces": runs}
    found = set((tmp_path / "weights").glob("*"))
    drop_weights([loss_surfaces.EXPERIMENT], planned, opts, found)
    assert set((tmp_path / "weights").glob("*")) == found
    drop_weights([loss_surfaces.EXPERIMENT], planned, opts)
    assert len(set((tmp_path / "weights").glob("*"))) == 6


def test_where_none_has_failed_yet_the_weights_of_the_others_wait(tiny_run, tmp_path):
    records = [
        {"run": dataclasses.asdict(tiny_run(head_seed=seed)), "outcome": {"failed": False}}
        for seed in range(1, 6)
    ]
    opts = options(loss_surfaces.EXPERIMENT, "--results", str(tmp_path))
    assert [record["run"]["head_seed"] for record in loss_surfaces.measured(opts, records)] == [
        1,
        2,
        3,
    ]


def test_a_unigram_model_by_hand(tmp_path, monkeypatch):
    """Validation: words 0, 0, 1 of three, so (2 + 1) / 6, 2 / 6, 1 / 6; 0 and 2 are predicted:
    the root of 2 x 6. --blocks holds."""
    blocks = {
        True: ([[0, 1, 1]], [[-100, 0, -100]]),
        False: ([[1, 1, 1], [1, 1, 1]], [[0, -100, 2], [1, 1, 1]]),
    }
    monkeypatch.setattr(catastrophic_forgetting, "load_text", lambda name, validation: validation)
    monkeypatch.setattr(
        catastrophic_forgetting, "blocks_of", lambda text, *_: map(torch.tensor, blocks[text])
    )
    monkeypatch.setattr(
        "experiments.finetuning.encoders.load_config", lambda source: BertConfig(vocab_size=3)
    )
    opts = options(
        catastrophic_forgetting.EXPERIMENT,
        "--results",
        str(tmp_path),
        "--text",
        "mini",
        "--blocks",
        "1",
    )
    assert catastrophic_forgetting.unigram_perplexity(opts) == pytest.approx(12**0.5)


def test_the_plane_of_the_first_pair_and_the_line_of_every_pair(tiny_run, tmp_path, monkeypatch):
    """Of 3 failed and 7 successful runs --pairs 5 makes 3 pairs, each run in one."""
    records = [
        {
            "run": dataclasses.asdict(
                tiny_run(**dict.fromkeys(("head_seed", "order_seed", "dropout_seed"), seed))
            ),
            "outcome": {"failed": seed in (2, 4, 9)},
        }
        for seed in range(1, 11)
    ]
    monkeypatch.setattr(
        loss_surfaces,
        "measured_rows",
        lambda _, rows, *__: [[(*point, 0.7, 1.0) for point in row] for row in rows],
    )
    loss_surfaces.write(
        options(
            loss_surfaces.EXPERIMENT, "--results", str(tmp_path), "--points", "4", "--pairs", "5"
        ),
        records,
    )
    surface, lines = (
        pd.read_csv(tmp_path / f"{name}.csv") for name in ("loss_surfaces", "loss_surfaces_lines")
    )
    assert (
        len(surface) == 16
        and set(surface["failed_seed"]) == {2}
        and set(surface["successful_seed"]) == {1}
    )
    assert lines.groupby(["line", "failed_seed", "successful_seed"]).size().to_dict() == {
        **{(name, 2, 1): 21 for name in loss_surfaces.LINES},
        ("failed to successful", 4, 3): 21,
        ("failed to successful", 9, 5): 21,
    }


def test_a_model_without_a_masked_lm_head_is_named_and_the_rest_written(
    gte_small, tiny_model, capsys, tmp_path
):
    assert has_masked_lm_head(str(tiny_model)) and not has_masked_lm_head(str(gte_small))
    opts = options(
        catastrophic_forgetting.EXPERIMENT, "--model", str(gte_small), "--results", str(tmp_path)
    )
    catastrophic_forgetting.write(opts, [])
    assert "has no masked-LM head" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("kinds", "has_one"),
    [
        (["BertForMaskedLM"], True),
        (["BertForPreTraining"], True),
        (["BertModel"], False),
        (None, False),
    ],
)
def test_of_a_hub_model_the_configuration_says_whether_it_has_a_masked_lm_head(
    monkeypatch, kinds, has_one
):
    monkeypatch.setattr(
        "experiments.finetuning.encoders.load_config",
        lambda source: BertConfig(architectures=kinds),
    )
    _configuration.cache_clear()
    assert has_masked_lm_head("some/name") == has_one
    _configuration.cache_clear()


def test_without_pre_training_nothing_is_forgotten(tmp_path, capsys):
    """Neither are perplexities and surfaces measured, and what another call wrote is not taken
    for this one's."""
    (tmp_path / "generalization.csv").write_text("run\n1\n")
    for experiment in (catastrophic_forgetting, loss_surfaces, generalization):
        experiment.write(
            options(experiment.EXPERIMENT, "--random-weights", "--results", str(tmp_path)), []
        )
    printed = capsys.readouterr()
    assert "nothing to forget" in printed.err and "no plane" in printed.out
    assert all(
        (tmp_path / f"{name}.csv").read_text() == ""
        for name in (
            "generalization",
            "catastrophic_forgetting",
            "loss_surfaces",
            "loss_surfaces_lines",
        )
    )
