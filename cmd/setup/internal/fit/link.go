package fit

import (
	"fmt"
	"strings"

	"github.com/metatt/metatt/cmd/setup/internal/libtorch"
)

// compileFlags are the C++ flags for what includes libtorch's headers. -w, as warnings
// in them would be printed with every build.
func compileFlags(library libtorch.Library, optimization string) []string {
	abi := 0
	if library.CXX11ABI {
		abi = 1
	}
	flags := []string{"-std=" + library.Standard, optimization, "-g0", "-w", fmt.Sprintf("-D_GLIBCXX_USE_CXX11_ABI=%d", abi)}
	for _, dir := range library.IncludeDirs() {
		flags = append(flags, "-I"+dir)
	}
	return flags
}

// linkFlags name libtorch_cpu alone: libtorch_cuda is opened at run time where
// it can be, so that one binary serves both.
func linkFlags(library libtorch.Library) []string {
	return []string{"-L" + library.LibDir(), "-Wl,-rpath," + library.LibDir(), "-ltorch_cpu", "-lc10", "-lstdc++"}
}

// cgoFile is libtch's lib.go for the libtorch that the record is of. The wrappers only hand over to libtorch:
// -O1 takes 41 s and an add 0.59 µs, -O2 60 s and 0.59 µs, -O0 26 s and 0.72 µs (g++ 12,
// torch 2.11).
func cgoFile(library libtorch.Library, record Record) string {
	return "package libtch\n\n" +
		"// #cgo CFLAGS: -g0 -w\n" +
		"// #cgo CXXFLAGS: " + quoteAll(append(compileFlags(library, "-O1"), record.macro())) + "\n" +
		"// #cgo LDFLAGS: " + quoteAll(linkFlags(library)) + "\n" +
		"import \"C\"\n"
}

func quoteAll(flags []string) string {
	quoted := make([]string, len(flags))
	for i, flag := range flags {
		quoted[i] = flag
		if strings.ContainsRune(flag, ' ') {
			quoted[i] = `"` + flag + `"`
		}
	}
	return strings.Join(quoted, " ")
}

// Characters that cgo takes in a flag, less the comma, which would end the
// argument of -Wl, and the dollar sign, which cgo expands.
const pathCharacters = " +-./0123456789=ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz:@%^~"

// checkPath refuses a folder that cannot be written in a #cgo line.
func checkPath(dir string) error {
	for _, r := range dir {
		if r < 0x80 && !strings.ContainsRune(pathCharacters, r) {
			return fmt.Errorf("libtorch stands in %q, but cgo allows no %q in a path: move it, or set LIBTORCH to a link without that character", dir, r)
		}
	}
	return nil
}
