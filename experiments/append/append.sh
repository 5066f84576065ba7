#!/usr/bin/env bash
# A task appended to an adapter of SST-2: more sentences of SST-2 under other names of the classes, so that what the
# first task has learned is what the second one needs. Into runs/append. A run that is there is not made again.
set -euo pipefail
cd "$(dirname "$0")/../.."
finetune=${FINETUNE:-bin/finetune}
out=${OUT:-runs/append}
glue=${GLUE_DIR:-data/glue}
mkdir -p "$out"
polarity() { awk -F'\t' -v OFS='\t' 'BEGIN { print "text", "label" } { print $1, $2 == 1 ? "glad" : "sorry" }'; }
sed -n 40001,44000p "$glue/SST-2/train.tsv" | polarity >"$out/train.tsv"
tail -n +2 "$glue/SST-2/dev.tsv" | polarity >"$out/dev.tsv"

run() { # name keys
	local dir="$out/$1"
	shift
	[ -e "$dir/summary.json" ] && return
	rm -rf "$dir"
	"$finetune" train -c configs/quick-mrpc.yaml train.batch_size=16 data.max_length=32 threads=1 model.dtype=fp32 \
		train.checkpoint_every=never run.dir="$dir" "$@" >"$dir.log" 2>&1
}
own=(task=custom data.train="$out/train.tsv" data.dev="$out/dev.tsv" train.max_steps=150)

run first task=sst2 adapter.task_after=layer train.max_steps=250 train.lr=5e-3
run alone "${own[@]}" adapter.task_after=layer train.lr=5e-3
run head "${own[@]}" adapter.method=head train.lr=1e-2
for start in zero sst2; do
	for grow in 0 4; do
		run "$start-$grow" "${own[@]}" adapter.append.to="$out/first" adapter.append.start="$start" adapter.append.grow="$grow" train.lr=1e-2
	done
done
for name in first alone head zero-0 zero-4 sst2-0 sst2-4; do
	printf '%-8s trained %5s of %6s  accuracy %s\n' "$name" \
		"$(grep -o '"adapter_parameters": [0-9]*' "$out/$name/summary.json" | grep -o '[0-9]*$')" \
		"$(grep -o '"whole_adapter_parameters": [0-9]*' "$out/$name/summary.json" | grep -o '[0-9]*$' || echo -)" \
		"$(grep '"eval"' "$out/$name/metrics.jsonl" | tail -1 | grep -o '"accuracy":[0-9.]*' | cut -d: -f2)"
done
