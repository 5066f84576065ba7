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

# Where libtorch is stands in the flags of what compiles C++: as an rpath, and in the asserts of its headers. The first is
# left out by an overlay, the second mapped away. Sections let the linker drop the operations that are never called. Go's
# cache keeps what is compiled this way beside the usual.
gotch=$(go list -f '{{.Dir}}' github.com/sugarme/gotch/libtch)
libtorch=$(go list -f '{{join .CgoLDFLAGS "\n"}}' github.com/sugarme/gotch/libtch | sed -n 's/^-L//p' | head -1)
number=0 replaced=
for file in $(go list -deps -test -f '{{$dir := .Dir}}{{range .CgoFiles}}{{$dir}}/{{.}}{{"\n"}}{{end}}' ./cmd/finetune ./pkg/... | sort -u); do
  if grep -q -- '-Wl,-rpath,' "$file"; then
    number=$((number + 1))
    sed -E 's/"-Wl,-rpath,[^"]*"//; s/-Wl,-rpath,[^ ]+//' "$file" >"$scratch/$number.go"
    replaced+="${replaced:+, }\"$file\": \"$scratch/$number.go\""
  fi
done
echo "{\"Replace\": {$replaced}}" >"$scratch/overlay.json"
export CGO_CFLAGS="-O2 -ffunction-sections -fdata-sections"
export CGO_CXXFLAGS="$CGO_CFLAGS '-ffile-prefix-map=${libtorch%/lib}=libtorch' '-ffile-prefix-map=$gotch=gotch' '-ffile-prefix-map=$PWD=metatt'"
flags=(-trimpath -buildvcs=false -overlay "$scratch/overlay.json" -ldflags "-s -w -extldflags=-Wl,--gc-sections")

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
  for path in "$PWD/" "$libtorch" "$HOME/"; do
    ! strings -a "$program" | grep -F -m 1 -e "$path" || { echo "pack.sh: $(basename "$program") has a path of this machine" >&2; exit 1; }
  done
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
