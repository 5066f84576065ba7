package rawjson

import (
	"strings"
	"testing"

	"github.com/metatt/metatt/pkg/internal/allocbound"
)

func TestLen(t *testing.T) {
	for data, want := range map[string]int{
		`{"a":1,"b":[1,2]}`: 2, `[1,"a",{}]`: 3, `{}`: 0, `[]`: 0,
		`"<s>{"0`: 0, `"a"`: 0, `1 2 3`: 0, `null`: 0, ``: 0, `{`: 0, `}`: 0, `[1,2`: 2, `[1,2}`: 2, `{"a":1,"b"`: 1, "\xff": 0,
	} {
		if got := Len([]byte(data)); got != want {
			t.Errorf("%q: got %d, want %d", data, got, want)
		}
	}
}

func TestMembersErrors(t *testing.T) {
	for data, want := range map[string]string{
		`"<s>{"0`: "string where an object belongs", `1 2`: "number where an object belongs", ``: "unexpected EOF", `{"a":1`: "byte 6: unexpected EOF",
		`{} {}`: "byte 4: more than one value",
	} {
		err := Members([]byte(data), func(string, []byte) error { return nil })
		if err == nil || err.Error() != want {
			t.Errorf("%q: got %v, want %s", data, err, want)
		}
	}
}

// Whatever data holds, nothing panics, memory is in proportion, an error is one line, and what is walked over is counted.
func FuzzWalk(f *testing.F) {
	for _, data := range []string{`{"a":1,"b":[1,2],"a":{}}`, `[1,"a",{}]`, `"<s>{"0`, `1 2`, "{\"\xff\":0}"} {
		f.Add([]byte(data))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		allocbound.Check(t, len(data), func() {
			counted := Len(data)
			for _, walk := range []func() (int, error){
				func() (n int, err error) {
					err = Members(data, func(string, []byte) error { n++; return nil })
					return n, err
				},
				func() (n int, err error) {
					err = Elements(data, func(int, []byte) error { n++; return nil })
					return n, err
				},
			} {
				n, err := walk()
				switch {
				case err == nil && n != counted:
					t.Errorf("%d values walked over, %d counted", n, counted)
				case err != nil && strings.Contains(err.Error(), "\n"):
					t.Errorf("error of several lines: %q", err)
				}
			}
		})
	})
}
