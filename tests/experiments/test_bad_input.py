"""Every bad input: one clear line on standard error, exit status 2, no traceback, finished runs
untouched."""

import dataclasses
import inspect
import os
import shutil
import subprocess
import sys

import pytest
from conftest import REPOSITORY, options

import analysis
import experiments
from experiments import bias_correction, catastrophic_forgetting
from experiments.finetuning import training
from experiments.finetuning.encoders import load_tokenizer
from experiments.finetuning.errors import BadInput
from experiments.finetuning.probes import mask_blocks
from experiments.sweeps import status, sweep
from experiments.sweeps.command import run_command


def call(*arguments, cwd=REPOSITORY):
    return subprocess.run(
        [sys.executable, "-m", *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        env={name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
        | {"PYTHONPATH": str(REPOSITORY), "CUDA_VISIBLE_DEVICES": ""},
        timeout=300,
    )


def expect_one_line(done, *words):
    lines = done.stderr.strip().splitlines()
    assert done.returncode == 2, done.stderr
    assert len(lines) == 1 and lines[0].startswith("error: "), done.stderr
    for word in words:
        assert word in lines[0], f"{word!r} is not in {lines[0]!r}"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--tasks", "rtee"], ["unknown name 'rtee'", "rte, mrpc, cola, qnli, scitail"]),
        (["--profile", "huge"], ["unknown name 'huge'", "mini, small, paper"]),
        (["--model", "nobody/nothing"], ["cannot load the model nobody/nothing", "--model"]),
        (["--model", "./nowhere"], ["./nowhere", "expected a transformers folder"]),
        (["--data", "./nowhere"], ["./nowhere", "expected mini, a folder"]),
        (["--seeds", "0"], ["--seeds", "from 1 to"]),
        (["--seeds", "many"], ["--seeds", "'many'", "a whole number"]),
        (["--learning-rates", "-1"], ["--learning-rates"]),
        (["--learning-rates", "nan"], ["a learning rate from 1e-12 to 1"]),
        (["--learning-rates", "0"], ["a learning rate from 1e-12 to 1"]),
        (["--engine", "slurm"], ["unknown name 'slurm'", "ray, serial"]),
        (["--dtype", "int8"], ["unknown name 'int8'", "float32, tf32, bfloat16"]),
        (["--sedes", "5"], ["unrecognized arguments: --sedes", "--help"]),
        (
            ["--seeds", "2", "--head-seed", "1", "--order-seed", "1", "--dropout-seed", "1"],
            ["all three seeds are held"],
        ),
        (["--prof", "mini"], ["unrecognized arguments: --prof"]),
    ],
    ids=lambda value: " ".join(value) if value and value[0].startswith("--") else "",
)
def test_flags(arguments, words):
    expect_one_line(call("experiments.bias_correction", "--plan", *arguments), *words)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["no experiment named", "bias_correction, catastrophic_forgetting"]),
        (["bias_corection", "--plan"], ["unknown experiment 'bias_corection'", "strong_baseline"]),
        (
            ["catastrophic_forgetting", "--text", "./nowhere", "--plan"],
            ["nowhere/wiki.test.raw", "Salesforce/wikitext"],
        ),
        (["small_datasets", "--sample-size", "1", "--plan"], ["--sample-size", "from 2 to"]),
        (
            ["loss_surfaces", "--classifier", "none", "--plan"],
            ["unknown name 'none'", "failed, successful, mean"],
        ),
        (["strong_baseline", "--tasks", "scitail", "--plan"], ["mini has no task scitail"]),
        (
            ["bias_correction", "mitigations", "--plain", "--methods", "Mixout", "--plan"],
            ["Mixout is part of the fast path only", "--plain"],
        ),
        (
            ["small_datasets", "--sample-size", "1601", "--plan"],
            ["1,601 of 1,600", "--sample-size"],
        ),
        (
            ["small_datasets", "--sample-size", "1600", "--plan"],
            ["nearly all of cola", "expected fewer"],
        ),
    ],
    ids=str,
)
def test_experiments_and_their_own_flags(arguments, words):
    expect_one_line(call("experiments", *arguments), *words)


