#!/usr/bin/env bash
# The reference results: every command that makes one of these folders, in order.
#
#   bash results/reference/make.sh OUT MODEL DATA TEXT [--plan]
#
# OUT: folder to write to, with finished runs; nothing finished is trained again, so a stopped call goes on when it is
# repeated. MODEL: gte-small; DATA: GLUE's TSV files; TEXT: WikiText-2. --plan only says what each would train.
# About 20 hours on 2 cores for mini's folders, 4 for small-float32, and 3 for small's two parts on a CPU. CSVs are copied from OUT to here by hand, after a look at them.
set -euo pipefail
[[ $# -ge 4 ]] || { sed -n '2,/^set /{/^set /d; s/^# \{0,1\}//; p;}' "${BASH_SOURCE[0]}"; exit 2; }
here="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
out=$1 model=$2 data=$3 text=$4
shift 4
plan=("$@")

make() {  # folder, then experiments and flags
  local folder=$1 names=()
  shift
  echo "== $folder: $*"
  while [[ $1 != -* ]]; do names+=("$1"); shift; done
  PYTHONPATH="$here" OMP_NUM_THREADS=1 "$here/.venv/bin/python" -P -m experiments "${names[@]}" --results "$out/$folder" \
    ${plan[@]+"${plan[@]}"} "$@"
}

gte=(--profile small --model "$model" --data "$data" --learning-rates 1e-4)

# a real encoder, its own default (bfloat16); these want a GPU, made on one with 16 processes on one store
make small checkpoint_selection early_signs instability_measures vanishing_gradients "${gte[@]}" --tasks rte cola --seeds 25 --long-seeds 0 \
  --device cuda --and --tasks mrpc --seeds 17
make small reinitialization "${gte[@]}" --tasks rte --layers 0 5 --long-layers 0 --seeds 25 --long-seeds 0 --device cuda
make small strong_baseline "${gte[@]}" --tasks rte --seeds 25 --long-seeds 0 --device cuda
make small effective_learning_rate "${gte[@]}" --tasks cola --seeds 10 --multiples 3 6 12 --warmups 0.1 --device cuda
# smaller first steps on RTE, five seeds on a CPU, beside the GPU's runs
make small effective_learning_rate "${gte[@]}" --tasks rte --bias-correction off --multiples 1 --warmups 0.1 --beta2s 0.98 --seeds 5 \
  --and --warmups 0.5 --beta2s 0.999 --and --warmups 0.1 --beta2s 0.999 --seeds 25 --device cuda \
  --and --tasks cola --bias-correction both --multiples 3 6 12 --warmups 0.1 --beta2s 0.999 0.98 --seeds 10 --device cuda
# a call trains on one device and reads the others' runs. Other rates of RTE on the GPU; more seeds of it on a CPU
make small bias_correction "${gte[@]}" --tasks rte --learning-rates 5e-5 2e-4 --seeds 8 --device cuda
make small bias_correction "${gte[@]}" --tasks rte --learning-rates 2e-4 --seeds 9-13
make small bias_correction "${gte[@]}" --tasks rte --seeds 31-32 --bias-correction off \
  --and --learning-rates 2e-4 --seeds 9-13 --bias-correction both \
  --and --tasks rte cola --seeds 25 --bias-correction both --device cuda \
  --and --learning-rates 5e-5 2e-4 --seeds 8 --bias-correction both --device cuda \
  --and --tasks mrpc --seeds 17 --bias-correction both --device cuda
# CoLA's samples, ten seeds on a CPU. All of CoLA is the GPU's in the committed table, which this would train on the CPU for those ten
make small small_datasets "${gte[@]}" --tasks cola --seeds 11-25 --device cuda
make small small_datasets "${gte[@]}" --tasks cola --seeds 10 --and --seeds 11-25 --device cuda
echo "== paper-rehearsal: bash run_all.sh rehearsal --profile paper --random-weights --device cuda --results $out/paper-rehearsal"
# mini: rates, tasks, and the paper's hypotheses
make mini training_length --seeds 25 --long-seeds 5 --epochs 3 20 --and --learning-rates 3e-4 4e-4 --long-seeds 25
make mini bias_correction --tasks rte mrpc cola qnli --seeds 25
make mini small_datasets vanishing_gradients generalization --seeds 25
make mini strong_baseline --seeds 25
make mini catastrophic_forgetting --seeds 25 --of-each 9
make mini loss_surfaces --seeds 25 --pairs 10
make mini mitigations --seeds 25 --long-seeds 5
make mini reinitialization checkpoint_selection early_signs convergence_pitfalls instability_measures --seeds 25 --long-seeds 5
# mini: the cause by itself (on seeds that no pilot had), and scores that jump
make mini effective_learning_rate --seeds 26-50
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
