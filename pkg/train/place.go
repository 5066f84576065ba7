package train

import (
	"github.com/metatt/metatt/pkg/data"
	"github.com/metatt/metatt/pkg/models/encoder"
	"github.com/metatt/metatt/pkg/torch"
)

// place is a micro-batch on the device.
type place struct {
	batch *encoder.Batch
	gold  *torch.Tensor // (examples) Int64 classes or Float32 scores
	share *torch.Tensor // () of the step's loss, of this process's examples, with the task's weight
}

// shape is what the operations of a micro-batch's gradient depend on.
type shape struct {
	task  int
	first bool // of the step: the adapter adds its own term
	encoder.Shape
}

// put puts a micro-batch on the device, where graphs are used in the place of those of
// its shape.
func (o *Objective) put(m Micro) (*place, shape) {
	if !o.graphs.Static() {
		return o.upload(m), shape{}
	}
	in := input(m)
	s := shape{m.Task, m.First, in.Fixed(o.longest[m.Task])}
	if p := o.places[s]; p != nil {
		torch.Scoped(func() { o.refill(p, m, in) })
		return p, s
	}
	p := o.on(m, o.tasks[m.Task].Model.NewBatchOf(in, s.Shape)).keep()
	o.places[s] = p
	return p, s
}

// upload puts a micro-batch on the device, in the current scope.
func (o *Objective) upload(m Micro) *place { return o.on(m, o.tasks[m.Task].Model.NewBatch(input(m))) }

func (o *Objective) on(m Micro, batch *encoder.Batch) *place {
	return &place{batch, gold(m.Batch, o.device), o.share(m)}
}

func (o *Objective) share(m Micro) *torch.Tensor {
	return torch.Upload([]float32{float32(m.Share * m.part() * o.tasks[m.Task].weight())}, o.device).Reshape()
}

func (o *Objective) refill(p *place, m Micro, in encoder.Input) {
	p.batch.Refill(in)
	p.gold.CopyFrom(gold(m.Batch, o.device))
	p.share.CopyFrom(o.share(m))
}

func (p *place) keep() *place {
	p.batch.Keep()
	p.gold.Keep()
	p.share.Keep()
	return p
}

func (p *place) free() {
	p.batch.Free()
	p.gold.Free()
	p.share.Free()
}

// input is a micro-batch as a model takes it.
func input(m Micro) encoder.Input {
	in := packed(m.Batch)
	in.Seed, in.Keys = m.Seed, make([]int32, len(m.Batch.Indices))
	for i, example := range m.Batch.Indices {
		const tasks = 24 // bits of an example's number
		in.Keys[i] = int32(m.Task)<<tasks ^ int32(example)
	}
	return in
}

// packed is a batch as a model takes it.
func packed(b data.Batch) encoder.Input {
	return encoder.Input{IDs: b.IDs, TypeIDs: b.TypeIDs, Offsets: b.Offsets}
}

// gold is what the examples of a batch should come to.
func gold(b data.Batch, device torch.Device) *torch.Tensor {
	if b.Labels == nil {
		return torch.Upload(b.Scores, device)
	}
	return torch.Upload(b.Labels, device)
}
