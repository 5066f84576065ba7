#!/usr/bin/env bash
# Compiles libmetatt_cuda.so on any machine with g++, no GPU needed:
#
#	build.sh TORCH_DIR OUT [CUDA_INCLUDE…]
#
# TORCH_DIR is the torch folder of a PyTorch with CUDA: "$(python3 -c 'import torch, os;
# print(os.path.dirname(torch.__file__))')" names that of a Python. CUDA's headers are those
# folders, else the first found of the NVIDIA packages beside torch, $CUDA_HOME and
# /usr/local/cuda that are of torch's own CUDA version.
set -euo pipefail
export LC_ALL=C
fail() { echo "build.sh: $1" >&2; exit 1; }
[ $# -ge 2 ] || fail "usage: build.sh TORCH_DIR OUT [CUDA_INCLUDE…]"
torch=$1 out=$2
shift 2
source=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
command -v "${CXX:=g++}" >/dev/null || fail "no $CXX: apt-get install g++, or set CXX"
[ -f "$torch/include/ATen/cuda/CUDAGraph.h" ] || fail "$torch has no include/ATen/cuda/CUDAGraph.h: it is not a PyTorch with CUDA"

# The version that it names itself by, and its CUDA's major one.
version=$(sed -nE "s/^__version__ = '([^']+)'.*/\1/p" "$torch/version.py" 2>/dev/null || cat "$torch/build-version" 2>/dev/null || true)
major=$(sed -nE 's/.*\+cu([0-9]{2})[0-9]$/\1/p' <<<"$version")

has() { # CUDA_INCLUDE FILE: the folder is of torch's CUDA and has the file
	[ -f "$1/$2" ] || return 1
	local found=$1/cuda.h
	[ -z "$major" ] || [ ! -f "$found" ] || grep -q "^#define CUDA_VERSION ${major}0" "$found"
}
if [ $# -gt 0 ]; then
	includes=("$@")
else
	site=$(cd "$torch/.." && pwd)
	candidates=("$site"/nvidia/cu"$major"/include "$site"/nvidia/*/include "${CUDA_HOME:-/usr/local/cuda}/include" /usr/local/cuda/include
		/usr/local/cuda/targets/x86_64-linux/include /usr/local/cuda-"$major"*/include)
	includes=()
	for header in cuda.h cuda_runtime_api.h crt/host_config.h; do
		for folder in "${candidates[@]}"; do
			if has "$folder" "$header"; then
				case " ${includes[*]-} " in *" $folder "*) ;; *) includes+=("$folder") ;; esac
				continue 2
			fi
		done
		fail "no $header of CUDA ${major:-} is found beside torch, in \$CUDA_HOME or /usr/local/cuda: python3 -m pip install --no-deps nvidia-cuda-runtime nvidia-cuda-crt, or name its folder"
	done
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
build=$(cd "$source" && cat $(ls *.cpp *.cu *.h) | sha256sum | cut -c1-16)
for kernel in "$source"/*.cu; do # each source as a string
	{ echo 'R"CUDA('; cat "$kernel"; echo ')CUDA"'; } >"$work/$(basename "$kernel").inc"
done
abi=$(grep -qa '_ZN3c106detail14torchCheckFail.*RKNSt7__cxx11' "$torch/lib/libc10.so" && echo 1 || echo 0)
flags=(-std=c++17 -O2 -g0 -w -fPIC -fvisibility=hidden "-D_GLIBCXX_USE_CXX11_ABI=$abi" "-DMETATT_BUILD=\"$build\"" -I"$work"
	-I"$torch/include" -I"$torch/include/torch/csrc/api/include")
[ -z "$version" ] || flags+=("-DMETATT_TORCH=\"$version\"")
for folder in "${includes[@]}"; do flags+=(-I"$folder"); done
{ echo '#!/bin/sh'; printf 'exec'; printf ' %q' "$CXX" "${flags[@]}"; echo ' -c "$1" -o "$2"'; } >"$work/compile"
chmod +x "$work/compile"

for file in "$source"/*.cpp; do
	printf '%s\0%s\0' "$file" "$work/$(basename "$file").o"
done | xargs -0 -n 2 -P "$(nproc)" "$work/compile" || fail "the source does not compile against $torch"
"$CXX" -shared -o "$work/library" "$work"/*.o -ldl || fail "the library cannot be linked"
mkdir -p "$(dirname "$out")"
mv "$work/library" "$out"
