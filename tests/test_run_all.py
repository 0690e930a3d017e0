"""run_all.sh: verbs, flags and folders, with a Python that only says how it was called."""

import os
import shutil
import subprocess
import sys

import pytest
from conftest import REPOSITORY


@pytest.fixture
def study(tmp_path):
    """A copy of run_all.sh in a folder with a space, with a stub for .venv/bin/python, called
    from elsewhere."""
    folder = tmp_path / "a study"
    (folder / ".venv" / "bin").mkdir(parents=True)
    (folder / "tests").mkdir()
    for name in ("run_all.sh", "requirements.txt", "tests/requirements.txt"):
        shutil.copyfile(REPOSITORY / name, folder / name)
    stub = folder / ".venv" / "bin" / "python"
    stub.write_text('#!/usr/bin/env bash\n{ printf "[%s]" "$@" && echo; } >> "$0.log"\n')
    stub.chmod(0o755)
    log = stub.with_name("python.log")  # a file, since the output of some calls is thrown away

    def call(*arguments):
        log.write_text("")
        done = subprocess.run(
            ["bash", folder / "run_all.sh", *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": ""},
        )
        return done, [line for line in log.read_text().splitlines() if line.startswith("[-P]")]

    return call


REFERENCE = str(REPOSITORY / "results" / "reference")
STUDY = [
    line.split()[0]
    for line in (
        (REPOSITORY / "run_all.sh").read_text().split("study=(")[1].split("\n)")[0].splitlines()
    )
    if line.strip() and not line.startswith("#")
]
SWEEP = "[-P][-m][experiments]" + "".join(f"[{name}]" for name in STUDY)


def drawn(flags="", names=STUDY):
    """The figures, the checks, and at the end the report of them all."""
    return [
        f"[-P][-m][analysis]{''.join(f'[{name}]' for name in names)}{flags}",
        f"[-P][-m][analysis.published.audit]{flags}",
        f"[-P][-m][analysis.published.scorecard]{flags}",
        f"[-P][-m][analysis.report]{flags}",
    ]


@pytest.mark.parametrize(
    ("arguments", "calls"),
    [
        ([], [SWEEP, *drawn()]),
        (
            ["bias_correction", "--seeds", "2"],
            [
                "[-P][-m][experiments][bias_correction][--seeds][2]",
                *drawn(names=["bias_correction"]),
            ],
        ),
        (
            ["bias_correction", "training_length", "--seeds", "2"],
            [
                "[-P][-m][experiments][bias_correction][training_length][--seeds][2]",
                *drawn(names=["bias_correction", "training_length"]),
            ],
        ),
        (
            ["--profile", "small", "--data", "../my data"],
            [SWEEP + "[--profile][small][--data][../my data]", *drawn("[--profile][small]")],
        ),
        (
            ["--results=here", "--figures", "there"],
            [SWEEP + "[--results=here]", *drawn("[--results=here][--figures][there]")],
        ),
        (["--plan"], [SWEEP + "[--plan]"]),
        (["figures", "--profile", "small"], drawn("[--profile][small]")),
        (["figures", "--results", REFERENCE], [f"[-P][-m][analysis][--results][{REFERENCE}]"]),
        (
            ["fast_path", "--seeds", "25"],
            ["[-P][-m][experiments.benchmark.fast_path][--seeds][25]", *drawn(names=["fast_path"])],
        ),
        (
            ["spot_check", "--profile", "small"],
            [
                "[-P][-m][analysis.benchmark.spot_check][--before][--profile][small]",
                "[-P][-m][experiments.benchmark.spot_check][--profile][small]",
                *drawn("[--profile][small]", names=["spot_check"]),
            ],
        ),
        (
            ["rehearsal", "--profile", "paper", "--random-weights", "--results", "here"],
            [
                "[-P][-m][experiments.benchmark.rehearsal][--profile][paper][--random-weights]"
                "[--results][here]",
                "[-P][-m][analysis][rehearsal][--profile][paper][--results][here]",
            ],
        ),
        (
            ["rehearsal", "--plan"],
            ["[-P][-m][experiments.benchmark.rehearsal][--plan]"],
        ),
        (
            ["check", "--profile", "small", "--strict"],
            [
                "[-P][-m][analysis.published.audit][--profile][small]",
                "[-P][-m][analysis.published.scorecard][--profile][small][--strict]",
            ],
        ),
        (
            ["diagnose", "../my log.txt", "--classes", "6"],
            ["[-P][-m][analysis.diagnose][../my log.txt][--classes][6]"],
        ),
        (["help"], [SWEEP + "[--help]"]),
        (["bias_correction", "--help"], [SWEEP + "[--help]"]),
    ],
    ids=lambda value: (
        " ".join(value) if isinstance(value, list) and not str(value).startswith("['[") else ""
    ),
)
def test_verbs_and_flags(study, arguments, calls):
    study("figures")  # installs
    done, called = study(*arguments)
    assert done.returncode == 0, done.stderr
    assert called == calls
    if "[--help]" in calls[0]:
        assert (
            "bash run_all.sh bias_correction" in done.stdout and "table of contents" in done.stdout
        )


def test_installs_once_and_again_when_requirements_change(study, tmp_path):
    assert "installing" in study("figures")[0].stdout
    assert "installing" not in study("figures")[0].stdout
    with open(tmp_path / "a study" / "requirements.txt", "a") as file:
        file.write("one-more==1.0\n")
    assert "installing" in study("figures")[0].stdout


def test_what_cannot_be_drawn_does_not_hide_the_rest(study, tmp_path):
    study("figures")
    stub = tmp_path / "a study" / ".venv" / "bin" / "python"
    stub.write_text(stub.read_text() + '[[ $* != *"analysis catastrophic"* ]] || exit 2\n')
    done, called = study("figures")
    assert done.returncode == 2 and called == drawn()


def test_what_crashed_does_not_hide_the_rest_and_bad_input_does(study, tmp_path):
    study("figures")
    stub = tmp_path / "a study" / ".venv" / "bin" / "python"
    whole = stub.read_text()
    for status, figures in ((1, drawn()), (2, []), (130, [])):
        stub.write_text(whole + f'[[ $* != *"-m experiments"* ]] || exit {status}\n')
        done, called = study()
        assert done.returncode == status and called == [SWEEP, *figures]


def test_several_figures_in_one_process(tmp_path):
    """Two that lack their CSV, one line each; a third is drawn."""
    example = REPOSITORY / "results" / "reference" / "mini-random-weights"
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "analysis",
            "training_length",
            "bias_correction",
            "small_datasets",
            "--results",
            example,
            "--figures",
            tmp_path,
        ],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2 and [line.split()[1] for line in done.stderr.splitlines()] == [
        "no",
        "no",
    ]
    assert (tmp_path / "bias_correction.png").exists() and not (
        tmp_path / "training_length.png"
    ).exists()
    wrong = subprocess.run(
        [sys.executable, "-m", "analysis", "style"], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert wrong.returncode == 2 and wrong.stderr.startswith("error: unknown script 'style'")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["bias_corection"], "unknown verb 'bias_corection'"),
        (["bias_correction", "traning_length"], "unknown verb 'traning_length'"),
        (["--profile"], "--profile needs a value"),
    ],
)
def test_mistakes_are_one_line_and_status_2(study, arguments, words):
    study("figures")
    done, called = study(*arguments)
    assert done.returncode == 2 and not called
    assert words in done.stderr and len(done.stderr.splitlines()) == 1


