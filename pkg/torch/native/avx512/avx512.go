// Package avx512 compiles the CPU kernels for machines with AVX-512 F, BW, VL and DQ.
package avx512

// #cgo CXXFLAGS: -std=c++17 -O3 -g0 -w -fvisibility=hidden -fno-exceptions -fno-rtti -march=haswell -mtune=generic -mavx512f -mavx512bw -mavx512vl -mavx512dq
import "C"

import _ "github.com/metatt/metatt/pkg/torch/native/kernel" // its headers are compiled here
