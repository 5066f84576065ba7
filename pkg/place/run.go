package place

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/metatt/metatt/pkg/config"
	"github.com/metatt/metatt/pkg/torch"
)

// ConfigFile is the resolved configuration in a run directory.
const ConfigFile = "config.yaml"

// IsRun tells a run directory from an adapter folder.
func IsRun(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, ConfigFile))
	return err == nil
}

// Adapter is dir itself, or of a run directory that of its best adapter, or of its
// last one where none has been judged.
func Adapter(dir string) (string, error) {
	if !IsRun(dir) {
		return dir, nil
	}
	for _, name := range []string{"best", "last"} {
		folder := filepath.Join(dir, "adapter", name)
		if _, err := os.Stat(folder); err == nil || !errors.Is(err, fs.ErrNotExist) {
			return folder, err
		}
	}
	return "", fmt.Errorf("%s: the run has no adapter yet", dir)
}

// TakeRecorded changes what a run has recorded of a machine and is not there where
// the run is used: GLUE is looked for anew.
func TakeRecorded(c *config.Config, note func(string)) {
	if _, err := os.Stat(c.Data.GLUE); c.Data.GLUE != "" && errors.Is(err, fs.ErrNotExist) {
		note(fmt.Sprintf("data.glue: the run's %s is not here; looking at GLUE_DIR and the standard folder", c.Data.GLUE))
		c.Data.GLUE = ""
	}
}

// RecordedDType is the run's format of numbers, or fp32 where the device has no tf32, which rounds fp32's products.
func RecordedDType(name, device string, note func(string)) string {
	if where, err := torch.ParseDevice(cmp.Or(device, "cpu")); name != "tf32" || err != nil || where != torch.CPU {
		return name
	}
	note("model.dtype tf32 of the run is of CUDA devices: fp32 is used")
	return "fp32"
}

// RecordedDevice is the run's device, or auto where there is no such device.
func RecordedDevice(name string, note func(string)) string {
	if _, err := torch.ParseDevice(name); errors.Is(err, torch.ErrDevice) {
		note(fmt.Sprintf("device: the run's %s is not here; taking what is", name))
		return "auto"
	}
	return name
}