def in_the_study(study_folder, home, *arguments, **environment):
    """run_all.sh with the environment of some shell, HOME and folder elsewhere."""
    return subprocess.run(
        ["bash", *arguments],
        cwd=home,
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"], "HOME": str(home), **environment},
    )


def test_another_projects_environment_is_left_alone(study, tmp_path):
    """A link to the script in a project that has a .venv without pip, as uv makes them; and such a
    .venv in the study itself."""
    folder = tmp_path / "a study"
    project = tmp_path / "project"
    (project / ".venv").mkdir(parents=True)
    mine = project / ".venv" / "mine.txt"
    mine.write_text("mine")
    (project / "run_all.sh").symlink_to(folder / "run_all.sh")
    done = in_the_study(folder, project, "run_all.sh", "status")
    assert done.returncode == 0, done.stderr
    assert mine.read_text() == "mine"

    shutil.rmtree(folder / ".venv")
    (folder / ".venv").mkdir()
    (folder / ".venv" / "mine.txt").write_text("mine")
    done = in_the_study(folder, tmp_path, folder / "run_all.sh", "status")
    assert done.returncode == 2
    assert "somebody else's and has no pip" in done.stderr
    assert done.stderr.count("\n") == 1
    assert (folder / ".venv" / "mine.txt").read_text() == "mine"


@pytest.mark.parametrize(
    "environment",
    [
        {"CDPATH": ".:/"},
        {"PYTHONHOME": "/nowhere"},
        {"PIP_TARGET": "/nowhere"},
        {"SHELLOPTS": "noclobber"},
        {"POSIXLY_CORRECT": "1"},
    ],
    ids=lambda environment: next(iter(environment)),
)
def test_what_shells_and_pip_users_have_set(study, tmp_path, environment):
    """A relative call of the script through a link to its folder."""
    (tmp_path / "link").symlink_to(tmp_path / "a study")
    before = sorted(tmp_path.iterdir())
    done = in_the_study(None, tmp_path, "link/run_all.sh", "status", **environment)
    assert done.returncode == 0, done.stderr
    assert sorted(tmp_path.iterdir()) == before
    pip = (tmp_path / "a study" / ".venv" / "bin" / "python.log").read_text()
    assert "[-m][pip][install]" in pip


def test_packages_that_went_elsewhere_are_not_taken_for_installed(study, tmp_path):
    """The check after pip says no: no stamp, status 2, and the next call installs again."""
    stub = tmp_path / "a study" / ".venv" / "bin" / "python"
    stub.write_text("#!/usr/bin/env bash\n[[ $1 != -I ]]\n")
    for _ in range(2):
        done = in_the_study(None, tmp_path, tmp_path / "a study" / "run_all.sh", "status")
        assert done.returncode == 2
        assert "did not arrive in .venv" in done.stderr
        assert not list((tmp_path / "a study" / ".venv").glob("installed-*.txt"))
