package pickle

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/metatt/metatt/pkg/fileformat"
	"github.com/metatt/metatt/pkg/internal/allocbound"
	"github.com/metatt/metatt/pkg/safetensors"
)

func TestReadsWhatPyTorchSaves(t *testing.T) {
	got, err := Open("testdata/model.bin")
	if err != nil {
		t.Fatal(err)
	}
	defer got.Close()
	want, err := safetensors.Open("testdata/model.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	defer want.Close()
	if len(got.Names()) != len(want.Names()) {
		t.Errorf("names %v, want %v", got.Names(), want.Names())
	}
	for _, name := range want.Names() {
		g, ok := got.Info(name)
		w, _ := want.Info(name)
		if !ok || g.DType != w.DType || !slices.Equal(g.Shape, w.Shape) || g.Size != w.Size {
			t.Errorf("%s: %+v, want %+v", name, g, w)
			continue
		}
		gotData, wantData := make([]byte, g.Size), make([]byte, w.Size)
		if err := errors.Join(got.ReadInto(name, gotData), want.ReadInto(name, wantData)); err != nil {
			t.Error(err)
		}
		if !bytes.Equal(gotData, wantData) {
			t.Errorf("%s: other bytes", name)
		}
	}
	if err := got.ReadInto("none", nil); err == nil || err.Error() != `testdata/model.bin: no tensor "none"` {
		t.Errorf("a missing tensor: %v", err)
	}
	if err := got.ReadInto("scalar", nil); err == nil || err.Error() != `testdata/model.bin: tensor "scalar" has 4 bytes, the destination 0` {
		t.Errorf("a short destination: %v", err)
	}
}

func TestRefusesATransposedTensor(t *testing.T) {
	_, err := Open("testdata/transposed.bin")
	const want = `testdata/transposed.bin: unsupported: tensor "w": shape [2 3] with strides [1 2] is not row-major`
	if err == nil || err.Error() != want || !errors.As(err, new(*fileformat.UnsupportedError)) {
		t.Errorf("got %v, want %s", err, want)
	}
}

// archive is a pytorch_model.bin of one program and one storage of 8 bytes.
func archive(t testing.TB, program string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, member := range [][2]string{{"archive/data.pkl", program}, {"archive/data/0", "12345678"}} {
		f, err := w.CreateHeader(&zip.FileHeader{Name: member[0], Method: zip.Store})
		if err == nil {
			_, err = f.Write([]byte(member[1]))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// tensorProgram is a dict of one tensor "w": K is an integer of one byte.
func tensorProgram(offset, rows, columns, rowStride byte) string {
	return "\x80\x02}X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\n(" +
		"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x02tQ" +
		"K" + string([]byte{offset}) +
		"K" + string([]byte{rows}) + "K" + string([]byte{columns}) + "\x86" +
		"K" + string([]byte{rowStride}) + "K\x01\x86" +
		"\x89ccollections\nOrderedDict\n)RtRs."
}

// open opens a file called model.bin, in the folder that the test runs in.
func open(t *testing.T, b []byte) (*safetensors.Tensors, error) {
	t.Helper()
	if err := os.WriteFile("model.bin", b, 0o644); err != nil {
		t.Fatal(err)
	}
	tensors, err := Open("model.bin")
	if err == nil {
		t.Cleanup(func() { tensors.Close() })
	}
	return tensors, err
}

func TestRefusesHostileFiles(t *testing.T) {
	t.Chdir(t.TempDir())
	f, err := open(t, archive(t, tensorProgram(1, 1, 1, 1)))
	if err != nil {
		t.Fatalf("the program that the others vary: %v", err)
	}
	if info, ok := f.Info("w"); !ok || info.Size != 4 {
		t.Fatalf("the program that the others vary: %+v", info)
	}
	compressed := func() []byte {
		var b bytes.Buffer
		w := zip.NewWriter(&b)
		f, _ := w.Create("archive/data.pkl")
		f.Write(make([]byte, 1<<20))
		w.Close()
		return b.Bytes()
	}
	for name, c := range map[string]struct {
		file []byte
		want string
	}{
		"no zip":         {[]byte("hello"), "zip: not a valid zip file"},
		"legacy":         {[]byte("\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."), "unsupported: in the form of PyTorch before 1.6; load it with PyTorch and save it again"},
		"zip bomb":       {compressed(), `unsupported: "archive/data.pkl" is compressed`},
		"os.system":      {archive(t, "\x80\x02cos\nsystem\nX\x04\x00\x00\x00echo\x85R."), `unsupported: "os.system" is neither a tensor nor a container`},
		"builtins.eval":  {archive(t, "\x80\x04\x8c\x08builtins\x8c\x04eval\x93."), `unsupported: "builtins.eval" is neither a tensor nor a container`},
		"other object":   {archive(t, "\x80\x02ctorch.nn\nLinear\n)\x81."), `unsupported: "torch.nn.Linear" is neither a tensor nor a container`},
		"instruction":    {archive(t, "\x80\x02i"), "unsupported: pickle instruction 0x69 at byte 2"},
		"protocol":       {archive(t, "\x80\x01."), "unsupported: pickle protocol 1"},
		"ends early":     {archive(t, "\x80\x02}"), "pickle byte 3: the program ends early"},
		"long string":    {archive(t, "X\xff\xff\xff\xff"), "pickle byte 5: the program ends early"},
		"big integer":    {archive(t, "\x8a\x09123456789."), "unsupported: integer of 9 bytes"},
		"empty stack":    {archive(t, "."), "pickle byte 1: the stack holds fewer than 1 values"},
		"pops a mark":    {archive(t, "(\x85."), "pickle byte 2: the stack holds fewer than 1 values"},
		"no mark":        {archive(t, "Nt."), "pickle byte 2: no mark on the stack"},
		"odd items":      {archive(t, "}(Nu."), "pickle byte 4: 1 keys and values for *pickle.dict, want pairs for a dict"},
		"items for none": {archive(t, "NNa."), "pickle byte 3: items for <nil>, want a list"},
		"memo gap":       {archive(t, "Nr\xff\xff\xff\x7f."), "pickle byte 6: memo entry 2147483647 follows -1"},
		"memo missing":   {archive(t, "h\x07."), "pickle byte 2: no memo entry 7"},
		"calls a dict":   {archive(t, "})R."), `pickle byte 3: cannot construct "" from 0 values`},
		"calls storage":  {archive(t, "ctorch\nFloatStorage\n)R."), `pickle byte 22: cannot construct "torch.FloatStorage" from 0 values`},
		"no dict":        {archive(t, "]."), "unsupported: holds *pickle.list, want a dict of tensors"},
		"no tensors":     {archive(t, "}."), "unsupported: no tensors at the top level"},
		"past the end":   {archive(t, tensorProgram(2, 1, 1, 1)), `tensor "w": 1 elements from 2 of a storage of 2`},
		"too many":       {archive(t, tensorProgram(0, 3, 1, 1)), `tensor "w": 3 elements from 0 of a storage of 2`},
		"overlapping":    {archive(t, tensorProgram(0, 2, 2, 0)), `unsupported: tensor "w": shape [2 2] with strides [0 1] is not row-major`},
		"no storage":     {archive(t, strings.Replace(tensorProgram(0, 1, 1, 1), "X\x01\x00\x00\x000", "X\x01\x00\x00\x009", 1)), `tensor "w": no storage "9"`},
		"short storage":  {archive(t, strings.Replace(tensorProgram(0, 1, 1, 1), "K\x02tQ", "K\x03tQ", 1)), `tensor "w": storage of 2 elements, want 3`},
		"twice":          {archive(t, strings.Replace(tensorProgram(0, 1, 1, 1), "s.", "q\x00sX\x01\x00\x00\x00wh\x00s.", 1)), `tensor "w" twice`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := open(t, c.file)
			if err == nil || err.Error() != "model.bin: "+c.want {
				t.Errorf("got %v, want %s", err, c.want)
			}
			if strings.HasPrefix(c.want, "unsupported: ") != errors.As(err, new(*fileformat.UnsupportedError)) {
				t.Errorf("%T: wrong type", err)
			}
		})
	}
}

// readBounded reads a file from memory, within the bound on what that allocates. No tensor is read.
func readBounded(t *testing.T, b []byte) (infos []safetensors.Info, err error) {
	t.Helper()
	nothing, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer nothing.Close()
	allocbound.Check(t, len(b), func() {
		if infos, err = (reader{"model.bin"}).read(bytes.NewReader(b), int64(len(b))); err == nil {
			_, err = safetensors.NewTensors(nothing, infos)
		}
	})
	return infos, err
}

func TestMemoryIsInProportionToTheFile(t *testing.T) {
	const n = 1_000_000
	for name, program := range map[string]string{
		"stack":      strings.Repeat("N", n),
		"dicts":      "]" + strings.Repeat("}a", n),
		"memo":       "N" + strings.Repeat("\x94", n),
		"copies":     "(" + strings.Repeat("N", 10_000) + "t" + strings.Repeat("\x94", n),
		"tuples":     "N" + strings.Repeat("\x85", n),
		"text again": "X\x00\x00\x01\x00" + strings.Repeat("x", 1<<16) + strings.Repeat("\x94", n),
		"globals":    strings.Repeat("ccollections\nOrderedDict\n", n/20),
		"numbers":    "]" + strings.Repeat("M\xff\xffa", n),
		"marks":      "]" + strings.Repeat("(NNNNe", n),
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := readBounded(t, archive(t, program+".")); err == nil {
				t.Error("read")
			}
		})
	}
}

// Members are many and hold nothing; their entries in the archive's directory are what costs.
func TestMemoryOfAnArchiveOfManyMembers(t *testing.T) {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for i := range 58_000 { // over 7/8 of a power of two, where a map has just grown
		if _, err := w.CreateRaw(&zip.FileHeader{Name: fmt.Sprint(i), Method: zip.Store}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := readBounded(t, b.Bytes()); err == nil {
		t.Error("read")
	}
}

func TestTruncatedWhileOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "model.bin")
	if err := os.WriteFile(path, archive(t, tensorProgram(0, 2, 1, 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, _ := f.Info("w")
	if err := os.Truncate(path, info.Offset+7); err != nil {
		t.Fatal(err)
	}
	if err := f.ReadInto("w", make([]byte, 8)); !errors.As(err, new(*fileformat.Error)) {
		t.Errorf("got %v", err)
	}
}

func FuzzOpen(f *testing.F) {
	for _, program := range []string{tensorProgram(1, 1, 1, 1), "\x80\x04\x95\x00\x00\x00\x00\x00\x00\x00\x00}\x94(\x8c\x01a\x94K\x01u.", "\x80\x02](K\x01J\xff\xff\xff\xffG\x00\x00\x00\x00\x00\x00\x00\x00e}b."} {
		f.Add([]byte(program))
	}
	f.Fuzz(func(t *testing.T, program []byte) {
		b := archive(t, string(program))
		infos, err := readBounded(t, b)
		if err != nil {
			if !errors.As(err, new(*fileformat.Error)) && !errors.As(err, new(*fileformat.UnsupportedError)) {
				t.Fatalf("%T: %v", err, err)
			}
			return
		}
		for _, info := range infos {
			if info.Size < 0 || info.Offset < 0 || info.Offset+info.Size > int64(len(b)) {
				t.Fatalf("%+v in a file of %d", info, len(b))
			}
		}
	})
}

func FuzzArchive(f *testing.F) {
	f.Add(archive(f, tensorProgram(1, 1, 1, 1)))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, err := readBounded(t, b)
		if err != nil && !errors.As(err, new(*fileformat.Error)) && !errors.As(err, new(*fileformat.UnsupportedError)) {
			t.Fatalf("%T: %v", err, err)
		}
	})
}
