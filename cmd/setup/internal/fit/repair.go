package fit

import (
	"fmt"
	"regexp"
)

// A repair mends one fault that the release of gotch has in every place where
// its pattern stands.
type repair struct {
	file        string
	pattern     *regexp.Regexp
	replacement string
}

var repairs = []repair{
	// Strings handed to C were never freed.
	{"libtch/c-generated.go", regexp.MustCompile(`(?m)^(c\w+) := C\.CString\((\w+)\)$`), "$0\ndefer C.free(unsafe.Pointer($1))"},
	{"libtch/c-generated.go", regexp.MustCompile(`(?m)^//#include "torch_api\.h" ?$`), "$0\n//#include <stdlib.h>"},
	// An empty list, legal in libtorch (the shape of a scalar), was an index out of range.
	{"libtch/c-generated.go", regexp.MustCompile(`unsafe\.Pointer\(&(\w+)\[0\]\)`), "unsafe.Pointer(unsafe.SliceData($1))"},
	{"libtch/patch.go", regexp.MustCompile(`unsafe\.Pointer\(&(\w+)\[0\]\)`), "unsafe.Pointer(unsafe.SliceData($1))"},
	{"libtch/tensor.go", regexp.MustCompile(`c_dims := \(\*C\.int64_t\)\(unsafe\.Pointer\(&dims\[0\]\)\)`), "c_dims := (*C.int64_t)(unsafe.Pointer(unsafe.SliceData(dims)))"},
	// Four bytes of a C int were read as the eight of a Go int.
	{"libtch/device.go", regexp.MustCompile(`\*\(\*int\)\(unsafe\.Pointer\(&(\w+)\)\)`), "int($1)"},
	{"libtch/device.go", regexp.MustCompile(`import \(\n\s*"unsafe"\n\)\n`), ""},
	{"libtch/tensor.go", regexp.MustCompile(`return \*\(\*int\)\(unsafe\.Pointer\(&(\w+)\)\)`), "return int($1)"},
	// Importing gotch ended the process where the home folder cannot be written.
	{"init.go", regexp.MustCompile(`log\.Fatal\(err\)`), `log.Printf("gotch: no cache folder: %v", err)`},
}

// applyRepairs mends the file of that name in gotch. A pattern that is not
// there means that the source is not the one it was written for.
func applyRepairs(name, text string) (string, error) {
	for _, r := range repairs {
		if r.file != name {
			continue
		}
		if !r.pattern.MatchString(text) {
			return "", fmt.Errorf("%s of gotch %s is not as expected: nothing in it matches %s", name, gotchVersion, r.pattern)
		}
		text = r.pattern.ReplaceAllString(text, r.replacement)
	}
	return text, nil
}
