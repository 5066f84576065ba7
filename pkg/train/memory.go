package train

import (
	"os"
	"regexp"
	"strconv"

	"github.com/metatt/metatt/pkg/torch"
)

var highWater = regexp.MustCompile(`(?m)^VmHWM:\s+(\d+) kB$`)

// ResetPeakMemory makes what this process held at once before now count no more, and what it
// has freed since and allocators keep: for a process that makes several runs.
func ResetPeakMemory() error {
	torch.TrimMemory()
	return os.WriteFile("/proc/self/clear_refs", []byte("5"), 0)
}

// peakMemory is the most bytes that were taken of a CUDA device, where that is known,
// else the largest resident size of this process; 0 where the kernel does not say.
func peakMemory(device torch.Device) int64 {
	if _, reserved, known := device.PeakMemory(); known {
		return reserved
	}
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	m := highWater.FindSubmatch(text)
	if m == nil {
		return 0
	}
	kilobytes, err := strconv.ParseInt(string(m[1]), 10, 64)
	if err != nil {
		return 0
	}
	return kilobytes << 10
}
