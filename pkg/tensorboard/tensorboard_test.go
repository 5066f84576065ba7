package tensorboard

import (
	"bytes"
	"encoding/hex"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

// written is what tensorboard 2.20 makes of the events of sample, by its own protocol
// buffers and its RecordWriter.
const written = `
1800000000000000a37f4b220900001040fc54d9411a0d627261696e2e4576656e743a32338d2fe90d000000000000003c37b8340900001040fc54d9413a0208018c8e54cd42
0000000000000079f36eaa0900001040fc54d94110ac022a340a110a0a747261696e2f6c6f7373151872313f0a1f0a06636f6e6669674209080712004203c3a90a4a0a0a060a
04746578742002592e62aced000000000000003ef52d860900001040fc54d9412ae1010a640a145f68706172616d735f2f6578706572696d656e74420a080112002a04000000
004a400a3c0a0768706172616d731231122f22050a0161200122050a0162200222050a0163200222050a0164200322050a016520032a0a0a0812066465762f663120020a790a
1c5f68706172616d735f2f73657373696f6e5f73746172745f696e666f420a080112002a04000000004a4d0a490a0768706172616d73123e1a3c0a080a016112031a01780a07
0a0162120220010a070a0163120220000a0e0a016412091100000000000008400a0e0a0165120911000000000000e03f2002260f58225500000000000000d7df0fc109000010
40fc54d94110072a480a460a1a5f68706172616d735f2f73657373696f6e5f656e645f696e666f420a080112002a04000000004a1c0a180a0768706172616d73120d220b0801
1100001040fc54d9412002d621113a
`

var at = time.Unix(1_700_000_000, 250_000_000)

func sample() []byte {
	file := Begin(nil, at)
	file = Append(file, Event{Time: at, Step: 300, Values: []Value{Scalar("train/loss", 0.6931471805599453), Text("config", "é\n")}})
	params := []HParam{{"a", "x"}, {"b", true}, {"c", false}, {"d", 3}, {"e", 0.5}}
	file = Append(file, Event{Time: at, Values: Hyper(params, []string{"dev/f1"})})
	return Append(file, Event{Time: at, Step: 7, Values: []Value{Ended(at)}})
}

func TestAppend(t *testing.T) {
	want, err := hex.DecodeString(strings.ReplaceAll(written, "\n", ""))
	if err != nil {
		t.Fatal(err)
	}
	if got := sample(); !bytes.Equal(got, want) {
		t.Errorf("written\n%x\nwant\n%x", got, want)
	}
}

// A file is read as far as it is whole, wherever it breaks off.
func TestTimes(t *testing.T) {
	later := at.Add(time.Minute)
	whole := sample()
	file := Append(Append(whole, Event{Time: later, Step: 7}), Event{Time: later, Step: 1 << 40})
	if got := Times(bytes.NewReader(file)); !maps.EqualFunc(got, map[int]time.Time{0: at, 300: at, 7: at, 1 << 40: later}, time.Time.Equal) {
		t.Errorf("%v", got)
	}
	for cut := range len(file) {
		if got := Times(bytes.NewReader(file[:cut])); cut < len(file) && !got[1<<40].IsZero() || cut >= len(whole) && len(got) != 3 {
			t.Errorf("%d of %d bytes: %v", cut, len(file), got)
		}
	}
	for i := range file {
		turned := slices.Clone(file)
		turned[i] ^= 0x20
		if got := Times(bytes.NewReader(turned)); len(got) == 4 {
			t.Errorf("byte %d is another and nothing is amiss", i)
		}
	}
}

func FuzzTimes(f *testing.F) {
	f.Add(sample())
	f.Add(appendRecord(nil, []byte{0x09, 1}))
	f.Add(appendRecord(nil, []byte{0x10, 0xff}))
	f.Fuzz(func(t *testing.T, content []byte) {
		Times(bytes.NewReader(content))
		Times(bytes.NewReader(appendRecord(nil, content)))
	})
}
