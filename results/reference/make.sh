#!/usr/bin/env bash
# The reference results: every command that makes one of these folders, in order.
#
#   bash results/reference/make.sh OUT MODEL DATA TEXT [--plan]
#
# OUT: folder to write to, with finished runs; nothing finished is trained again, so a stopped call goes on when it is
# repeated. MODEL: gte-small; DATA: GLUE's TSV files; TEXT: WikiText-2. --plan only says what each would train.
# About 28 hours on 2 cores for mini, 24 for small. CSVs are copied from OUT to here by hand, after a look at them.
set -euo pipefail
[[ $# -ge 4 ]] || { sed -n '2,/^set /{/^set /d; s/^# \{0,1\}//; p;}' "${BASH_SOURCE[0]}"; exit 2; }
here="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
out=$1 model=$2 data=$3 text=$4
shift 4
plan=("$@")

make() {  # folder, then experiments and flags
  local folder=$1
  shift
  echo "== $folder: $*"
  PYTHONPATH="$here" OMP_NUM_THREADS=1 "$here/.venv/bin/python" -P -m experiments "$@" --results "$out/$folder" ${plan[@]+"${plan[@]}"}
}

join() {  # folder, then folders: their tables of one name become one there, under one head
  local folder=$1 name
  shift
  [[ ${#plan[@]} -eq 0 ]] || return 0
  mkdir -p "$out/$folder"
  for name in $(cd "$out" && ls "${@/%/\/}" | grep '\.csv$' | sort -u); do
    (cd "$out" && awk 'FNR > 1 || NR == 1' $(ls "${@/%//$name}" 2> /dev/null)) > "$out/$folder/$name"
  done
}

gte=(--profile small --model "$model" --data "$data" --learning-rates 1e-4)

# a real encoder, its own default (bfloat16); these want a GPU, made on one with 16 processes on one store
make small-rte bias_correction vanishing_gradients checkpoint_selection early_signs instability_measures "${gte[@]}" --tasks rte \
  --seeds 25 --long-seeds 0 --device cuda
make small-cola bias_correction vanishing_gradients "${gte[@]}" --tasks cola --seeds 15 --device cuda
# on a CPU: RTE's two more seeds without correction; CoLA's samples, beside which stand small-cola's runs without correction
make small-rte-more bias_correction "${gte[@]}" --tasks rte --seeds 31-32 --bias-correction off
make small-samples small_datasets "${gte[@]}" --tasks cola --seeds 10
join small small-rte small-cola small-rte-more
echo "== paper-rehearsal: bash run_all.sh rehearsal --profile paper --random-weights --device cuda --results $out/paper-rehearsal"
# mini: rates, tasks, and the paper's hypotheses
make mini training_length --seeds 25 --long-seeds 5 --epochs 3 20
make mini bias_correction --tasks rte mrpc cola qnli --seeds 25
make mini small_datasets vanishing_gradients bias_correction generalization strong_baseline --seeds 25 --long-seeds 5
make mini catastrophic_forgetting --seeds 25 --of-each 9
make mini loss_surfaces --seeds 25 --pairs 10
make mini reinitialization mitigations checkpoint_selection early_signs convergence_pitfalls instability_measures --seeds 25 --long-seeds 5
# mini: today's remedies and their control; their rows stand below mini's
make mini-remedies mitigations --methods lower classifier LoRA Trainer 0.3 --seeds 5
# mini: five more seeds of three long settings, beside mini's (of strong_baseline only the recipe's rows)
make mini-long training_length generalization --learning-rates 3e-4 --seeds 6-10 --long-seeds 10 --epochs 20
make mini-long strong_baseline --tasks rte mrpc --seeds 6-10 --long-seeds 10
# mini: the cause by itself (on seeds that no pilot had), and scores that jump
make mini effective_learning_rate --seeds 26-37
make mini oscillating_scores --seeds 5
# mini: what a seed is, segment ids, labels with noise
make mini-second-cpu sources_of_randomness --seeds 25 --repeats 1
make mini-without-segment-ids bias_correction --tasks rte mrpc --learning-rates 3e-4 --seeds 25 --segment-ids off
make mini-noisy generalization bias_correction --tasks rte --learning-rates 3e-4 --seeds 25 --long-seeds 5 --data mini-noisy
make mini-random-weights bias_correction --tasks rte mrpc cola qnli --random-weights --bias-correction on --learning-rates 3e-4 --seeds 3
# gte-small in float32, few seeds
make small-float32 bias_correction "${gte[@]}" --tasks rte cola --dtype float32 --seeds 5
make small-float32 small_datasets "${gte[@]}" --tasks cola --dtype float32 --seeds 5
make small-float32 reinitialization checkpoint_selection early_signs "${gte[@]}" --tasks rte --dtype float32 \
  --layers 0 5 --long-layers 0 --seeds 2 --long-seeds 0
make small-float32 vanishing_gradients loss_surfaces catastrophic_forgetting "${gte[@]}" --tasks cola --dtype float32 \
  --seeds 6 --long-seeds 0 --points 13 --fit-head --blocks 50 --text "$text"
