#!/usr/bin/env bash
# The runs of the pilot, into runs/dmrg-pilot, two at a time: pilot.sh [SEED ...]. A run that is there is not made again.
set -euo pipefail
cd "$(dirname "$0")/../.."
finetune=${FINETUNE:-bin/finetune}
out=${OUT:-runs/dmrg-pilot}
seeds=(1 2 3)
[ $# -eq 0 ] || seeds=("$@")
mkdir -p "$out"

# name and what it differs in; but for the late ones every cut is over after 60 % of the 180 steps
variants() {
	cat <<-'LIST'
		dmrg          adapter.rank=10 dmrg.mode=canonical dmrg.at=36,72,108 dmrg.maxdim=8,6,4 dmrg.moments=reset
		fixed         adapter.rank=4
		fixed-lr3     adapter.rank=4 train.lr=3e-3
		fixed-lr5     adapter.rank=4 train.lr=5e-3
		truncated-lr3 adapter.rank=10 train.lr=3e-3 dmrg.mode=canonical dmrg.at=180 dmrg.maxdim=4
		restart       adapter.rank=4 dmrg.mode=restart dmrg.at=36,72,108
		high          adapter.rank=10
		transport     adapter.rank=10 dmrg.mode=canonical dmrg.at=36,72,108 dmrg.maxdim=8,6,4 dmrg.moments=transport
		late-steps    adapter.rank=10 dmrg.mode=canonical dmrg.at=126,144,162 dmrg.maxdim=8,6,4 dmrg.moments=transport
		late          adapter.rank=10 dmrg.mode=canonical dmrg.at=162 dmrg.maxdim=4 dmrg.moments=transport
		enrich        adapter.rank=2 dmrg.mode=enrich dmrg.at=36,72,108 dmrg.grow=2 dmrg.budget=3200 dmrg.moments=transport
		two-site      adapter.rank=2 dmrg.mode=two-site dmrg.at=36 dmrg.pair_steps=24 dmrg.pair_length=0.1 dmrg.maxdim=4 dmrg.tol=0.002
		two-site-4    adapter.rank=2 dmrg.mode=two-site dmrg.at=36 dmrg.pair_steps=24 dmrg.pair_length=0.1 dmrg.maxdim=4
	LIST
}

run() { # seed name keys
	local seed=$1 name=$2 dir="$out/$2-s$1"
	shift 2
	[ -e "$dir/summary.json" ] && return
	rm -rf "$dir"
	"$finetune" train -c experiments/dmrg-pilot/pilot.yaml train.seed="$seed" run.dir="$dir" "$@" >"$dir.log" 2>&1
}
export -f run
export finetune out

variants | while read -r name keys; do
	for seed in "${seeds[@]}"; do echo "$seed $name $keys"; done
done | xargs -P 2 -I{} bash -c 'run {}'

# The high rank, truncated once at the end: its last adapter, swept, with a step that changes nothing.
for seed in "${seeds[@]}"; do
	run "$seed" truncated adapter.init_from="$out/high-s$seed/adapter/last" dmrg.mode=canonical dmrg.at=0 dmrg.maxdim=4 \
		train.max_steps=1 train.lr=1e-12 train.warmup=0
done
