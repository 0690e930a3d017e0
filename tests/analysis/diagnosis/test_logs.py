"""Logs of all forms, and files that are none."""

import base64
import json
import math
import time
import zlib

import numpy as np
import pytest
from builders import DEV, a_result

from analysis.diagnosis.columns import from_records
from analysis.diagnosis.folders import read_logs
from analysis.diagnosis.logs import read_text
from analysis.shared.reading import BadInput

HISTORY = [
    {"epoch": 0.5, "step": 50, "loss": 0.7, "grad_norm": 2.0, "learning_rate": 1e-5},
    {"epoch": 1.0, "step": 100, "eval_loss": 0.6, "eval_accuracy": 0.7, "eval_runtime": 2.0,
     "eval_samples_per_second": 150.0},
    {"epoch": 1.0, "step": 100, "loss": 0.65, "grad_norm": 1.0},
    {"epoch": 1.0, "step": 100, "train_runtime": 9.0, "train_loss": 0.675},
]  # fmt: skip
STATE = {"log_history": HISTORY, "max_steps": 100, "global_step": 100}


def console(history):
    return "\n".join(str({k: v for k, v in row.items() if k != "step"}) for row in history)


def as_csv(history):
    names = ["step", "loss", "eval_loss", "eval_accuracy"]
    rows = [",".join(str(row.get(name, "")) for name in names) for row in history[:3]]
    return "\n".join([",".join(names), *rows]) + "\n"


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(STATE),
        json.dumps(HISTORY),
        console(HISTORY),
        "\n".join(map(json.dumps, HISTORY)),
        as_csv(HISTORY),
        as_csv(HISTORY).replace(",", ";"),
        # transformers 5 prints numbers in quotation marks; a progress bar stands before
        "\n".join(f"50%|##| 1/2 { ({k: str(v) for k, v in row.items()}) }" for row in HISTORY),
    ],
)
def test_the_same_log_in_every_form(text):
    log = read_text(text, "a log")
    assert log.training.loss.tolist() == [0.7, 0.65]
    assert log.evaluations.loss.tolist() == [0.6] and log.evaluations.other.tolist() == [0.7]
    assert log.metric == "eval_accuracy"
    if "train_runtime" in text:
        assert log.mean_loss == 0.675 and log.dev_examples == 300 and not log.notes
    if "'step'" in text or '"step"' in text:
        assert log.training.step.tolist() == [50, 100]


ROWS = [("1", "No log", "0.6925", "0.5271"), ("2", "0.6998", "0.6918", "0.6")]
NAMES = ("Epoch", "Training Loss", "Validation Loss", "Accuracy")
PASTED = {
    "a notebook's table": "\n".join("\t".join(row) for row in (NAMES, *ROWS)),
    "without tabs": "\n".join(" ".join(row) for row in (NAMES, *ROWS)),
    "a model card": "The results:\n\n| {} |\n|:-:|:-:|:-:|:-:|\n| {} |\n| {} |\n".format(
        *(" | ".join(row) for row in (NAMES, *ROWS))
    ),
    "fastai": "epoch     train_loss  valid_loss  accuracy  time\n"
    "1         -  0.6925  0.5271  00:41\n2         0.6998  0.6918  0.6  00:40\n",
    "W&B": '"Step","run - train/loss","run - train/loss__MIN","run - eval/loss","run - eval/'
    'accuracy"\n1,,,0.6925,0.5271\n2,0.6998,0.6998,0.6918,0.6\n',
    "a spreadsheet": "sep=;\nStep;Loss;Eval Loss;Eval Accuracy\n1;;0.6925;0.5271\n"
    "2;0.6998;0.6918;0.6\n",
    "lines of a logger": "12:00 - INFO - epoch 1 eval_loss = 0.6925, dev acc = 0.5271\n"
    "12:01 - INFO - epoch 2 loss = 0.6998 eval_loss = 0.6918 dev acc = 0.6\n",
}


@pytest.mark.parametrize("name", PASTED)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_tables_as_people_paste_them(tmp_path, name, encoding):
    path = tmp_path / "a log"
    path.write_text(PASTED[name], encoding=encoding)
    (log,) = read_logs(path)
    assert log.training.known("loss")[1].tolist() == [0.6998]
    assert log.evaluations.loss.tolist() == [0.6925, 0.6918]
    assert log.evaluations.other.tolist() == [0.5271, 0.6]
    assert not log.notes


