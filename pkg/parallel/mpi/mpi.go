// Package mpi is the source of the MPI helper: what package parallel asks of MPI, as a
// library of its own that is compiled where MPI's development files are, and loaded by
// package parallel where it can be. A program needs no MPI to start.
package mpi

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/metatt/metatt/pkg/internal/helper"
)

// Library is the helper's file name.
const Library = "libmetatt_mpi.so"

//go:embed source
var files embed.FS

// ErrNoCompiler: the machine has no MPI that a program can be compiled against.
var ErrNoCompiler = errors.New("there is no mpicc")

// Build tells builds of the source apart.
func Build() string { return helper.Build(files) }

// Compiler is the MPI's compiler: $MPICC, else mpicc; [ErrNoCompiler] where there is none.
func Compiler() (string, error) {
	name := os.Getenv("MPICC")
	if name == "" {
		name = "mpicc"
	}
	path, err := exec.LookPath(name)
	if err != nil && os.Getenv("MPICC") != "" {
		return "", fmt.Errorf("MPICC: %w", err)
	}
	if err != nil {
		return "", ErrNoCompiler
	}
	return path, nil
}

// Compile makes the library out by that compiler.
func Compile(ctx context.Context, compiler, out string) error {
	work, err := os.MkdirTemp("", "metatt-mpi-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	if err := os.CopyFS(work, files); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		return err
	}
	unfinished := out + ".unfinished" // not at once into its place, where another may be loading it
	command := exec.CommandContext(ctx, compiler, "-shared", "-fPIC", "-O2", "-std=gnu11", "-fvisibility=hidden",
		fmt.Sprintf("-DMETATT_BUILD=%q", Build()), filepath.Join(work, "source", "mpi.c"), "-o", unfinished)
	if text, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("the MPI helper cannot be compiled by %s: %s", compiler, reason(string(text), err))
	}
	return os.Rename(unfinished, out)
}

// reason is the first error of a compiler, or what else it says first.
func reason(output string, err error) string {
	for line := range strings.Lines(output) {
		if strings.Contains(line, "error:") {
			return strings.TrimSpace(line)
		}
	}
	if first, _, _ := strings.Cut(strings.TrimSpace(output), "\n"); first != "" {
		return first
	}
	return err.Error()
}
