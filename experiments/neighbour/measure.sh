#!/usr/bin/env bash
# Samples a second of training for several GOMP_SPINCOUNT, on a quiet machine, beside busy loops on every core, and
# beside a second run of its own kind. 300000 is libgomp's default. From the root of the checkout, on a machine that
# does nothing else:
#   experiments/neighbour/measure.sh [SPINCOUNT ...]
# DTYPE (fp32), STEPS (60) and TIMES (3) can be set; of several times the median is shown.
set -euo pipefail

counts=("$@")
[ ${#counts[@]} -gt 0 ] || counts=(300000 10000 5000 2000 1000 100)
dtype=${DTYPE:-fp32} steps=${STEPS:-60} times=${TIMES:-3}
work=$(mktemp -d)
pids=()
quiet() { for pid in "${pids[@]}"; do kill -9 "$pid" 2>/dev/null || true; wait "$pid" 2>/dev/null || true; done; pids=(); }
trap 'quiet; rm -rf "$work"' EXIT

# train SPINCOUNT NAME STEPS leaves the closing table in NAME.
train() {
  GOMP_SPINCOUNT=$1 exec bin/finetune train -c configs/sample.yaml model.dtype="$dtype" train.max_steps="$3" \
    train.checkpoint_every=never run.dir="$work/run-$2-$BASHPID" >"$work/$2" 2>"$work/$2.log"
}

rate() { # SPINCOUNT: the median of several
  for _ in $(seq "$times"); do
    (train "$1" measured "$steps")
    awk '$1 == "samples/s" { print $2 }' "$work/measured"
  done | sort -g | sed -n "$(((times + 1) / 2))p"
}

printf '%-10s %10s %10s %10s\n' spincount quiet loops twin
for count in "${counts[@]}"; do
  alone=$(rate "$count")
  for _ in $(seq "$(nproc)"); do
    sh -c 'while :; do :; done' &
    pids+=($!)
  done
  loops=$(rate "$count")
  quiet
  train "$count" twin 1000000 &
  pids+=($!)
  sleep 3 # it loads
  twin=$(rate "$count")
  quiet
  printf '%-10s %10s %10s %10s\n' "$count" "$alone" "$loops" "$twin"
done
