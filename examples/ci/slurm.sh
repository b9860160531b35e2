#!/bin/bash
#SBATCH --job-name=sagrada
#SBATCH --cpus-per-task=2
#SBATCH --mem=6G
#SBATCH --time=02:00:00
#
# Spreads the suites, Debian's kernels and seeds of random sequences over the machines of a Slurm cluster, and puts the
# results together. On a machine that submits, in the checkout, which all nodes see (docs/ci.md):
#
#   examples/ci/slurm.sh submit            # an array of tasks, and a job after them that merges their results
#   examples/ci/slurm.sh tasks             # what the tasks are, one to a line
#
# What can be set, in the environment:
#   KERNELS   as --kernel takes them; empty: no virtual machine, the model of the driver
#   SHARDS    parts into which the tests are cut, for each kernel
#   SEEDS     of random sequences of calls that model and driver must answer alike, 100 for each seed
#   SUITES    which suites; empty: all
#   OUT       folder for results, which all nodes see
#   SAGRADA   the program; e.g. "node /somewhere/bin/sagrada.js"
set -euo pipefail

: "${KERNELS=backports stable}" "${SHARDS:=4}" "${SEEDS=1 2 3 4}" "${SUITES=}"
: "${OUT:=$PWD/results-sagrada}" "${SAGRADA:=npx sagrada}"
export KERNELS SHARDS SEEDS SUITES OUT SAGRADA

# A line is the arguments of one "sagrada exercise".
tasks() {
  local kernel shard seed
  if [ -z "$KERNELS" ]; then
    for ((shard = 1; shard <= SHARDS; shard++)); do echo "$SUITES --on model --shard $shard/$SHARDS"; done
    for seed in $SEEDS; do echo "sequences --on model --seed $seed"; done
    return
  fi
  for kernel in $KERNELS; do
    for ((shard = 1; shard <= SHARDS; shard++)); do echo "$SUITES --on vm --kernel $kernel --shard $shard/$SHARDS"; done
    for seed in $SEEDS; do echo "sequences --on model,vm --kernel $kernel --seed $seed"; done
  done
}

# Runs task $1. Each has files of its own: SQLite is not for several machines that write to one file over a network.
task() {
  local words
  mkdir -p "$OUT"
  read -ra words <<<"$(tasks | sed -n "${1}p")"
  [ ${#words[@]} -gt 0 ] || { echo "there is no task $1" >&2; exit 2; }
  echo "task $1 on ${SLURMD_NODENAME:-$HOSTNAME}: sagrada exercise ${words[*]}"
  $SAGRADA exercise "${words[@]}" --format junit --output "$OUT/task$1.xml" --results "$OUT/task$1.sqlite"
}

# Puts together what there is. Ends with 1 when a test has failed, or a task has left nothing.
merge() {
  local count status=0 i
  count=$(tasks | wc -l)
  for ((i = 1; i <= count; i++)); do
    if [ ! -e "$OUT/task$i.sqlite" ]; then
      echo "task $i has left no results: $(tasks | sed -n "${i}p")" >&2
      status=1
    fi
  done
  rm -f "$OUT/all.sqlite"
  $SAGRADA report --merge "$OUT"/task*.sqlite --results "$OUT/all.sqlite" --check --output "$OUT/report.txt" || status=1
  $SAGRADA report --results "$OUT/all.sqlite" --format html --output "$OUT/report.html" || status=1
  cat "$OUT/report.txt"
  exit $status
}

submit() {
  local script array
  script=$(realpath "$0")
  mkdir -p "$OUT"
  # once, before the tasks would all wait for it: the guest goes into the cache folder of this user
  for kernel in $KERNELS; do
    case $kernel in backports | stable) $SAGRADA vm setup --kernel "$kernel" --machine gaudi-efa ;; esac
  done
  array=$(sbatch --parsable --array="1-$(tasks | wc -l)" --output="$OUT/task%a.log" "$script")
  sbatch --dependency="afterany:$array" --output="$OUT/merge.log" "$script" merge
}

case ${1-} in
tasks) tasks ;;
submit) submit ;;
merge) merge ;;
'') task "${SLURM_ARRAY_TASK_ID:?is set by Slurm: see \"$0 submit\"}" ;;
*) echo "usage: $0 [tasks | submit | merge]" >&2; exit 2 ;;
esac
