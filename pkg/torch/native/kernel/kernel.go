// Package kernel is the source of the CPU kernels, C++ headers that the packages of
// the instruction sets compile, each for its own. They include no header of libtorch
// or of the C++ library: an inline function that two of those packages share would be
// linked once, from either, and may hold instructions that the machine does not have.
package kernel

import "embed"

// Sources are embedded so that a changed kernel changes this package: Go compiles what
// imports it again, and would not see a header of another folder.
//
//go:embed *.h
var Sources embed.FS
