// Package fileformat has the errors of files that are not what they should be, one
// kind for all readers: who opens a file need not know which of them found it out.
package fileformat

import "fmt"

// Error is a file that contradicts its format, or itself.
type Error struct {
	Path    string
	Line    int    // from 1; 0 where no line is meant
	Key     string // of JSON; "" where no key is meant
	Problem string // and what would be right
}

func (e *Error) Error() string {
	where := e.Path
	if e.Line > 0 {
		where = fmt.Sprintf("%s:%d", where, e.Line)
	}
	if e.Key != "" {
		where += ": " + e.Key
	}
	return where + ": " + e.Problem
}

// UnsupportedError is a file that may be valid but holds, or asks for, what this
// build does not read or compute.
type UnsupportedError struct {
	Path    string
	Key     string // as in [Error]
	Problem string
}

func (e *UnsupportedError) Error() string {
	return (&Error{Path: e.Path, Key: e.Key, Problem: "unsupported: " + e.Problem}).Error()
}
