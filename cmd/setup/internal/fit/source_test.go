package fit

import (
	"slices"
	"strings"
	"testing"
)

const cxxSource = `#include "torch_api.h"
#include <torch/script.h>
#include <vector>

char *get_and_reset_last_err() {
  return nullptr;
}

void at_free(tensor t) { delete (t); }

vector<torch::Tensor> of_array(torch::Tensor **vs,
                               int len) {
  return {};
}

template <class T> void set_lr(optimizer t, double learning_rate) {
  if (auto p = dynamic_cast<T *>(t)) {
    p->set(learning_rate);
  }
}

void atg_qr(tensor *out__, tensor self, int some) {
  PROTECT(
    auto outputs__ = torch::qr(*self, (bool)some);
    out__[0] = new torch::Tensor(outputs__);
  )
}

tensor *atg_align(tensor *tensors_data, int tensors_len) {
  PROTECT(
    return nullptr;
  )
  return nullptr;
}

int64_t atg_qr_size(tensor self) {
  PROTECT(
    return self->qr();
  )
  return 0;
}
`

func TestFunctionsOf(t *testing.T) {
	want := []function{
		{"get_and_reset_last_err", false, 5, 7},
		{"at_free", true, 9, 9},
		{"of_array", false, 11, 14},
		{"set_lr", true, 16, 20},
		{"atg_qr", true, 22, 27},
		{"atg_align", false, 29, 34},
		{"atg_qr_size", false, 36, 41},
	}
	if got := functionsOf(strings.Split(cxxSource, "\n")); !slices.Equal(got, want) {
		t.Errorf("functionsOf = %v\nwant %v", got, want)
	}
	// A definition that is cut off is none.
	if got := functionsOf([]string{"void f(int a) {", "  a++;"}); len(got) != 0 {
		t.Errorf("functionsOf a cut source = %v", got)
	}
}

func TestDisable(t *testing.T) {
	got, found := disable(cxxSource, map[string]bool{"atg_qr": true, "atg_align": true, "at_free": true, "other": true}, "9.9.9")
	if found != 3 {
		t.Errorf("%d functions found, want 3", found)
	}
	for _, want := range []string{
		"void at_free(tensor t) {\n  torch_last_err = strdup(\"at_free is not available in libtorch 9.9.9\");\n}\n\nvector",
		"void atg_qr(tensor *out__, tensor self, int some) {\n  torch_last_err = strdup(\"qr is not available in libtorch 9.9.9\");\n}\n\ntensor",
		"int tensors_len) {\n  torch_last_err = strdup(\"align is not available in libtorch 9.9.9\");\n  return {};\n}\n\nint64_t atg_qr_size(tensor self) {\n  PROTECT(",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if same, found := disable(cxxSource, nil, "9.9.9"); same != cxxSource || found != 0 {
		t.Error("disabling nothing changes the source")
	}
}

func TestDropIncludes(t *testing.T) {
	got := dropIncludes(cxxSource, func(header string) bool {
		if header != "torch/script.h" {
			t.Errorf("asked for %s, which is not libtorch's", header)
		}
		return false
	})
	if want := strings.Replace(cxxSource, "#include <torch/script.h>\n", "", 1); got != want {
		t.Errorf("dropIncludes = %s", got)
	}
	if got := dropIncludes(cxxSource, func(string) bool { return true }); got != cxxSource {
		t.Error("a header that is there was dropped")
	}
}

func TestParseDiagnostics(t *testing.T) {
	const generated = "torch_api_generated.cpp.h"
	tests := []struct {
		name, output, foreign string
		places                []place
	}{
		{name: "clean", output: "In file included from torch_api.cpp:1:\nx.h:3:1: warning: odd\n"},
		{
			name: "in wrappers",
			output: "In file included from torch_api.cpp:900:\n" +
				generated + ": In function 'void atg_qr()':\n" +
				generated + ":13:29: error: 'qr' is not a member of 'torch'\n" +
				"torch_api.h:20:5: note: in definition of macro 'PROTECT'\n" +
				"torch_api.cpp:7:10: fatal error: gone.h: No such file or directory\n",
			places: []place{{generated, 13}, {"torch_api.cpp", 7}},
		},
		{
			name: "in a template of a header",
			output: "/a b/include/ATen/x.h: In instantiation of 'T f()':\n" +
				"/a b/" + generated + ":21:9:   required from here\n" +
				"/a b/include/ATen/x.h:5:3: error: static assertion failed\n",
			places: []place{{generated, 21}},
		},
		{
			name: "in a macro of a header",
			output: "torch_api.h:20:5: error: expected expression\n" +
				generated + ":31:3: note: in expansion of macro 'PROTECT'\n",
			places: []place{{generated, 31}},
		},
		{
			name: "in a header alone",
			output: "/include/c10/a.h:1:2: error: #error C++20\n" +
				"/include/c10/b.h:3:4: error: second\n" +
				generated + ":13:29: error: third\n",
			foreign: "/include/c10/a.h:1:2: error: #error C++20",
			places:  []place{{generated, 13}},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := parseDiagnostics(test.output)
			if !slices.Equal(got.places, test.places) || got.foreign != test.foreign {
				t.Errorf("parseDiagnostics = %+v, want places %v, foreign %q", got, test.places, test.foreign)
			}
		})
	}
}

func TestApplyRepairs(t *testing.T) {
	tests := []struct{ file, text, want string }{
		{
			"libtch/device.go",
			"import \"C\"\nimport (\n\t\"unsafe\"\n)\n\nfunc F() int {\n\tt := C.f()\n\treturn *(*int)(unsafe.Pointer(&t))\n}\n",
			"import \"C\"\n\nfunc F() int {\n\tt := C.f()\n\treturn int(t)\n}\n",
		},
		{
			"libtch/c-generated.go",
			"//#include \"torch_api.h\" \nimport \"C\"\ncpadding := C.CString(padding)\nc := (*C.int64_t)(unsafe.Pointer(&dilationData[0]))\n",
			"//#include \"torch_api.h\" \n//#include <stdlib.h>\nimport \"C\"\ncpadding := C.CString(padding)\ndefer C.free(unsafe.Pointer(cpadding))\nc := (*C.int64_t)(unsafe.Pointer(unsafe.SliceData(dilationData)))\n",
		},
		{"ts/other.go", "package ts\n", "package ts\n"},
	}
	for _, test := range tests {
		got, err := applyRepairs(test.file, test.text)
		if err != nil || got != test.want {
			t.Errorf("applyRepairs(%s) = %q, %v\nwant %q", test.file, got, err, test.want)
		}
	}
	if _, err := applyRepairs("libtch/device.go", "package libtch\n"); err == nil || !strings.Contains(err.Error(), "libtch/device.go of gotch v0.9.1 is not as expected") {
		t.Errorf("applyRepairs of another source = %v, want an error", err)
	}
}
