package adapter

// Mode is one mode of an adapter's tensor: what its index runs over, and how far.
type Mode struct {
	Name string
	Size int64
}
