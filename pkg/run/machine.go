package run

import (
	"fmt"
	"path/filepath"

	"github.com/metatt/metatt/pkg/config"
	"github.com/metatt/metatt/pkg/hf"
	"github.com/metatt/metatt/pkg/torch"
	"github.com/metatt/metatt/pkg/tuned"
)

// settleMachine decides device, dtype and threads.
func (a *assembly) settleMachine() (err error) {
	c := a.config
	if a.device, err = torch.ParseDevice(c.Device); err != nil {
		return config.Invalid("device", err)
	}
	c.Device = a.device.String()
	if a.group != nil && a.device != torch.CPU {
		a.shareDevices()
	}
	if a.device != torch.CPU {
		torch.KeepKernels(filepath.Join(hf.Home(), "kernels"))
	}
	if err = a.settleDType(); err != nil {
		return err
	}
	threads := c.Threads
	if a.group != nil {
		if threads, err = a.shareThreads(); err != nil {
			return err
		}
	}
	if err = torch.SetThreads(threads); err != nil {
		return config.Invalid("threads", err)
	}
	return nil
}

// settleDType decides what auto means on the device, and warns of what is slow there.
func (a *assembly) settleDType() (err error) {
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
	a.dtype, err = tuned.UseDType(*dtype, a.device)
	return err
}
