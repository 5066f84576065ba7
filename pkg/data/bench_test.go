package data_test

import (
	"testing"

	"github.com/metatt/metatt/pkg/data"
)

// BenchmarkCache compares encoding a set with reading it from the cache.
func BenchmarkCache(b *testing.B) {
	tokens, task, examples := setting(b)
	for name, c := range map[string]data.Cache{"encode": {}, "read": {Dir: b.TempDir(), Limit: 1 << 30}} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := c.Encode(b.Context(), tokens, task, examples, 40); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
