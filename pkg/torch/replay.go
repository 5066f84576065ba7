package torch

// Graphs makes computations again and again that do the same with the same tensors.
// Where the device can ([CanCapture]), each is captured as a CUDA graph: it runs as it is
// the first time, is captured the second, and replayed from then on. Elsewhere it runs
// as it is each time; so do those of nil.
//
// What a computation reads has to stand in tensors that are there as long as the graphs
// (see [Graphs.Static]), and what it changes is changed in place.
type Graphs struct {
	static   bool
	captures bool
	all      map[any]*captured
	pool     *Pool // of all graphs
	failed   error
}

// captured is a computation that was seen.
type captured struct {
	graph   *Graph // nil: not captured yet
	results []*Tensor
}

// NewGraphs are graphs of computations on the device. static asks for the buffers of
// captured computations where nothing is captured.
func NewGraphs(device Device, static bool) *Graphs {
	captures := CanCapture(device)
	return &Graphs{static: static || captures, captures: captures, all: map[any]*captured{}}
}

// Static: computations are to read what they read from the same tensors each time.
func (g *Graphs) Static() bool { return g != nil && g.static }

// Failed is why a computation could not be captured, and all run as they are; nil: none
// has failed.
func (g *Graphs) Failed() error {
	if g == nil {
		return nil
	}
	return g.failed
}

// Run runs f, or the graph of what f did under that key before. Its results stay what
// they are until the next computation; they are of the current scope or the graph's.
func (g *Graphs) Run(key any, f func() []*Tensor) []*Tensor {
	if g == nil || !g.captures {
		return f()
	}
	c, seen := g.all[key]
	if !seen {
		g.all[key] = &captured{}
		return f()
	}
	if c.graph == nil {
		if err := g.capture(c, f); err != nil {
			g.captures, g.failed = false, err
			g.Forget() // what graphs hold all that follows would lack
			return f()
		}
	}
	c.graph.Replay()
	return c.results
}

func (g *Graphs) capture(c *captured, f func() []*Tensor) error {
	if g.pool == nil {
		pool := NewPool()
		g.pool = &pool
	}
	graph, err := Capture(*g.pool, func() error {
		for _, t := range f() {
			c.results = append(c.results, t.Keep())
		}
		return nil
	})
	c.graph = graph
	return err
}

// CanCapture: computations on the device can be captured, on a stream of [EnterStream].
func CanCapture(d Device) bool { return d.helped() }

// Forget drops all graphs: tensors that they read or change have gone. It runs inside
// [Do].
func (g *Graphs) Forget() {
	if g == nil {
		return
	}
	for _, c := range g.all {
		if c.graph != nil {
			c.graph.Free()
		}
		for _, t := range c.results {
			t.Free()
		}
	}
	g.all = map[any]*captured{}
	if g.pool != nil { // libtorch gives no memory to a pool that no graph has any more
		g.pool = nil
		ReleaseMemory()
	}
}
