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
#   FUZZ      how long to fuzz with each of the seeds, e.g. 1h; empty: not at all
#   SUITES    which suites; empty: all
#   OUT       folder for results, which all nodes see
#   SAGRADA   the program; e.g. "node /somewhere/bin/sagrada.js"
set -euo pipefail

: "${KERNELS=backports stable}" "${SHARDS:=4}" "${SEEDS=1 2 3 4}" "${FUZZ=}" "${SUITES=}"
: "${OUT:=$PWD/results-sagrada}" "${SAGRADA:=npx sagrada}"
export KERNELS SHARDS SEEDS FUZZ SUITES OUT SAGRADA

# A line is a command of sagrada, with its arguments.
tasks() {
  local kernel
  if [ -z "$KERNELS" ]; then
    tasks_on "--on model" "--on model"
  else
    for kernel in $KERNELS; do tasks_on "--on vm --kernel $kernel" "--on model,vm --kernel $kernel"; done
  fi
}

# $1: where the suites run, $2: where random calls do.
tasks_on() {
  local shard seed
  for ((shard = 1; shard <= SHARDS; shard++)); do echo "exercise $SUITES $1 --shard $shard/$SHARDS"; done
  for seed in $SEEDS; do
    echo "exercise sequences $2 --seed $seed"
    if [ -n "$FUZZ" ]; then echo "fuzz $2 --seed $seed --for $FUZZ"; fi
  done
}

# Runs task $1. Each has files of its own: SQLite is not for several machines that write to one file over a network.
task() {
  local words
  mkdir -p "$OUT"
  read -ra words <<<"$(tasks | sed -n "${1}p")"
  [ ${#words[@]} -gt 0 ] || { echo "there is no task $1" >&2; exit 2; }
  echo "task $1 on ${SLURMD_NODENAME:-$HOSTNAME}: sagrada ${words[*]}"
  case ${words[0]} in
  fuzz) $SAGRADA "${words[@]}" --corpus "$OUT/task$1.fuzz" ;;
  *) $SAGRADA "${words[@]}" --format junit --output "$OUT/task$1.xml" --results "$OUT/task$1.sqlite" ;;
  esac
}

# Puts together what there is. Ends with 1 when a test has failed, fuzzing has found something, or a task has left nothing.
merge() {
  local i=0 line found status=0
  while read -r line; do
    i=$((i + 1))
    if [ -e "$OUT/task$i.fuzz" ]; then
      found=$($SAGRADA fuzz list --corpus "$OUT/task$i.fuzz" --json)
      if [ -n "$found" ]; then
        echo "task $i has findings: sagrada fuzz list --corpus $OUT/task$i.fuzz" >&2
        status=1
      fi
    elif [ ! -e "$OUT/task$i.sqlite" ]; then
      echo "task $i has left no results: $line" >&2
      status=1
    fi
  done < <(tasks)
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
