package torch

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/metatt/metatt/pkg/torch/cuda"
)

// A library that is not this program's helper is refused in one line that says why.
func TestWrongHelpers(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	library := func(name, source string) string {
		t.Helper()
		path := filepath.Join(dir, name+".so")
		if text, err := exec.Command("gcc", "-shared", "-fPIC", write(name+".c", source), "-o", path).CombinedOutput(); err != nil {
			t.Skipf("gcc: %v: %s", err, text)
		}
		return path
	}
	says := func(build, torch string) string {
		return `const char *metatt_build(void) { return "` + build + `"; } const char *metatt_torch(void) { return "` + torch + `"; }`
	}
	running := libraryVersion(filepath.Dir(filepath.Dir(libraryPath())))
	for name, want := range map[string]string{
		filepath.Join(dir, "missing.so"):                                        "cannot open shared object file",
		write("text.so", "not a library"):                                       "cannot be loaded",
		library("other", ""):                                                    `is the CUDA helper of another build, ""`,
		library("older", says("0123456789abcdef", running)):                     `of another build, "0123456789abcdef", this program's is "` + cuda.Build(),
		library("torch", says(cuda.Build(), "1.2.3+cu99")):                      "was compiled against libtorch 1.2.3+cu99, this is " + running,
		library("empty", says(cuda.Build(), running)):                           "has no function metatt_stream_enter",
		library("short", says(cuda.Build(), release(running))):                  "has no function",
		library("undefined", "void nowhere(void); void f(void) { nowhere(); }"): "undefined symbol: nowhere (it was compiled against another libtorch; build it again",
		cuda.Library: "there is no CUDA helper: " + cuda.Library,
	} {
		path, err := useHelper(name)
		if err == nil || path != "" || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %q, %v, want %q", filepath.Base(name), path, err, want)
		}
	}
}

// Without libtorch's CUDA half the helper is not even looked for.
func TestHelperWithoutCUDA(t *testing.T) {
	if cudaFailure() == "" {
		t.Skip("libtorch_cuda.so is loaded")
	}
	if path, err := Helper(); path != "" || err == nil || !strings.Contains(err.Error(), "libtorch_cuda.so, which cannot be loaded: "+cudaFailure()) {
		t.Errorf("%q, %v", path, err)
	}
	if TF32(true) {
		t.Error("TF32 is switched")
	}
}
