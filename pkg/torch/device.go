package torch

import (
	"fmt"
	"os"
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
			Message: noSuchDevice(name, devices)}
	}
	return CUDA(index), nil
}

func noSuchDevice(name string, devices int) string {
	message := fmt.Sprintf("%s is not available: libtorch sees %d CUDA devices", name, devices)
	if why := WhyNoCUDA(); why != "" {
		message += ", as " + why
	}
	return message
}

// WhyNoCUDA is why libtorch has no device where an NVIDIA driver is loaded; empty where
// it has one, or where there is no driver.
func WhyNoCUDA() string {
	if CUDADevices() > 0 || !driverLoaded() {
		return ""
	}
	if failure := cudaFailure(); failure != "" {
		return "libtorch_cuda.so cannot be loaded: " + failure
	}
	if visible, set := os.LookupEnv("CUDA_VISIBLE_DEVICES"); set {
		return fmt.Sprintf("CUDA_VISIBLE_DEVICES is %q", visible)
	}
	return "the NVIDIA driver offers none, or is too old for this libtorch"
}

// driverLoaded: the kernel has an NVIDIA driver.
func driverLoaded() bool {
	for _, path := range []string{"/proc/driver/nvidia/version", "/dev/nvidia0", "/dev/nvidiactl"} {
		if _, err := os.Stat(path); err == nil {
			return true
		}
	}
	return false
}

// Synchronize waits until the device has done all that was asked of it.
func (d Device) Synchronize() {
	if d >= 0 {
		libtch.AtcSynchronize(int64(d))
	}
}