EMPTY = {
    bias_correction: (
        *("--model", "--data", "--results", "--address", "--text-columns", "--label-column"),
        *("--metric", "--tasks", "--dtype", "--seeds"),
    ),
    catastrophic_forgetting: ("--text",),
}


@pytest.mark.parametrize("text", ["", " "])
def test_an_empty_flag_is_not_its_default(text):
    """As of a shell variable that is not set: Path("") would be the folder one is in."""
    for experiment, flags in EMPTY.items():
        for flag in flags:
            with pytest.raises(BadInput, match=f"argument {flag}: .*expected"):
                options(experiment.EXPERIMENT, flag, text)


def test_an_empty_flag_of_status(monkeypatch):
    monkeypatch.setattr("sys.argv", ["status", "--results", ""])
    with pytest.raises(BadInput, match="argument --results: '' is empty: expected a name"):
        status.main()


@pytest.mark.parametrize("flag", ["--model", "--text"])
def test_a_file_for_a_folder(flag, tmp_path):
    """Not taken for a name on the hub."""
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"")
    with pytest.raises(BadInput, match=f"{path} is no folder: expected one.* {tmp_path}"):
        catastrophic_forgetting.EXPERIMENT.planned(
            options(catastrophic_forgetting.EXPERIMENT, flag, str(path))
        )


def test_python_without_docstrings(tmp_path):
    """transformers cannot be imported then. run_all.sh unsets it."""
    arguments = [sys.executable, "-OO", "-m", "experiments.bias_correction", "--plan"]
    done = subprocess.run(arguments, cwd=REPOSITORY, capture_output=True, text=True)
    expect_one_line(done, "PYTHONOPTIMIZE=2", "expected PYTHONOPTIMIZE unset")


@pytest.mark.parametrize(
    ("script", "package"),
    [("experiments.bias_correction", "filelock"), ("analysis.bias_correction", "scipy")],
)
@pytest.mark.parametrize("there", [False, True])
def test_a_package_that_is_missing_or_of_another_version(tmp_path, script, package, there):
    """What stands in for another version has none of its names."""
    missing = f"raise ModuleNotFoundError(\"No module named '{package}'\", name='{package}')"
    (tmp_path / f"{package}.py").write_text("" if there else missing)
    done = subprocess.run(
        [sys.executable, "-m", script, "--help"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(REPOSITORY)])},
    )
    expect_one_line(done, f"'{package}", sys.executable, "requirements.txt", "bash run_all.sh")


def test_what_is_missing_is_said_alike_on_both_sides():
    """analysis may not import experiments."""
    said = [inspect.getsource(package._say_what_is_missing) for package in (experiments, analysis)]
    assert said[0] == said[1]


@pytest.fixture
def rte(tmp_path, glue):
    folder = tmp_path / "glue" / "RTE"
    folder.mkdir(parents=True)
    for name in ("train.tsv", "dev.tsv"):
        shutil.copyfile(glue / "RTE" / name, folder / name)
    return folder


