package config

import (
	"slices"
	"testing"
)

// What a method has no use for is named where it is set.
func TestIdle(t *testing.T) {
	for _, test := range []struct {
		overrides []string
		want      []string
	}{
		{[]string{"adapter.method=head", "adapter.rank=4", "adapter.budget=100", "adapter.alpha=2", "adapter.targets=value"}, []string{"adapter.rank", "adapter.budget", "adapter.alpha", "adapter.targets"}},
		{[]string{"adapter.method=head"}, nil},
		{[]string{"adapter.method=head", "adapter.rank=8"}, nil}, // its default
		{[]string{"adapter.method=metatt4d", "adapter.rank=4", "adapter.alpha=2"}, nil},
	} {
		if got := mustLoad(t, "", test.overrides...).Idle(); !slices.Equal(got, test.want) {
			t.Errorf("%v: %v, want %v", test.overrides, got, test.want)
		}
	}
}
