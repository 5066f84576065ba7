package own

import (
	"fmt"
	"path/filepath"
	"strings"
)

// Format is how a file writes rows.
type Format string

// The formats. TSV is GLUE's: nothing is quoted; CSV follows RFC 4180.
const (
	TSV   Format = "tsv"
	CSV   Format = "csv"
	JSONL Format = "jsonl" // an object a line
)

// FormatOf tells a file's format by its extension.
func FormatOf(path string) (Format, error) {
	switch extension := strings.ToLower(filepath.Ext(path)); extension {
	case ".tsv":
		return TSV, nil
	case ".csv":
		return CSV, nil
	case ".jsonl", ".json":
		return JSONL, nil
	}
	return "", fmt.Errorf("%s: the extension tells the format: .tsv, .csv, .jsonl or .json", path)
}
