package libtorch

import (
	"debug/elf"
	"fmt"
	"strings"
)

// usesCXX11ABI tells which of libstdc++'s two string types libc10.so passes
// around. CMake files of newer releases no longer say so, the symbols do:
// c10::detail::torchCheckFail takes a std::string, whose mangled name holds
// __cxx11 in the new ABI and is the abbreviation Ss in the old one.
func usesCXX11ABI(path string) (bool, error) {
	file, err := elf.Open(path)
	if err != nil {
		return false, fmt.Errorf("%s cannot be read as a shared library: %w", path, err)
	}
	defer file.Close()
	if file.Machine != elf.EM_X86_64 {
		return false, fmt.Errorf("%s is built for %v, not for x86-64", path, file.Machine)
	}
	symbols, err := file.DynamicSymbols()
	if err != nil {
		return false, fmt.Errorf("%s: dynamic symbols cannot be read: %w", path, err)
	}
	names := make([]string, len(symbols))
	for i, symbol := range symbols {
		names[i] = symbol.Name
	}
	newABI, found := abiOf(names)
	if !found {
		return false, fmt.Errorf("%s does not show its C++ ABI: it has no c10::detail::torchCheckFail with a std::string", path)
	}
	return newABI, nil
}

func abiOf(symbols []string) (newABI, found bool) {
	for _, name := range symbols {
		if !strings.Contains(name, "torchCheckFail") {
			continue
		}
		if strings.Contains(name, "__cxx11") {
			return true, true
		}
		if strings.HasSuffix(name, "RKSs") {
			found = true
		}
	}
	return false, found
}
