// Package avx512bf16 compiles the CPU kernels for machines that have AVX-512's
// instructions for bf16, BF16, beside F, BW, VL and DQ.
package avx512bf16

// #cgo CXXFLAGS: -std=c++17 -O3 -g0 -w -fvisibility=hidden -fno-exceptions -fno-rtti -march=haswell -mtune=generic -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx512bf16
import "C"

import _ "github.com/metatt/metatt/pkg/torch/native/kernel" // its headers are compiled here
