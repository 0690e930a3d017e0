"""diagnose as a person calls it: what it prints, draws and refuses."""

import csv
import json
import subprocess
import sys

import matplotlib.pyplot as plt
import pytest
from conftest import REPOSITORY

from analysis import diagnose
from analysis.diagnose import advise, logging_of
from analysis.diagnosis import advice
from analysis.diagnosis.advice import TRY
from analysis.diagnosis.chance import chance_of
from analysis.diagnosis.columns import from_records
from analysis.diagnosis.logs import read_text
from analysis.diagnosis.rule import judge
from analysis.diagnosis.verdict import SHAPES
from analysis.shared.reading import BadInput, run_command


@pytest.fixture
def call(monkeypatch, tmp_path, capsys):
    """A function that calls diagnose with arguments: status, what it printed, what it complained
    of."""

    def run(*arguments: object, draws: bool = False) -> tuple[int, str, str]:
        if not draws:  # it takes most of the time
            monkeypatch.setattr(diagnose, "save", lambda figure, path: plt.close(figure))
        figures = ["--figures", str(tmp_path / "figures")]
        monkeypatch.setattr("sys.argv", ["diagnose", *map(str, arguments), *figures])
        status = 0
        try:
            run_command(diagnose.main)
        except SystemExit as ended:
            status = int(ended.code or 0)
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run


@pytest.fixture
def failing(tmp_path):
    """A run that stays at chance, as trainer_state.json."""
    records = []
    for number in range(1, 31):
        records.append({"step": 10 * number, "loss": 0.694, "grad_norm": 1.0})
    for number in range(1, 4):
        records.append({"step": 100 * number, "eval_loss": 0.693, "eval_accuracy": 0.5})
    path = tmp_path / "failing" / "trainer_state.json"
    path.parent.mkdir()
    state = {"log_history": records, "max_steps": 300, "global_step": 300}
    path.write_text(json.dumps(state))
    return path.parent


def another(folder, number):
    """The same run with another seed: its first loss differs."""
    state = json.loads((folder / "trainer_state.json").read_text())
    state["log_history"][0]["loss"] += number / 1e4
    copy = folder.parent / f"seed{number}"
    copy.mkdir()
    (copy / "trainer_state.json").write_text(json.dumps(state))
    return copy


def test_a_log_given_twice_is_counted_once(call, failing, tmp_path):
    """The same path, a link to it, a copy of it; another seed is another run."""
    (tmp_path / "latest").symlink_to(failing)
    (tmp_path / "copy.json").write_bytes((failing / "trainer_state.json").read_bytes())
    seed = another(failing, 1)
    status, out, err = call(failing, failing, tmp_path / "latest", tmp_path / "copy.json", seed)
    assert status == 0 and "2 of 2 failed" in out
    assert err.splitlines() == [
        f"warning: {failing} is given twice: counted once",
        f"warning: {tmp_path / 'latest'} is the same log as {failing}: counted once",
        f"warning: {tmp_path / 'copy.json'} is the same log as {failing}: counted once",
    ]


def test_an_earlier_checkpoint_is_no_second_run(call, failing, tmp_path):
    """As a shell writes checkpoint-*: each holds the beginning of the next."""
    state = json.loads((failing / "trainer_state.json").read_text())
    paths = []
    for step in (100, 200, 300):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        history = [record for record in state["log_history"] if record["step"] <= step]
        (folder / "trainer_state.json").write_text(
            json.dumps({"log_history": history, "max_steps": 300, "global_step": step})
        )
        paths.append(folder)
    status, out, err = call(*paths)
    assert status == 0 and out.startswith(f"{paths[2]}: never left") and "of 3 failed" not in out
    assert err.count("is an earlier part of") == 2
    _, out, _ = call(paths[0])
    assert "those had ended, this one has not" in " ".join(out.split())


