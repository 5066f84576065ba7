package pickle

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
)

// The values that a pickle of tensors is made of, beside nil, bool, int64,
// float64 and string. Lists and dicts are pointers because the program goes on
// filling them after it has stored them elsewhere.
type (
	tuple []any
	list  struct{ items []any }
	dict  struct {
		keys   []any
		values []any
	}
	global     string          // module.name
	persistent struct{ tuple } // a reference to a storage
	mark       struct{}
)

const (
	// maxStack is far above what one batch of a dict's items takes (1000 pairs).
	maxStack = 1 << 14

	// What the program is charged for a value that it makes (its header, or
	// what an interface points to) and for one that a growing slice keeps.
	valueCost = 24
	keepCost  = 80
)

// machine runs a pickle program: the instructions of protocols 2 to 5 that
// describe tensors and containers.
type machine struct {
	program []byte
	pos     int
	stack   []any
	memo    []any
	budget  int64 // bytes of memory that the program may still take
}

// newMachine prepares a program that may take so much memory. PyTorch stores
// a value in the memo every fifteen bytes or so.
func newMachine(program []byte, budget int64) *machine {
	return &machine{program: program, memo: make([]any, 0, len(program)/8), budget: budget}
}

// unsupported is a problem that makes a [fileformat.UnsupportedError].
type unsupported string

func (u unsupported) Error() string { return string(u) }

func (m *machine) malformed(format string, args ...any) error {
	return fmt.Errorf("pickle byte %d: %s", m.pos, fmt.Sprintf(format, args...))
}

// run returns the value that the program leaves.
func (m *machine) run() (any, error) {
	for {
		op, err := m.bytes(1)
		if err != nil {
			return nil, err
		}
		if op[0] == '.' {
			return m.pop()
		}
		if err := m.step(op[0]); err != nil {
			return nil, err
		}
	}
}

func (m *machine) step(op byte) error {
	switch op {
	case 0x80: // PROTO
		version, err := m.bytes(1)
		if err == nil && (version[0] < 2 || version[0] > 5) {
			err = unsupported(fmt.Sprintf("pickle protocol %d", version[0]))
		}
		return err
	case 0x95: // FRAME
		_, err := m.bytes(8)
		return err
	case 'N':
		return m.push(nil)
	case 0x88, 0x89: // NEWTRUE, NEWFALSE
		return m.push(op == 0x88)
	case 'J', 'K', 'M', 0x8a: // BININT, BININT1, BININT2, LONG1
		return m.integer(op)
	case 'G': // BINFLOAT
		b, err := m.bytes(8)
		if err != nil {
			return err
		}
		return m.push(math.Float64frombits(binary.BigEndian.Uint64(b)))
	case 'X', 0x8c: // BINUNICODE, SHORT_BINUNICODE
		return m.text(op == 'X')
	case '(':
		return m.push(mark{})
	case ')', 0x85, 0x86, 0x87: // EMPTY_TUPLE, TUPLE1 to TUPLE3
		n := 0
		if op != ')' {
			n = int(op-0x85) + 1
		}
		items, err := m.popN(n)
		if err != nil {
			return err
		}
		return m.push(tuple(items))
	case 't': // TUPLE
		items, err := m.popMark()
		if err != nil {
			return err
		}
		return m.push(tuple(items))
	case ']':
		return m.push(&list{})
	case '}':
		return m.pushDict()
	case 'a', 'e': // APPEND, APPENDS
		return m.extend(op == 'e')
	case 's', 'u': // SETITEM, SETITEMS
		return m.setItems(op == 'u')
	case 'q', 'r', 0x94: // BINPUT, LONG_BINPUT, MEMOIZE
		return m.put(op)
	case 'h', 'j': // BINGET, LONG_BINGET
		return m.get(op == 'j')
	case 'c', 0x93: // GLOBAL, STACK_GLOBAL
		return m.global(op == 'c')
	case 'Q': // BINPERSID
		id, err := m.pop()
		if err != nil {
			return err
		}
		items, ok := id.(tuple)
		if !ok {
			return m.malformed("the reference to a storage is no tuple")
		}
		return m.push(persistent{items})
	case 'R':
		return m.reduce()
	case 'b':
		return m.build()
	}
	return unsupported(fmt.Sprintf("pickle instruction %#02x at byte %d", op, m.pos-1))
}

func (m *machine) bytes(n int) ([]byte, error) {
	if n > len(m.program)-m.pos {
		return nil, m.malformed("the program ends early")
	}
	m.pos += n
	return m.program[m.pos-n : m.pos], nil
}

func (m *machine) charge(bytes int64) error {
	if m.budget -= bytes; m.budget < 0 {
		return m.malformed("the program builds more than the file can hold")
	}
	return nil
}

func (m *machine) push(v any) error {
	if len(m.stack) == maxStack {
		return unsupported(fmt.Sprintf("pickle stack of more than %d values", maxStack))
	}
	m.stack = append(m.stack, v)
	return m.charge(valueCost)
}

func (m *machine) pushDict() error {
	if err := m.charge(valueCost); err != nil { // twice a list
		return err
	}
	return m.push(&dict{})
}

func (m *machine) pop() (any, error) {
	items, err := m.popN(1)
	if err != nil {
		return nil, err
	}
	return items[0], nil
}

// popN returns a copy: what is pushed next overwrites the stack.
func (m *machine) popN(n int) ([]any, error) {
	if n > len(m.stack) || slices.Contains(m.stack[len(m.stack)-n:], any(mark{})) {
		return nil, m.malformed("the stack holds fewer than %d values", n)
	}
	items := slices.Clone(m.stack[len(m.stack)-n:])
	m.stack = m.stack[:len(m.stack)-n]
	return items, m.charge(int64(16 * n))
}

func (m *machine) popMark() ([]any, error) {
	for i := len(m.stack) - 1; i >= 0; i-- {
		if _, found := m.stack[i].(mark); found {
			items, err := m.popN(len(m.stack) - i - 1)
			m.stack = m.stack[:i]
			return items, err
		}
	}
	return nil, m.malformed("no mark on the stack")
}
