#!/usr/bin/env bash
# Makes the runs of the experiment that is packed in this folder, with the libtorch of a Python's PyTorch, and then packs their
# records into records.tar.gz, which `finetune experiment -c FILE --take records.tar.gz` adds to the experiment they are of.
#
#     run.sh [--stop-after 10m] [--jobs N]        PYTHON names the Python; the same command goes on
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
python=${PYTHON:-python3}
torch=$("$python" -c 'import torch; print(torch.__path__[0])') || { echo "run.sh: $python has no torch (PYTHON names another)" >&2; exit 1; }
export LD_LIBRARY_PATH=$torch/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} METATT_HOME=$here/home HF_HUB_OFFLINE=1
helper=$here/libmetatt_cuda.so
if [ ! -f "$helper" ] && "$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then
  bash "$here/helper/build.sh" "$torch" "$helper" >"$here/helper.log" 2>&1 || echo "run.sh: the CUDA helper cannot be compiled ($here/helper.log): slower" >&2
fi
[ ! -f "$helper" ] || export METATT_CUDA_HELPER=$helper
code=0
"$here/finetune" experiment --packed "$here" "$@" & made=$!
trap 'kill -TERM $made 2>/dev/null' TERM INT HUP # that it saves what goes on: the records are packed all the same
while wait $made; code=$?; kill -0 $made 2>/dev/null; do :; done
trap - TERM INT HUP
"$here/finetune" experiment --packed "$here" --records "$here/records.tar.gz" || exit
exit $code
