"""Who may import whom (README, "The house"), read from the source; what the README may grow to."""

import ast
import re
import subprocess
import sys

import pytest
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


# who may import whom, downwards only: a file of the folder on the left from those on the right
MAY_IMPORT = {
    "experiments": ("sweeps", "finetuning"),
    "experiments/benchmark": ("benchmark", "sweeps", "finetuning"),
    "experiments/sweeps": ("sweeps", "finetuning"),
    "experiments/finetuning": ("finetuning",),
    "experiments/mini": ("mini", "finetuning"),  # its baselines are scored as runs are
}
KNOWS_MINI = ("tasks.py", "texts.py")  # the files of finetuning that know mini's generator


@pytest.mark.parametrize("folder", MAY_IMPORT)
def test_arrows_run_down_only(folder):
    files = [path for path in (REPOSITORY / folder).glob("*.py") if path.name != "__main__.py"]
    assert files
    allowed = tuple(f"experiments.{name}" for name in MAY_IMPORT[folder])
    wrong = []
    for path in files:
        for name in imports(path):
            ours = name.startswith(("analysis", "experiments."))
            generates = path.name in KNOWS_MINI and name.startswith("experiments.mini")
            if ours and not name.startswith(allowed) and not generates:
                wrong.append((path.name, name))
    assert wrong == []


def test_analysis_needs_neither_torch_nor_experiments():
    files = list((REPOSITORY / "analysis").rglob("*.py"))
    assert not offenders(
        files,
        lambda path, name: (
            name.split(".")[0] in ("torch", "transformers", "datasets", "experiments", "ray")
        ),
    )


def test_every_flag_says_what_it_is():
    """In --help."""
    silent, seen = [], 0
    for folder in ("analysis", "experiments"):
        for path in (REPOSITORY / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".add_argument"):
                    seen += 1
                    if "help" not in [keyword.arg for keyword in node.keywords]:
                        silent.append(f"{path.name}: {ast.unparse(node)[:80]}")
    assert silent == [] and seen > 50


def test_same_name_on_both_sides_and_in_run_all():
    experiments, analyses = (
        {path.stem for path in (REPOSITORY / side).glob("*.py")}
        for side in ("experiments", "analysis")
    )
    experiments -= {"__init__", "__main__"}
    # diagnose reads anybody's logs
    assert experiments == analyses - {"__init__", "__main__", "diagnose"}
    contents = (REPOSITORY / "run_all.sh").read_text().split("study=(")[1].split("\n)")[0]
    assert {
        line.split()[0]
        for line in contents.splitlines()
        if line.strip() and not line.startswith("#")
    } == experiments


def test_ray_is_imported_only_when_used():
    code = (
        "import sys, experiments.bias_correction, experiments.finetuning.training; sys.exit('ray'"
        " in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY).returncode == 0


def test_planning_imports_no_torch():
    """Four seconds of every --help, --plan and refused flag."""
    code = (
        "import sys, pkgutil, importlib, experiments; [importlib.import_module('experiments.' +"
        " found.name) for found in pkgutil.iter_modules(experiments.__path__) if not found.ispkg"
        " and found.name != '__main__']; sys.exit(bool({'torch', 'transformers', 'datasets',"
        " 'scipy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY).returncode == 0


def test_the_readmes_example_is_what_the_files_say():
    page = (REPOSITORY / "experiments" / "README.md").read_text(encoding="utf-8")
    quoted = [part.split("```")[0] for part in page.split("```python\n")[1:]]
    files = [
        (REPOSITORY / folder / "effective_learning_rate.py").read_text(encoding="utf-8")
        for folder in ("experiments", "analysis", "analysis")
    ]
    assert len(quoted) == 3
    for part, text in zip(quoted, files, strict=True):
        assert part in text


def test_what_analysis_repeats_of_the_profiles():
    """It may not import them."""
    from analysis.published.evidence import LEARNING_RATES
    from analysis.shared import names, reading
    from experiments.sweeps.profiles import PROFILES

    assert {name: profile.learning_rates for name, profile in PROFILES.items()} == LEARNING_RATES
    assert tuple(PROFILES) == reading.PROFILES
    assert tuple(model.split("/")[1] for model in PROFILES["paper"].models) == names.PAPER_MODELS


def test_the_readme_stays_a_front_door():
    """At most 160 lines, 2,000 words and 120 words a block."""
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 160
    assert len(text.split()) <= 2000
    blocks = re.split(r"\n\s*\n|\n(?=[-|]|\d\.)", text)
    assert max(len(block.split()) for block in blocks) <= 120


def first_looks():
    """The minutes of README's table of experiments, by name."""
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    rows = text.split("| minutes |\n")[1].split("\n\n")[0].splitlines()[1:]
    return {row.split("`")[1]: int(row.split("|")[-2]) for row in rows}


def test_a_first_look_takes_as_long_in_the_readme_as_in_the_docstrings():
    listed = first_looks()
    everything = listed.pop("bash run_all.sh")
    said = {}
    for path in (REPOSITORY / "experiments").glob("[a-z]*.py"):
        text = " ".join(ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))).split())
        said[path.stem] = [
            int(n) for n in re.findall(r"takes (\d+) minutes? on 2 slow cores", text)
        ]
    assert said == {name: [minutes] for name, minutes in listed.items()}
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"(\d+) minutes on 2 slow cores", text) == [str(everything)]


def test_the_readmes_links_lead_somewhere():
    pages = ["README.md", "experiments/README.md", "analysis/README.md"]
    pages.append("results/reference/README.md")
    for page in pages:
        path = REPOSITORY / page
        for link in re.findall(r"\]\(([^)#]+)\)", path.read_text(encoding="utf-8")):
            if not link.startswith("http"):
                assert (path.parent / link).exists(), (page, link)
