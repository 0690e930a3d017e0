"""The scorecard: each kind of claim on results in which it is true, false and undecidable; the
published points; the command."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from conftest import REPOSITORY

from analysis.published.claims import CLAIMS
from analysis.published.evidence import Missing, published, published_points, results
from analysis.published.rules import ABSENT, PRINTED
from analysis.published.scorecard import draw, summary, with_data
from analysis.published.verdicts import FAILS, HOLDS, NO_DATA, OPEN, estimate, evaluate
from analysis.shared.statistics import holm

NOISE = 0.001 * np.sin(np.arange(100))  # a little spread, always the same
VERDICTS = {"true": HOLDS, "false": FAILS, "undecidable": OPEN}


@pytest.fixture
def groups(a_run, tmp_path):
    """A function that writes a CSV of groups of runs: (number of runs, of them failed, columns)."""

    def write(table, *parts):
        rows = []
        for n, failures, columns in parts:
            for i in range(n):
                values = {
                    name: value[i] if isinstance(value, list) else value
                    for name, value in columns.items()
                }
                score = values.pop("score", 0.5 if i < failures else 0.8 + NOISE[i])
                ended = {"train_loss": 0.69, "first_layer_gradient": 1e-4} if i < failures else {}
                rows.append(
                    a_run(
                        score,
                        **{
                            "run": f"r{len(rows)}",
                            "classifier_gradient": 0.5 + NOISE[i],
                            **ended,
                            **values,
                        },
                    )
                )
        pd.DataFrame(rows).to_csv(tmp_path / f"{table}.csv", index=False)

    return write


def corrections(groups, tmp_path, truth):
    few = truth == "undecidable"
    groups(
        "bias_correction",
        *(
            (3 if few else 25, failures, {"bias_correction": corrected})
            for failures, corrected in (
                (2 if few else 20 if truth == "true" else 0, False),
                (1 if few else 0 if truth == "true" else 20, True),
            )
        ),
    )


def lengths(groups, tmp_path, truth):
    n, long_n = (3, 1) if truth == "undecidable" else (25, 25)
    failures = {"true": (20, 0), "false": (0, 20), "undecidable": (2, 0)}[truth]
    groups(
        "training_length",
        (n, failures[0], {}),
        (long_n, failures[1], {"epochs": 20, "bias_correction": True}),
    )


def samples(groups, tmp_path, truth):
    n, failures = {"true": (40, 0), "false": (40, 35), "undecidable": (3, 0)}[truth]
    common = {"task": "cola"}
    groups(
        "small_datasets",
        (n, 0, {**common, "condition": "full"}),
        (n, failures, {**common, "condition": "sample, same iterations", "train_examples": 400}),
    )


def forgetting(groups, tmp_path, truth):
    ratio, n = {"true": (1e4, 10), "false": (1.1, 10), "undecidable": (1e2, 2)}[truth]
    common = {
        "task": "rte",
        "model": "checkpoint@1",
        "data": "mini@1",
        "learning_rate": 3e-4,
        "embeddings": "pre-trained",
        "text": "mini",
        "score": 0.5,
        "words": 9,
        "layers": 4,
        "pretrained_perplexity": 3.0,
    }
    pd.DataFrame(
        [
            {
                **common,
                "seed": i,
                "run": f"{failed}{i}",
                "failed": failed,
                "layers_put_back": k,
                "perplexity": (
                    3
                    * (
                        (ratio if failed else 1.05)
                        * 10 ** (i % 3 * (1 if truth == "undecidable" else 0.01))
                        if k < 1
                        else 1
                    )
                ),
            }
            for failed in (True, False)
            for i in range(n)
            for k in range(5)
        ],
    ).to_csv(tmp_path / "catastrophic_forgetting.csv", index=False)


def gradients(groups, tmp_path, truth):
    n, norms = {"true": (12, 1e-4), "false": (12, 0.09), "undecidable": (1, 1e-4)}[truth]
    groups(
        "bias_correction",
        (n, n, {"first_layer_gradient": list(norms * (1 + NOISE))}),
        (n, 0, {"first_layer_gradient": list(0.1 + NOISE)}),
    )


def losses(groups, tmp_path, truth):
    n = 4 if truth == "undecidable" else 60
    x = np.linspace(0.01, 0.4, n)
    scores = 0.8 + {"true": -0.2, "false": 0.2, "undecidable": 0.05}[truth] * (
        x if n > 4 else np.array([0, 2, 1, 3])
    )
    groups("generalization", (n, 0, {"train_loss": list(x), "score": list(scores + NOISE[:n])}))


def surfaces(groups, tmp_path, truth):
    n, rise = {"true": (16, 0.5), "false": (16, 0), "undecidable": (3, 0.5)}[truth]
    pd.DataFrame(
        [
            {
                "task": "rte",
                "model": "checkpoint@1",
                "data": "mini@1",
                "failed_run": f"f{i}",
                "successful_run": f"s{i}",
                "learning_rate": 3e-4,
                "line": "failed to successful",
                "position": x,
                "gradient_norm": 1.0,
                "loss": 0.7 - 0.5 * x + (rise if x == 0.5 else 0),
            }
            for i in range(n)
            for x in (0, 0.5, 1)
        ],
    ).to_csv(tmp_path / "loss_surfaces_lines.csv", index=False)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("truth", VERDICTS)
@pytest.mark.parametrize(
    ("make", "claim"),
    [
        (corrections, "correction_bert_rte_middle"),
        (lengths, "length_correction_middle"),
        (samples, "same_stability_cola"),
        (forgetting, "forgetting_failed"),
        (gradients, "gradient_first_layer"),
        (losses, "small_loss_rank"),
        (surfaces, "surface_separated"),
    ],
)
def test_a_true_a_false_and_an_undecidable_claim(make, claim, truth, groups, tmp_path):
    make(groups, tmp_path, truth)
    row = evaluate(results(tmp_path)).loc[claim]
    assert row["verdict"] == VERDICTS[truth], row
    assert np.isfinite(row["effect"]) and row["n"] != "-"


def test_the_rest_of_what_forgetting_and_gradients_claim(groups, tmp_path):
    forgetting(groups, tmp_path, "true")
    gradients(groups, tmp_path, "true")
    table = evaluate(results(tmp_path))
    several = ["forgetting_more", "gradient_classifier", "failed_at_label_entropy"]
    assert (table.loc[several, "n"] == ["10 and 10", "12 and 12", "12"]).all()
    assert (
        table.loc["forgetting_more", "verdict"]
        == table.loc["gradient_classifier", "verdict"]
        == HOLDS
    )
    assert table.loc["forgetting_top_layers", "effect"] == 0.25  # one of four layers
    assert "no spread" in table.loc["forgetting_top_layers", "remark"]


def test_four_runs_in_a_group_decide_nothing(groups, tmp_path):
    """Four runs of the paper's recipe, far above ten of the default one: Welch's p is tiny, and
    yet the claim stays open."""
    scores = {n: [0.9 + 0.01 * i for i in range(n)] for n in (4, 5)}
    for n, verdict in ((4, OPEN), (5, HOLDS)):
        groups(
            "strong_baseline",
            (10, 0, {"recipe": "default", "score": list(0.6 + NOISE[:10])}),
            (
                n,
                0,
                {
                    "recipe": "paper's recipe",
                    "epochs": 20,
                    "bias_correction": True,
                    "score": scores[n],
                },
            ),
        )
        row = evaluate(results(tmp_path)).loc["recipe_mean_rte"]
        assert row["p_holm"] < 0.05 and row["verdict"] == verdict


def test_a_claim_of_the_whole_set_is_not_judged_on_a_sample(groups, tmp_path):
    recipe = {"recipe": "paper's recipe", "epochs": 20, "bias_correction": True}
    for examples, verdict in ((float("nan"), HOLDS), (400.0, NO_DATA)):
        groups(
            "strong_baseline",
            (12, 11, {"recipe": "default", "train_examples": examples}),
            (12, 0, {**recipe, "train_examples": examples}),
        )
        assert evaluate(results(tmp_path)).loc["mixout_less_rte", "verdict"] == NO_DATA
        assert evaluate(results(tmp_path)).loc["recipe_mean_rte", "verdict"] == verdict


def test_lines_without_the_one_between_two_runs_are_no_data(groups, tmp_path):
    surfaces(groups, tmp_path, "true")
    path = tmp_path / "loss_surfaces_lines.csv"
    path.write_text(path.read_text().replace("failed to successful", "pre-trained to failed"))
    assert evaluate(results(tmp_path)).loc["surface_separated", "verdict"] == NO_DATA


def test_a_regression_has_no_label_entropy(groups, tmp_path):
    groups(
        "bias_correction", (12, 12, {"metric": "pearson", "train_loss": list(0.69 + NOISE[:12])})
    )
    assert evaluate(results(tmp_path)).loc["failed_at_label_entropy", "verdict"] == NO_DATA


def test_a_seed_that_two_versions_of_the_code_trained_counts_once(groups, tmp_path):
    seeds = {name: list(range(12)) for name in ("head_seed", "order_seed", "dropout_seed")}
    losses = {"train_loss": list(0.69 + NOISE[:12])}
    groups("bias_correction", (12, 12, {**seeds, **losses}))
    groups(
        "strong_baseline",
        (12, 12, {**seeds, **losses, "recipe": "default", "run": [f"newer{i}" for i in range(12)]}),
    )
    assert evaluate(results(tmp_path)).loc["failed_at_label_entropy", "n"] == "12"


def test_two_checkpoints_of_one_name_are_not_judged_together(groups, tmp_path):
    groups(
        "bias_correction",
        (12, 9, {}),
        (12, 0, {"bias_correction": True, "model": "checkpoint@other"}),
    )
    row = evaluate(results(tmp_path)).loc["correction_bert_rte_middle"]
    assert row["verdict"] == NO_DATA and "differ in model" in row["remark"]


def test_failed_runs_away_from_the_label_entropy_contradict(groups, tmp_path):
    groups("bias_correction", (12, 12, {"train_loss": list(0.4 + NOISE[:12])}))
    assert evaluate(results(tmp_path)).loc["failed_at_label_entropy", "verdict"] == FAILS
    groups("bias_correction", (12, 12, {"train_loss": list(0.69 + NOISE[:12])}))
    assert evaluate(results(tmp_path)).loc["failed_at_label_entropy", "verdict"] == HOLDS


def test_recipes_and_what_is_printed(groups, tmp_path):
    """Scores of a wide and a narrow recipe; 25 runs of each. The print is about the paper's
    models, not about mini."""
    wide, narrow = list(0.6 + 0.3 * np.sin(np.arange(25))), list(0.9 + NOISE[:25])

    def write(**columns):
        groups(
            "strong_baseline",
            (25, 0, {"recipe": "default", "score": wide, **columns}),
            (
                25,
                0,
                {
                    "recipe": "paper's recipe",
                    "score": narrow,
                    "epochs": 20,
                    "bias_correction": True,
                    **columns,
                },
            ),
        )
        return evaluate(results(tmp_path))

    table = write()
    assert (table.loc[["recipe_std_rte", "recipe_mean_rte"], "verdict"] == HOLDS).all()
    assert table.loc["levene_rte_mean", "remark"] == "no run of a model of the paper"
    table = write(model="google/bert-large-uncased@1", data="glue@1", learning_rate=2e-5)
    assert (
        table.loc[["levene_rte_mean", "levene_rte_median", "recipe_std_rte"], "verdict"] == HOLDS
    ).all()
    assert table.loc["levene_mrpc_mean", "remark"] == "no run on MRPC"
    wide, narrow = narrow, wide
    table = write(model="google/bert-large-uncased@1", data="glue@1", learning_rate=2e-5)
    assert (table.loc[["recipe_std_rte", "recipe_mean_rte"], "verdict"] == FAILS).all()


def test_runs_of_several_kinds_are_not_judged_together(groups, tmp_path):
    groups(
        "bias_correction",
        *(
            (
                25,
                20 * (not corrected),
                {"bias_correction": corrected, "model": f"checkpoint@{n}", "dtype": dtype},
            )
            for n, dtype in ((1, "float32"), (2, "bfloat16"))
            for corrected in (False, True)
        ),
    )
    row = evaluate(results(tmp_path)).loc["correction_bert_rte_middle"]
    assert row["verdict"] == NO_DATA and "dtype" in row["remark"]


def test_the_published_points():
    table = evaluate(published)
    assert (
        table.loc[["levene_rte_mean", "levene_rte_median", "no_failure_mrpc"], "verdict"] == FAILS
    ).all()
    assert set(table["verdict"]) == {*VERDICTS.values(), NO_DATA}
    assert (
        table.loc[
            [f"correction_bert_rte_{rank}" for rank in ("lowest", "middle", "highest")], "verdict"
        ]
        == HOLDS
    ).all()
    # 23 and 20 of 25 in Figs 9 and 5, and 1 of 26 and 0 of 25
    assert table.loc["correction_bert_rte_middle", "effect"] == pytest.approx(
        100 * (43 / 50 - 1 / 51)
    )
    assert table.loc["recipe_mean_rte", "effect"] == pytest.approx(67.26 - 50.86, abs=0.02)
    assert table.loc["gradient_first_layer", "effect"] == pytest.approx(
        np.log10(1.39 / 1.37e-4), abs=0.01
    )
    assert table.loc["levene_mrpc_median", "effect"] == pytest.approx(0.0021, abs=5e-5)
    assert table.loc["failed_at_label_entropy", ["verdict", "n"]].tolist() == [HOLDS, "135"]
    # k from which perplexity is under twice the pre-trained one: 18, 10, 8 of 24
    assert table.loc["forgetting_top_layers", "effect"] == pytest.approx((18 + 10 + 8) / 72)
    assert table.loc["surface_separated", "remark"] == "no points published"


def test_claims_are_well_formed():
    assert len({claim.id for claim in CLAIMS}) == len(CLAIMS)
    assert all(
        claim.relation in (">", "<", "within") and claim.basis and claim.locator and claim.statement
        for claim in CLAIMS
    )
    assert {claim.rule for claim in CLAIMS} == {"tested", PRINTED, ABSENT}


def test_holm_by_hand():
    """Of four, in order: 4 x 0.01, 3 x 0.015, 2 x 0.03, 1 x 0.04 not below the one before."""
    assert holm([0.04, 0.01, np.nan, 0.015, 0.03]) == pytest.approx(
        [0.06, 0.04, np.nan, 0.045, 0.06], nan_ok=True
    )
    assert holm([0.9, 0.8]) == pytest.approx([1, 1]) and len(holm([])) == 0


def test_a_mark_for_each_source_that_has_data(groups, tmp_path):
    corrections(groups, tmp_path, "true")
    evaluated = {"published: x": evaluate(published), "yours: mini": evaluate(results(tmp_path))}
    figure = draw(evaluated, with_data(evaluated))
    rates = next(axes for axes in figure.axes if axes.get_xlabel() == "points of failure rate")
    (said,) = [tick.get_text() for tick in rates.get_yticklabels()]
    assert said == "Bias correction lowers the failure rate: BERT, RTE, middle rate, 3 epochs (>)"
    marks = [line for line in rates.lines if line.get_marker() in "so"]
    assert [line.get_marker() for line in marks] == ["s", "o"]
    assert [line.get_xdata()[0] for line in marks] == pytest.approx(
        [table.loc["correction_bert_rte_middle", "effect"] for table in evaluated.values()]
    )
    # without runs of ours there is nothing to carry over
    assert len(summary({"published: x": evaluate(published)})) == 0


def test_same_bytes_twice_without_torch(run_twice, groups, tmp_path):
    corrections(groups, tmp_path, "true")
    surfaces(groups, tmp_path, "true")
    assert run_twice("scorecard", tmp_path) == {
        f"{name}.{kind}"
        for name in ("scorecard", "scorecard_summary", "comparison")
        for kind in ("md", "csv")
    } | {f"scorecard_summary{part}.{kind}" for part in ("", "_others") for kind in ("png", "pdf")}
    table = pd.read_csv(tmp_path / "first" / "scorecard.csv", index_col="claim")
    assert list(table.index) == [claim.id for claim in CLAIMS]
    assert table.loc["correction_bert_rte_middle", "yours_verdict"] == HOLDS
    assert table.loc["levene_rte_mean", "published_verdict"] == FAILS
    text = (tmp_path / "first" / "scorecard.md").read_text(encoding="utf-8")
    assert (
        "yours: mini" in text
        and "no evidence" in " ".join(text.split())
        and str(tmp_path) not in text
        and str(REPOSITORY) not in text
    )
    assert len({line.count("|") for line in text.splitlines() if line.startswith("|")}) == 1


def command(tmp_path, *flags):
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "analysis.published.scorecard",
            "--results",
            tmp_path,
            "--figures",
            tmp_path / "figures",
            *flags,
        ],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )


def test_status(groups, tmp_path):
    done = command(tmp_path, "--strict")  # nothing there
    assert (
        done.returncode == 0
        and not done.stderr
        and "yours: no runs: 0 hold, 0 do not hold" in done.stdout
    )
    table = pd.read_csv(tmp_path / "figures" / "scorecard.csv", index_col="claim")
    assert (table["yours_verdict"] == NO_DATA).all() and table.loc[
        "length_lowest", "yours_remark"
    ] == "no training_length.csv"
    assert max(map(len, done.stdout.splitlines()[:50])) <= 100
    corrections(groups, tmp_path, "true")
    assert command(tmp_path, "--strict").returncode == 0
    corrections(groups, tmp_path, "false")
    assert command(tmp_path).returncode == 0
    assert command(tmp_path, "--strict").returncode == 1
    missing = command(tmp_path / "nowhere")
    assert (
        missing.returncode == 2
        and missing.stderr.startswith("error: no folder")
        and missing.stderr.count("\n") == 1
    )


def test_every_reference_has_its_column(tmp_path):
    done = command(tmp_path, "--profile", "paper")
    assert done.returncode == 0 and done.stdout.splitlines()[0].split() == [
        "claim",
        "published",
        "mini",
        "small",
        "yours",
    ]


def test_a_csv_that_cannot_be_used_says_so(tmp_path):
    (tmp_path / "bias_correction.csv").write_text("run,score\n")
    (tmp_path / "loss_surfaces_lines.csv").write_text("a,b\n1,2\n")
    for claim in (
        claim for claim in CLAIMS if claim.table in ("bias_correction", "loss_surfaces_lines")
    ):
        with pytest.raises(Missing, match="cannot be used"):
            estimate(claim, results(tmp_path))


def test_the_published_points_as_our_results_give_the_published_verdicts(tmp_path):
    """The same code on both: Fig. 9's points, written as a training_length.csv."""
    points = published_points()
    points = points[points["locator"] == "Fig. 9"].assign(
        run=lambda rows: rows.index.astype(str), train_loss=0.1
    )
    points.to_csv(tmp_path / "training_length.csv", index=False)
    ids = [claim.id for claim in CLAIMS if claim.table == "training_length"]
    assert (
        evaluate(results(tmp_path)).loc[ids, "effect"].tolist()
        == evaluate(published).loc[ids, "effect"].tolist()
    )
