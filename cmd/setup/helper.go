package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/metatt/metatt/cmd/setup/internal/libtorch"
	"github.com/metatt/metatt/pkg/torch/cuda"
)

// helperDir is where packages torch and parallel look for the helpers that are built here. It
// goes with the copy of gotch, which another libtorch replaces.
const helperDir = ".gotch/helper"

// buildHelper compiles the CUDA helper for a libtorch whose CUDA half can be loaded,
// unless it is there, or the same failed to compile before. What fails is said: a GPU
// computes the same without it, slower.
func buildHelper(ctx context.Context, dir string, library libtorch.Library, search libtorch.Search, output io.Writer) error {
	has, missing := library.CUDA(ctx)
	switch {
	case !has || len(missing) > 0 && !search.HasDriver():
		return nil
	case len(missing) > 0:
		fmt.Fprintf(output, "no CUDA helper is built: libtorch_cuda.so needs %s, which the loader does not find\n", strings.Join(missing, " and "))
		return nil
	}
	folder := filepath.Join(dir, helperDir)
	out, record, failure := filepath.Join(folder, cuda.Library), filepath.Join(folder, "made-of"), filepath.Join(folder, "failed")
	made := cuda.Build() + " " + library.Root + " " + library.Version + "\n"
	if _, err := os.Stat(out); err == nil && read(record) == made {
		fmt.Fprintln(output, "the CUDA helper is up to date")
		return nil
	}
	if reason, same := strings.CutPrefix(read(failure), made); same {
		fmt.Fprintf(output, "%sso it was before: remove %s to try again\n", reason, failure)
		return nil
	}
	fmt.Fprintln(output, "compiling the CUDA helper, about a minute")
	err := cuda.Compile(ctx, library.Root, out)
	if err != nil && strings.Contains(err.Error(), "crt/host_config.h") && ctx.Err() == nil { // NVIDIA's packages beside a torch lack it
		var headers string
		if headers, err = search.InstallHeaders(ctx, library); err == nil {
			err = cuda.Compile(ctx, library.Root, out, headers)
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err == nil {
		return os.WriteFile(record, []byte(made), 0o644)
	}
	fmt.Fprintf(output, "%v\na GPU computes the same without it, slower\n", err)
	text := err.Error()
	if !strings.Contains(text, "does not compile against") && !strings.Contains(text, "cannot be linked") {
		return nil // what is missing is seen at once, and may be there the next time
	}
	return errors.Join(os.MkdirAll(folder, 0o755), os.WriteFile(failure, []byte(made+text+"\n"), 0o644))
}

// read is a file's text; "" where there is none.
func read(path string) string {
	text, _ := os.ReadFile(path)
	return string(text)
}
