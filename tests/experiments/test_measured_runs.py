"""Which runs forgetting and surfaces are measured on, and what a model without a masked-LM head, or without pre-training, gives."""

import dataclasses

import pandas as pd
import pytest
import torch
from conftest import options
from transformers import BertConfig

from experiments import catastrophic_forgetting, generalization, loss_surfaces
from experiments.finetuning.sources import _configuration, has_masked_lm_head


@pytest.mark.parametrize(("arguments", "measured"), [([], 2), (["--seeds", "5"], 3), (["--seeds", "5", "--of-each", "4"], 4)])
def test_so_many_failed_and_successful_runs_are_measured(arguments, measured, tiny_run, tmp_path, monkeypatch):
    records = [{"run": dataclasses.asdict(tiny_run(head_seed=seed)), "outcome": {"failed": seed % 2 == 0}} for seed in range(1, 11)]
    monkeypatch.setattr(catastrophic_forgetting, "curves", lambda record: [])
    monkeypatch.setattr(catastrophic_forgetting, "train_for_weights", lambda *_: None)
    monkeypatch.setattr(catastrophic_forgetting, "weights_of", lambda *_: b"")
    monkeypatch.setattr(catastrophic_forgetting, "drop_weights", lambda *_: None)
    monkeypatch.setattr(catastrophic_forgetting, "measure_all",
                        lambda _, jobs, *__: [(job, [{"seed": job[0]["run"]["head_seed"]}]) for job in jobs])
    catastrophic_forgetting.write(options(catastrophic_forgetting.EXPERIMENT, "--results", str(tmp_path), "--text", "mini", *arguments),
                                  records)
    seeds = pd.read_csv(tmp_path / "catastrophic_forgetting.csv")["seed"].tolist()
    assert sorted(seeds) == list(range(1, 2 * measured + 1))  # every second one has failed


@pytest.mark.parametrize("experiment", [catastrophic_forgetting, loss_surfaces])
def test_forgetting_and_surfaces_keep_the_weights_the_other_needs(experiment, tiny_run, tmp_path, monkeypatch):
    """In one sweep, --of-each 2 and --pairs 3: those of the first three failed and successful runs, whichever is written first."""
    records = [{"run": dataclasses.asdict(tiny_run(head_seed=seed)), "outcome": {"failed": seed % 2 == 0}} for seed in range(1, 11)]
    kept = []
    monkeypatch.setattr(experiment, "drop_weights", lambda _, but, *__: kept.extend(r["run"]["head_seed"] for r in but))
    monkeypatch.setattr(experiment, "train_for_weights", lambda *_: None)
    monkeypatch.setattr(experiment, "weights_of", lambda *_: b"")
    monkeypatch.setattr(experiment, "measure_all", lambda *_: [])
    monkeypatch.setattr(catastrophic_forgetting, "curves", lambda record: [])
    opts = options(loss_surfaces.EXPERIMENT, "--results", str(tmp_path), "--pairs", "3")
    vars(opts).update(of_each=2, text="mini", fit_head=False, fine_tuned_embeddings=False, blocks=None)
    with pytest.raises(FileNotFoundError):  # nothing was measured
        experiment.write(opts, records)
    assert sorted(kept) == [1, 2, 3, 4, 5, 6]


def test_a_unigram_model_by_hand(tmp_path, monkeypatch):
    """Validation: words 0, 0, 1 of three, so (2 + 1) / 6, 2 / 6, 1 / 6; 0 and 2 are predicted: the root of 2 x 6. --blocks holds."""
    blocks = {True: ([[0, 1, 1]], [[-100, 0, -100]]), False: ([[1, 1, 1], [1, 1, 1]], [[0, -100, 2], [1, 1, 1]])}
    monkeypatch.setattr(catastrophic_forgetting, "load_text", lambda name, validation: validation)
    monkeypatch.setattr(catastrophic_forgetting, "blocks_of", lambda text, *_: map(torch.tensor, blocks[text]))
    monkeypatch.setattr("experiments.finetuning.encoders.load_config", lambda source: BertConfig(vocab_size=3))
    opts = options(catastrophic_forgetting.EXPERIMENT, "--results", str(tmp_path), "--text", "mini", "--blocks", "1")
    assert catastrophic_forgetting.unigram_perplexity(opts) == pytest.approx(12**0.5)


def test_the_plane_of_the_first_pair_and_the_line_of_every_pair(tiny_run, tmp_path, monkeypatch):
    """Of 3 failed and 7 successful runs --pairs 5 makes 3 pairs, each run in one."""
    records = [{"run": dataclasses.asdict(tiny_run(**dict.fromkeys(("head_seed", "order_seed", "dropout_seed"), seed))),
                "outcome": {"failed": seed in (2, 4, 9)}} for seed in range(1, 11)]
    monkeypatch.setattr(loss_surfaces, "drop_weights", lambda *_: None)
    monkeypatch.setattr(loss_surfaces, "measured_rows", lambda _, rows, *__: [[(*point, 0.7, 1.0) for point in row] for row in rows])
    loss_surfaces.write(options(loss_surfaces.EXPERIMENT, "--results", str(tmp_path), "--points", "4", "--pairs", "5"), records)
    surface, lines = (pd.read_csv(tmp_path / f"{name}.csv") for name in ("loss_surfaces", "loss_surfaces_lines"))
    assert len(surface) == 16 and set(surface["failed_seed"]) == {2} and set(surface["successful_seed"]) == {1}
    assert lines.groupby(["line", "failed_seed", "successful_seed"]).size().to_dict() == {
        **{(name, 2, 1): 21 for name in loss_surfaces.LINES}, ("failed to successful", 4, 3): 21, ("failed to successful", 9, 5): 21}


def test_a_model_without_a_masked_lm_head_is_named_and_the_rest_written(gte_small, tiny_model, capsys, tmp_path):
    assert has_masked_lm_head(str(tiny_model)) and not has_masked_lm_head(str(gte_small))
    opts = options(catastrophic_forgetting.EXPERIMENT, "--model", str(gte_small), "--results", str(tmp_path))
    catastrophic_forgetting.write(opts, [])
    assert "has no masked-LM head" in capsys.readouterr().err


@pytest.mark.parametrize(("kinds", "has_one"), [(["BertForMaskedLM"], True), (["BertForPreTraining"], True), (["BertModel"], False),
                                                (None, False)])
def test_of_a_hub_model_the_configuration_says_whether_it_has_a_masked_lm_head(monkeypatch, kinds, has_one):
    monkeypatch.setattr("experiments.finetuning.encoders.load_config", lambda source: BertConfig(architectures=kinds))
    _configuration.cache_clear()
    assert has_masked_lm_head("some/name") == has_one
    _configuration.cache_clear()


def test_without_pre_training_nothing_is_forgotten(tmp_path, capsys):
    """Neither are perplexities and surfaces measured, and what another call wrote is not taken for this one's."""
    (tmp_path / "generalization.csv").write_text("run\n1\n")
    for experiment in (catastrophic_forgetting, loss_surfaces, generalization):
        experiment.write(options(experiment.EXPERIMENT, "--random-weights", "--results", str(tmp_path)), [])
    printed = capsys.readouterr()
    assert "nothing to forget" in printed.err and "no plane" in printed.out
    assert all((tmp_path / f"{name}.csv").read_text() == "" for name in (
        "generalization", "catastrophic_forgetting", "loss_surfaces", "loss_surfaces_lines"))
