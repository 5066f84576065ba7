package run

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/metatt/metatt/pkg/config"
	"github.com/metatt/metatt/pkg/hf"
	"github.com/metatt/metatt/pkg/torch"
)

// What a run or an adapter records is read in any folder: of what stands in the
// file system it is the absolute path.

// absolute is the absolute path of what is there, and anything else as it is.
func absolute(path string) string {
	if _, err := os.Stat(path); path == "" || err != nil {
		return path
	}
	if whole, err := filepath.Abs(path); err == nil {
		return whole
	}
	return path
}

// absoluteModel is the absolute path of a model's folder; a name stays one.
func absoluteModel(ref string) string {
	if dir, err := hf.Resolve(ref); err == nil && dir == ref {
		return absolute(ref)
	}
	return ref
}

// settlePlaces makes a configuration mean the same in any folder.
func (a *assembly) settlePlaces() error {
	c := a.config
	for _, path := range []*string{&c.Data.Train, &c.Data.Dev, &c.Data.Test, &c.Adapter.InitFrom, &c.Adapter.Append.To} {
		*path = absolute(*path)
	}
	if a.folder != "" {
		c.Data.GLUE = absolute(a.folder)
	}
	return nil
}

// takeRecorded changes what a run has recorded of a machine and is not there where
// the run is used: GLUE is looked for anew.
func takeRecorded(c *config.Config, note func(string)) {
	if _, err := os.Stat(c.Data.GLUE); c.Data.GLUE != "" && errors.Is(err, fs.ErrNotExist) {
		note(fmt.Sprintf("data.glue: the run's %s is not here; looking at GLUE_DIR and the standard folder", c.Data.GLUE))
		c.Data.GLUE = ""
	}
}

// recordedDevice is the run's device, or auto where there is no such device.
func recordedDevice(name string, note func(string)) string {
	if _, err := torch.ParseDevice(name); errors.Is(err, torch.ErrDevice) {
		note(fmt.Sprintf("device: the run's %s is not here; taking what is", name))
		return "auto"
	}
	return name
}
