package run

import (
	"fmt"

	"github.com/metatt/metatt/pkg/config"
	"github.com/metatt/metatt/pkg/torch"
)

var dtypes = map[string]torch.DType{"fp32": torch.Float32, "bf16": torch.BFloat16}

// settleMachine decides device, dtype and threads.
func (a *assembly) settleMachine() (err error) {
	c := a.config
	if a.device, err = torch.ParseDevice(c.Device); err != nil {
		return invalid("device", err)
	}
	c.Device = a.device.String()
	a.settleDType()
	if err = torch.SetThreads(c.Threads); err != nil {
		return invalid("threads", err)
	}
	return nil
}

// settleDType decides what auto means on the device, and warns of what is slow there.
func (a *assembly) settleDType() {
	dtype := &a.config.Model.DType
	native := a.device.ComputesBFloat16()
	switch {
	case *dtype == "auto" && native:
		*dtype = "bf16"
	case *dtype == "auto":
		*dtype = "fp32"
	case *dtype == "bf16" && !native:
		a.observer.Note(fmt.Sprintf("model.dtype bf16: %s computes it slower than fp32, in software many times; auto takes what is fast", a.device))
	}
	a.dtype = dtypes[*dtype]
}

// invalid is an error of one key's value.
func invalid(key string, err error) error {
	return &config.Error{Problems: []config.Problem{{Where: "config", Key: key, Message: err.Error()}}}
}
