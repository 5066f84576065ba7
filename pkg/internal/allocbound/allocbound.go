// Package allocbound measures, in tests, what reading a file from outside allocates.
package allocbound

import (
	"runtime"
	"testing"
)

// Check runs read, which reads a file of size bytes, and fails the test if it allocates more than 16 times the file and
// 1 MiB. A file that is in memory already is to be cloned within read: its bytes count once.
//
// What counts is every byte allocated, freed or not (MemStats.TotalAlloc). That is at least what read ever holds at
// once, and it does not depend on when the garbage collector runs, as the growth of the heap would.
func Check(t testing.TB, size int, read func()) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	read()
	runtime.ReadMemStats(&after)
	allocated := after.TotalAlloc - before.TotalAlloc
	t.Logf("%.1f times a file of %d bytes", float64(allocated)/float64(max(size, 1)), size)
	if allocated > 16*uint64(size)+1<<20 {
		t.Errorf("%d bytes allocated for a file of %d", allocated, size)
	}
}
