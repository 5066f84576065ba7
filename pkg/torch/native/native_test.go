package native_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Headers of a libtorch that the compiler finds by itself are not compiled against:
// without set-up's flags this package is empty, and package profile says what it needs.
func TestForeignHeaders(t *testing.T) {
	compiler := os.Getenv("CXX")
	if compiler == "" {
		compiler = "g++"
	}
	headers := t.TempDir()
	for _, name := range []string{"ATen/core/Tensor.h", "ATen/core/grad_mode.h"} {
		path := filepath.Join(headers, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("#error foreign\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for source, want := range map[string]string{"native.cpp": "", "../profile/profile.cpp": "package profile needs the flags that cmd/setup writes"} {
		output, err := exec.Command(compiler, "-std=c++17", "-fsyntax-only", "-isystem", headers, source).CombinedOutput()
		if (err == nil) != (want == "") || !strings.Contains(string(output), want) {
			t.Errorf("%s: %v, want %q:\n%s", source, err, want, output)
		}
	}
}