def in_text(old, new):
    def change(folder):
        path = folder / "dev.tsv"
        path.write_text(path.read_text().replace(old, new, 1))

    return change


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (
            lambda f: (f / "dev.tsv").write_text(
                "".join((f / "dev.tsv").read_text().splitlines(True)[:-1])
            ),
            ["276 rows", "expected 277"],
        ),
        (in_text("\tnot_entailment\n", "\tno\n"), ["label 'no'", "entailment or not_entailment"]),
        (in_text("\n0\t", "\n0 "), ["3 columns", "expected 4, index, sentence1"]),
        (lambda f: (f / "dev.tsv").write_bytes(b"\xff\xfe\xff"), ["not UTF-8"]),
        (lambda f: (f / "dev.tsv").unlink(), ["no file", "expected GLUE's TSV layout"]),
        (lambda f: shutil.rmtree(f), ["no folder", "expected GLUE's TSV layout"]),
        (
            lambda f: (f / "train.tsv").rename(f / "train_subset_10.tsv"),
            ["2,490 rows", "expected 10"],
        ),
    ],
    ids=["row missing", "label", "column", "encoding", "file missing", "folder missing", "subset"],
)
def test_data_folder(rte, tiny_model, damage, words):
    damage(rte)
    expect_one_line(
        call(
            "experiments.bias_correction",
            "--plan",
            "--profile",
            "small",
            "--model",
            tiny_model,
            "--data",
            rte.parent,
            "--tasks",
            "rte",
        ),
        *words,
    )


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (
            lambda f: (f / "model.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0notjson!"),
            ["cannot read the weights", "undamaged safetensors"],
        ),
        (
            lambda f: (f / "model.safetensors").write_bytes(
                (f / "model.safetensors").read_bytes()[:5000]
            ),
            ["safetensors"],
        ),
        (lambda f: (f / "config.json").write_text("{}"), ["names no model_type"]),
        (lambda f: (f / "config.json").write_text("{"), ["names no model_type"]),
        (
            lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin"),
            ["is no model", "pickled weights are not read"],
        ),
    ],
    ids=["no header", "truncated", "empty config", "broken config", "pickle only"],
)
def test_model_folder(tmp_path, tiny_model, damage, words):
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    damage(folder)
    expect_one_line(
        call(
            "experiments.bias_correction",
            "--model",
            folder,
            "--seeds",
            "1",
            "--learning-rates",
            "1e-3",
            "--bias-correction",
            "on",
            "--engine",
            "serial",
            "--results",
            tmp_path / "results",
        ),
        *words,
    )


@pytest.mark.parametrize("method", [{"reinitialized_layers": 1}, {"layerwise_decay": 0.9}])
def test_layers_by_other_names_are_not_taken_for_none(tmp_path, tiny_model, tiny_run, method):
    """DistilBERT calls them transformer.layer.N. Its dropout has other names too, and is the
    run's all the same."""
    import torch
    from transformers import AutoTokenizer, DistilBertConfig, DistilBertForMaskedLM

    from experiments.finetuning.encoders import load_classifier
    from experiments.finetuning.errors import BadInput

    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    DistilBertForMaskedLM(
        DistilBertConfig(
            vocab_size=len(tokenizer),
            dim=16,
            n_layers=2,
            n_heads=2,
            hidden_dim=32,
            max_position_embeddings=64,
        )
    ).save_pretrained(tmp_path)
    run = tiny_run(model_source=str(tmp_path), packed=False, dropout=0.3)
    model, _ = load_classifier(run, 2)
    assert {module.p for module in model.modules() if isinstance(module, torch.nn.Dropout)} == {0.3}
    with pytest.raises(BadInput, match=r"no layers by the names encoder\.layer\.N"):
        load_classifier(dataclasses.replace(run, **method), 2)


def test_a_gpu_is_needed_to_train_but_not_to_plan(tmp_path):
    arguments = "experiments.bias_correction", "--device", "cuda", "--results", tmp_path
    expect_one_line(call(*arguments), "no CUDA device", "--device cpu")
    assert "40 to train" in call(*arguments, "--seeds", "5", "--plan").stdout


def test_data_hub_out_of_reach(tmp_path, tiny_model):
    expect_one_line(
        call(
            "experiments.bias_correction",
            "--profile",
            "small",
            "--model",
            tiny_model,
            "--max-length",
            "64",
            "--data",
            "nobody/nothing",
            "--engine",
            "serial",
            "--results",
            tmp_path,
        ),
        "nobody/nothing",
        "--data",
    )


def test_more_tokens_than_positions(tmp_path, tiny_model):
    expect_one_line(
        call(
            "experiments.bias_correction",
            "--model",
            tiny_model,
            "--max-length",
            "65",
            "--engine",
            "serial",
            "--results",
            tmp_path,
        ),
        "64 positions",
        "--max-length 65",
    )


def test_a_text_shorter_than_a_block(tiny_model):
    with pytest.raises(BadInput, match="has 3 tokens: expected 62 or more"):
        mask_blocks([5, 6, 7], load_tokenizer(str(tiny_model)), length=64, seed=1)


