package metatt_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/metatt/metatt/"

// mayImport says for each room which rooms of this module it may import; a
// room that is not listed may import anything.
var mayImport = map[string][]string{
	"pkg/torch":          {"pkg/internal/helper"},
	"pkg/torch/gotchts":  {"pkg/torch"},
	"pkg/torch/cuda":     {"pkg/internal/helper"},
	"pkg/torch/profile":  {},
	"pkg/tt":             {"pkg/torch"},
	"pkg/fileformat":     {},
	"pkg/safetensors":    {"pkg/fileformat"},
	"pkg/adapter":        {"pkg/torch", "pkg/internal", "pkg/safetensors", "pkg/folder", "pkg/hf/pickle"},
	"pkg/metatt":         {"pkg/torch", "pkg/tt", "pkg/adapter"},
	"pkg/head":           {"pkg/torch", "pkg/tt", "pkg/adapter"},
	"pkg/cp":             {"pkg/torch", "pkg/tt", "pkg/adapter"},
	"pkg/fact":           {"pkg/torch", "pkg/tt", "pkg/adapter"},
	"pkg/loretta":        {"pkg/torch", "pkg/tt", "pkg/adapter"},
	"pkg/lotr":           {"pkg/torch", "pkg/tt", "pkg/adapter"},
	"pkg/tenslora":       {"pkg/torch", "pkg/tt", "pkg/adapter"},
	"pkg/ttlora":         {"pkg/torch", "pkg/tt", "pkg/adapter"},
	"pkg/lora":           {"pkg/torch", "pkg/tt", "pkg/adapter"},
	"pkg/full":           {"pkg/torch", "pkg/tt", "pkg/adapter"},
	"pkg/dmrg":           {"pkg/torch", "pkg/tt"},
	"pkg/internal":       {},
	"pkg/folder":         {},
	"pkg/download":       {},
	"pkg/digest":         {},
	"pkg/spelling":       {},
	"pkg/textenc":        {},
	"pkg/tensorboard":    {},
	"pkg/models":         {"pkg/torch", "pkg/models"},
	"pkg/models/encoder": {"pkg/torch", "pkg/adapter", "pkg/hf", "pkg/safetensors", "pkg/spelling"},
	"pkg/models/bert":    {"pkg/torch", "pkg/adapter", "pkg/hf", "pkg/models/encoder"},
	"pkg/models/roberta": {"pkg/torch", "pkg/adapter", "pkg/hf", "pkg/models/encoder"},
	"pkg/hf":             {"pkg/torch", "pkg/fileformat", "pkg/internal", "pkg/safetensors", "pkg/spelling", "pkg/download"},
	"pkg/tokenizer":      {"pkg/internal", "pkg/textenc"},
	"pkg/task":           {"pkg/spelling"},
	"pkg/task/glue":      {"pkg/task", "pkg/fileformat", "pkg/textenc", "pkg/download"},
	"pkg/parquet":        {},
	"pkg/task/own":       {"pkg/task", "pkg/fileformat", "pkg/parquet"},
	"pkg/task/sample":    {"pkg/task"},
	"pkg/data":           {"pkg/task", "pkg/tokenizer"},
	"pkg/optim":          {"pkg/torch"},
	"pkg/parallel":       {"pkg/internal/helper"},
	"pkg/place":          {"pkg/config", "pkg/hf", "pkg/task", "pkg/torch"},
	"pkg/tuned":          {"pkg/adapter", "pkg/config", "pkg/hf", "pkg/methods", "pkg/models", "pkg/place", "pkg/task", "pkg/torch"},
	"pkg/predict":        {"pkg/adapter", "pkg/config", "pkg/data", "pkg/place", "pkg/task", "pkg/tokenizer", "pkg/torch", "pkg/train", "pkg/tuned"},
	"pkg/convert":        {"pkg/adapter", "pkg/folder", "pkg/hf", "pkg/lora", "pkg/models", "pkg/place", "pkg/safetensors", "pkg/task", "pkg/torch", "pkg/train", "pkg/tuned"},
	"pkg/inspect":        {"pkg/adapter", "pkg/config", "pkg/place", "pkg/torch", "pkg/tt", "pkg/tuned"},
	"pkg/record":         {"pkg/config", "pkg/place", "pkg/run", "pkg/train"},
	"pkg/experiment":     {"pkg/config", "pkg/folder", "pkg/hf", "pkg/place", "pkg/record", "pkg/run", "pkg/safetensors", "pkg/spelling", "pkg/task/glue", "pkg/task/own", "pkg/torch/cuda", "pkg/train"},
	"pkg/repeat":         {"pkg/adapter", "pkg/place", "pkg/record", "pkg/run", "pkg/safetensors", "pkg/task", "pkg/train"},
	"pkg/report":         {"pkg/config", "pkg/inspect", "pkg/record", "pkg/spelling", "pkg/task", "pkg/train"},
	"pkg/train":          {"pkg/torch", "pkg/folder", "pkg/safetensors", "pkg/adapter", "pkg/models/encoder", "pkg/task", "pkg/data", "pkg/optim", "pkg/dmrg", "pkg/parallel"},
	"pkg/train/ranks":    {"pkg/torch", "pkg/tt", "pkg/adapter", "pkg/dmrg", "pkg/optim", "pkg/parallel", "pkg/train"},
	"pkg/config":         {"pkg/spelling", "pkg/adapter/setting"},
	"cmd/setup":          {"cmd/setup/internal", "pkg/torch/cuda", "pkg/parallel/mpi"},

	"pkg/adapter/setting": {},
	"pkg/train/traintest": {"pkg/adapter", "pkg/data", "pkg/metatt", "pkg/models", "pkg/optim", "pkg/task", "pkg/tokenizer", "pkg/torch", "pkg/train"},
}

