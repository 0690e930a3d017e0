"""Recovery by hand, panels without a failed run, and byte-equal output without torch."""

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from analysis.catastrophic_forgetting import draw, draw_perplexity, main, settled
from analysis.shared.reading import BadInput

# k = 0..6
PERPLEXITY = {
    True: [900.0, float("inf"), 19.0, 30.0, 15.0, 10.9, 10.0],
    False: [30.0, 19.0, 12.0, 9.5, 8.9, 9.5, 10.0],
}
KINDS = ("png", "pdf", "md", "csv")
RUN = {True: "12e4", False: "0012"}  # ids that look like numbers


def write(folder, outcomes):
    """One run of each given outcome, and beside it a diverged one that is in the curves only."""
    common = {
        "task": "rte",
        "model": "checkpoint@1",
        "data": "mini@1",
        "learning_rate": 2e-4,
        "seed": 1,
    }
    pd.DataFrame(
        [
            {
                **common,
                "run": RUN[failed],
                "failed": failed,
                "score": 0.5,
                "layers_put_back": k,
                "layers": 6,
                "perplexity": perplexity,
                "pretrained_perplexity": 10.0,
                "words": 1000,
                "embeddings": "pre-trained",
                "text": "sentences",
            }
            for failed in outcomes
            for k, perplexity in enumerate(PERPLEXITY[failed])
        ],
    ).to_csv(folder / "catastrophic_forgetting.csv", index=False)
    pd.DataFrame(
        [
            {
                **common,
                "run": run,
                "failed": failed,
                "majority_level": 0.53,
                "label_entropy": 0.691,
                "metric": "accuracy",
                "step": step,
                "train_loss": loss,
                "dev_loss": 0.7,
                "score": 0.5,
            }
            for failed in outcomes
            for run, end in ((RUN[failed], 0.7), (f"{failed} diverged", None))
            for step, loss in ((0, None), (10, 0.72), (20, end))
        ],
    ).to_csv(folder / "catastrophic_forgetting_curves.csv", index=False)


def test_figure_and_table(tmp_path, run_twice):
    write(tmp_path, (True, False))
    assert run_twice("catastrophic_forgetting", tmp_path) == {
        f"catastrophic_forgetting.{kind}" for kind in KINDS
    }
    failed, successful = pd.read_csv(tmp_path / "first" / "catastrophic_forgetting.csv").to_dict(
        "records"
    )
    assert failed["failed"] and not successful["failed"]
    assert (failed["perplexity_at_0"], failed["max_perplexity"], failed["k_of_max"]) == (
        900,
        float("inf"),
        1,
    )
    # 19 at k = 2 does not last
    assert (failed["k_within_10_percent"], failed["k_under_twice"]) == (5, 4)
    # 8.9 at k = 4 is 11 % away
    assert (successful["k_within_10_percent"], successful["k_under_twice"]) == (5, 1)
    assert failed["last_train_loss"] == pytest.approx(0.7)


@pytest.mark.parametrize(
    ("metric", "said"),
    [
        ("accuracy", ["ln 2 = 0.693", "label entropy 0.691"]),
        ("matthews_correlation", ["ln 2 = 0.693", "label entropy 0.691"]),
        ("pearson", ["variance of the"]),
    ],
)
def test_a_regressions_loss_is_no_entropy(tmp_path, metric, said):
    write(tmp_path, (True, False))
    runs, curves = (
        pd.read_csv(tmp_path / f"catastrophic_forgetting{part}.csv", dtype={"run": str})
        for part in ("", "_curves")
    )
    loss = draw(runs, curves.assign(metric=metric)).subfigs[0].axes[2]
    assert ("nats" in loss.get_ylabel()) == (metric != "pearson")
    labels = [line.get_label() for line in loss.lines if line.get_label()[0] != "_"]
    assert all(any(label.startswith(part) for label in labels) for part in said)
    assert ("ln 2 = 0.693" in labels) == (metric != "pearson")


@pytest.mark.parametrize("outcome", [True, False])
def test_one_class_only(tmp_path, draw_here, outcome):
    write(tmp_path, (outcome,))
    assert len(draw_here(main)) == 4


def test_many_runs_are_the_darker_the_higher_they_score():
    scores = [0.9, 0.5, 0.7, 0.6]
    runs = pd.DataFrame(
        [
            {
                "learning_rate": 2e-4,
                "seed": seed,
                "run": seed,
                "score": score,
                "layers_put_back": k,
                "perplexity": 9.0 - k,
            }
            for seed, score in enumerate(scores)
            for k in (0, 1)
        ]
    )
    _, axes = plt.subplots()
    draw_perplexity(axes, runs, "failed", 100.0)
    drawn = {line.get_color(): line for line in axes.get_lines() if len(line.get_xdata()) == 2}
    assert sorted(drawn, key=float) == [
        line.get_color() for line in (axes.get_lines()[1 + 2 * i] for i in (0, 2, 3, 1))
    ]
    assert axes.get_legend_handles_labels()[1] == [
        "4 runs, scores 50.0 to 90.0; the darker the higher"
    ]


def test_settled():
    assert [
        settled(pd.Series(reached))
        for reached in ([True, True], [True, False, True], [True, False])
    ] == ["0", "2", "never"]


def test_missing_column(tmp_path, draw_here):
    write(tmp_path, (True, False))
    pd.read_csv(path := tmp_path / "catastrophic_forgetting.csv").drop(columns="words").to_csv(
        path, index=False
    )
    with pytest.raises(BadInput, match="lacks the column words"):
        draw_here(main)


def test_perplexities_of_another_model_do_not_stand_beside_these_curves(
    tmp_path, draw_here, capsys
):
    """A second model on the same store, whose perplexity cannot be measured."""
    write(tmp_path, (True, False))
    path = tmp_path / "catastrophic_forgetting_curves.csv"
    curves = pd.read_csv(path, dtype=str)
    curves["run"] = "f" + curves["run"]
    curves["model"] = "other@2"
    curves.to_csv(path, index=False)
    with pytest.raises(BadInput, match="no perplexity of a run in"):
        draw_here(main)
    assert "left out the perplexities of 2 runs" in capsys.readouterr().out