KERAS = """Epoch 1/2
 10/78 [==>......] - ETA: 0:30 - loss: 0.8 - accuracy: 0.4
78/78 [=======] - 41s 523ms/step - loss: 0.7 - accuracy: 0.5{}
Epoch 2/2
78/78 [=======] - 41s 523ms/step - loss: 0.65 - accuracy: 0.6{}
"""


def test_what_keras_prints():
    validated = KERAS.format(*(f" - val_loss: {x} - val_accuracy: 0.7" for x in (0.6, 0.5)))
    for text in (validated, validated.replace("- loss", "\x1b[1m- loss")):
        log = read_text(text, "a log")
        assert log.training.loss.tolist() == [0.7, 0.65]
        assert log.evaluations.loss.tolist() == [0.6, 0.5] and log.metric == "val_accuracy"
    log = read_text(validated + "Test loss: 0.48\n", "evaluated at the end")
    assert log.training.loss.tolist() == [0.7, 0.65]
    one = read_text(KERAS[: KERAS.index("Epoch 2")].format(""), "one epoch")
    assert one.training.loss.tolist() == [0.7]
    # without validation the last line of each epoch; the accuracy is training's own
    log = read_text(KERAS.format("", ""), "a log")
    assert log.training.loss.tolist() == [0.7, 0.65] and not len(log.evaluations)
    assert log.metric is None and "accuracy is taken for training's" in log.notes[0]
    log = read_text("{'loss': [0.7, 0.6], 'val_loss': [0.6, 0.5]}", "Python's history")
    assert log.evaluations.loss.tolist() == [0.6, 0.5]


@pytest.mark.parametrize(
    "text",
    [
        "Epoch 1\nTrain loss: 0.6 | Val. loss: 0.5\nEpoch 2\nTrain loss: 0.3 | Val. loss: 0.4\n",
        "train_loss: 0.6\nval_loss: 0.5\ntrain_loss: 0.3\nval_loss: 0.4\n",
        "Epoch 1/2\nstep 10 loss: 0.6\neval_loss: 0.5\n"
        "Epoch 2/2\nstep 20 loss: 0.3\neval_loss: 0.4\n",
        "Here is my loss per epoch:\n{'loss': 0.6}\n{'eval_loss': 0.5}\n{'loss': 0.3}\n"
        "{'eval_loss': 0.4, 'train_runtime': 1}\n",
        "Tracking: accuracy, loss\n{'loss': 0.6}\n{'eval_loss': 0.5}\n{'loss': 0.3}\n"
        "{'eval_loss': 0.4, 'train_runtime': 1}\n",
        "# My model\n" + "prose about the loss\n" * 70 + "- Loss: 0.4\n\n"
        "| Training Loss | Epoch | Validation Loss |\n|:-:|:-:|:-:|\n| 0.6 | 1 | 0.5 |\n"
        "| 0.3 | 2 | 0.4 |\n",
    ],
)
def test_lines_and_prose(text):
    log = read_text(text, "a log")
    assert log.training.loss.tolist() == [0.6, 0.3]
    assert log.evaluations.loss.tolist() == [0.5, 0.4]


def test_an_accuracy_beside_the_loss():
    """Of a CSV with steps it is an evaluation's; of Keras' logger, with epochs, training's."""
    rows = "1,0.69,0.55\n2,0.5,0.75\n"
    assert read_text("step,loss,accuracy\n" + rows, "a CSV").metric == "accuracy"
    log = read_text("epoch,loss,accuracy\n" + rows, "Keras'")
    assert log.metric is None and "--score accuracy reads it" in log.notes[0]
    assert read_text("epoch,loss,accuracy\n" + rows, "Keras'", "accuracy").metric == "accuracy"
    assert read_text("epoch,loss,mcc\n" + rows, "a CSV").metric == "mcc"


def test_a_curve_that_does_not_say_of_what():
    with pytest.raises(BadInput, match="TensorBoard exports it.*columns step, loss, eval_loss"):
        read_text("Wall time,Step,Value\n1.7e9,10,0.7\n", "a curve")
    with pytest.raises(BadInput, match="first line is 'the loss did not move'"):
        read_text("the loss did not move\n", "prose")