// methods are the rooms of adapter methods. Each registers itself, and mayName
// says who may know of one.
var (
	methods = []string{"pkg/metatt", "pkg/head", "pkg/full", "pkg/lora", "pkg/cp", "pkg/fact", "pkg/loretta", "pkg/lotr", "pkg/tenslora", "pkg/ttlora"}
	mayName = map[string][]string{
		"pkg/methods": methods,
		"pkg/convert": {"pkg/lora"}, // what adapters are converted to

		"pkg/train/traintest": {"pkg/metatt"}, // what its runs train
	}
)

// onlyIn names packages from outside that one room alone may import.
var onlyIn = map[string]string{
	"github.com/sugarme/gotch":     "pkg/torch",
	"github.com/sugarme/tokenizer": "pkg/tokenizer",

	"github.com/parquet-go/parquet-go": "pkg/parquet",
}

// TestImportRules holds the table of rooms: one direction, nothing lower
// imports anything higher.
func TestImportRules(t *testing.T) {
	checked := 0
	for path, imports := range allImports(t) {
		room := filepath.ToSlash(filepath.Dir(path))
		allowed, ruled := rule(room)
		if strings.HasSuffix(path, "_test.go") {
			ruled = false // a test may set the scene with anything
		}
		for _, imported := range imports {
			for outside, home := range onlyIn {
				if strings.HasPrefix(imported, outside) && !within(room, home) {
					t.Errorf("%s imports %s, which only %s may", path, imported, home)
				}
			}
			inside, ours := strings.CutPrefix(imported, module)
			if !ours {
				continue
			}
			checked++
			if ruled && !slices.ContainsFunc(allowed, func(a string) bool { return within(inside, a) }) {
				t.Errorf("%s imports %s; %s may import %v", path, inside, room, allowed)
			}
			if slices.Contains(methods, inside) && !slices.Contains(mayName[room], inside) && !strings.HasSuffix(path, "_test.go") {
				t.Errorf("%s imports the method %s, which only pkg/methods may", path, inside)
			}
		}
	}
	if checked == 0 {
		t.Fatal("no imports found: the test looks in the wrong place")
	}
}

// rule finds the room's own rule, or that of the folder it is in.
func rule(room string) ([]string, bool) {
	for ; room != "."; room = filepath.ToSlash(filepath.Dir(room)) {
		if allowed, ok := mayImport[room]; ok {
			return append(allowed, room), true
		}
	}
	return nil, false
}

func within(room, parent string) bool {
	return room == parent || strings.HasPrefix(room, parent+"/")
}

// allImports maps each Go file of the repository to what it imports.
func allImports(t *testing.T) map[string][]string {
	t.Helper()
	files := map[string][]string{}
	for _, top := range []string{"cmd", "pkg"} {
		err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
			if err != nil {
				return err
			}
			for _, spec := range file.Imports {
				imported, err := strconv.Unquote(spec.Path.Value)
				if err != nil {
					return err
				}
				files[path] = append(files[path], imported)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return files
}
