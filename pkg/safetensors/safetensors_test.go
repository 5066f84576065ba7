package safetensors

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/metatt/metatt/pkg/fileformat"
)

// referenceTensors is what testdata/reference.py says it writes.
func referenceTensors() []Tensor {
	var tensors []Tensor
	for k, dtype := range []struct {
		name string
		DType
	}{
		{"bool", Bool}, {"uint8", U8}, {"int8", I8}, {"float8_e5m2", F8E5M2}, {"float8_e4m3fn", F8E4M3},
		{"float8_e8m0fnu", F8E8M0}, {"float8_e4m3fnuz", F8E4M3FNUZ}, {"float8_e5m2fnuz", F8E5M2FNUZ},
		{"int16", I16}, {"uint16", U16}, {"float16", F16}, {"bfloat16", BF16},
		{"int32", I32}, {"uint32", U32}, {"float32", F32}, {"complex64", C64},
		{"float64", F64}, {"int64", I64}, {"uint64", U64},
	} {
		tensors = append(tensors, Tensor{Name: "layer." + dtype.name + ".weight", DType: dtype.DType, Shape: []int64{3, 5 + int64(k)}})
	}
	tensors = append(tensors,
		Tensor{Name: "scalar", DType: F32},
		Tensor{Name: "empty", DType: F32, Shape: []int64{0, 7}},
		Tensor{Name: "empty.middle", DType: F16, Shape: []int64{3, 0, 7}},
		Tensor{Name: "quote\"\\\n\t\x01é<&>中😀", DType: I16, Shape: []int64{4}},
		Tensor{Name: "", DType: U8, Shape: []int64{2}},
	)
	for k := range tensors {
		t := &tensors[k]
		size, _ := byteSize(t.DType, t.Shape)
		t.Data = make([]byte, size)
		for j := range t.Data {
			t.Data[j] = byte(31*k + 7*j)
			if t.DType == Bool {
				t.Data[j] = byte(k+j) % 2
			}
		}
	}
	return tensors
}

const referenceFile = "testdata/reference.safetensors"

func TestReadsTheReferenceWriter(t *testing.T) {
	f, err := Open(referenceFile)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	want := referenceTensors()
	if len(f.Names()) != len(want) || f.Metadata()["format"] != "pt" {
		t.Fatalf("%d tensors, metadata %v", len(f.Names()), f.Metadata())
	}
	var offset int64
	for _, name := range f.Names() {
		info, ok := f.Info(name)
		if !ok || info.Name != name || info.Offset < offset {
			t.Errorf("%q: %+v out of file order", name, info)
		}
		offset = info.Offset
	}
	for _, w := range want {
		info, ok := f.Info(w.Name)
		if !ok || info.DType != w.DType || !slices.Equal(info.Shape, w.Shape) {
			t.Errorf("%q: %+v, want %s %v", w.Name, info, w.DType, w.Shape)
			continue
		}
		data := make([]byte, info.Size)
		if err := f.ReadInto(w.Name, data); err != nil || !bytes.Equal(data, w.Data) {
			t.Errorf("%q: %v, bytes equal: %v", w.Name, err, bytes.Equal(data, w.Data))
		}
	}
}

// Equal bytes prove that the reference reads our files, too.
func TestWritesTheReferenceWritersBytes(t *testing.T) {
	want, err := os.ReadFile(referenceFile)
	if err != nil {
		t.Fatal(err)
	}
	tensors := referenceTensors()
	slices.Reverse(tensors)
	path := filepath.Join(t.TempDir(), "a.safetensors")
	if err := Write(path, tensors, map[string]string{"format": "pt"}); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(path); !bytes.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
	if err := Write(path, nil, nil); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(path); string(got) != "\x08\x00\x00\x00\x00\x00\x00\x00{}      " {
		t.Errorf("no tensors: %q", got)
	}
}

func TestReadInto(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.safetensors")
	data := bytes.Repeat([]byte{1, 2, 3, 4}, 15)
	if err := Write(path, []Tensor{{"w", F32, []int64{3, 5}, data}}, nil); err != nil {
		t.Fatal(err)
	}
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	expect := func(name string, dst []byte, want string) {
		t.Helper()
		if err := f.ReadInto(name, dst); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	expect("v", nil, path+`: no tensor "v"`)
	expect("w", make([]byte, 59), path+`: tensor "w" has 60 bytes, the destination 59`)

	info, _ := f.Info("w")
	if err := os.Truncate(path, info.Offset+59); err != nil {
		t.Fatal(err)
	}
	expect("w", make([]byte, 60), path+": truncated while it was being read")
	if !errors.As(f.ReadInto("w", make([]byte, 60)), new(*fileformat.Error)) {
		t.Error("a file truncated after Open is not a fileformat.Error")
	}
	f.Close()
	if err := f.ReadInto("w", make([]byte, 60)); !errors.Is(err, os.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func TestOpenRefusesWhatIsNoFile(t *testing.T) {
	dir := t.TempDir()
	if _, err := Open(dir); err == nil || err.Error() != dir+": not a regular file" {
		t.Errorf("a folder: %v", err)
	}
	if _, err := Open(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
}

func TestWriteRefuses(t *testing.T) {
	two := []byte{1, 2}
	for _, c := range []struct {
		want    string
		tensors []Tensor
	}{
		{`tensor "a" twice`, []Tensor{{"a", U8, []int64{2}, two}, {"a", I16, []int64{1}, two}}},
		{`tensor "__metadata__": the name is reserved`, []Tensor{{"__metadata__", U8, []int64{2}, two}}},
		{`tensor "\xff": the name is not UTF-8`, []Tensor{{"\xff", U8, []int64{2}, two}}},
		{`tensor "a": unknown dtype "F4"`, []Tensor{{"a", "F4", []int64{4}, two}}},
		{`tensor "a": F16 [2] does not fit its 2 bytes`, []Tensor{{"a", F16, []int64{2}, two}}},
		{`tensor "a": U8 [-1 -2] does not fit its 2 bytes`, []Tensor{{"a", U8, []int64{-1, -2}, two}}},
		{`tensor "a": U8 [4294967296 4294967296 2] does not fit its 2 bytes`, []Tensor{{"a", U8, []int64{1 << 32, 1 << 32, 2}, two}}},
		{`tensor "a": 65 dimensions, the limit is 64`, []Tensor{{"a", U8, make([]int64, 65), nil}}},
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, "a.safetensors")
		if err := Write(path, c.tensors, nil); err == nil || err.Error() != path+": "+c.want {
			t.Errorf("got %v, want %s", err, c.want)
		}
		if left, _ := os.ReadDir(dir); len(left) != 0 {
			t.Errorf("%s: left %v", c.want, left)
		}
	}
	if err := Write("a", nil, map[string]string{"k": "\xff"}); err == nil || err.Error() != `a: metadata "k": not UTF-8` {
		t.Errorf("metadata: %v", err)
	}
}

func ExampleWrite() {
	dir, _ := os.MkdirTemp("", "example")
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "cores.safetensors")
	err := Write(path, []Tensor{{Name: "cores.0", DType: F32, Shape: []int64{1, 2, 1}, Data: make([]byte, 8)}}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	f, err := Open(path)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer f.Close()
	info, _ := f.Info("cores.0")
	fmt.Println(info.DType, info.Shape, info.Size)
	// Output: F32 [1 2 1] 8
}
