#!/usr/bin/env bash
# Makes the folder that carries the benchmark to a machine with a GPU: programs without this machine's paths and without
# what they do not use, and everything else that run.sh there needs.
#
#     bench/cuda/pack.sh FOLDER GLUE MINILM
set -euo pipefail
cd "$(dirname "$0")/../.."
folder=$1 glue=$2 minilm=$3
mkdir -p "$folder"
folder=$(realpath "$folder")
rm -rf "${folder:?}"/*
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

source packaging/portable.sh

programs=$scratch/programs
mkdir -p "$programs/tests"
go build "${flags[@]}" -o "$programs/finetune" ./cmd/finetune
with=$({ grep -rl --include='*_test.go' '^func TestCUDA' pkg || true; } | xargs -r dirname | sort -u)
[ -n "$with" ] || echo "pack.sh: no package has a test of CUDA (func TestCUDA…)" >&2
for tested in $with; do
  name=${tested#pkg/}
  name=${name//\//-}
  mkdir "$programs/tests/$name"
  go test -c "${flags[@]}" -o "$programs/tests/$name/$name.test" "./$tested"
  [ ! -d "$tested/testdata" ] || cp -r "$tested/testdata" "$programs/tests/$name"
done
for program in "$programs/finetune" "$programs"/tests/*/*.test; do
  [ -f "$program" ] || continue
  check_paths "$program"
done
tar -C "$scratch" -cJf "$folder/programs.tar.xz" --owner=0 --group=0 programs

mkdir -p "$folder/tokenizer" "$folder/python"
for file in tokenizer.json tokenizer_config.json vocab.txt; do
  [ ! -f "$minilm/$file" ] || cp -L "$minilm/$file" "$folder/tokenizer"
done
for task in MRPC CoLA; do
  install -D -m 644 -t "$folder/glue/$task" "$glue/$task/train.tsv" "$glue/$task/dev.tsv"
done
cp bench/{rows,models,peer,sides}.py bench/cuda/{parity,timings}.py "$folder/python"
if [ -d pkg/torch/cuda ]; then cp -r pkg/torch/cuda "$folder/helper"; fi
cp bench/cuda/run.sh "$folder"
du -sh "$folder" | sed 's/\t.*//; s/^/bench-cuda: /'
[ "$(du -sm "$folder" | cut -f1)" -le 30 ] || { echo "pack.sh: more than 30 MB" >&2; exit 1; }
