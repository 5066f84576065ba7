package config

import (
	"fmt"
	"strconv"
)

// Interval says how often something happens: at the end of every epoch, after every so many steps, or, as the
// zero value, never.
type Interval struct {
	Epoch bool
	Steps int
}

// String is the form that a configuration file holds: "epoch", "never" or the number of steps.
func (i Interval) String() string {
	switch {
	case i.Epoch:
		return "epoch"
	case i.Steps > 0:
		return strconv.Itoa(i.Steps)
	}
	return "never"
}

// MarshalYAML keeps a number of steps a number.
func (i Interval) MarshalYAML() (any, error) {
	if i.Steps > 0 {
		return i.Steps, nil
	}
	return i.String(), nil
}

// evalEvery is the key that knows no never: what is best is chosen by evaluation.
const evalEvery = "train.eval_every"

func (k *Key) parseInterval(text string) (any, string) {
	every, ok := parseInterval(text)
	switch {
	case ok && every == Interval{} && k.Name == evalEvery:
		return nil, "never is not possible: evaluation chooses adapter/best; write epoch or a number of steps"
	case ok:
		return every, ""
	case k.Name == evalEvery:
		return nil, fmt.Sprintf("%s is not epoch or a number of steps", quote(text))
	}
	return nil, fmt.Sprintf("%s is not epoch, never or a number of steps", quote(text))
}

func parseInterval(text string) (Interval, bool) {
	switch text {
	case "epoch":
		return Interval{Epoch: true}, true
	case "never":
		return Interval{}, true
	}
	steps, err := strconv.Atoi(text)
	return Interval{Steps: steps}, err == nil && steps > 0 && steps <= largest
}
