"""How wide a band is, whose it is, and what the best epoch gains: against loops written out."""

import numpy as np
import pandas as pd
import pytest
from conftest import options
from sklearn.metrics import f1_score

from experiments import oscillating_scores
from experiments.finetuning.labels import ragged
from experiments.finetuning.tokens import count, scores
from experiments.oscillating_scores import CUTS, DRAWS, band_of, choice_of, drawn_again
from experiments.sweeps.sweep import sweep

NAMES = ("O", "a", "b")


@pytest.fixture(scope="module")
def answered():
    """Labels of 40 sentences, and answers of 12 evaluations of which the later ones are better."""
    random = np.random.default_rng(0)
    labels = [random.integers(0, 3, random.integers(3, 9)) for _ in range(40)]
    evaluations = []
    for epoch in range(12):
        wrong = 0.5 / (1 + epoch)
        answers = []
        for label in labels:
            other = random.integers(0, 3, len(label))
            answers.append(np.where(random.random(len(label)) < wrong, other, label))
        evaluations.append(answers)
    return labels, evaluations


@pytest.fixture(scope="module")
def counts(answered):
    labels, evaluations = answered
    return np.stack([count(answers, ragged(labels), NAMES) for answers in evaluations])


def f1_of(labels, answers, chosen):
    """By scikit-learn, of the chosen sentences."""
    there, given = (np.concatenate([of[i] for i in chosen]) for of in (labels, answers))
    return f1_score(there, given, labels=[1, 2], average="micro")


def test_the_band_by_hand(answered, counts):
    labels, evaluations = answered
    f1 = np.array([f1_of(labels, answers, range(40)) for answers in evaluations])
    found, late = band_of(counts, "token_f1"), f1[6:]
    assert found["late_mean"] == pytest.approx(late.mean())
    assert found["late_std"] == pytest.approx(late.std())
    assert found["late_range"] == pytest.approx(late.max() - late.min())
    assert found["last_std"] == pytest.approx(f1[9:].std())
    assert found["deepest_dip"] == pytest.approx(np.median(late) - late.min())
    assert found["jump"] == pytest.approx(np.mean((late[1:] - late[:-1]) ** 2) ** 0.5)
    near = [abs(value - late.mean()) <= 0.02 for value in f1]
    assert found["plateau_epoch"] == 1 + near.index(True)


def test_what_dev_alone_explains_by_drawing_sentences(answered, counts):
    """Another generator, so other draws: the standard deviations agree within their error."""
    labels, evaluations = answered
    random = np.random.default_rng(7)
    drawn = []
    for _ in range(120):
        chosen = random.integers(0, 40, 40)
        drawn.append([f1_of(labels, evaluations[i], chosen) for i in range(6, 12)])
    drawn = np.array(drawn)
    found = band_of(counts, "token_f1")
    assert found["dev_std"] == pytest.approx(drawn.std(axis=0).mean(), rel=0.25)
    differences = drawn[:, 1:] - drawn[:, :-1]
    assert found["dev_jump"] == pytest.approx(
        np.sqrt(np.mean(differences.std(axis=0) ** 2)), rel=0.25
    )
    assert drawn_again(counts, "token_f1").shape == (DRAWS, 12)
    again = drawn_again(np.repeat(counts[-1:], 2, axis=0), "token_f1")
    assert (again[:, 0] == again[:, 1]).all()  # the same sentences for every evaluation


def test_the_best_epoch_by_hand(answered, counts):
    """The same cuts, scored by scikit-learn."""
    labels, evaluations = answered
    random = np.random.default_rng(oscillating_scores.SEED)
    there, held_out = [], []
    for number in range(CUTS):
        order = random.permutation(40)
        if number >= 10:
            continue
        halves = [np.flatnonzero(order < 20), np.flatnonzero(order >= 20)]
        one, other = ([f1_of(labels, answers, half) for answers in evaluations] for half in halves)
        best = max(range(12), key=one.__getitem__)
        there.append(one[best] - one[-1])
        held_out.append(other[best] - other[-1])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(oscillating_scores, "CUTS", 10)
        found = choice_of(counts, "token_f1")
    assert found["gain_there"] == pytest.approx(np.mean(there))
    assert found["gain_held_out"] == pytest.approx(np.mean(held_out))
    assert found["gain_there"] >= 0


def test_scores_that_never_move_have_no_correlation(counts):
    still = np.repeat(counts[-1:], 6, axis=0)
    band, choice = band_of(still, "token_f1"), choice_of(still, "token_f1")
    assert band["late_std"] == band["jump"] == band["dev_jump"] == 0 < band["dev_std"]
    assert np.isnan(band["precision_with_recall"]) and np.isnan(choice["halves_together"])
    assert choice["gain_there"] == choice["gain_held_out"] == 0
    assert scores(still, "token_f1")["token_f1"].shape == (6,)


# entities, missed, other answers of two sentences: F1 is 10 / 10, or 6 / (6 + 4)
RIGHT, WRONG = [(3, 0, 0), (2, 0, 0)], [(3, 2, 2), (2, 0, 0)]


def test_scores_that_jump_over_their_mean_have_no_plateau():
    """F1 is 1 and 0.6 in turn, the late mean 0.8: no epoch is within 0.02 of it."""
    band = band_of(np.array([RIGHT, WRONG] * 4), "entity_f1")
    assert band["late_mean"] == pytest.approx(0.8) and band["jump"] == pytest.approx(0.4)
    assert band["plateau_epoch"] is None


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("epochs", [1, 2])
def test_one_epoch_is_no_band(epochs):
    band = band_of(np.array([WRONG] * epochs), "entity_f1")
    assert np.isnan(band["jump"]) and np.isnan(band["dev_jump"])
    assert band["late_mean"] == pytest.approx(0.6) and band["plateau_epoch"] == 1


def test_what_is_planned():
    def settings(*arguments):
        runs = oscillating_scores.planned(options(oscillating_scores.EXPERIMENT, *arguments))
        return sorted(
            {(run.schedule, run.epochs, run.train_examples, run.head_seed) for run in runs}
        )

    both = [("constant", 60, 48, 1), ("linear", 60, 48, 1)]
    assert settings() == both
    assert settings("--seeds", "1", "--schedule", "linear") == both[1:]
    assert settings("--seeds", "2-2", "--epochs", "4", "--sample-size", "64") == [
        ("constant", 4, 64, 2),
        ("linear", 4, 64, 2),
    ]


@pytest.mark.slow
def test_from_command_to_csv(tmp_path, tiny_model):
    arguments = ["--model", str(tiny_model), "--seeds", "1", "--epochs", "4"]
    arguments += ["--sample-size", "32", "--engine", "serial", "--results", str(tmp_path)]
    sweep([oscillating_scores.EXPERIMENT], arguments)
    runs = pd.read_csv(tmp_path / "oscillating_scores.csv")
    curves = pd.read_csv(tmp_path / "oscillating_scores_curves.csv")
    assert sorted(runs["schedule"]) == ["constant", "linear"]
    steps = curves.groupby("run")["step"].apply(sorted).tolist()
    assert steps == [[0, 2, 4, 6, 8]] * 2
    last = curves[curves["step"] == 8].set_index("run")["score"]
    assert last.to_dict() == runs.set_index("run")["score"].to_dict()
    assert (tmp_path / "runs").is_dir()
    for path in (tmp_path / "runs").glob("*.json"):
        assert path.stat().st_size < 20_000