def test_a_folder_of_seeds(tmp_path):
    """Folders and files, a seed each; what is no log is named."""
    for seed in (1, 2):
        (tmp_path / f"seed_{seed}").mkdir()
        (tmp_path / f"seed_{seed}" / "trainer_state.json").write_text(json.dumps(STATE))
    (tmp_path / "all.csv").write_text(as_csv(HISTORY))  # beside folders a summary
    (tmp_path / "code.py").write_text("loss = 1\n")
    (tmp_path / "seed_4").mkdir()  # crashed before its first checkpoint
    logs = read_logs(tmp_path)
    names = [log.name.rpartition("/")[2] for log in logs]
    assert names == ["seed_1", "seed_2"] and "left out: seed_4, all.csv in" in logs[0].notes[-1]
    for folder in (tmp_path / "files", tmp_path / "runs"):
        folder.mkdir()
        for name in ("seed_1.csv", "seed_2.csv"):
            (folder / name).write_text(as_csv(HISTORY))
        (folder / "config.json").write_text("{}")
        (folder / "all_results.json").write_text('{"eval_loss": 0.6, "eval_accuracy": 0.7}')
        logs = read_logs(folder)
        names = [log.name.rpartition("/")[2] for log in logs]
        assert names == ["seed_1.csv", "seed_2.csv"]
        assert "left out: all_results.json, config.json in" in logs[0].notes[-1]


@pytest.mark.parametrize(
    ("columns", "score", "other"),
    [
        ({"eval_accuracy": [0.8], "eval_f1": [0.0]}, "eval_f1", ""),  # every answer is "no"
        ({"eval_accuracy": [0.8], "eval_f1": [0.7]}, "eval_accuracy", ""),
        ({"eval_overall_f1": [0.5], "eval_overall_accuracy": [0.9]}, "eval_overall_f1", ""),
        ({"eval_mse": [2.2]}, None, "mse"),
        ({"eval_pearson": [0.5], "eval_mse": [2.2]}, "eval_pearson", ""),
        ({"eval_f1": [0.8], "eval_exact_match": [0.7]}, "eval_f1", "exact_match"),
        ({"eval_gleu": [0.8]}, None, ""),
    ],
)
def test_which_score_is_looked_at(columns, score, other):
    log = read_text(json.dumps({"loss": [0.7], "eval_loss": [0.7], **columns}), "a log")
    assert (log.metric, log.other_task) == (score, other)
    unknown = " ".join(set(columns)) if score is None else ""
    assert unknown in " ".join(log.notes) and len(log.notes) == bool(unknown)


TABLE = PASTED["a notebook's table"]


@pytest.mark.parametrize(
    "behind",
    [
        "\nTrainOutput(global_step=468, training_loss=0.53, metrics={'train_runtime': 300.1,"
        " 'train_loss': 0.53, 'epoch': 3.0})",
        "\n{'eval_loss': 0.48, 'eval_accuracy': 0.79, 'epoch': 3.0}",
    ],
)
def test_what_stands_behind_a_table_is_not_read(behind):
    log = read_text(TABLE + behind, "a log")
    assert log.training.known("loss")[1].tolist() == [0.6998]
    assert log.evaluations.loss.tolist() == [0.6925, 0.6918]


@pytest.mark.parametrize(
    "lines",
    [
        "epoch 1/2 loss: 0.6\nepoch 2/2 loss: 0.3\n",
        "Step 10/20 | loss: 0.6\nStep 20/20 | loss: 0.3\n",
        "[1/2] loss: 0.6 acc: 0.5\n[2/2] loss: 0.3 acc: 0.9\n",
        "\nit,loss,lr\n10,0.6,1\n20,0.3,1\n",
        "# my run\nit,loss,lr\n10,0.6,1\n20,0.3,1\n",
        "| Iter | Loss |\n|---|---|\n| 1 | 0.6 |\n| 2 | 0.3 |\n",
    ],
)
def test_training_losses_of_a_loop_of_ones_own(lines):
    assert read_text(lines, "a log").training.loss.tolist() == [0.6, 0.3]


