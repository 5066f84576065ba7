package fit

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/metatt/metatt/cmd/setup/internal/faketorch"
	"github.com/metatt/metatt/cmd/setup/internal/libtorch"
)

// publishedGotch is a gotch in small, with everything that a fit touches: one
// function that the fake libtorch has, one that it lacks, and an include that is gone.
var publishedGotch = map[string]string{
	"go.mod":          "module github.com/sugarme/gotch\n\ngo 1.20\n\nrequire golang.org/x/image v0.5.0\n",
	"go.sum":          "golang.org/x/image v0.5.0 h1:x\n",
	"init.go":         "package gotch\n\nimport \"log\"\n\nfunc failed(err error) { log.Fatal(err) }\n",
	"example/main.go": "package main\n",
	"gen/gen.go":      "package gen\n",
	"libtch/lib.go":   "package libtch\n\n// #cgo LDFLAGS: -lcuda\nimport \"C\"\n",
	"libtch/torch_api.h": `#ifdef __cplusplus
#include <torch/torch.h>
typedef torch::Tensor *tensor;
extern "C" {
#else
typedef void *tensor;
#endif
int add(int a, int b);
void atg_missing(tensor *out__);
tensor *atg_missing_list(int n);
char *last_error(void);
#ifdef __cplusplus
}
extern char *torch_last_err;
#endif
`,
	"libtch/torch_api.cpp": `#include "torch_api.h"
#include <torch/gone.h>
char *torch_last_err = nullptr;
char *last_error() {
  return torch_last_err;
}

int add(int a, int b) {
  return torch::add({a}, {b}).value + torch::answer() - 42;
}

#include "torch_api_generated.cpp.h"
`,
	"libtch/torch_api_generated.cpp.h": `
void atg_missing(tensor *out__) {
  out__[0] = new torch::Tensor(torch::missing());
}

tensor *atg_missing_list(int n) {
  return torch::missing_list(n);
}
`,
	"libtch/device.go": `package libtch

//#include "torch_api.h"
import "C"
import (
	"unsafe"
)

func Add(a, b int) int {
	t := C.add(C.int(a), C.int(b))
	return *(*int)(unsafe.Pointer(&t))
}

func Missing() string {
	C.atg_missing(nil)
	return C.GoString(C.last_error())
}
`,
	"libtch/c-generated.go": `package libtch

//#include "stdbool.h"
//#include "torch_api.h"
import "C"
import "unsafe"

func Strings(s string, data []int64) unsafe.Pointer {
cs := C.CString(s)
_ = cs
	return unsafe.Pointer(&data[0])
}
`,
	"libtch/patch.go": "package libtch\n\nimport \"unsafe\"\n\nfunc P(d []int64) unsafe.Pointer { return unsafe.Pointer(&d[0]) }\n",
	"libtch/tensor.go": `package libtch

//#include "torch_api.h"
import "C"
import "unsafe"

func D(dims []int64) int {
	c_dims := (*C.int64_t)(unsafe.Pointer(&dims[0]))
	_ = c_dims
	r := C.add(1, 2)
	return *(*int)(unsafe.Pointer(&r))
}
`,
}

func publish(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range publishedGotch {
		if name == "libtch/torch_api.h" {
			text = "#include <stdint.h>\n" + text
		}
		path := filepath.Join(dir, name)
		faketorch.Write(t, path, text)
		if err := os.Chmod(path, 0o444); err != nil { // as in the module cache
			t.Fatal(err)
		}
	}
	return dir
}

func testModule(t *testing.T) Module {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "my module")
	faketorch.Write(t, filepath.Join(dir, "go.mod"), "module m\n\ngo 1.26.0\n\nrequire github.com/sugarme/gotch v0.9.1\n")
	return Module{Dir: dir, Go: "1.26.0", Compiler: []string{"g++"}}
}

