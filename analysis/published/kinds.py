"""The kinds of claims that several tasks, rates or recipes share: constructors for claims.py."""

from functools import partial

from analysis.published.rules import (
    ABSENT,
    MARGIN,
    PRINTED,
    Claim,
    all_scored,
    fails_no_more,
    one_learns,
    room,
)
from analysis.shared.estimates import (
    mean,
    printed_levene,
    share,
    spread,
)

FAMILIES = {"bert": "BERT", "roberta": "RoBERTa", "albert": "ALBERT"}


TASKS = {"rte": "RTE", "mrpc": "MRPC", "cola": "CoLA", "qnli": "QNLI"}


RATES = ("lowest", "middle", "highest")


BERT = {"family": "bert", "pretrained": True}


RTE = {**BERT, "task": "rte"}


PAPER_MODEL = {"kind": "paper"}


FULL = {"train_examples": None}


UNCORRECTED, CORRECTED = {"bias_correction": False}, {"bias_correction": True}


FAILED, SUCCESSFUL = {"failed": True}, {"failed": False}


SAME_EPOCHS = {"condition": "sample, same epochs"}


SAME_ITERATIONS = {"condition": "sample, same iterations"}


WHOLE = {"condition": "full"}


DEFAULT, PAPER, MIXOUT = {"recipe": "default"}, {"recipe": "paper's recipe"}, {"recipe": "mixout"}


NO_DIFFERENCE = "no difference"


MARGIN_BASIS = (
    f"our margin: {MARGIN} points, about what 25 runs a side can tell apart; the two published sets"
    " of 25 runs of one recipe differ by up to 20 (12 and 7 failed, RTE, 1e-5)"
)


TENFOLD = "our margin: a factor of ten, half of what Sec. 5.1 says (about two orders of magnitude)"


# fields of a run in which the runs that a claim compares rightly differ
BY_CORRECTION = ("bias_correction",)


BY_LENGTH = ("epochs",)


BY_SAMPLE = ("epochs", "train_examples", "sampling_seed")


BY_RECIPE = ("epochs", "bias_correction", "mixout", "dropout", "decay_to_pretrained", "batch_size")


BY_REINITIALIZATION = ("reinitialized_layers",)


BY_RATE_AND_RECIPE = ("learning_rate", "bias_correction", "epochs")


ANYTHING = (  # a claim about every failed run there is
    *("model", "data", "task", "learning_rate", "bias_correction", "epochs", "train_examples"),
    *("sampling_seed", "batch_size", "max_length", "dropout", "decay_to_pretrained"),
)


def correction(family: str, task: str, rank: str, locator: str) -> Claim:
    """Bias correction lets fewer runs fail, at one rate."""
    return Claim(
        f"correction_{family}_{task}_{rank}",
        f"Bias correction lowers the failure rate: {FAMILIES[family]}, {TASKS[task]}, {rank} rate,"
        " 3 epochs",
        locator,
        "bias_correction",
        {"pretrained": True, "family": family, "task": task, **FULL, "rate": rank, "epochs": 3},
        UNCORRECTED,
        CORRECTED,
        share,
        ">",
        0,
        "points of failure rate",
        NO_DIFFERENCE,
        varies=BY_CORRECTION,
    )


def more_iterations(task: str) -> Claim:
    """On a sample, as many iterations as on the whole set let fewer runs fail than as many
    epochs."""
    return Claim(
        f"iterations_{task}",
        f"On a sample of {TASKS[task]}, training for as many iterations as on the whole set lets"
        " fewer runs fail than for as many epochs",
        "Sec. 4.2, Fig. 3",
        "small_datasets",
        {**BERT, "rate": "middle", **UNCORRECTED, "task": task},
        SAME_EPOCHS,
        SAME_ITERATIONS,
        share,
        ">",
        0,
        "points of failure rate",
        NO_DIFFERENCE,
        varies=BY_SAMPLE,
    )


def as_stable(task: str) -> Claim:
    """On a sample, for as many iterations, hardly more runs fail than on the whole set."""
    return Claim(
        f"same_stability_{task}",
        f"On a sample of {TASKS[task]}, for as many iterations, training is as stable as on the"
        f" whole set: at most {MARGIN} points more runs fail (fewer is no contradiction)",
        "Sec. 4.2, Fig. 3",
        "small_datasets",
        {**BERT, "rate": "middle", **UNCORRECTED, "task": task},
        SAME_ITERATIONS,
        WHOLE,
        share,
        "<",
        MARGIN,
        "points of failure rate",
        MARGIN_BASIS,
        needs=(room,),
        varies=BY_SAMPLE,
    )


def no_failure(task: str) -> Claim:
    """As the text says, no run at all fails on a sample for as many iterations."""
    return Claim(
        f"no_failure_{task}",
        f"As the text says: no run fails on a sample of {TASKS[task]} for as many iterations",
        "Sec. 4.2, text",
        "small_datasets",
        {**PAPER_MODEL, **BERT, "rate": "middle", **UNCORRECTED, "task": task},
        SAME_ITERATIONS,
        None,
        share,
        "<",
        MARGIN,
        "% failed",
        MARGIN_BASIS,
        ABSENT,
        varies=BY_SAMPLE,
    )


def gradient(part: str, relation: str, statement: str) -> Claim:
    """The gradient of one part of the model at the end, successful less failed runs."""
    return Claim(
        f"gradient_{part}",
        statement,
        "Sec. 5.1, Fig. 4",
        "all runs",
        {**RTE, **FULL, "rate": "middle", "epochs": 3, **UNCORRECTED},
        SUCCESSFUL,
        FAILED,
        partial(mean, value=f"log_{part}_gradient", heaped=False),
        relation,
        1,
        "orders of magnitude",
        TENFOLD,
    )


