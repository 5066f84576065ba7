package encoder

// Dropout is the probabilities with which a forward pass sets elements to zero.
// The zero value is none: evaluation.
type Dropout struct {
	Hidden     float64 // on the embeddings and on the output of each sublayer
	Attention  float64 // on the attention probabilities
	Classifier float64 // in the head
}

// Dropout is config.json's probabilities, or the override for all three.
func (b *Backbone) Dropout(override *float64) Dropout {
	if override != nil {
		return Dropout{*override, *override, *override}
	}
	c := b.config
	drop := Dropout{Hidden: c.HiddenDropoutProb, Attention: c.AttentionProbsDropoutProb, Classifier: c.HiddenDropoutProb}
	if c.ClassifierDropout != nil {
		drop.Classifier = *c.ClassifierDropout
	}
	return drop
}
