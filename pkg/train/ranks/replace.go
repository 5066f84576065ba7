package ranks

import (
	"bytes"
	"encoding/gob"
	"fmt"

	"github.com/metatt/metatt/pkg/dmrg"
	"github.com/metatt/metatt/pkg/optim"
	"github.com/metatt/metatt/pkg/parallel"
	"github.com/metatt/metatt/pkg/torch"
)

// replacement is what takes the place of all cores, or of all stacks end to end.
type replacement struct {
	tensors       []*torch.Tensor
	first, second []*torch.Tensor // moments; nil: they begin at zero, the learning rate rising
	rewarm        int             // over so many steps
}

// replace gives the adapter other tensors and lets the optimizer follow.
func (h *Hook) replace(r *replacement) error {
	changes := map[int]optim.Change{}
	if h.stacks != nil {
		var stacks []dmrg.Stack
		left := r.tensors
		for _, stack := range h.stacks.Stacks() {
			stacks, left = append(stacks, left[:len(stack)]), left[len(stack):]
		}
		if err := h.setStacks(stacks); err != nil {
			return err
		}
		for i := range h.Adapter.Parameters() {
			changes[i] = optim.Change{Rewarm: int64(r.rewarm)}
		}
	} else {
		if err := h.cores.SetCores(r.tensors); err != nil {
			return err
		}
		for k, i := range h.places {
			changes[i] = optim.Change{Rewarm: int64(r.rewarm)}
			if r.first != nil {
				changes[i] = optim.Change{First: r.first[k], Second: r.second[k]}
			}
		}
	}
	h.Replaced(changes)
	return nil
}

// once adapts in one process of a group, whose decompositions others might round another way,
// and has what came of it in all.
func (h *Hook) once(e dmrg.Event, adapt func() (*replacement, error)) (r *replacement, err error) {
	adapted := false
	text, err := parallel.Once(h.Group, fmt.Sprintf("sweep %d", e.Sweep+1), func() ([]byte, error) {
		adapted = true
		if r, err = adapt(); err != nil || h.Group == nil {
			return nil, err
		}
		return r.encode()
	})
	if err != nil || adapted {
		return r, err
	}
	return h.decode(text)
}

// sent is a replacement on its way to another process.
type sent struct {
	Kept                   bool // nothing takes the place of anything
	Tensors, First, Second []array
	Rewarm                 int
}

// array is a tensor.
type array struct {
	Shape  []int64
	Values []float32
}

func (r *replacement) encode() ([]byte, error) {
	s := sent{Kept: r == nil}
	if r != nil {
		s = sent{Tensors: arrays(r.tensors), First: arrays(r.first), Second: arrays(r.second), Rewarm: r.rewarm}
	}
	var text bytes.Buffer
	err := gob.NewEncoder(&text).Encode(s)
	return text.Bytes(), err
}

func arrays(tensors []*torch.Tensor) (list []array) {
	torch.NoGrad(func() {
		for _, t := range tensors {
			list = append(list, array{t.Shape(), torch.ToSlice[float32](t.Detach().ToDType(torch.Float32))})
		}
	})
	return list
}

func (h *Hook) decode(text []byte) (*replacement, error) {
	var s sent
	if err := gob.NewDecoder(bytes.NewReader(text)).Decode(&s); err != nil || s.Kept {
		return nil, err
	}
	tensors := func(list []array) (tensors []*torch.Tensor) {
		for _, a := range list {
			tensors = append(tensors, torch.Upload(a.Values, h.Device, a.Shape...))
		}
		return tensors
	}
	return &replacement{tensors(s.Tensors), tensors(s.First), tensors(s.Second), s.Rewarm}, nil
}