def one_run(model, results):
    return [
        "--model",
        str(model),
        "--tasks",
        "rte",
        "--seeds",
        "1",
        "--learning-rates",
        "1e-3",
        "--bias-correction",
        "on",
        "--epochs",
        "1",
        "--engine",
        "serial",
        "--results",
        str(results),
    ]


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before", "during"])
def test_a_full_disk_keeps_finished_runs(when, tmp_path, tiny_model, monkeypatch, capsys):
    """A file system of 1 MiB that is full before the call, or when its run has been trained: the
    run cannot be stored, what was stored stays, nothing half written is left, and the call says so.
    """
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], capture_output=True
    ).returncode:
        pytest.skip("mounting a small file system needs root")
    try:
        (disk / "runs").mkdir()
        (disk / "runs" / "finished.json").write_text("finished")

        def fill(result=None):
            with (
                open(disk / "filler", "wb", buffering=0) as file,
                pytest.raises(OSError, match="No space"),
            ):
                while True:
                    file.write(b"x" * 4096)
            return result

        real = training.train
        if when == "before":
            fill()
        else:
            monkeypatch.setattr(training, "train", lambda run: fill(real(run)))
        with pytest.raises(SystemExit) as ended:
            run_command(
                lambda: sweep.sweep([bias_correction.EXPERIMENT], one_run(tiny_model, disk))
            )
        error = capsys.readouterr().err
        assert (
            ended.value.code == 2
            and "No space left on device" in error.splitlines()[-1]
            and "finished runs are kept" in error
        )
        assert [path.name for path in (disk / "runs").iterdir()] == ["finished.json"]
        # or the next call waits until it is stale
        assert [path.name for path in (disk / "locks").iterdir()] == [".guard"]
        (disk / "filler").unlink()
        monkeypatch.setattr(training, "train", real)
        run_command(lambda: sweep.sweep([bias_correction.EXPERIMENT], one_run(tiny_model, disk)))
        assert len(list((disk / "runs").iterdir())) == 2
    finally:
        subprocess.run(["umount", disk], check=True)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, ["no file", "experiments/bias_correction.py"]),
        ("", ["is an empty file", "experiments/bias_correction.py"]),
        ("\n", ["is no CSV"]),
        ("run,model\n", ["lacks the column task"]),
    ],
    ids=["missing", "empty", "blank", "columns"],
)
def test_analysis_input(tmp_path, content, words):
    if content is not None:
        (tmp_path / "bias_correction.csv").write_text(content)
    expect_one_line(
        call("analysis.bias_correction", "--results", tmp_path, "--figures", tmp_path / "figures"),
        *words,
    )


def test_a_csv_without_rows_is_an_outcome(tmp_path):
    (tmp_path / "vanishing_gradients.csv").write_text("")
    for script in ("vanishing_gradients", "published.scorecard"):
        done = call(f"analysis.{script}", "--results", tmp_path, "--figures", tmp_path / "figures")
        assert done.returncode == 0 and not done.stderr
        assert script == "published.scorecard" or done.stdout.startswith(
            "nothing to draw: vanishing_gradients.csv has no rows"
        )


def test_a_mistyped_profile_is_not_judged(tmp_path):
    expect_one_line(
        call("analysis.published.scorecard", "--profile", "smal", "--figures", tmp_path),
        "smal",
        "mini",
        "paper",
    )


def test_a_folder_called_mini_is_not_the_data(tmp_path):
    (tmp_path / "mini").mkdir()
    done = call("experiments.bias_correction", "--plan", "--results", tmp_path, cwd=tmp_path)
    assert done.returncode == 0 and "bias_correction (mini): 20 runs" in done.stdout, done.stderr


def test_an_experiment_named_twice_is_one(tmp_path):
    done = call("experiments", "mitigations", "mitigations", "--plan", "--results", tmp_path)
    assert done.returncode == 0 and done.stdout.count("mitigations (mini)") == 1


def test_tables_never_replace_results(tmp_path):
    expect_one_line(
        call("analysis.bias_correction", "--results", tmp_path, "--figures", tmp_path),
        "name two folders",
    )
