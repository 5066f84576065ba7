package pickle

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"unicode/utf8"

	"github.com/metatt/metatt/pkg/safetensors"
)

const (
	orderedDict      global = "collections.OrderedDict"
	rebuildTensor    global = "torch._utils._rebuild_tensor_v2"
	rebuildParameter global = "torch._utils._rebuild_parameter"
)

var storageTypes = map[global]safetensors.DType{
	"torch.FloatStorage":    safetensors.F32,
	"torch.HalfStorage":     safetensors.F16,
	"torch.BFloat16Storage": safetensors.BF16,
	"torch.DoubleStorage":   safetensors.F64,
	"torch.LongStorage":     safetensors.I64,
	"torch.IntStorage":      safetensors.I32,
	"torch.ShortStorage":    safetensors.I16,
	"torch.CharStorage":     safetensors.I8,
	"torch.ByteStorage":     safetensors.U8,
	"torch.BoolStorage":     safetensors.Bool,
}

// tensor is a view of a storage, not yet checked against it. Offset and
// strides count elements.
type tensor struct {
	storage         string
	dtype           safetensors.DType
	offset          int64
	shape, strides  []int64
	storageElements int64
}

func (m *machine) integer(op byte) error {
	size := map[byte]int{'J': 4, 'K': 1, 'M': 2}[op]
	if op == 0x8a {
		n, err := m.bytes(1)
		if err != nil {
			return err
		}
		if size = int(n[0]); size > 8 {
			return unsupported(fmt.Sprintf("integer of %d bytes", size))
		}
	}
	b, err := m.bytes(size)
	if err != nil {
		return err
	}
	var wide [8]byte
	copy(wide[:], b)
	if signed := op == 'J' || op == 0x8a; signed && size > 0 && b[size-1] >= 0x80 {
		for i := size; i < 8; i++ {
			wide[i] = 0xff
		}
	}
	return m.push(int64(binary.LittleEndian.Uint64(wide[:])))
}

func (m *machine) text(long bool) error {
	width := 1
	if long {
		width = 4
	}
	b, err := m.bytes(width)
	if err != nil {
		return err
	}
	var length [4]byte
	copy(length[:], b)
	b, err = m.bytes(int(binary.LittleEndian.Uint32(length[:])))
	if err != nil {
		return err
	}
	if !utf8.Valid(b) {
		return m.malformed("string is not UTF-8")
	}
	if err := m.charge(int64(len(b))); err != nil {
		return err
	}
	return m.push(string(b))
}

// operands pops the one value, the pairs' two, or those down to the mark, and
// leaves the container below them on the stack.
func (m *machine) operands(toMark bool, n int) (items []any, container any, err error) {
	if toMark {
		items, err = m.popMark()
	} else {
		items, err = m.popN(n)
	}
	if err == nil && len(m.stack) == 0 {
		err = m.malformed("no container on the stack")
	}
	if err != nil {
		return nil, nil, err
	}
	return items, m.stack[len(m.stack)-1], m.charge(int64(keepCost * len(items)))
}

func (m *machine) extend(toMark bool) error {
	items, container, err := m.operands(toMark, 1)
	if err != nil {
		return err
	}
	l, ok := container.(*list)
	if !ok {
		return m.malformed("items for %T, want a list", container)
	}
	l.items = append(l.items, items...)
	return nil
}

func (m *machine) setItems(toMark bool) error {
	items, container, err := m.operands(toMark, 2)
	if err != nil {
		return err
	}
	d, ok := container.(*dict)
	if !ok || len(items)%2 != 0 {
		return m.malformed("%d keys and values for %T, want pairs for a dict", len(items), container)
	}
	for i := 0; i < len(items); i += 2 {
		d.keys = append(d.keys, items[i])
		d.values = append(d.values, items[i+1])
	}
	return nil
}

// put stores the top of the stack in the memo. Python numbers its entries one
// after the other, so the memo is a list.
func (m *machine) put(op byte) error {
	index := len(m.memo)
	if op != 0x94 {
		var err error
		if index, err = m.index(op == 'r'); err != nil {
			return err
		}
	}
	if len(m.stack) == 0 {
		return m.malformed("nothing to store")
	}
	top := m.stack[len(m.stack)-1]
	switch {
	case index < len(m.memo):
		m.memo[index] = top
		return nil
	case index == len(m.memo):
		m.memo = append(m.memo, top)
		if index < len(m.program)/8 {
			return nil
		}
		return m.charge(keepCost)
	}
	return m.malformed("memo entry %d follows %d", index, len(m.memo)-1)
}

