#!/usr/bin/env bash
# On the stability of fine-tuning BERT: the study, its table of contents.
#
#   bash run_all.sh                    every experiment and figure of the default profile
#   bash run_all.sh bias_correction    one experiment and its figure; or several, by their names
#   bash run_all.sh figures            the figures and tables again, from the CSVs; --published: the paper's, from its points
#   bash run_all.sh check              the paper's claims on the published numbers and on the results; --strict: status 1
#   bash run_all.sh diagnose PATH...   what happened in these runs? reads logs of anybody's runs (trainer_state.json, console
#                                      lines, CSV) and says what to try; --labels 0.68 0.32, --classes 6 or --group 8
#   bash run_all.sh status             what is finished, running, stale or crashed
#   bash run_all.sh benchmark          how fast a step is, beside others' and beside the machine's limit; wants an idle machine
#   bash run_all.sh fast_path          do runs of the fast path fail as often as those of the plain one? wants --seeds 25
#   bash run_all.sh rehearsal          minutes before days: does every kind of run work here, and what will the study cost?
#   bash run_all.sh spot_check         do 10 runs fail as often as the published ones? first how likely it would notice if not
#   bash run_all.sh test               the tests
#   bash run_all.sh help               this text, and the flags of the experiments
#
# Flags go through: --profile mini|small|paper, --seeds N, --engine ray|serial, --model, --data, --tasks, --results ...
# Needs Python 3.11 or later and a package index; makes .venv beside this file. What is finished is never trained twice.
set -euo pipefail

study=(
# experiment              the question                                                          paper
  catastrophic_forgetting # Do failed runs fail because they forget what pre-training taught?   4.1, Fig. 2
  small_datasets          # Are few examples the cause, or few iterations?                      4.2, Fig. 3, Table 4
  vanishing_gradients     # Do the lower layers of failed runs stop receiving a gradient?       5.1, Figs 4, 10-12
  bias_correction         # Does Adam without bias correction make fine-tuning fail?            5.1, Figs 5, 6, 9
  effective_learning_rate # Is a missing bias correction nothing but larger first steps?        5.1, Fig. 6
  training_length         # Do more iterations help, with and without bias correction?          5.1, Fig. 9
  loss_surfaces           # Do failed and successful runs end in different places?              7.6, Figs 7, 13
  generalization          # Does a small training loss cost dev score?                          5.2, Figs 8, 14
  strong_baseline         # Does the paper's recipe fail less and vary less than the default?   6, Fig. 1, Tables 1, 4
  reinitialization        # Does drawing the top layers anew help?                              Zhang et al. 2021, Table 1
  mitigations             # What do other remedies do, without and with bias correction?      Zhang et al. 2021, Table 2
  checkpoint_selection    # Which checkpoint, and which restart, do I keep?                     Dodge et al. 2020, Figs 1, 5
  oscillating_scores      # Scores jump from epoch to epoch: whose fault, and which do I keep?    none
  early_signs             # Can a failing run be told early?                                    none
  convergence_pitfalls    # What do other ways not to converge look like?                       none
  sources_of_randomness   # What decides whether a run fails, its seeds or rounding?            none
  instability_measures    # Do runs with like scores give like answers?                         Du and Nguyen 2023
  your_data               # Do runs fail on data of your own, and what can n seeds tell?        none
)

