package config

// fromSaved: a saved adapter decides the method and the modes.
func (c *Config) fromSaved() bool { return c.Adapter.InitFrom != "" || c.Adapter.Append.To != "" }

// checkAppend looks for keys that contradict adapter.append.to, or stand without it.
func (c *Config) checkAppend() []Problem {
	a := c.Adapter
	problem := func(key, message string) []Problem {
		return []Problem{{Where: c.where[key], Key: key, Message: message}}
	}
	switch {
	case a.Append.To != "" && a.InitFrom != "":
		return problem("adapter.append.to", "stands beside adapter.init_from, which trains a saved adapter further; leave one of them out")
	case c.fromSaved() && a.Budget > 0:
		return problem("adapter.budget", "chooses a rank; the saved adapter decides it")
	case a.Append.To == "" && a.Append.Grow > 0:
		return problem("adapter.append.grow", "is for a task appended to a saved adapter; adapter.append.to names none")
	case a.Append.To == "" && a.Append.Start != "zero":
		return problem("adapter.append.start", "is for a task appended to a saved adapter; adapter.append.to names none")
	case a.Append.Start == "":
		return problem("adapter.append.start", "is empty; legal: zero, mean or the name of a task of the saved adapter")
	}
	return nil
}
