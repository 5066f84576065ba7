// Package avx2 compiles the CPU kernels for machines with AVX2 and FMA.
package avx2

// #cgo CXXFLAGS: -std=c++17 -O3 -g0 -w -fvisibility=hidden -fno-exceptions -fno-rtti -march=haswell -mtune=generic
import "C"

import _ "github.com/metatt/metatt/pkg/torch/native/kernel" // its headers are compiled here
