package libtorch

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/metatt/metatt/cmd/setup/internal/faketorch"
)

func TestCheckDependencies(t *testing.T) {
	tests := []struct{ missing, version, want string }{
		{"", "2.11.0+cu130", ""},
		{"libcudart.so.13", "2.11.0+cu130", "pip install --no-deps --target 'SITE' nvidia-cuda-runtime"},
		{"libcupti.so.12", "2.1.0+cu121", "pip install --no-deps --target 'SITE' nvidia-cuda-cupti-cu12"},
		{"libcudnn.so.9", "2.11.0+cu130", "pip install --no-deps --target 'SITE' nvidia-cudnn-cu13"},
		{"libodd.so.3", "2.11.0", "install it or add its folder to LD_LIBRARY_PATH"},
	}
	for _, test := range tests {
		t.Run(test.missing, func(t *testing.T) {
			site := filepath.Join(t.TempDir(), "site packages")
			root := faketorch.Build(t, filepath.Join(site, "torch"), faketorch.Options{Missing: test.missing, Version: test.version})
			library, err := Inspect(root)
			if err != nil {
				t.Fatal(err)
			}
			err = library.CheckDependencies(t.Context())
			if test.missing == "" {
				if err != nil {
					t.Errorf("CheckDependencies = %v for a library that needs nothing special", err)
				}
				return
			}
			want := strings.Replace(test.want, "SITE", site, 1)
			if err == nil || !strings.HasSuffix(err.Error(), want) || !strings.Contains(err.Error(), "needs "+test.missing+",") {
				t.Errorf("CheckDependencies = %v\nwant %q missing and at the end %q", err, test.missing, want)
			}
		})
	}
}

func TestMissingLibraries(t *testing.T) {
	const trace = "\tlinux-vdso.so.1 (0x00007ffd)\n" +
		"\tlibc10.so => /x/libc10.so (0x00007f)\n" +
		"\tlibcupti.so.12 => not found\n" +
		"\tlibcudart.so.12 => not found\n"
	if got, want := missingLibraries(trace), []string{"libcupti.so.12", "libcudart.so.12"}; !slices.Equal(got, want) {
		t.Errorf("missingLibraries = %q, want %q", got, want)
	}
}

func TestABIOf(t *testing.T) {
	const plain = "_ZN3c106detail14torchCheckFailEPKcS2_jS2_"
	tests := []struct {
		symbols       []string
		newABI, found bool
	}{
		{[]string{plain, "_ZN3c106detail14torchCheckFailEPKcS2_jRKNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE"}, true, true},
		{[]string{"_ZN3c106detail14torchCheckFailEPKcS2_jRKSs", plain}, false, true},
		{[]string{plain, "_ZNSt7__cxx1112basic_stringIcE"}, false, false},
		{nil, false, false},
	}
	for _, test := range tests {
		if newABI, found := abiOf(test.symbols); newABI != test.newABI || found != test.found {
			t.Errorf("abiOf(%q) = %v, %v", test.symbols, newABI, found)
		}
	}
}
