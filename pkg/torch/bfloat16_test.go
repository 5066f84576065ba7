package torch_test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/cpu"

	"github.com/metatt/metatt/pkg/torch"
)

// A library that is kept from the instructions for bf16 computes it in software,
// whatever the CPU has. The libraries read their limits once, so each is met by a
// process of its own.
func TestBFloat16OfALimitedLibrary(t *testing.T) {
	const asked = "METATT_TEST_BFLOAT16"
	if os.Getenv(asked) != "" {
		fmt.Printf("answer %t\n", torch.CPU.ComputesBFloat16())
		return
	}
	native := cpu.X86.HasAVX512BF16 || cpu.X86.HasAMXBF16
	for _, c := range []struct {
		limit string
		want  bool
	}{
		{"", native},
		{"ATEN_CPU_CAPABILITY=avx2", false},
		{"ATEN_CPU_CAPABILITY=default", false},
		{"ONEDNN_MAX_CPU_ISA=AVX2", false},
		{"ONEDNN_MAX_CPU_ISA=AVX512_CORE", false},
	} {
		child := exec.Command(os.Args[0], "-test.run=^TestBFloat16OfALimitedLibrary$", "-test.count=1")
		child.Env = append(os.Environ(), asked+"=1", c.limit)
		output, err := child.CombinedOutput()
		if want := fmt.Sprintf("answer %t\n", c.want); err != nil || !strings.Contains(string(output), want) {
			t.Errorf("%q: %v, %s, want %s", c.limit, err, output, want)
		}
	}
}
