package kernel_test

import (
	"io/fs"
	"regexp"
	"strings"
	"testing"

	"github.com/metatt/metatt/pkg/torch/native/kernel"
)

var include = regexp.MustCompile(`(?m)^#include\s+(\S+)`)

// The sources include each other, types, and intrinsics, which are always inlined:
// nothing that leaves a function in the object file for the linker to share.
func TestIncludes(t *testing.T) {
	files, err := fs.Glob(kernel.Sources, "*.h")
	if err != nil || len(files) == 0 {
		t.Fatalf("no sources: %v", err)
	}
	for _, name := range files {
		text, err := kernel.Sources.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range include.FindAllStringSubmatch(string(text), -1) {
			header := match[1]
			own := strings.Trim(header, `"`)
			if _, err := kernel.Sources.Open(own); err != nil && header != "<stdint.h>" && header != "<immintrin.h>" {
				t.Errorf("%s includes %s", name, header)
			}
		}
		if name != "table.h" && !strings.Contains(string(text), "namespace {") && !strings.Contains(string(text), `extern "C"`) {
			t.Errorf("%s declares functions that are not its object file's own", name)
		}
	}
}
