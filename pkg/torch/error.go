package torch

// #include <stdlib.h>
import "C"

import (
	"errors"
	"fmt"
	"strings"
	"unsafe"

	"github.com/sugarme/gotch/libtch"
)

// Kinds of failure that a caller may want to tell apart with errors.Is.
var (
	// ErrOutOfMemory: the device or the host had no room for a result.
	ErrOutOfMemory = errors.New("out of memory")
	// ErrDevice: the device is not there or cannot be used.
	ErrDevice = errors.New("device not available")
)

// Operand is what an error remembers of a tensor.
type Operand struct {
	Shape  []int64
	DType  DType
	Device Device
}

func (o Operand) String() string {
	s := fmt.Sprintf("%s%v", o.DType, o.Shape)
	if o.Device != CPU {
		s += "@" + o.Device.String()
	}
	return s
}

// Error is a failed tensor operation.
type Error struct {
	Op       string    // the operation, e.g. "matmul"
	Operands []Operand // its tensor arguments
	Message  string    // libtorch's message, without its stack trace
	kind     error
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	if len(e.Operands) > 0 {
		b.WriteByte('(')
		for i, o := range e.Operands {
			if i > 0 {
				b.WriteString(", ")
			}
			b.WriteString(o.String())
		}
		b.WriteByte(')')
	}
	b.WriteString(": ")
	b.WriteString(e.Message)
	return b.String()
}

// Unwrap makes errors.Is(err, ErrOutOfMemory) and the like work.
func (e *Error) Unwrap() error { return e.kind }

// Errorf is an *Error for a check made in Go before libtorch is called.
func Errorf(op, format string, args ...any) *Error {
	return &Error{Op: op, Message: fmt.Sprintf(format, args...)}
}

// failure takes libtorch's error string, a C string that is ours to free, and
// describes the operation that caused it.
func failure(op string, message unsafe.Pointer, operands ...*Tensor) *Error {
	text := C.GoString((*C.char)(message))
	C.free(message)
	e := &Error{Op: op, Message: firstLine(text), kind: kindOf(text)}
	for _, t := range operands {
		if t != nil && t.c != nil {
			e.Operands = append(e.Operands, Operand{t.Shape(), t.DType(), t.Device()})
		}
	}
	return e
}

// dropError forgets a failure of this OS thread that nobody has asked for: that of
// another binding's call, which the next operation would be blamed for.
func dropError() {
	if e := libtch.GetAndResetLastErr(); e != nil {
		C.free(unsafe.Pointer(e))
	}
}

// firstLine drops the C++ stack trace and puts what is left on one line.
func firstLine(text string) string {
	text, _, _ = strings.Cut(text, "\nException raised from")
	return strings.Join(strings.Fields(text), " ")
}

func kindOf(text string) error {
	lower := strings.ToLower(text)
	switch {
	case strings.Contains(lower, "out of memory"),
		strings.Contains(lower, "can't allocate memory"),
		strings.Contains(lower, "not enough memory"),
		strings.Contains(lower, "bad_alloc"):
		return ErrOutOfMemory
	case strings.Contains(lower, "cuda") && (strings.Contains(lower, "no cuda gpus") ||
		strings.Contains(lower, "not compiled with") || strings.Contains(lower, "not linked with") ||
		strings.Contains(lower, "invalid device ordinal") || strings.Contains(lower, "no nvidia driver") ||
		strings.Contains(lower, "'cuda' backend") || strings.Contains(lower, "driver version")):
		return ErrDevice
	}
	return nil
}
