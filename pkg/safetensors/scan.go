package safetensors

import (
	"fmt"
	"math"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// scanner reads the JSON of a header. encoding/json would serve but for three
// things that the format asks for: duplicate keys are an error, keys match by
// case, and memory stays in proportion to the bytes read.
type scanner struct {
	b   []byte
	pos int
}

// errSyntax carries the place in the header, counted in bytes from its brace.
func (s *scanner) errSyntax(want string) error {
	if s.pos >= len(s.b) {
		return fmt.Errorf("header ends where %s should be", want)
	}
	return fmt.Errorf("header byte %d: found %q, want %s", s.pos, s.b[s.pos], want)
}

func (s *scanner) space() {
	for s.pos < len(s.b) {
		switch s.b[s.pos] {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return
		}
	}
}

// accept consumes c, with the white space before it, if it comes next.
func (s *scanner) accept(c byte) bool {
	s.space()
	if s.pos < len(s.b) && s.b[s.pos] == c {
		s.pos++
		return true
	}
	return false
}

func (s *scanner) expect(c byte) error {
	if !s.accept(c) {
		return s.errSyntax(fmt.Sprintf("%q", c))
	}
	return nil
}

// object calls member for each key, positioned at its value.
func (s *scanner) object(member func(key string) error) error {
	return s.list('{', '}', func() error {
		key, err := s.string()
		if err != nil {
			return err
		}
		if err := s.expect(':'); err != nil {
			return err
		}
		return member(key)
	})
}

// ints reads an array of non-negative integers and returns how many there are;
// dst takes as many as it can.
func (s *scanner) ints(dst []int64) (int, error) {
	n := 0
	err := s.list('[', ']', func() error {
		v, err := s.int()
		if n < len(dst) {
			dst[n] = v
		}
		n++
		return err
	})
	return n, err
}

func (s *scanner) list(open, end byte, item func() error) error {
	if err := s.expect(open); err != nil {
		return err
	}
	if s.accept(end) {
		return nil
	}
	for {
		if err := item(); err != nil {
			return err
		}
		if s.accept(end) {
			return nil
		}
		if !s.accept(',') {
			return s.errSyntax(fmt.Sprintf("',' or %q", end))
		}
	}
}

func (s *scanner) string() (string, error) {
	s.space()
	if s.pos >= len(s.b) || s.b[s.pos] != '"' {
		return "", s.errSyntax("a string")
	}
	start, escaped := s.pos, false
	for i := start + 1; i < len(s.b); i++ {
		switch c := s.b[i]; {
		case c == '\\':
			escaped = true
			i++
		case c < ' ':
			s.pos = i
			return "", s.errSyntax("a string without control characters")
		case c == '"':
			raw := s.b[start+1 : i]
			if !utf8.Valid(raw) {
				return "", fmt.Errorf("header byte %d: string is not UTF-8", start)
			}
			s.pos = i + 1
			if !escaped {
				return string(raw), nil
			}
			text, err := jsontext.AppendUnquote(nil, s.b[start:s.pos])
			if err != nil {
				return "", fmt.Errorf("header byte %d: malformed string", start)
			}
			return string(text), nil
		}
	}
	s.pos = len(s.b)
	return "", s.errSyntax("the end of a string")
}

func (s *scanner) int() (int64, error) {
	s.space()
	start := s.pos
	var v int64
	for ; s.pos < len(s.b) && '0' <= s.b[s.pos] && s.b[s.pos] <= '9'; s.pos++ {
		digit := int64(s.b[s.pos] - '0')
		if v > (math.MaxInt64-digit)/10 {
			return 0, fmt.Errorf("header byte %d: number does not fit 63 bits", start)
		}
		v = v*10 + digit
	}
	if s.pos == start || s.b[start] == '0' && s.pos > start+1 {
		s.pos = start
		return 0, s.errSyntax("a non-negative integer")
	}
	return v, nil
}