@pytest.mark.parametrize(
    ("late", "losses", "said"),
    [
        ((2.77, 2.77), [0.6925, 0.6925], "4 times the dev loss of 0.693"),
        ((1.2, 1.2), [1.2, 1.2], ""),  # 1.7 times
        ((0.9, 0.9), [0.9, 0.9], ""),
        ((0.1, 0.1), [0.1, 0.1], ""),
        ((2.77, 1.5), [2.77, 1.5], ""),  # it falls: a mean over steps at which it was higher
        ((1.39,), [1.39], ""),  # likewise, perhaps
    ],
)
def test_training_losses_of_another_scale(late, losses, said):
    """Four micro-batches, whose losses are summed; and what is no whole multiple."""
    rows = [f"{10 * i},{loss}," for i, loss in enumerate(late, 1)]
    log = read_text("\n".join(["step,loss,eval_loss", *rows]) + "0.6925\n", "a log")
    assert log.training.known("loss")[1].tolist() == pytest.approx(losses)
    assert said in " ".join(log.notes) and len(log.notes) == bool(said)


@pytest.mark.parametrize("name", ["epoch", "eval_loss", "loss"])
def test_what_is_no_score(name):
    with pytest.raises(BadInput, match="is no score of the model's answers"):
        read_text(json.dumps(STATE), "a log", name)
    table = "step,loss,val_balanced_accuracy\n1,0.7,0.5\n"
    assert read_text(table, "a log", "balanced_accuracy").metric == "val_balanced_accuracy"


def test_what_is_no_number_is_told_from_what_is_missing():
    lines = "{'loss': 0.7, 'epoch': 1}\n{'loss': 'nan', 'grad_norm': inf, 'epoch': 2}\n"
    log = read_text(lines, "a log")
    assert log.training.broken.tolist() == [False, True]
    assert math.isnan(log.training.loss[1])
    log = read_text("step,loss,accuracy\n1,0.7,\n2,nan,\n3,,0.5\n", "a CSV")
    assert log.training.broken.tolist() == [False, True] and len(log.evaluations) == 1
    # a table whose missing cells read nan
    log = read_text("step,loss,eval_loss\n1,0.7,nan\n2,nan,0.6\n", "a CSV")
    assert not log.training.broken.any() and not log.evaluations.broken.any()


def test_folders(tmp_path):
    for step in (50, 100, 9):
        folder = tmp_path / "run" / f"checkpoint-{step}"
        folder.mkdir(parents=True)
        state = {**STATE, "global_step": step, "log_history": HISTORY[: 1 if step < 100 else 4]}
        (folder / "trainer_state.json").write_text(json.dumps(state))
    assert len(read_logs(tmp_path / "run")[0].training) == 2  # of the last, by number
    (going,) = read_logs(tmp_path / "run" / "checkpoint-50")
    assert "step 50 of 100" in going.notes[0]
    (tmp_path / "run" / "trainer_state.json").write_text(json.dumps(STATE))
    assert read_logs(tmp_path / "run")[0].name == str(tmp_path / "run")


def test_a_run_of_our_own_store(tmp_path):
    record = {"schema": 4, "run": {"task": "rte", "head_seed": 3}, **a_result(0.5, steps=2)}
    record["outcome"]["label_entropy"] = 0.69
    record["history"]["evaluations"][-1] = {"step": 2, "accuracy": 0.6, "dev_loss": 0.65}
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "a.json").write_text(json.dumps(record))
    (log,) = read_logs(tmp_path)
    assert log.training.loss.tolist() == [0.7, 0.7] and log.evaluations.step.tolist() == [2]
    assert (log.label_entropy, log.constant_level) == (0.69, 0.5) and "seed 3" in log.name


@pytest.mark.parametrize("end", ['"outcome": {', '"history": {', '"dev_margins"'])
def test_a_cut_run_of_a_store_is_no_log(tmp_path, end):
    """Its outcome alone would read as a record with a loss."""
    record = {"schema": 4, "run": {"task": "rte", "head_seed": 3}, **a_result(0.9)}
    text = json.dumps(record)
    (tmp_path / "runs").mkdir()
    cut = tmp_path / "runs" / "a.json"
    cut.write_text(text[: text.index(end) + len(end)])
    for path in (tmp_path, tmp_path / "runs", cut):
        with pytest.raises(BadInput, match="is a run of a store that was cut off"):
            read_logs(path)
    (tmp_path / "runs" / "b.json").write_text(text)
    (log,) = read_logs(tmp_path)
    assert "b.json (rte, seed 3)" in log.name and "a.json is a run" in log.notes[0]


