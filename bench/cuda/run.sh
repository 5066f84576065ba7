#!/usr/bin/env bash
# What `make bench-cuda` packed, on a machine with a GPU, g++ and a Python that has torch, transformers and peft:
#
#     run.sh [--checks SECONDS] [--timings SECONDS] [--device cuda] [--tiny]
#
# Compiles the CUDA helper, runs the tests that need a GPU, compares the losses of CPU and GPU for every method and every
# sweep mode, then times the project and its peer. A part that fails or takes too long says so in a line, and the next is
# begun; the tables come last. Everything goes to $OUT, by default results/. --tiny rehearses it: small models, few steps.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
checks=90 timings=180 device=cuda tiny=
while [ $# -gt 0 ]; do
  case $1 in
    --checks) checks=$2; shift ;;
    --timings) timings=$2; shift ;;
    --device) device=$2; shift ;;
    --tiny) tiny=yes ;;
    *) echo "run.sh: $1 is not understood: --checks, --timings, --device, --tiny" >&2; exit 2 ;;
  esac
  shift
done
out=${OUT:-$PWD/results}
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null; rm -rf "$work"' EXIT
mkdir -p "$out"
export PYTHONPATH=$here/python PYTHONDONTWRITEBYTECODE=1 HF_HUB_OFFLINE=1 METATT_HOME=$work/home TORCHINDUCTOR_CACHE_DIR=$work/inductor
python=${PYTHON:-python3} began=$SECONDS

say() { printf '[%3d s] %s\n' $((SECONDS - began)) "$*"; }
# part NAME SECONDS COMMAND…: runs it, its output in NAME.log; one line of what came of it.
part() {
  local name=$1 limit=$2 start=$SECONDS code=0
  shift 2
  timeout -k 5 "$limit" "$@" >"$out/$name.log" 2>&1 || code=$?
  case $code in
    0) say "$name: done in $((SECONDS - start)) s" ;;
    124 | 137) say "$name: FAILED: not done after $limit s"; echo "$name" >>"$work/failed" ;;
    *) say "$name: FAILED ($code): $(tail -1 "$out/$name.log" | cut -c1-300)"; echo "$name" >>"$work/failed" ;;
  esac
}

"$python" -m tarfile -e "$here/programs.tar.xz" "$work" >/dev/null || { echo "run.sh: programs.tar.xz cannot be unpacked" >&2; exit 1; }
finetune=$work/programs/finetune
torch=$("$python" -c 'import torch; print(torch.__path__[0])') || { echo "run.sh: $python has no torch (PYTHON names another)" >&2; exit 1; }
export LD_LIBRARY_PATH=$torch/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
"$python" -c 'import torch, transformers, peft; print("torch", torch.__version__, "transformers", transformers.__version__, "peft", peft.__version__)'
command -v nvidia-smi >/dev/null && nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader

# One size for timings, one for parity; the rows.
timed=(--layers 12 --hidden 768) dev=2048 steps=200
[ -z "$tiny" ] || { timed=(--layers 2 --hidden 64); dev=64; steps=16; }
prepare() {
  "$python" "$here/python/models.py" "$work/base" --tokenizer "$here/tokenizer" "${timed[@]}" &&
    "$python" "$here/python/models.py" "$work/small" --tokenizer "$here/tokenizer" --layers 4 --hidden 256 --spread 0.05 &&
    "$python" -c "import rows; rows.write('$work/rows', '$here/glue', 'mrpc', $dev); rows.write('$work/few', '$here/glue', 'mrpc', 16)"
}
export -f prepare
export python here work dev
declare -p timed >"$work/sizes"
part models 60 bash -c 'source "$work/sizes"; prepare' &
models=$!
# The helper stands where the binary looks for it.
part helper 90 bash "$here/helper/build.sh" "$torch" "$work/programs/libmetatt_cuda.so" &
wait $models $!
[ ! -f "$work/programs/libmetatt_cuda.so" ] || export METATT_CUDA_HELPER=$work/programs/libmetatt_cuda.so
part env 30 "$finetune" env
cat "$out/env.log"

# Nothing here is timed: side by side. The peer compiles meanwhile, into a cache that its timed run finds.
tests() {
  set -o pipefail
  local code=0 name skipped=
  ls "$work"/programs/tests/*/*.test >/dev/null 2>&1 || { echo "no package has a test of CUDA"; return 1; }
  for name in "$work"/programs/tests/*/*.test; do
    echo "── $(basename "$name")"
    (cd "$(dirname "$name")" && "./$(basename "$name")" -test.run '^TestCUDA' -test.v -test.timeout 60s 2>&1 | tee "$work/tests.log") || code=1
    ! grep -q '^ *--- SKIP' "$work/tests.log" || skipped=yes
  done
  [ -z "$skipped" ] || [ "$device" = cpu ] || { echo "some tests were skipped"; return 1; }
  return $code
}
export -f tests
compile() {
  "$python" "$here/python/peer.py" --model "$work/base" --glue "$work/rows" --task mrpc --precision bf16 --device "$device" --compile default \
    --steps 2 --warmup 1 --evaluations 1
}
export -f compile
export device
part tests "$checks" bash -c tests &
[ -n "$tiny" ] || part compile "$checks" bash -c compile &
part parity "$checks" "$python" "$here/python/parity.py" --finetune "$finetune" --model "$work/small" --glue "$work/few" --device "$device" \
  --jobs "$(nproc)" &
wait

part timings $((timings + 10)) "$python" "$here/python/timings.py" --finetune "$finetune" --model "$work/base" --glue "$work/rows" --dev "$dev" \
  --device "$device" --steps "$steps" --seconds "$timings" --out "$out/timings.jsonl"

echo
echo "── tests that need a GPU"
grep -oE '^--- (PASS|FAIL|SKIP)' "$out/tests.log" | sort | uniq -c
grep -B 3 -E '^ *--- (FAIL|SKIP)|^panic|^no package' "$out/tests.log" | grep -vE -- '^--$|^=== RUN|^ *--- (PASS|SKIP)' | cut -c1-200 | head -40
echo "── losses on the CPU and on $device, largest relative difference of each method"
cat "$out/parity.log"
echo "── batch 32, MRPC, bert-base's shape"
cat "$out/timings.log"
failed=$(sort -u "$work/failed" 2>/dev/null | tr '\n' ' ')
if [ -n "$failed" ]; then say "failed: $failed"; else say "all parts done"; fi
[ -z "$failed" ]
