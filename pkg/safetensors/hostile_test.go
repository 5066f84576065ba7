package safetensors

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/metatt/metatt/pkg/fileformat"
	"github.com/metatt/metatt/pkg/internal/allocbound"
)

// file puts the length before a header and zeros behind it.
func file(header string, data int) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), make([]byte, data)...)
}

func TestOpenRefusesHostileFiles(t *testing.T) {
	const a = `"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}`
	claims := func(n uint64, rest string) []byte {
		return append(binary.LittleEndian.AppendUint64(nil, n), rest...)
	}
	for _, c := range []struct {
		file []byte
		want string
	}{
		{nil, "truncated: 0 bytes, the header's length alone takes 8"},
		{[]byte("1234567"), "truncated: 7 bytes, the header's length alone takes 8"},
		{claims(1<<60, "{}"), "truncated, or not safetensors: a header of 1152921504606846976 bytes in a file of 10"},
		{claims(1<<64-1, "{}"), "truncated, or not safetensors: a header of 18446744073709551615 bytes in a file of 10"},
		{claims(3, "{}"), "truncated, or not safetensors: a header of 3 bytes in a file of 10"},
		{[]byte("version https://git-lfs.github.com/spec/v1\noid sha256:0\n"), "a Git LFS pointer, not the weights themselves"},
		{file("", 0), "not safetensors: the header does not start with '{'"},
		{file(" {}", 0), "not safetensors: the header does not start with '{'"},
		{file("{", 0), "header ends where a string should be"},
		{file("{"+a, 8), "header ends where ',' or '}' should be"},
		{file("{"+a+",}", 8), "header byte 54: found '}', want a string"},
		{file("{}x", 0), "header byte 2: found 'x', want nothing but padding"},
		{file("{}\x00", 0), `header byte 2: found '\x00', want nothing but padding`},
		{file(`{"a`, 0), "header ends where the end of a string should be"},
		{file(`{"a\`, 0), "header ends where the end of a string should be"},
		{file(`{"\x":{}}`, 0), "header byte 1: malformed string"},
		{file("{\"\xff\":{}}", 0), "header byte 1: string is not UTF-8"},
		{file("{\"a\nb\":{}}", 0), `header byte 3: found '\n', want a string without control characters`},
		{file(`{"a" {}}`, 0), "header byte 5: found '{', want ':'"},
		{file(`{"a":[]}`, 0), "header byte 5: found '[', want '{'"},
		{file(strings.Repeat(`{"a":`, 5000), 0), `unsupported: tensor "a": key "a"`},
		{file(`{"a":{}}`, 0), `tensor "a": needs "dtype", "shape" and two "data_offsets"`},
		{file(`{"a":{"dtype":"F32","shape":[],"data_offsets":[0]}}`, 0), `tensor "a": needs "dtype", "shape" and two "data_offsets"`},
		{file(`{"a":{"dtype":"F32","shape":[],"data_offsets":[0,4,4]}}`, 4), `tensor "a": needs "dtype", "shape" and two "data_offsets"`},
		{file(`{"a":{"dtype":"U8","shape":[`+strings.Repeat("1,", 64)+`1],"data_offsets":[0,1]}}`, 1), `unsupported: tensor "a": 65 dimensions, the limit is 64`},
		{file(`{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}`, 4), "header byte 29: found '-', want a non-negative integer"},
		{file(`{"a":{"dtype":"F32","shape":[01],"data_offsets":[0,4]}}`, 4), "header byte 29: found '0', want a non-negative integer"},
		{file(`{"a":{"dtype":"F32","shape":[1.0],"data_offsets":[0,4]}}`, 4), "header byte 30: found '.', want ',' or ']'"},
		{file(`{"a":{"dtype":"F32","shape":[9223372036854775808],"data_offsets":[0,4]}}`, 4), "header byte 29: number does not fit 63 bits"},
		{file(`{"a":{"dtype":"F32","shape":[2147483648,2147483648,2],"data_offsets":[0,0]}}`, 0), `tensor "a": F32 [2147483648 2147483648 2] overflows`},
		{file(`{"a":{"dtype":"F32","shape":[1],"shape":[1],"data_offsets":[0,4]}}`, 4), `tensor "a": key "shape" twice`},
		{file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}`, 4), `tensor "a": data_offsets [4 0] run backwards`},
		{file(`{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}`, 8), `tensor "a": F32 [3] takes 12 bytes, data_offsets [0 8] give 8`},
		{file(`{"a":{"dtype":"F4","shape":[2],"data_offsets":[0,1]}}`, 1), `unsupported: tensor "a": dtype "F4"`},
		{file(`{"a":{"dtype":"","shape":[],"data_offsets":[0,0]}}`, 0), `tensor "a": needs "dtype", "shape" and two "data_offsets"`},
		{file("{"+a+","+a+"}", 8), `tensor "a" twice`},
		{file("{"+a+`,"\u0061":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}}`, 16), `tensor "a" twice`},
		{file("{"+a+`,"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}`, 12), `tensor "b" overlaps "a" by 4 bytes`},
		{file("{"+a+`,"b":{"dtype":"F32","shape":[2],"data_offsets":[16,24]}}`, 24), `tensor "b": 8 unused bytes before it`},
		{file(`{"b":{"dtype":"U8","shape":[1],"data_offsets":[9223372036854775806,9223372036854775807]}}`, 1), `tensor "b": 9223372036854775806 unused bytes before it`},
		{file(`{"b":{"dtype":"U8","shape":[9223372036854775807],"data_offsets":[0,9223372036854775807]}}`, 1), "truncated: the header describes 9223372036854775904 bytes, the file has 98"},
		{file("{"+a+"}", 7), "truncated: the header describes 70 bytes, the file has 69"},
		{file("{"+a+"}", 9), "1 bytes after the last tensor"},
		{file(`{"__metadata__":{"a":1}}`, 0), "header byte 21: found '1', want a string"},
		{file(`{"__metadata__":{"a":"1","a":"1"}}`, 0), `__metadata__: key "a" twice`},
		{file(`{"__metadata__":{},"__metadata__":{}}`, 0), `header: key "__metadata__" twice`},
	} {
		path := filepath.Join(t.TempDir(), "model.safetensors")
		if err := os.WriteFile(path, c.file, 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := Open(path)
		if err == nil || err.Error() != path+": "+c.want {
			t.Errorf("%.80q\n got %v\nwant %s", c.file, err, c.want)
		}
		if strings.HasPrefix(c.want, "unsupported: ") != errors.As(err, new(*fileformat.UnsupportedError)) {
			t.Errorf("%v: wrong type %T", err, err)
		}
	}
}

// Legal oddities that the reference reads.
func TestOpenTakesWhatTheReferenceTakes(t *testing.T) {
	for _, b := range [][]byte{
		file("{}", 0),
		file(`{"__metadata__":{"a":""}}`+"  \n", 0),
		file(`{ "b" : { "shape" : [ 1 ] , "data_offsets" : [ 0 , 4 ] , "dtype" : "F32" } , "a":{"dtype":"F32","shape":[0,1152921504606846976],"data_offsets":[0,0]},"c":{"dtype":"F32","shape":[0],"data_offsets":[4,4]}}`, 4),
	} {
		if _, err := readHeader("a", bytes.NewReader(b), int64(len(b))); err != nil {
			t.Errorf("%q: %v", b, err)
		}
	}
}

// readBounded reads a header within the bound on what that allocates.
func readBounded(t *testing.T, b []byte) (h *header, err error) {
	t.Helper()
	allocbound.Check(t, len(b), func() { h, err = readHeader("a", bytes.NewReader(b), int64(len(b))) })
	return h, err
}

func TestHeaderMemoryIsInProportionToTheFile(t *testing.T) {
	var tensors, shapes, metadata, escaped strings.Builder
	zeros := strings.Repeat(",0", maxRank)[1:]
	for i := range 115_000 { // over 7/8 of a power of two, where a map has just grown
		fmt.Fprintf(&shapes, `,"%x":{"dtype":"U8","shape":[%s],"data_offsets":[0,0]}`, i, zeros)
		fmt.Fprintf(&tensors, `,"%x":{"dtype":"U8","shape":[],"data_offsets":[%d,%d]}`, i, i, i+1)
		fmt.Fprintf(&metadata, `,"%x":""`, i)
		fmt.Fprintf(&escaped, `,"\n%x":"\n"`, i)
	}
	for name, header := range map[string]string{
		"tensors":  "{" + tensors.String()[1:] + "}",
		"metadata": `{"__metadata__":{` + metadata.String()[1:] + "}}",
		"escaped":  `{"__metadata__":{` + escaped.String()[1:] + "}}",
		"offsets":  "{" + strings.Repeat(`"data_offsets"`, 100_000),
		"shapes":   "{" + shapes.String()[1:] + "}",
		"numbers":  `{"a":{"shape":[` + strings.Repeat("0,", 100_000),
		"escapes":  `{"` + strings.Repeat(`\u0000`, 100_000),
		"colons":   `{"__metadata__":{"a":"` + strings.Repeat(`:":":"`, 100_000),
		"quotes":   `{"` + strings.Repeat(`\"`, 100_000) + `":0`,
	} {
		b := file(header, 115_000)
		if name != "tensors" {
			b = file(header, 0)
		}
		t.Run(name, func(t *testing.T) {
			_, err := readBounded(t, b)
			t.Logf("%.60v", err)
		})
	}
}

func FuzzOpen(f *testing.F) {
	reference, err := os.ReadFile(referenceFile)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(reference)
	f.Add(file(`{"__metadata__":{"k":"\u00e9"},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"U8","shape":[0],"data_offsets":[8,8]}}`, 8))
	f.Add(binary.LittleEndian.AppendUint64(nil, 1<<60))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := readBounded(t, b)
		if err != nil {
			if !errors.As(err, new(*fileformat.Error)) && !errors.As(err, new(*fileformat.UnsupportedError)) {
				t.Fatalf("%T: %v", err, err)
			}
			return
		}
		// What is accepted is covered by its tensors exactly, and what Write
		// makes of it reads back the same.
		var tensors []Tensor
		end := 8 + int64(binary.LittleEndian.Uint64(b))
		for _, info := range h.tensors {
			if info.Offset != end || info.Size < 0 || info.Size > int64(len(b))-end {
				t.Fatalf("%+v after byte %d of %d", info, end, len(b))
			}
			end += info.Size
			tensors = append(tensors, Tensor{info.Name, info.DType, info.Shape, b[info.Offset:end]})
		}
		if end != int64(len(b)) {
			t.Fatalf("tensors end at %d of %d", end, len(b))
		}
		again := encode(t, tensors, h.metadata)
		h2, err := readHeader("b", bytes.NewReader(again), int64(len(again)))
		if err != nil {
			t.Fatalf("%v\n%q", err, again)
		}
		for _, w := range tensors {
			i, ok := h2.index[w.Name]
			if !ok {
				t.Fatalf("tensor %q is lost", w.Name)
			}
			info := h2.tensors[i]
			if !bytes.Equal(again[info.Offset:info.Offset+info.Size], w.Data) {
				t.Fatalf("tensor %q has other bytes", w.Name)
			}
		}
	})
}

func encode(t *testing.T, tensors []Tensor, metadata map[string]string) []byte {
	var b bytes.Buffer
	if err := check(tensors, metadata); err != nil {
		t.Fatal(err)
	}
	if err := writeTo(&b, tensors, metadata); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