@pytest.mark.parametrize("metric", ["token_f1", "entity_f1"])
def test_a_stored_run_of_words_has_counts_in_the_place_of_margins(metric):
    """Of 300 sentences, in base 85: as base 64 they are no text, or another number of examples."""
    counts = base64.b85encode(zlib.compress(bytes(600), 9)).decode()
    record = {"schema": 4, "run": {"task": "tagging", "head_seed": 3}, **a_result(metric=metric)}
    record["history"]["dev_margins"] = [counts] * 2
    log = read_text(json.dumps(record), "a run")
    assert log.dev_examples is None and log.metric == metric


def test_a_stored_run_with_margins_that_cannot_be_read():
    record = {"schema": 4, "run": {"task": "rte", "head_seed": 3}, **a_result(0.5)}
    assert read_text(json.dumps(record), "a run").dev_examples == DEV
    record["history"]["dev_margins"] = ["c$@)^"] * 2
    with pytest.raises(BadInput, match="looks like a run of a store"):
        read_text(json.dumps(record), "a run")


def write(path, content):
    if content is not None:
        path.write_bytes(content)
    else:
        path.mkdir()
    return path


BAD = {
    "a log without a loss": (b"{'grad_norm': 1.0, 'epoch': 1.0}\n", "has no loss"),
    "a state without a loss": (json.dumps({"log_history": []}).encode(), "has no loss"),
    "no UTF-8": ("{'loss': 0.7} é".encode("latin-1"), "is no UTF-8"),
    "binary": (b"\x80\x02}q\x00.", "is no UTF-8"),
    "empty": (b"", "is empty"),
    "blank": (b" \n\n", "is empty"),
    "a folder without a log": (None, "holds no log"),
    "JSON of another kind": (b'{"hidden_size": 64}', "JSON of another kind"),
    "a list of numbers": (b"[1, 2]", "JSON of another kind"),
    "a store's run without its history": (
        b'{"run": {}, "outcome": {}, "history": {}}',
        "looks like a run of a store",
    ),
    "prose": (b"it did not converge\n", "holds no record"),
    "a CSV of something else": (b"step,time\n1,2\n", "holds no record"),
    "a CSV cut in a quotation": (b'step,loss\n1,"0.7\n', "has no loss|is no CSV"),
}


@pytest.mark.parametrize("name", BAD)
def test_files_that_are_no_log(tmp_path, name):
    content, said = BAD[name]
    path = write(tmp_path / "a log", content)
    with pytest.raises(BadInput, match=said) as error:
        read_logs(path)
    assert "expected" in str(error.value) and "\n" not in str(error.value)


def test_no_file(tmp_path):
    with pytest.raises(BadInput, match="no file or folder"):
        read_logs(tmp_path / "not there")


def test_a_score_that_is_not_there():
    with pytest.raises(BadInput, match="no score 'rouge': it has .*eval_accuracy"):
        read_text(json.dumps(STATE), "a log", "rouge")


def test_several_runs_in_one_file_are_said():
    assert "go back" in read_text(console(HISTORY + HISTORY), "a log").notes[0]


@pytest.mark.parametrize("indent", [None, 2])
def test_a_cut_state_is_read_as_far_as_its_records_go(indent):
    """A file that was being written."""
    text = json.dumps(STATE, indent=indent)
    log = read_text(text[: text.index("train_runtime") - 3], "a log")
    assert log.training.loss.tolist() == [0.7, 0.65]
    assert "may be still going" in log.notes[0]


def test_a_byte_order_mark(tmp_path):
    (tmp_path / "log.csv").write_text(as_csv(HISTORY), encoding="utf-8-sig")
    assert len(read_logs(tmp_path / "log.csv")[0].training) == 2


