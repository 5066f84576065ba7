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

	Parquet Format = "parquet" // with the columns of a data set of the Hugging Face hub
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
	case ".parquet":
		return Parquet, nil
	}
	return "", fmt.Errorf("%s: the extension tells the format: .tsv, .csv, .jsonl, .json or .parquet", path)
}
