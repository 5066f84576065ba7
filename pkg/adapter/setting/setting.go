// Package setting is how an adapter method declares the keys under adapter that are its own. It needs neither the
// schema, which is told of them, nor tensors.
package setting

// Declaration is what a configuration has to know of a method beside its name.
type Declaration struct {
	// Keys is the zero value of a struct whose tags declare the method's keys, as those of config.Config do; a tag
	// after names the key under adapter behind which one is listed and written. nil: the method has none. Of an
	// embedded struct the keys are declared as if they stood in its place; a key that several methods have has one
	// declaration. A struct field without a doc is a section.
	Keys any
	// Rank is the default of adapter.rank; 0: the schema's.
	Rank int
	// Training are keys under adapter of how the method is trained, which a run that goes on from a saved adapter has of
	// its own where it sets them.
	Training []string
	// Idle are keys of the schema under adapter, such as rank, that say nothing of the method.
	Idle []string
	// Size is the key under adapter that a budget of parameters decides; empty: rank.
	Size string
	// Settle fills in and checks what depends on other keys; nil: nothing does.
	Settle func(*Asked) []Fault
}

// Asked is what a configuration asks of a method.
type Asked struct {
	Method   string
	Settings any  // a pointer to a struct of Declaration's Keys; Settle may complete it
	Rank     int  // likewise
	Budget   int  // 0: none
	Saved    bool // a saved adapter decides method and modes
	// Counts reports whether a key under adapter is set, and nowhere below where the other is: in a file, say, when
	// that comes from a file over it or the command line.
	Counts func(key, other string) bool
}

// Fault is what is wrong with a key under adapter.
type Fault struct {
	Key     string // "ranks"
	Message string
}