def test_a_million_lines(tmp_path):
    """A tenth of them here, in a tenth of what a person would wait."""
    path = tmp_path / "long.txt"
    line = "{{'loss': {:.4f}, 'grad_norm': 1.5, 'learning_rate': 1e-05, 'epoch': {:.5f}}}\n"
    path.write_text("".join(line.format(0.7, i / 1e5) for i in range(100_000)))
    started = time.process_time()
    (log,) = read_logs(path)
    assert len(log.training) == 100_000 and np.isclose(log.training.loss.mean(), 0.7)
    assert time.process_time() - started < 3
    path.write_text("".join(f"step {i} loss: 0.7\n" for i in range(100_000)))
    started = time.process_time()
    assert len(read_logs(path)[0].training) == 100_000
    assert time.process_time() - started < 5


def test_a_pasted_log_may_have_seconds_without_examples_a_second():
    text = """{'loss': 0.69, 'epoch': 0.5}
{'eval_loss': 0.69, 'eval_accuracy': 0.5, 'eval_runtime': 3.1, 'epoch': 1.0}"""
    assert read_text(text, "a log").dev_examples is None


COLLAPSES = [
    {"step": 50, "loss": 0.4},
    {"step": 50, "eval_loss": 0.3, "eval_accuracy": 0.8},
    {"step": 100, "loss": 0.693},
    {"step": 100, "eval_loss": 0.693, "eval_accuracy": 0.5271},
]
SUMMARY = {"step": 100, "train_runtime": 9.0, "train_loss": 0.55}
BEST = {"step": 100, "eval_loss": 0.3, "eval_accuracy": 0.8}