# cd would print and go elsewhere; Python would find another's library, or no docstrings, which transformers reads
unset CDPATH PYTHONHOME PYTHONSTARTUP PYTHONOPTIMIZE
script="${BASH_SOURCE[0]}"
while [[ -L $script ]]; do  # the repository is where this file really lies, whoever links to it
  link="$(readlink "$script")"
  case $link in /*) script=$link ;; *) script="$(dirname "$script")/$link" ;; esac
done
here="$(cd "$(dirname "$script")" && pwd -P)"
export PYTHONPATH="$here" HF_HUB_DISABLE_TELEMETRY=1 TOKENIZERS_PARALLELISM=false RAY_USAGE_STATS_ENABLED=0
venv="$here/.venv"
python="$venv/bin/python"

main() {
  local verb=all argument
  for argument in "$@"; do
    if [[ $argument == -h || $argument == --help ]]; then usage; return; fi
  done
  if [[ $# -gt 0 && $1 != -* ]]; then verb=$1; shift; fi
  case $verb in
    help) usage ;;
    test) install requirements.txt tests/requirements.txt
          cd "$here"
          "$python" -m ruff check .
          "$python" -m ruff format --check --quiet .
          "$python" -m mypy
          OMP_NUM_THREADS=1 "$python" -m pytest -n 2 --dist loadfile "$@" ;;
    status) install requirements.txt; run experiments.sweeps.status "$@" ;;
    diagnose) install requirements.txt; run analysis.diagnose "$@" ;;
    benchmark) install requirements.txt tests/requirements.txt
               experiments benchmark -- "$@" ;;
    fast_path) install requirements.txt
               experiments fast_path -- "$@" ;;
    rehearsal) install requirements.txt
               experiments rehearsal -- "$@" ;;
    spot_check) install requirements.txt
                before_spot_check "$@"
                experiments spot_check -- "$@" ;;
    check) install requirements.txt
           check "$@" ;;
    figures) install requirements.txt
             if [[ ${1-} == --published ]]; then run analysis published "${@:2}"
             else figures "${study[@]}" -- "$@"; fi ;;
    all) install requirements.txt
         experiments "${study[@]}" -- "$@" ;;
    *) local names=("$verb") name
       while [[ $# -gt 0 && $1 != -* ]]; do names+=("$1"); shift; done
       for name in "${names[@]}"; do
         [[ " ${study[*]} " == *" $name "* ]] || fail "unknown verb '$name': expected test, figures, check, diagnose, status, benchmark, fast_path, rehearsal, spot_check, help or one of ${study[*]}"
       done
       install requirements.txt
       experiments "${names[@]}" -- "$@" ;;
  esac
}

experiments() {  # names -- flags: one sweep over the experiments, then their figures
  local names=() folders=()
  while [[ $1 != -- ]]; do names+=("$1"); shift; done
  shift
  local flags=() folder_of_figures=() only_plan=
  while [[ $# -gt 0 ]]; do  # the figures need to know which results; only they need to know which folder of figures
    case $1 in
      --profile | --results) [[ $# -gt 1 ]] || fail "$1 needs a value; see bash run_all.sh help"
                             flags+=("$1" "$2"); folders+=("$1" "$2"); shift ;;
      --profile=* | --results=*) flags+=("$1"); folders+=("$1") ;;
      --figures) [[ $# -gt 1 ]] || fail "--figures needs a value; see bash run_all.sh help"
                 folder_of_figures=("$1" "$2"); shift ;;
      --figures=*) folder_of_figures=("$1") ;;
      --plan) only_plan=yes; flags+=("$1") ;;
      *) flags+=("$1") ;;
    esac
    shift
  done
  local status=0
  case ${names[*]} in
    benchmark) run experiments.benchmark ${flags[@]+"${flags[@]}"} ;;
    fast_path) run experiments.benchmark.fast_path ${flags[@]+"${flags[@]}"} || status=$? ;;
    rehearsal) run experiments.benchmark.rehearsal ${flags[@]+"${flags[@]}"} || status=$? ;;
    spot_check) run experiments.benchmark.spot_check ${flags[@]+"${flags[@]}"} || status=$? ;;
    *) run experiments "${names[@]}" ${flags[@]+"${flags[@]}"} || status=$? ;;
  esac
  [[ -z $only_plan && $status -le 1 ]] || return $status
  if [[ ${names[*]} == rehearsal ]]; then  # two tables, and nothing yet for a page
    run analysis rehearsal ${folders[@]+"${folders[@]}"} ${folder_of_figures[@]+"${folder_of_figures[@]}"} || return
    return $status
  fi
  figures "${names[@]}" -- ${folders[@]+"${folders[@]}"} ${folder_of_figures[@]+"${folder_of_figures[@]}"} || return
  return $status  # 1: a run crashed; what the others show is drawn
}

before_spot_check() {  # flags: how likely the check of this profile would notice another rate
  local profile=() before= argument
  for argument in "$@"; do
    [[ $argument != --profile=* ]] || profile=("$argument")
    [[ $before != --profile ]] || profile=(--profile "$argument")
    before=$argument
  done
  run analysis.benchmark.spot_check --before ${profile[@]+"${profile[@]}"}
}

figures() {  # names -- flags: all that can be drawn, and everything on one page; status 2 if something could not be drawn
  local names=() status=0 argument before=
  while [[ $1 != -- ]]; do names+=("$1"); shift; done
  shift
  for argument in "$@"; do  # a folder of folders of results, such as results/reference: their figures, no page
    [[ $argument != --results=* ]] || { before=--results; argument=${argument#--results=}; }
    if [[ $before == --results ]] && compgen -G "$argument/*/*.csv" > /dev/null && ! compgen -G "$argument/*.csv" > /dev/null; then
      run analysis "$@"
      return
    fi
    before=$argument
  done
  run analysis "${names[@]}" "$@" || status=$?
  [[ $status -lt 128 ]] || return $status  # Ctrl-C
  check "$@" > /dev/null || status=$?
  run analysis.report "$@" || status=$?
  return $status
}

check() {  # flags: the published numbers against their own points; then the paper's claims on them and on the results
  local flags=() argument
  for argument in "$@"; do [[ $argument == --strict ]] || flags+=("$argument"); done
  run analysis.published.audit ${flags[@]+"${flags[@]}"} > /dev/null || return
  run analysis.published.scorecard "$@"
}

run() { "$python" -P -m "$@"; }

install() {  # requirement files: into .venv, unless they are what was installed last
  local stamp="$venv/installed-$#.txt" marker="$venv/made-by-run_all" file arguments=()
  if ! "$python" -m pip --version > /dev/null 2>&1; then  # none yet, half made, or its Python is gone
    if [[ -e $venv || -L $venv ]] && [[ ! -e $marker && ! -e $venv/installed-1.txt ]]; then
      fail "$venv is somebody else's and has no pip: move it away, or put pip into it, then repeat the call"
    fi
    local candidate
    for candidate in python3.11 python3.12 python3.13 python3; do
      if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null; then break; fi
      candidate=
    done
    [[ $candidate ]] || fail "no Python 3.11 or later found: install it, then repeat the call"
    "$candidate" -m venv --clear "$venv"  # it is ours, or not there
    : >| "$marker"
  fi
  for file in "$@"; do arguments+=(-r "$here/$file"); done
  if ! (cd "$here" && cat "$@") | cmp -s - "$stamp"; then
    echo "installing into .venv (once, a few minutes)"
    # of pip's settings only those that say where packages come from: others put them elsewhere. PIP_USE_PEP517: an old pip
    # builds a package that comes as source without what that asks for
    env -u PIP_TARGET -u PIP_PREFIX -u PIP_ROOT -u PIP_USER -u PIP_DRY_RUN -u PIP_NO_DEPS -u PIP_REQUIRE_VIRTUALENV \
      -u PIP_IGNORE_INSTALLED -u PIP_REQUIREMENT -u PIP_CONSTRAINT -u PYTHONUSERBASE PIP_USER=0 PIP_USE_PEP517=1 \
      "$python" -m pip install --quiet --disable-pip-version-check "${arguments[@]}"
    (cd "$here" && "$python" -I -c "$is_installed" "$@") \
      || fail "the packages did not arrive in .venv: look at pip's configuration (pip config list), then repeat the call"
    (cd "$here" && cat "$@") >| "$stamp"
  fi
}

# Reads files of requirements; status 1 unless each stands in this environment, in that version, and torch can be imported.
is_installed='
import fileinput, importlib.metadata, sys
for line in fileinput.input(encoding="utf-8"):
    name, _, version = line.split("#")[0].strip().partition("==")
    if name and importlib.metadata.version(name).split("+")[0] != version:
        sys.exit(1)
import torch
sys.exit(not torch.__file__.startswith(sys.prefix))
'

usage() {
  sed -n '2,/^set /{/^set /d; s/^# \{0,1\}//; p}' "${BASH_SOURCE[0]}"
  echo "Experiments: ${study[*]}"
  if [[ -f $here/.venv/installed-1.txt ]]; then run experiments "${study[@]}" --help | sed -n '/^options:/,$p'; fi
}

fail() { echo "error: $*" >&2; exit 2; }

main "$@"
