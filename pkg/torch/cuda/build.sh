#!/usr/bin/env bash
# Compiles the CUDA helper on any machine with g++; no GPU is needed:
#
#	build.sh TORCH_DIR OUT [CUDA_INCLUDE…]
#
# TORCH_DIR is the folder of a PyTorch with CUDA; of a Python's:
#
#	build.sh "$(python3 -c 'import torch; print(torch.__path__[0])')" libmetatt_cuda.so
#
# CUDA's headers are looked for in the folders given, in NVIDIA's packages beside torch, in
# $CUDA_HOME and in /usr/local/cuda, of torch's own version of CUDA.
set -euo pipefail
export LC_ALL=C
fail() { echo "build.sh: $1" >&2; exit 1; }
[ $# -ge 2 ] || fail "usage: build.sh TORCH_DIR OUT [CUDA_INCLUDE…]"
torch=$1 out=$2
shift 2
source=$(cd "$(dirname "${BASH_SOURCE[0]}")/source" && pwd)
: "${CXX:=g++}"
command -v "$CXX" >/dev/null || fail "there is no $CXX: apt-get install g++, or set CXX"
[ -f "$torch/include/ATen/cuda/CUDAGraph.h" ] && [ -f "$torch/lib/libc10.so" ] ||
	fail "$torch is no PyTorch with CUDA: it has no lib/libc10.so or no include/ATen/cuda/CUDAGraph.h"

# What it calls itself, such as 2.11.0+cu130, and the major version of its CUDA.
version=$(sed -nE "s/^__version__ = '([^']+)'.*/\1/p" "$torch/version.py" 2>/dev/null || cat "$torch/build-version" 2>/dev/null || true)
major=$(sed -nE 's/.*\+cu([0-9]+)[0-9]$/\1/p' <<<"$version")

site=$(cd "$torch/.." && pwd)
candidates=("$@" "$site"/nvidia/*/include "${CUDA_HOME:-/usr/local/cuda}"/include "${CUDA_HOME:-/usr/local/cuda}"/targets/x86_64-linux/include
	/usr/local/cuda/include /usr/local/cuda-"${major:-x}"*/include)
fits() { # FOLDER: its headers, as far as it says, are of torch's CUDA
	[ -z "$major" ] || [ ! -f "$1/cuda.h" ] || grep -qE "^#define CUDA_VERSION ${major}[0-9]{3}\b" "$1/cuda.h"
}
includes=()
for header in cuda.h cuda_runtime_api.h crt/host_config.h; do
	found=
	for folder in "${candidates[@]}"; do
		if [ -f "$folder/$header" ] && fits "$folder"; then
			found=$folder
			break
		fi
	done
	[ -n "$found" ] || fail "no $header of CUDA ${major:-} is found in ${candidates[*]}: python3 -m pip install --no-deps --target DIR nvidia-cuda-runtime nvidia-cuda-crt, and name DIR's include folder"
	includes+=(-I"$found")
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for kernel in "$source"/*.cu; do # the text of each program as a string
	{ echo 'R"CUDA('; cat "$kernel"; echo ')CUDA"'; } >"$work/$(basename "$kernel").inc"
done
build=$(cat "$source"/* | sha256sum | cut -c1-16)
abi=$(grep -qa 'torchCheckFail[A-Za-z0-9_]*__cxx11' "$torch/lib/libc10.so" && echo 1 || echo 0)
flags=(-std=c++17 -O1 -g0 -w -fPIC -fvisibility=hidden "-D_GLIBCXX_USE_CXX11_ABI=$abi" "-DMETATT_BUILD=\"$build\"" ${version:+"-DMETATT_TORCH=\"$version\""}
	-I"$work" -I"$torch/include" -I"$torch/include/torch/csrc/api/include" "${includes[@]}")
{
	echo '#!/bin/sh'
	printf 'exec'
	printf ' %q' "$CXX" "${flags[@]}"
	echo ' -c "$1" -o "$2"'
} >"$work/compile"
chmod +x "$work/compile"
for file in "$source"/*.cpp; do
	printf '%s\0%s\0' "$file" "$work/$(basename "$file").o"
done | xargs -0 -n 2 -P "$(nproc)" "$work/compile" || fail "the source does not compile against $torch"
"$CXX" -shared -o "$work/library" "$work"/*.o -ldl || fail "the library cannot be linked"
mkdir -p "$(dirname "$out")"
mv "$work/library" "$out.unfinished" # not at once into its place, where another may be loading it
mv "$out.unfinished" "$out"
