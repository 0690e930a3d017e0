"""Who may import whom (README, "The house"), read from the source."""

import ast
import subprocess
import sys

from conftest import REPOSITORY


def imports(path):
    """The modules a file imports, at its top and inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def offenders(files, forbidden):
    return [(path.name, name) for path in files for name in imports(path) if forbidden(path, name)]


def test_experiments_import_the_machinery_and_not_each_other():
    files = [path for path in (REPOSITORY / "experiments").glob("*.py") if not path.name.startswith("__")]
    assert files
    assert not offenders(files, lambda path, name: name.startswith(("analysis", "experiments."))
                         and not name.startswith("experiments.finetuning"))
    files = list((REPOSITORY / "experiments/benchmark").glob("*.py"))
    assert files and not offenders(files, lambda path, name: name.startswith(("analysis", "experiments.")) and not name.startswith(
        ("experiments.finetuning", "experiments.benchmark")))


def test_the_machinery_imports_nothing_above_it_and_only_tasks_knows_mini():
    files = list((REPOSITORY / "experiments/finetuning").glob("*.py"))
    assert not offenders(files, lambda path, name: name.startswith("analysis") or (
        name.startswith("experiments.") and not name.startswith("experiments.finetuning")
        and not (name.startswith("experiments.mini") and path.name in ("profiles.py", "tasks.py"))))


def test_analysis_needs_neither_torch_nor_experiments():
    files = list((REPOSITORY / "analysis").rglob("*.py"))
    assert not offenders(files, lambda path, name: name.split(".")[0] in ("torch", "transformers", "datasets", "experiments", "ray"))


def test_same_name_on_both_sides_and_in_run_all():
    experiments, analyses = ({path.stem for path in (REPOSITORY / side).glob("*.py")} for side in ("experiments", "analysis"))
    experiments -= {"__init__", "__main__"}
    assert experiments | {"benchmark"} <= analyses
    experiments.remove("fast_path")  # no hypothesis: a verb of its own, like benchmark
    contents = (REPOSITORY / "run_all.sh").read_text().split("study=(")[1].split("\n)")[0]
    assert {line.split()[0] for line in contents.splitlines() if line.strip() and not line.startswith("#")} == experiments


def test_ray_is_imported_only_when_used():
    code = "import sys, experiments.bias_correction, experiments.finetuning.training; sys.exit('ray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY).returncode == 0


def test_the_readmes_example_of_an_experiment(tmp_path, capsys, monkeypatch):
    """It plans what it should, with the flags it passes on."""
    experiment = (REPOSITORY / "README.md").read_text().split("```python\n")[1].split("```")[0]
    (tmp_path / "warmup.py").write_text(experiment)
    monkeypatch.syspath_prepend(tmp_path)
    from warmup import EXPERIMENT

    from experiments.sweeps.sweep import sweep

    arguments = ["--plan", "--seeds", "2", "--results", str(tmp_path)]
    sweep([EXPERIMENT], arguments)
    sweep([EXPERIMENT], [*arguments, "--bias-correction", "on", "--epochs", "20"])
    printed = capsys.readouterr().out
    assert "warmup (mini): 12 runs, 0 finished, 12 to train" in printed and "warmup (mini): 6 runs" in printed


def test_what_analysis_repeats_of_the_profiles():
    """It may not import them."""
    from analysis.published.evidence import LEARNING_RATES
    from analysis.shared import style
    from experiments.sweeps.profiles import PROFILES

    assert {name: profile.learning_rates for name, profile in PROFILES.items()} == LEARNING_RATES
    assert tuple(PROFILES) == style.PROFILES
    assert tuple(model.split("/")[1] for model in PROFILES["paper"].models) == style.PAPER_MODELS
