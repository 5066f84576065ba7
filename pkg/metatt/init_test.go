package metatt

import "testing"

// Ranks that differ per bond: an identity next to a narrower bond leaves
// components that nothing ever reaches.
func TestUnreachableComponents(t *testing.T) {
	for _, c := range []struct {
		init  string
		ranks []int64
		ok    bool
	}{
		{"ze-id-id-id", []int64{8, 8, 8}, true},
		{"ze-id-id-id", []int64{4, 6, 8}, true},
		{"ze-id-id-id", []int64{8, 4, 4}, false},
		{"ze-id-id-id", []int64{4, 8, 4}, false},
		{"ze-no-no-id", []int64{8, 4, 4}, true},
		{"ze-no-id-id", []int64{8, 4, 4}, true},
		{"ze-id-no-id", []int64{8, 4, 4}, false},
		{"id-id-id-ze", []int64{8, 4, 4}, true},
		{"id-id-id-ze", []int64{4, 8, 8}, false},
		{"or-or-or-ze", []int64{4, 8, 8}, true},
		{"id-ze-id-id", []int64{4, 8, 6}, false},
		{"id-ze-id-id", []int64{8, 4, 6}, true},
	} {
		starts, err := parseInit(c.init, 4)
		if err != nil {
			t.Fatal(err)
		}
		if err := checkReachable(starts, c.ranks); (err == nil) != c.ok {
			t.Errorf("%s, ranks %v: %v, want ok = %v", c.init, c.ranks, err, c.ok)
		}
	}
}