func testLibrary(t *testing.T) libtorch.Library {
	t.Helper()
	root := faketorch.Build(t, filepath.Join(t.TempDir(), "site packages", "torch"), faketorch.Options{})
	library, err := libtorch.Inspect(root)
	if err != nil {
		t.Fatal(err)
	}
	return library
}

// TestFitBuilds fits to a libtorch that the table does not know, in folders with
// spaces, and runs a program built by the plain go command.
func TestFitBuilds(t *testing.T) {
	module, library := testModule(t), testLibrary(t)
	result, err := module.fitFrom(t.Context(), library, publish(t), t.Output())
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"atg_missing", "atg_missing_list"}; result.UpToDate || !slices.Equal(result.Unavailable, want) {
		t.Errorf("Fit = %+v, want %q unavailable", result, want)
	}
	faketorch.Write(t, filepath.Join(module.Dir, "main.go"), `package main

import (
	"fmt"

	"github.com/sugarme/gotch/libtch"
)

func main() { fmt.Print(libtch.Add(40, 2), " ", libtch.D(nil), " ", libtch.Missing()) }
`)
	if got, want := goRun(t, module), "42 3 missing is not available in libtorch 9.9.9"; got != want {
		t.Errorf("go run printed %q, want %q", got, want)
	}
	for _, name := range []string{"example", "gen", "go.sum"} {
		if _, err := os.Stat(filepath.Join(module.Dir, copyDir, name)); err == nil {
			t.Errorf("%s was copied", name)
		}
	}
}

// goRun is what the module's program prints, built by the plain go command.
func goRun(t *testing.T, module Module) string {
	t.Helper()
	command := exec.Command("go", "run", ".")
	command.Dir = module.Dir
	command.Env = append(os.Environ(), "GOWORK=", "GOFLAGS=")
	output, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("go run: %v\n%s", err, output)
	}
	return string(output)
}

func TestFitIsRepeatedWhenSomethingChanged(t *testing.T) {
	module, library, source := testModule(t), testLibrary(t), publish(t)
	if _, err := module.fitFrom(t.Context(), library, source, t.Output()); err != nil {
		t.Fatal(err)
	}
	upToDate := func() bool {
		t.Helper()
		state, err := module.State(library)
		if err != nil {
			t.Fatal(err)
		}
		return state.UpToDate
	}
	record := filepath.Join(module.Dir, copyDir, recordName)
	changes := []struct {
		name   string
		change func()
	}{
		{"no go.work", func() { os.Remove(filepath.Join(module.Dir, workspaceName)) }},
		{"go.work for another Go", func() { module.Go = "1.26.1" }},
		{"no record", func() { os.Remove(record) }},
		{"half a record", func() { faketorch.Write(t, record, `{"template": 1,`) }},
		{"record of an older tool", func() { edit(t, record, `"template": 2`, `"template": 1`) }},
		{"another libtorch", func() { library = testLibrary(t) }},
		{"libtorch replaced in place", func() {
			later := time.Now().Add(time.Hour)
			if err := os.Chtimes(filepath.Join(library.Root, "lib/libtorch_cpu.so"), later, later); err != nil {
				t.Fatal(err)
			}
		}},
		{"another ABI", func() { library.CXX11ABI = false }},
	}
	for _, c := range changes {
		if !upToDate() {
			t.Fatalf("not up to date before: %s", c.name)
		}
		c.change()
		if upToDate() {
			t.Errorf("%s: still up to date", c.name)
		}
		if c.name == "another ABI" {
			break // which the fake libtorch does not have
		}
		if _, err := module.fitFrom(t.Context(), library, source, t.Output()); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
	}
}

