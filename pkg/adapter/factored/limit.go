package factored

import "fmt"

// Limit is the largest legal rank and what decides it.
type Limit struct {
	Largest int64
	Of      string
}

// Lower makes it that of another part of the adapter, where that is smaller. The
// zero Limit is none yet.
func (l *Limit) Lower(largest int64, of string) {
	if l.Of == "" || largest < l.Largest {
		*l = Limit{largest, of}
	}
}

// Check is the error of a rank above the limit; name is what users call it.
func (l Limit) Check(name string, rank int64) error {
	if rank > l.Largest {
		return fmt.Errorf("%s %d is above %d, its largest legal value for %s", name, rank, l.Largest, l.Of)
	}
	return nil
}
