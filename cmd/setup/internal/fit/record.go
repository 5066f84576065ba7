package fit

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"

	"github.com/metatt/metatt/cmd/setup/internal/libtorch"
)

// template counts the changes to what this package writes: raise it with every
// one, so that existing copies are adapted again.
const template = 2

const recordName = "fit.json"

// Record tells, in the adapted copy, what it was adapted to.
type Record struct {
	Template    int               `json:"template"`
	Gotch       string            `json:"gotch"`
	Libtorch    string            `json:"libtorch"`
	Version     string            `json:"version"`
	CXX11ABI    bool              `json:"cxx11_abi"`
	Stamps      map[string]string `json:"stamps"`
	Unavailable []string          `json:"unavailable"` // C++ functions that are run-time errors
}

func newRecord(library libtorch.Library) (Record, error) {
	stamps, err := library.Stamps()
	return Record{
		Template: template,
		Gotch:    gotchSum,
		Libtorch: library.Root,
		Version:  library.Version,
		CXX11ABI: library.CXX11ABI,
		Stamps:   stamps,
	}, err
}

// sameLibrary holds when both are about the same libtorch, so that what one
// found unavailable holds for the other.
func (r Record) sameLibrary(other Record) bool {
	return r.Gotch == other.Gotch && r.Libtorch == other.Libtorch && r.Version == other.Version &&
		r.CXX11ABI == other.CXX11ABI && maps.Equal(r.Stamps, other.Stamps)
}

// macro tells libtorchs apart, also two of them that stood in the same folder: Go sees
// the flags, and not that the headers behind them changed. C++ that must be compiled with
// these flags or not at all asks for it.
func (r Record) macro() string {
	sum := sha256.Sum256(fmt.Append(nil, r.Version, r.CXX11ABI, r.Stamps)) // a map's keys are in order
	return fmt.Sprintf("-DMETATT_LIBTORCH=0x%x", sum[:8])
}

// readRecord returns the record of an adapted copy; none that can be read is
// the same as none.
func readRecord(dir string) (Record, bool) {
	text, err := os.ReadFile(filepath.Join(dir, recordName))
	if err != nil {
		return Record{}, false
	}
	var record Record
	return record, json.Unmarshal(text, &record) == nil
}

func (r Record) write(dir string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(dir, recordName), append(text, '\n'))
}
