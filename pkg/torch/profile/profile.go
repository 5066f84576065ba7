// Package profile says what operations libtorch made in a stretch of time, how often,
// and how long each took. Programs that measure import it, and nothing else: recording
// costs about a microsecond an operation.
//
// What is no operation of libtorch's is not seen, but for what calls RECORD_FUNCTION
// (ATen/record_function.h) itself. On a CUDA device the time is that of the launch.
package profile

// extern void profile_start(void);
// extern char *profile_stop(void);
// #include <stdlib.h>
import "C"

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
	"unsafe"
)

// Phase is what an operation is part of.
type Phase int

const (
	Forward  Phase = iota // recorded by autograd, or it could be
	Backward              // called by autograd
	NoGrad                // where no gradient is asked for: the update, the journal, evaluation
)

func (p Phase) String() string { return [...]string{"forward", "backward", "no gradient"}[p] }

// Operation is all calls of an operation in a phase.
type Operation struct {
	Name  string
	Phase Phase
	Calls int64
	Self  time.Duration // without the operations that it called
}

// Profile is what was recorded.
type Profile struct {
	Wall       time.Duration
	Operations []Operation // the longest first
}

// Outside is the time in which no operation ran, where one thread calls them.
func (p Profile) Outside() time.Duration {
	left := p.Wall
	for _, o := range p.Operations {
		left -= o.Self
	}
	return left
}

// recording is when Start was called.
var recording time.Time

// Start forgets what was recorded and records the operations of all threads until Stop.
// Both are for one goroutine, while no operation runs.
func Start() {
	C.profile_start()
	recording = time.Now()
}

// Stop ends recording.
func Stop() Profile {
	p := Profile{Wall: time.Since(recording)}
	text := C.profile_stop()
	defer C.free(unsafe.Pointer(text))
	for line := range strings.Lines(C.GoString(text)) {
		var o Operation
		fields := strings.SplitN(strings.TrimSuffix(line, "\n"), " ", 4)
		if _, err := fmt.Sscan(strings.Join(fields[:3], " "), &o.Phase, &o.Calls, &o.Self); err != nil {
			panic("profile: " + err.Error()) // the text is of the package's own making
		}
		o.Name = fields[3]
		p.Operations = append(p.Operations, o)
	}
	slices.SortFunc(p.Operations, func(a, b Operation) int { return cmp.Compare(b.Self, a.Self) })
	return p
}