// A repeated fit writes the same bytes, so that Go's build cache holds.
func TestFitIsStable(t *testing.T) {
	module, library, source := testModule(t), testLibrary(t), publish(t)
	read := func() string {
		if _, err := module.fitFrom(t.Context(), library, source, t.Output()); err != nil {
			t.Fatal(err)
		}
		var all strings.Builder
		if err := filepath.Walk(filepath.Join(module.Dir, copyDir), func(path string, info os.FileInfo, err error) error {
			if err == nil && info.Mode().IsRegular() {
				text, readErr := os.ReadFile(path)
				all.WriteString(path + "\n" + string(text))
				return readErr
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return all.String()
	}
	if first, second := read(), read(); first != second {
		t.Error("two fits to one libtorch differ")
	}
}

func TestFailedFitLeavesTheOldOne(t *testing.T) {
	module, library, source := testModule(t), testLibrary(t), publish(t)
	if _, err := module.fitFrom(t.Context(), library, source, t.Output()); err != nil {
		t.Fatal(err)
	}
	broken := testLibrary(t)
	header := filepath.Join(broken.Root, "include/torch/csrc/api/include/torch/torch.h")
	faketorch.Write(t, header, "#error too old a compiler\n")
	_, err := module.fitFrom(t.Context(), broken, source, t.Output())
	if err == nil || !strings.Contains(err.Error(), header+":1:2: error: #error too old a compiler") || strings.Contains(err.Error(), "\n") {
		t.Errorf("Fit = %v, want the compiler's words", err)
	}
	if state, err := module.State(library); err != nil || !state.UpToDate {
		t.Errorf("State of the old fit = %+v, %v", state, err)
	}
	if _, err := os.Stat(filepath.Join(module.Dir, copyDir+"-unfinished")); err == nil {
		t.Error("unfinished work was left")
	}
}

func TestForeignWorkspaceIsLeftAlone(t *testing.T) {
	module, library := testModule(t), testLibrary(t)
	path := filepath.Join(module.Dir, workspaceName)
	faketorch.Write(t, path, "go 1.26.0\n\nuse .\n")
	_, err := module.Fit(t.Context(), library, t.Output())
	if err == nil || !strings.Contains(err.Error(), path+" was not written by this tool") {
		t.Errorf("Fit = %v, want it to refuse", err)
	}
	if text, _ := os.ReadFile(path); string(text) != "go 1.26.0\n\nuse .\n" {
		t.Errorf("go.work became %q", text)
	}
	if _, err := os.Stat(filepath.Join(module.Dir, copyDir)); err == nil {
		t.Error("gotch was copied all the same")
	}
}

func TestCheckPath(t *testing.T) {
	for path, good := range map[string]bool{
		"/opt/libtorch 2.11/x_y-z+cpu~1@home": true,
		"/home/Jürgen/libtorch":               true,
		"/opt/lib(torch)":                     false,
		"/opt/a,b":                            false,
		"/opt/a\"b":                           false,
		"/opt/$HOME":                          false,
		"/opt/a\nb":                           false,
	} {
		if err := checkPath(path); (err == nil) != good {
			t.Errorf("checkPath(%q) = %v", path, err)
		}
	}
}

func TestCgoFile(t *testing.T) {
	got := cgoFile(libtorch.Library{Root: "/a b/torch", CXX11ABI: false, Standard: "c++20"}, Record{Version: "2.11.0"})
	want := `package libtch

// #cgo CFLAGS: -g0 -w
// #cgo CXXFLAGS: -std=c++20 -O1 -g0 -w -D_GLIBCXX_USE_CXX11_ABI=0 "-I/a b/torch/include" "-I/a b/torch/include/torch/csrc/api/include" -DMETATT_LIBTORCH=0xa4d98b95b85fc2de
// #cgo LDFLAGS: "-L/a b/torch/lib" "-Wl,-rpath,/a b/torch/lib" -ltorch_cpu -lc10 -lstdc++
import "C"
`
	if got != want {
		t.Errorf("cgoFile =\n%s\nwant\n%s", got, want)
	}
}

func edit(t *testing.T, path, from, to string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), from) {
		t.Fatalf("%s has no %q", path, from)
	}
	faketorch.Write(t, path, strings.Replace(string(text), from, to, 1))
}
