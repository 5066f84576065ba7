package torch

// Sequences tells where the sequences of a packed tensor (tokens, …) stand: end to
// end, without padding.
type Sequences struct {
	Offsets *Tensor // (n+1) Int32 on the tokens' device: from 0, rising, to the number of tokens
	Longest int64   // no sequence has more tokens; a bound where shapes are fixed
	Keys    *Tensor // (n) Int32 on the tokens' device: the example that each sequence is; dropout's masks are a function of it
}

// Drop is what a dropout mask is a function of, beside the example, the token's position
// in it and the column: that of an example is the same in whatever batch it stands.
// The zero value is no dropout.
type Drop struct {
	P    float64
	Seed *Tensor // (1) Int64 on the device
	Site int32   // the place in the network
}

// threshold: of the 2¹⁶ values of a decision, those that drop an element.
func (d Drop) threshold() int64 {
	const decisions = 1 << 16
	if !(d.P >= 0 && d.P < 1) {
		panic(Errorf("dropout", "probability %v is not in [0, 1)", d.P))
	}
	return int64(d.P*decisions + 0.5)
}
