package torch

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/sugarme/gotch/libtch"
)

// Device is where a tensor's elements are: CPU, or the index of a CUDA device.
type Device int

// CPU is the host.
const CPU Device = -1

// CUDA is the CUDA device with that index.
func CUDA(index int) Device { return Device(index) }

func (d Device) String() string {
	if d < 0 {
		return "cpu"
	}
	return "cuda:" + strconv.Itoa(int(d))
}

// ParseDevice reads "cpu", "cuda", "cuda:N" or "auto" (the first CUDA device,
// else the CPU). A CUDA device that is not there is an [ErrDevice].
func ParseDevice(name string) (Device, error) {
	devices := CUDADevices()
	index := 0
	switch lower := strings.ToLower(name); {
	case lower == "cpu" || lower == "auto" && devices == 0:
		return CPU, nil
	case lower == "cuda" || lower == "auto":
	case strings.HasPrefix(lower, "cuda:"):
		n, err := strconv.Atoi(lower[len("cuda:"):])
		if err != nil || n < 0 {
			return CPU, fmt.Errorf("device %q: write cpu, cuda, cuda:N or auto", name)
		}
		index = n
	default:
		return CPU, fmt.Errorf("device %q: write cpu, cuda, cuda:N or auto", name)
	}
	if index >= devices {
		return CPU, &Error{Op: "device", kind: ErrDevice,
			Message: fmt.Sprintf("%s is not available: libtorch sees %d CUDA devices", name, devices)}
	}
	return CUDA(index), nil
}

// Synchronize waits until the device has done all that was asked of it.
func (d Device) Synchronize() {
	if d >= 0 {
		libtch.AtcSynchronize(int64(d))
	}
}