def test_only_logs_that_begin_alike_are_compared(monkeypatch, capsys):
    """Of 200 runs and an earlier checkpoint of one: that pair in both orders, and each log with
    itself; all pairs would be 40,401."""
    asked = []
    real = diagnose.is_part_of

    def is_part_of(log_, other):
        asked.append((log_.name, other.name))
        return real(log_, other)

    monkeypatch.setattr(diagnose, "is_part_of", is_part_of)
    logs = []
    for number in range(200):
        losses = (0.7, 0.6 - number / 1000, 0.5)
        lines = [f"{10 * (i + 1)},{loss}" for i, loss in enumerate(losses)]
        logs.append(read_text("\n".join(["step,loss", *lines]), f"log {number}"))
    logs.append(read_text("\n".join(["step,loss", *lines[:2]]), "early"))
    assert diagnose.each_once(logs) == logs[:200]
    assert "early is an earlier part of log 199" in capsys.readouterr().err
    assert len(asked) == 201 + 2


def test_labels_before_the_path(failing, capsys):
    options = diagnose.read_options(["--labels", "0.6", "0.4", str(failing)])
    assert options.labels == [0.6, 0.4] and [str(path) for path in options.paths] == [str(failing)]
    for arguments, said in ((["--labels", "x"], "expected shares"), ([], "expected a PATH")):
        with pytest.raises(BadInput, match=said):
            diagnose.read_options(arguments)


def test_no_verdict_has_no_accuracy(call, tmp_path):
    path = tmp_path / "losses.csv"
    path.write_text("step,loss\n10,0.7\n20,0.4\n30,0.2\n")
    _, out, _ = call(path)
    assert "cannot tell" in out and "such verdicts" not in out
    told = "right, with labels given: of gte-small's held-out runs"
    assert told in " ".join(out.split()) and "compute_metrics" in out


def test_the_evidence_on_oscillation_is_read():
    """By plain loops over the committed table."""
    runs = {}
    with (advice.REFERENCE / "mini" / "oscillating_scores.csv").open() as file:
        for row in csv.DictReader(file):
            runs[row["schedule"], row["head_seed"]] = row
    seeds = [seed for schedule, seed in runs if schedule == "constant"]

    def mean(schedule, column):
        values = [100 * float(runs[schedule, seed][column]) for seed in seeds]
        return f"{sum(values) / len(values):.2f}"

    narrower = 0
    for seed in seeds:
        bands = [float(runs[schedule, seed]["last_std"]) for schedule in ("linear", "constant")]
        narrower += bands[0] < bands[1]
    said = advice.decay()
    assert (
        f"by {mean('constant', 'jump')} points" in said and f"by {mean('linear', 'jump')}" in said
    )
    assert said.endswith(f"for {narrower} of {len(seeds)} seeds") and len(seeds) == 5
    said = advice.dev_alone()
    assert f"by {mean('constant', 'dev_std')} points" in said
    assert f"by {mean('linear', 'dev_std')} with decay" in said
    evidence = [of() for _, of in advice.TRY[advice.OSCILLATES]]
    assert advice.none() not in evidence and said in evidence


def test_the_evidence_for_a_score_is_counted():
    """By plain loops over the committed table."""
    counts = {}
    with advice.ACCURACY.open() as file:
        for row in csv.DictReader(file):
            if (row["log"], row["labels"], row["model"]) == ("written out", "given", "gte-small"):
                right, total = counts.get(row["seen"], (0, 0))
                runs = int(row["runs"])
                right += runs if row["verdict"] == row["truth"] else 0
                counts[row["seen"]] = (right, total + runs)
    (a, b), (c, d) = counts["scores"], counts["losses only"]
    assert f"runs {a} of {b} verdicts with it, {c} of {d} without" in advice.with_a_score()
    assert a / b > 0.9 > 0.5 > c / d


