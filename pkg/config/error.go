package config

import (
	"fmt"
	"strings"
)

// Problem is one thing wrong with a configuration.
type Problem struct {
	Where   string // "configs/mrpc.yaml:7", "METATT_TRAIN_LR" or "command line"
	Key     string // "train.lr"; empty when no key is concerned
	Message string // what is wrong and what would be right
}

func (p Problem) String() string {
	if p.Key == "" {
		return p.Where + ": " + p.Message
	}
	return p.Where + ": " + p.Key + ": " + p.Message
}

// problem is what is wrong with a key as c has it.
func (c *Config) problem(key, format string, args ...any) Problem {
	return Problem{Where: c.where[key], Key: key, Message: fmt.Sprintf(format, args...)}
}

// Error holds everything that is wrong with a configuration: the files' problems by line, then the environment's,
// then the command line's, then those of keys that do not go together.
type Error struct {
	Problems []Problem
}

// Error prints one line a problem.
func (e *Error) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// Invalid is an error of one key's value, found where more is known than the
// configuration.
func Invalid(key string, err error) error {
	return &Error{Problems: []Problem{{Where: "config", Key: key, Message: err.Error()}}}
}
