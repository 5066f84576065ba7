package train

import (
	"slices"
	"testing"
)

// member is a process of a group that hears nothing of the others.
type member struct{ rank, size int }

func (m member) Rank() int                                     { return m.rank }
func (m member) Size() int                                     { return m.size }
func (m member) Local() (rank, size int)                       { return m.rank, m.size }
func (member) Sum(string, []float32) error                     { return nil }
func (member) Broadcast(_ string, data []byte) ([]byte, error) { return data, nil }

// Each example of a micro-batch is one process's, whatever their numbers, and the first
// process has one of each micro-batch; what is to be known of a step is the same in all.
func TestProcessesShareOutSteps(t *testing.T) {
	tasks := sized(t, 23, 11)
	o := Options{BatchSize: 3, Accumulate: 3, Shuffle: true, Seed: 4}
	alone := sourceOf(tasks, o)
	for _, size := range []int{2, 3, 5} {
		var sources []*Source
		for rank := range size {
			sources = append(sources, newSource(Setup{Tasks: tasks, Options: o, Group: member{rank, size}}))
		}
		for k := range 2 * alone.StepsPerEpoch() {
			whole := mustStep(t, alone, k)
			parts := make([][]int, len(whole.Micros))
			draws := map[uint64]bool{}
			for rank, source := range sources {
				step := mustStep(t, source, k)
				if step.Examples != whole.Examples || len(step.Micros) != len(whole.Micros) {
					t.Fatalf("step %d: %d examples in %d micro-batches, want %d in %d", k, step.Examples, len(step.Micros), whole.Examples, len(whole.Micros))
				}
				for i, m := range step.Micros {
					w := whole.Micros[i]
					if m.Task != w.Task || m.Share != w.Share || m.Seed != w.Seed || m.First != w.First || !slices.Equal(m.All, w.All) {
						t.Errorf("step %d, micro-batch %d of rank %d: %+v, want %+v", k, i, rank, m, w)
					}
					if rank == 0 && (len(m.Batch.Indices) == 0 || m.Draws != w.Draws) {
						t.Errorf("step %d, micro-batch %d of the first process: %+v", k, i, m)
					}
					draws[m.Draws] = true
					parts[i] = append(parts[i], m.Batch.Indices...)
				}
			}
			for i, m := range whole.Micros {
				if !slices.Equal(parts[i], m.Batch.Indices) {
					t.Errorf("step %d, micro-batch %d: %v, want %v", k, i, parts[i], m.Batch.Indices)
				}
			}
			if len(draws) != size*len(whole.Micros) {
				t.Errorf("step %d: %d processes draw %d micro-batches from %d seeds", k, size, len(whole.Micros), len(draws))
			}
		}
		for _, source := range append(sources, alone) {
			source.take() // what is packed ahead reads the tasks
		}
	}
}