def test_one_log(call, failing, tmp_path):
    status, out, err = call(failing, draws=True)
    text = " ".join(out.split())
    assert (status, err) == (0, "")
    assert "failing: never left chance (A)" in text
    assert "the label entropy is 0.693" in text and "guessed" in text
    # how often this is right, from the committed table
    assert "such verdicts on held-out runs of mini (" in text and "of gte-small (" in text
    assert ": a record every 10 steps, scores, labels guessed; not measured on other" in text
    # evidence as results/reference/README.md has it
    assert "43 of 50 fail without, 1 of 51 with" in text
    assert "16 of 25 fail without, 0 of 25 with" in text
    assert "gte-small on RTE at 1e-4 22 of 27 fail without, 0 of 25 with" in text
    assert "1 of 25 at 2e-4, 16 of 25 at 3e-4, 23 of 25 at 4e-4" in text
    assert "7 of 25 fail (BERT-large on RTE at 2e-5, published), of mini 0 of 5 at 2e-4" in text
    assert "0 of 25 at 3e-4, 4 of 25 at 4e-4" in text
    assert "grad_norm is the norm of all gradients" in text
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {
        "diagnose.png",
        "diagnose.pdf",
    }


def test_several_seeds(call, failing, tmp_path):
    learnt = tmp_path / "learnt.txt"
    learnt.write_text(
        "{'loss': 0.6, 'epoch': 1}\n{'eval_loss': 0.5, 'eval_accuracy': 0.8, 'epoch': 1}\n"
    )
    _, out, err = call(failing, learnt, another(failing, 1))
    assert not err
    assert "2 of 3 failed (95 % interval 21% to 94%)" in out  # Wilson's, from a table
    assert "learnt.txt: learnt\n" in out and "may be still going" in out


@pytest.mark.parametrize(
    "flags, chance",
    [
        (
            ["--labels", "0.68", "0.32"],
            "loss 0.627 nats, eval_accuracy 0.680 (label shares as given)",
        ),
        (
            ["--group", "8"],
            "loss 2.079 nats, eval_accuracy 0.125 (8 equally frequent, as given by --",
        ),
        (
            ["--classes", "6"],
            "loss 1.792 nats, eval_accuracy 0.167 (6 equally frequent, as given by",
        ),
    ],
)
def test_labels_as_given(failing, flags, chance):
    options = diagnose.read_options([str(failing), *flags])
    (log,), _ = diagnose.read_all(options)
    assert diagnose.chance_said(log, chance_of(log, *diagnose.given_shares(options))).startswith(
        chance
    )


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["--labels", "0.5", "0.2"], "--labels 0.5 0.2: expected the shares"),
        (["--classes", "1"], "--classes 1: expected 2 to 1,000,000"),
        (["--classes", "100000000000"], "--classes 100,000,000,000: expected 2 to 1,000,000"),
        (["--group", "1" + "0" * 400], "--group a number of many digits: expected 2 to"),
        (["--classes", "2", "--group", "2"], "not allowed with"),
        (["--score", "bleu"], "has no score 'bleu'"),
    ],
)
def test_flags_that_make_no_sense(call, failing, arguments, said):
    status, out, err = call(failing, *arguments)
    assert status == 2 and said in err and err.count("\n") == 1 and not out


def test_many_logs_in_a_line_each(call, failing):
    _, out, _ = call(*[another(failing, number) for number in range(7)])
    lines = out.split("\n\n")[0].splitlines()
    assert len(lines) == 7 and all(
        "never left chance (A): training loss ends" in line for line in lines
    )
    assert out.count("such verdicts on held-out runs of mini (") == 1 and "7 of 7 failed" in out


def test_a_bad_file_among_good_ones(call, failing, tmp_path):
    """One line each, status 2; the others are judged."""
    (tmp_path / "empty").write_text("")
    (tmp_path / "latin").write_bytes("{'loss': 1} é".encode("latin-1"))
    status, out, err = call(failing, tmp_path / "empty", tmp_path / "latin", tmp_path / "none")
    assert status == 2 and "never left chance" in out
    lines = err.splitlines()
    assert len(lines) == 3 and all(line.startswith("error: ") for line in lines)


