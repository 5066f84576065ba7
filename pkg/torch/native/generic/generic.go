// Package generic compiles the CPU kernels for every x86-64.
package generic

// #cgo CXXFLAGS: -std=c++17 -O3 -g0 -w -fvisibility=hidden -fno-exceptions -fno-rtti
import "C"

import _ "github.com/metatt/metatt/pkg/torch/native/kernel" // its headers are compiled here