func (m *machine) get(long bool) error {
	index, err := m.index(long)
	if err != nil {
		return err
	}
	if index >= len(m.memo) {
		return m.malformed("no memo entry %d", index)
	}
	return m.push(m.memo[index])
}

func (m *machine) index(long bool) (int, error) {
	if !long {
		b, err := m.bytes(1)
		if err != nil {
			return 0, err
		}
		return int(b[0]), nil
	}
	b, err := m.bytes(4)
	if err != nil {
		return 0, err
	}
	return int(binary.LittleEndian.Uint32(b)), nil
}

// global accepts a name that reduce or a storage knows. Nothing is ever looked
// up or called by name, here or later.
func (m *machine) global(inline bool) error {
	var module, name string
	if inline {
		var lines [2]string
		for i := range lines {
			n := bytes.IndexByte(m.program[m.pos:], '\n')
			if n < 0 {
				return m.malformed("a global's name does not end")
			}
			text, err := m.bytes(n + 1)
			if err != nil {
				return err
			}
			lines[i] = string(text[:n])
		}
		module, name = lines[0], lines[1]
	} else {
		items, err := m.popN(2)
		if err != nil {
			return err
		}
		var isText [2]bool
		module, isText[0] = items[0].(string)
		name, isText[1] = items[1].(string)
		if isText != [2]bool{true, true} {
			return m.malformed("a global's name is no text")
		}
	}
	g := global(module + "." + name)
	if _, isStorage := storageTypes[g]; !isStorage && g != orderedDict && g != rebuildTensor && g != rebuildParameter {
		return unsupported(fmt.Sprintf("%.100q is neither a tensor nor a container", string(g)))
	}
	return m.push(g)
}

// reduce performs the few constructions that globals stand for.
func (m *machine) reduce() error {
	items, err := m.popN(2)
	if err != nil {
		return err
	}
	function, _ := items[0].(global)
	args, ok := items[1].(tuple)
	switch {
	case ok && function == orderedDict && len(args) == 0:
		return m.pushDict()
	case ok && function == rebuildTensor && len(args) >= 6:
		t, err := m.tensor(args)
		if err != nil {
			return err
		}
		return m.push(t)
	case ok && function == rebuildParameter && len(args) >= 1:
		return m.push(args[0])
	}
	return m.malformed("cannot construct %.100q from %d values", string(function), len(args))
}

// tensor is torch._utils._rebuild_tensor_v2(storage, offset, size, stride, …),
// the storage being ("storage", type, key, device, elements).
func (m *machine) tensor(args tuple) (*tensor, error) {
	ref, ok := args[0].(persistent)
	if !ok || len(ref.tuple) != 5 || ref.tuple[0] != any("storage") {
		return nil, m.malformed("a tensor without a storage")
	}
	kind, _ := ref.tuple[1].(global)
	t := &tensor{dtype: storageTypes[kind]}
	var keyOK, elementsOK, offsetOK, shapeOK, stridesOK bool
	t.storage, keyOK = ref.tuple[2].(string)
	t.storageElements, elementsOK = ref.tuple[4].(int64)
	t.offset, offsetOK = args[1].(int64)
	t.shape, shapeOK = sizes(args[2])
	t.strides, stridesOK = sizes(args[3])
	switch {
	case t.dtype == "" || !keyOK || !elementsOK || !offsetOK || !shapeOK || !stridesOK,
		t.offset < 0, t.storageElements < 0, len(t.shape) != len(t.strides):
		return nil, m.malformed("malformed tensor")
	}
	return t, m.charge(int64(valueCost + 16*len(t.shape)))
}

// sizes reads a tuple of non-negative integers.
func sizes(v any) ([]int64, bool) {
	items, ok := v.(tuple)
	n := make([]int64, len(items))
	for i, item := range items {
		var isInt bool
		n[i], isInt = item.(int64)
		ok = ok && isInt && n[i] >= 0
	}
	return n, ok
}

// build sets attributes on the object below its state. An OrderedDict's are
// PyTorch's _metadata, versions of modules, which say nothing about tensors.
func (m *machine) build() error {
	_, container, err := m.operands(false, 1)
	if err != nil {
		return err
	}
	if _, ok := container.(*dict); !ok {
		return unsupported(fmt.Sprintf("state for %T", container))
	}
	return nil
}
