package train

// Lag makes the journal read figures so many steps late, as it does on a device.
func (t *Trainer) Lag(steps int) { t.journal.lag = steps }
