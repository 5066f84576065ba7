package optim

// ReadNothing makes steps as a device makes them that must not be waited for.
func (o *AdamW) ReadNothing() { o.reads = false }