def longer(rank: str) -> Claim:
    """20 epochs without correction let fewer runs fail than 3."""
    return Claim(
        f"length_{rank}",
        f"20 epochs without bias correction let fewer runs fail than 3: RTE, {rank} rate",
        "Sec. 5.1, Fig. 9",
        "training_length",
        {**RTE, **FULL, "rate": rank, **UNCORRECTED},
        {"epochs": 3},
        {"epochs": 20},
        share,
        ">",
        0,
        "points of failure rate",
        NO_DIFFERENCE,
        varies=BY_LENGTH,
    )


def longer_and_corrected(rank: str) -> Claim:
    """20 epochs with correction let fewer runs fail than 3 without."""
    return Claim(
        f"length_correction_{rank}",
        f"20 epochs with bias correction let fewer runs fail than 3 without: RTE, {rank} rate",
        "Sec. 6, Fig. 9",
        "training_length",
        {**RTE, **FULL, "rate": rank},
        {"epochs": 3, **UNCORRECTED},
        {"epochs": 20, **CORRECTED},
        share,
        ">",
        0,
        "points of failure rate",
        NO_DIFFERENCE,
        varies=(*BY_LENGTH, *BY_CORRECTION),
    )


def cost_of_correction(epochs: int, published: str) -> Claim:
    """At the lowest rate correction costs score (added: the published points show it)."""
    return Claim(
        f"correction_costs_{epochs}",
        f"Bias correction costs score where runs learn without it: RTE, lowest rate, {epochs}"
        f" epochs, without less with (published points: {published})",
        "Fig. 9, its points; not stated in the text",
        "training_length",
        {**RTE, **FULL, "rate": "lowest", "epochs": epochs},
        UNCORRECTED,
        CORRECTED,
        partial(mean, value="score_points"),
        ">",
        0,
        "points",
        f"{NO_DIFFERENCE}; added after the published difference was seen",
        grounds=(all_scored,),
        varies=BY_CORRECTION,
    )


def recipe_fails_less(task: str) -> Claim:
    """The paper's recipe lets fewer runs fail than the default one."""
    return Claim(
        f"recipe_failures_{task}",
        f"The paper's recipe lets fewer runs fail than the default one: {TASKS[task]}",
        "Sec. 6, Fig. 1",
        "strong_baseline",
        {**BERT, **FULL, "task": task, "rate": "middle"},
        DEFAULT,
        PAPER,
        share,
        ">",
        0,
        "points of failure rate",
        NO_DIFFERENCE,
        varies=BY_RECIPE,
    )


def recipe_varies_less(task: str) -> Claim:
    """The paper's recipe has a lower standard deviation than the default one."""
    return Claim(
        f"recipe_std_{task}",
        "The paper's recipe has a lower standard deviation than the default one:"
        f" {TASKS[task]} (and does not fail more)",
        "Sec. 6, Table 1",
        "strong_baseline",
        {**BERT, **FULL, "task": task, "rate": "middle"},
        DEFAULT,
        PAPER,
        spread,
        ">",
        0,
        "points of std",
        NO_DIFFERENCE,
        needs=(fails_no_more,),
        grounds=(all_scored,),
        varies=BY_RECIPE,
    )


def recipe_scores_more(task: str) -> Claim:
    """The paper's recipe has a higher mean score than the default one."""
    return Claim(
        f"recipe_mean_{task}",
        f"The paper's recipe has a higher mean score than the default one: {TASKS[task]}",
        "Sec. 6, Table 1",
        "strong_baseline",
        {**BERT, **FULL, "task": task, "rate": "middle"},
        PAPER,
        DEFAULT,
        partial(mean, value="score_points"),
        ">",
        0,
        "points",
        NO_DIFFERENCE,
        needs=(one_learns,),
        grounds=(all_scored,),
        varies=BY_RECIPE,
    )


def printed_p(task: str, center: str) -> Claim:
    """Levene's test as Table 1 prints it."""
    return Claim(
        f"levene_{task}_{center}",
        "As printed: Levene's test of the paper's recipe against the recipe with the"
        f" second-smallest standard deviation gives p < 0.001: {TASKS[task]}, {center}-centred",
        "Table 1, asterisks",
        "strong_baseline",
        {**PAPER_MODEL, **BERT, **FULL, "task": task, "rate": "middle"},
        PAPER,
        {},
        partial(printed_levene, center=center),
        "<",
        0.001,
        "(p)",
        "printed; the centre is not said",
        PRINTED,
        varies=BY_RECIPE,
    )


MIXOUT_RUNS = " (its runs without dropout; published: as it seems those of Lee et al., batch 32)"


def mixout(task: str) -> Claim:
    """Mixout lets fewer runs fail than the default recipe."""
    return Claim(
        f"mixout_{task}",
        f"Mixout lets fewer runs fail than the default recipe: {TASKS[task]}{MIXOUT_RUNS}",
        "Fig. 1; Lee et al. 2020",
        "strong_baseline",
        {**BERT, **FULL, "task": task, "rate": "middle"},
        DEFAULT,
        MIXOUT,
        share,
        ">",
        0,
        "points of failure rate",
        NO_DIFFERENCE,
        varies=BY_RECIPE,
    )


def less_than_mixout(task: str) -> Claim:
    """The paper's recipe lets fewer runs fail than Mixout."""
    return Claim(
        f"mixout_less_{task}",
        f"The paper's recipe lets fewer runs fail than Mixout: {TASKS[task]}{MIXOUT_RUNS}",
        "Fig. 1",
        "strong_baseline",
        {**BERT, **FULL, "task": task, "rate": "middle"},
        MIXOUT,
        PAPER,
        share,
        ">",
        0,
        "points of failure rate",
        NO_DIFFERENCE,
        varies=BY_RECIPE,
    )
