"""The sections of the page: one an experiment, in the order of run_all.sh."""

from typing import NamedTuple


class Section(NamedTuple):
    name: str
    question: str
    paper: str
    figures: dict[str, str]  # what a figure shows, by its name less the experiment's


# the paper's figure that analysis/published/figures.py draws from its points, by experiment
FIGURE_OF = {
    "strong_baseline": "Fig. 1",
    "catastrophic_forgetting": "Fig. 2",
    "small_datasets": "Fig. 3",
    "vanishing_gradients": "Fig. 4",
    "bias_correction": "Fig. 5",
    "generalization": "Fig. 8",
    "training_length": "Fig. 9",
}
# what a figure without an experiment shows
OTHER_FIGURES = {
    "scorecard_summary": (
        "Marks with 95 % intervals: the failure rates that claims are about, of the published runs,"
        " of the reference results and of these runs"
    ),
    "scorecard_summary_others": (
        "The same for claims on scores, losses, gradients, perplexities and other shares"
    ),
    "benchmark": "Bars: seconds a step of this code beside others' and beside the machine's limit",
    "fast_path": "Box plots: dev scores of runs of the plain and of the fast path",
}
# In the order of run_all.sh.
STUDY = (
    Section(
        "catastrophic_forgetting",
        "Do failed runs fail because they forget what pre-training taught?",
        "4.1, Fig. 2",
        {
            "": (
                "Lines: masked-LM perplexity of failed and of successful runs with more and more"
                " top layers put back to their pre-trained values; training loss and dev score of"
                " failed runs over the steps"
            )
        },
    ),
    Section(
        "small_datasets",
        "Are few examples the cause, or few iterations?",
        "4.2, Fig. 3, Table 4",
        {
            "": (
                "Box plots: dev scores on the full training set, on samples for as many epochs, and"
                " on samples for as many iterations"
            )
        },
    ),
    Section(
        "vanishing_gradients",
        "Do the lower layers of failed runs stop receiving a gradient?",
        "5.1, Figs 4, 10-12",
        {
            "": (
                "Lines: gradient norm of some layers' attention output over the steps, failed run"
                " left, successful run right"
            ),
            "attention": (
                "Lines: gradient norm of some layers' key, query and value over the steps, failed"
                " run left, successful run right"
            ),
            "layers": (
                "Colours: gradient norm at the attention output, by step and layer, failed run"
                " left, successful run right"
            ),
        },
    ),
    Section(
        "bias_correction",
        "Does Adam without bias correction make fine-tuning fail?",
        "5.1, Figs 5, 6, 9",
        {
            "": "Box plots: dev scores by learning rate, without and with bias correction",
            "learning_rate": (
                "Lines: the learning rate that takes effect at each step, without and with bias"
                " correction; their ratio"
            ),
        },
    ),
    Section(
        "effective_learning_rate",
        "Is a missing bias correction nothing but larger first steps?",
        "5.1, Fig. 6",
        {
            "": (
                "Marks with intervals: share of failed runs of each setting over its largest"
                " effective rate, and over the sum of the rates; curves: logistic fits. Right,"
                " points: the first layer's gradient of each run at the end"
            )
        },
    ),
    Section(
        "training_length",
        "Do more iterations help, with and without bias correction?",
        "5.1, Fig. 9",
        {
            "": (
                "Box plots: dev scores by length of training and learning rate, without and with"
                " bias correction"
            )
        },
    ),
    Section(
        "loss_surfaces",
        "Do failed and successful runs end in different places?",
        "7.6, Figs 7, 13",
        {
            "": (
                "Contours: loss and gradient norm on the plane through the pre-trained, a failed"
                " and a successful model"
            ),
            "lines": (
                "Lines: loss along the straight lines between the pre-trained, a failed and a"
                " successful model"
            ),
        },
    ),
    Section(
        "generalization",
        "Does a small training loss cost dev score?",
        "5.2, Figs 8, 14",
        {
            "": (
                "Left, lines: dev score over the steps. Right, points: dev score of each run over"
                " its training loss"
            )
        },
    ),
    Section(
        "strong_baseline",
        "Does the paper's recipe fail less and vary less than the default?",
        "6, Fig. 1, Tables 1, 4",
        {"": "Box plots: dev scores of each recipe"},
    ),
    Section(
        "reinitialization",
        "Does drawing the top layers anew help?",
        "Zhang et al. 2021, Table 1",
        {
            "": (
                "Box plots: dev scores by number of re-initialised layers; and of optimiser,"
                " initialisation, iterations, alone and together"
            )
        },
    ),
    Section(
        "mitigations",
        "What do other remedies do, without and with bias correction?",
        "Zhang et al. 2021, Table 2",
        {"": "Box plots: dev scores of each method, without and with bias correction"},
    ),
    Section(
        "checkpoint_selection",
        "Which checkpoint, and which restart, do I keep?",
        "Dodge et al. 2020, Figs 1, 5",
        {
            "": (
                "Dev scores of the checkpoints that each protocol keeps; expected score of the best"
                " of n restarts"
            )
        },
    ),
    Section(
        "oscillating_scores",
        "Scores jump from epoch to epoch: whose fault, and which do I keep?",
        "none",
        {
            "": (
                "Lines: F1 on dev after every epoch, at a constant rate and with decay; points: how"
                " wide the bands are and how wide dev alone makes them; what the best epoch gains"
                " on the half of dev that chose it and on the other"
            )
        },
    ),
    Section(
        "early_signs",
        "Can a failing run be told early?",
        "none",
        {
            "": "ROC curves: how well the first tenths of training tell which runs will fail",
            "restart": (
                "Lines: mean score and share of failures over the budget, if failing runs are"
                " stopped and others started, or not"
            ),
        },
    ),
    Section(
        "convergence_pitfalls",
        "What do other ways not to converge look like?",
        "none",
        {
            "": (
                "Lines: training loss, dev score and gradient norms over the steps, a line of"
                " panels for each thing done wrong"
            )
        },
    ),
    Section(
        "sources_of_randomness",
        "What decides whether a run fails, its seeds or rounding?",
        "none",
        {
            "": (
                "Left, points with intervals: share of the runs whose fate flips, by what is moved."
                " Right, a map: which runs fail"
            )
        },
    ),
    Section(
        "instability_measures",
        "Do runs with like scores give like answers?",
        "Du and Nguyen 2023",
        {
            "": (
                "Points with intervals: six measures of instability for each recipe; histogram: how"
                " many seeds get an example right"
            )
        },
    ),
    Section(
        "your_data",
        "Do runs fail on data of your own, and what can n seeds tell?",
        "none",
        {
            "": (
                "Box plots: dev scores with the default recipe, the Trainer's own defaults and the"
                " paper's recipe, and how many runs of each failed"
            )
        },
    ),
)