@pytest.mark.parametrize(
    "history, scores, said",
    [
        ([*COLLAPSES, SUMMARY, BEST], [0.8, 0.5271], "after training at step 100 (0.8, 0.3) is"),
        ([*COLLAPSES, {"train_samples_per_second": 9.0}, BEST], [0.8, 0.5271], "after training"),
        ([*COLLAPSES, BEST], [0.8, 0.5271], "that comes second at step 100"),
        # evaluated at step 50 of 100 only: the same numbers are of the same checkpoint
        ([*COLLAPSES[:3], SUMMARY, BEST], [0.8], "load_best_model_at_end"),
        # of the end: the first there, or the same again
        ([*COLLAPSES[:3], SUMMARY, COLLAPSES[3]], [0.8, 0.5271], ""),
        ([*COLLAPSES, SUMMARY, COLLAPSES[3]], [0.8, 0.5271], ""),
        ([COLLAPSES[0], COLLAPSES[2], SUMMARY, COLLAPSES[3]], [0.5271], ""),
        # several sets after it
        ([*COLLAPSES, SUMMARY, BEST, {**BEST, "eval_accuracy": 0.9}], [0.8, 0.5271], "1 more"),
        # epochs without decimals
        ([{"epoch": i // 2, "loss": 0.6, "eval_accuracy": i / 10} for i in range(2, 8)],
         [0.2, 0.3, 0.4, 0.5, 0.6, 0.7], ""),
        # loss and score in a row each
        ([*COLLAPSES[:3], {"step": 100, "eval_loss": 0.7}, {"step": 100, "eval_accuracy": 0.5}],
         [0.8, 0.5], ""),
    ],
)  # fmt: skip
def test_an_evaluation_of_the_kept_checkpoint_is_left_out(history, scores, said):
    """load_best_model_at_end, then trainer.evaluate(): 0.8 at the end of a run that collapsed."""
    log = read_text(json.dumps(history), "a log")
    assert log.evaluations.known("other")[1].tolist() == scores
    assert said in " ".join(log.notes) and len(log.notes) == bool(said)


TWO_SETS = [
    {"step": 50, "loss": 0.5},
    {"step": 50, "eval_m_loss": 0.4, "eval_m_accuracy": 0.8, "eval_m_runtime": 1.0},
    {"step": 50, "eval_mm_loss": 1.09, "eval_mm_accuracy": 0.33, "eval_mm_runtime": 1.0},
]


@pytest.mark.parametrize(
    "metric, loss, score",
    [(None, 0.4, 0.8), ("eval_mm_accuracy", 1.09, 0.33), ("mm_accuracy", 1.09, 0.33)],
)
def test_one_of_several_evaluation_sets(metric, loss, score):
    """As the Trainer logs a dict of them."""
    log = read_text(json.dumps(TWO_SETS), "a log", metric)
    assert log.evaluations.loss.tolist() == [loss] and log.evaluations.other.tolist() == [score]
    assert log.notes == [
        f"warning: it has 2 evaluation sets: {log.metric} is read, not"
        f" {'m' if metric else 'mm'}; --score with the name of another one's score reads that"
    ]
    one = read_text(json.dumps(TWO_SETS[:2]), "a log")
    assert one.metric == "eval_m_accuracy" and not one.notes
    unscored = read_text('[{"loss": 0.5}, {"eval_m_loss": 0.4}]', "a log")
    assert unscored.evaluations.loss.tolist() == [0.4] and unscored.metric is None


def test_of_several_scores_one_that_moves_and_one_whose_level_is_known():
    rows = [
        {"step": 100, "eval_loss": 0.3, "eval_accuracy": 0.83, "eval_f1": 0.4},
        {"step": 200, "eval_loss": 0.2, "eval_accuracy": 0.83, "eval_f1": 0.7},
    ]
    assert from_records(rows, "a log", None).metric == "eval_f1"  # accuracy: nearly all words "O"
    several = [{**row, "eval_roc_auc": 0.9 + 0.01 * i} for i, row in enumerate(rows)]
    assert from_records(several, "a log", None).metric == "eval_roc_auc"
    near_0 = [{**row, "eval_f1": 0.001} for row in several]
    assert from_records(near_0, "a log", None).metric == "eval_f1"


@pytest.mark.parametrize("name", ["rmse", "mse"])
def test_a_regressions_error_is_no_score_of_classes(name):
    rows = [{"step": 1, "loss": 0.7}, {"step": 1, "eval_loss": 0.6, f"eval_{name}": 0.5}]
    assert "log pearson or spearman" in from_records(rows, "a log", None).notes[0]
    with pytest.raises(BadInput, match="is no score of classes"):
        from_records(rows, "a log", name)


def test_a_score_in_a_dict_of_its_own():
    """As compute_metrics gives it that returns evaluate's result for each."""
    log = from_records(
        [{"step": 1, "eval_loss": 0.6, "eval_accuracy": {"accuracy": 0.7}}], "", None
    )
    assert log.evaluations.other.tolist() == [0.7] and log.metric == "eval_accuracy"


def test_nan_for_an_empty_cell_in_the_row_of_the_summary():
    """W&B's history by pandas: each row has one of the losses, the last one neither."""
    text = "step,loss,eval_loss,learning_rate\n10,0.7,nan,1e-5\n20,nan,0.6,nan\n20,nan,nan,nan\n"
    log = read_text(text, "a log")
    assert not log.training.broken.any() and not log.evaluations.broken.any()
    broke = read_text(text.replace("20,nan,nan,nan", "30,nan,nan,1e-5"), "a log")
    assert broke.training.broken.tolist() == [False, True]


def test_a_table_that_pandas_printed_has_one_cell_more():
    log = read_text("  step  loss  eval_loss\n0  10  0.7  0.65\n1  20  0.6  0.55\n", "a log")
    assert log.training.loss.tolist() == [0.7, 0.6] and log.training.step.tolist() == [10, 20]


def test_fairseq_logs_bits():
    lines = '{"epoch": 1, "train_loss": "1.0", "train_wps": "9"}\n{"epoch": 1, "valid_loss": "0.5"}'
    log = read_text(lines, "a log")
    assert log.training.loss.tolist() == pytest.approx([math.log(2)])
    assert log.evaluations.loss.tolist() == pytest.approx([math.log(2) / 2])
    assert any("in bits" in note for note in log.notes)


@pytest.mark.parametrize(("rate", "told"), [(0.0, True), (1e-8, True), (2e-5, False)])
def test_a_rate_at_which_nothing_is_learnt_is_told(rate, told):
    rows = [{"step": i, "loss": 0.7, "learning_rate": rate} for i in (10, 20)]
    notes = from_records(rows, "a log", None).notes
    assert any("nothing can be learnt at it" in note for note in notes) == told


def test_the_gradients_that_the_callback_logs_are_read():
    rows = [{"step": 10, "loss": 0.7, "first_to_classifier_grad": 3e-9}]
    log = from_records(rows, "a log", None)
    assert log.gradient_ratio == 3e-9 and "it has vanished" in log.notes[0]