def test_nothing_to_read(call, tmp_path):
    status, out, err = call(tmp_path)
    assert status == 2 and "holds no log" in err and not out


def test_what_a_run_that_still_goes_says(call, failing):
    path = failing / "trainer_state.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "max_steps": 900}))
    assert "stops at step 300 of 900" in " ".join(call(failing)[1].split())


def test_every_shape_has_something_to_try():
    assert set(TRY) == set(SHAPES)
    for shape in SHAPES:
        for what, evidence in TRY[shape]:
            assert what and evidence()


def test_the_figure_has_a_line_a_log_and_the_levels_of_chance(failing):
    from pathlib import Path

    from analysis.diagnosis.folders import read_logs

    logs = read_logs(Path(failing)) * 2
    chances = [chance_of(log) for log in logs]
    figure = diagnose.draw(
        logs, chances, [judge(*pair) for pair in zip(logs, chances, strict=True)]
    )
    loss, score = figure.axes
    dotted = [line.get_ydata()[0] for line in loss.lines if line.get_linestyle() == ":"]
    assert dotted == pytest.approx([0.6931], abs=1e-3)
    assert [line.get_ydata()[0] for line in score.lines if line.get_linestyle() == ":"] == [0.5]
    drawn = [line for line in score.lines if len(line.get_xdata()) == 3]
    assert len(drawn) == 2 and drawn[0].get_ydata().tolist() == [0.5] * 3
    assert "2 logs: 2 never left chance" in figure.get_suptitle()
    plt.close(figure)


def test_a_loss_of_thousands_does_not_hide_the_rest():
    records = [{"step": 10, "loss": 4398.0}, {"step": 20, "loss": 0.7}, {"step": 30, "loss": 0.69}]
    log = from_records(records, "a log", None)
    chance = chance_of(log, (0.5, 0.5))
    figure = diagnose.draw([log], [chance], [judge(log, chance)])
    assert figure.axes[0].get_ylim() == (0, 2.5)
    assert "up to 4,398" in figure.axes[0].texts[0].get_text()
    assert "no score in the log" in figure.axes[1].texts[0].get_text()


@pytest.mark.parametrize(
    "steps, kind",
    [([10, 20, 30], "10"), ([50, 100], "50"), ([500, 1000], "500"), ([], "a table of evaluations")],
)
def test_the_kind_of_logging(steps, kind):
    records = [{"step": step, "loss": 0.7} for step in steps]
    records.append({"step": 1000, "eval_loss": 0.7})
    assert logging_of(from_records(records, "a log", None)) == kind
    if not steps:
        records.append({"step": 1000, "train_runtime": 1.0, "train_loss": 0.7})
        assert logging_of(from_records(records, "a log", None)) == "evaluations only"


def test_a_score_of_the_command_line_is_none_of_the_logs(failing):
    from analysis.diagnosis.folders import read_logs

    with pytest.raises(BadInput):
        read_logs(failing, "rouge")


def test_only_what_is_missing_is_asked_for(tmp_path, capsys):
    """Three evaluations with a score, at losses that uneven labels may have: labels alone."""
    scores = (0.76, 0.762, 0.758)
    rows = [{"step": i, "eval_loss": 0.55, "eval_accuracy": x} for i, x in enumerate(scores)]
    log_ = from_records([{"step": 1, "loss": 0.7}, *rows, {"step": 3, "loss": 0.55}], "a log", None)
    chance = chance_of(log_)
    advise([(log_, chance, judge(log_, chance))])
    said = capsys.readouterr().out
    assert "--labels" in said and "log a score" not in said and "log more often" not in said


def test_a_reader_that_has_enough_is_no_error(tmp_path):
    (tmp_path / "log.txt").write_text("{'loss': 0.7, 'epoch': 1.0}\n" * 2)
    command = [sys.executable, "-m", "analysis.diagnose", str(tmp_path), "--figures", str(tmp_path)]
    program = subprocess.Popen(
        command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    program.stdout.close()
    assert program.stderr.read() == "" and program.wait() == 141
