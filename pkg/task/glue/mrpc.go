package glue

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"

	"github.com/metatt/metatt/pkg/download"
	"github.com/metatt/metatt/pkg/fileformat"
)

// What MRPC is made of: the corpus as Microsoft published it, split in two, and the pairs of sentence ids by which GLUE
// takes its dev set out of the training part.
const (
	mrpcTrain  = "senteval/senteval_data/msr_paraphrase_train.txt"
	mrpcTest   = "senteval/senteval_data/msr_paraphrase_test.txt"
	mrpcDevIDs = "glue/data/mrpc_dev_ids.tsv"
)

// assembleMRPC does what GLUE's download script does: rows stay as they are and in their order, and the test set's get
// an index in the place of their gold label.
func assembleMRPC(_ release, stage *download.Stage, _, into string) error {
	var contents [3][]byte
	for i, file := range stage.Files {
		var err error
		if contents[i], err = os.ReadFile(stage.Path(file)); err != nil {
			return err
		}
	}
	train, dev, err := splitMRPC(contents[0], contents[2])
	if err != nil {
		return err
	}
	test, err := hideMRPC(contents[1])
	if err != nil {
		return err
	}
	for name, content := range map[string][]byte{"train.tsv": train, "dev.tsv": dev, "test.tsv": test} {
		if err := os.WriteFile(filepath.Join(into, name), content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// splitMRPC moves the rows whose pair of ids is in devIDs to dev.
func splitMRPC(corpus, devIDs []byte) (train, dev []byte, err error) {
	isDev := map[string]bool{}
	for line := range bytes.Lines(devIDs) {
		isDev[string(bytes.TrimRight(line, "\r\n"))] = true
	}
	number := 0
	for line := range bytes.Lines(corpus) {
		number++
		if number == 1 { // the header, with its byte-order mark
			train, dev = append(train, line...), append(dev, line...)
			continue
		}
		columns := bytes.SplitN(line, []byte("\t"), 4)
		if len(columns) < 4 {
			return nil, nil, &fileformat.Error{Path: mrpcTrain, Line: number, Problem: fmt.Sprintf("%d columns, want 5", len(columns))}
		}
		if isDev[string(columns[1])+"\t"+string(columns[2])] {
			dev = append(dev, line...)
		} else {
			train = append(train, line...)
		}
	}
	return train, dev, nil
}

// hideMRPC replaces each row's first column, the label, by the row's number from 0.
func hideMRPC(corpus []byte) ([]byte, error) {
	test := []byte("index\t#1 ID\t#2 ID\t#1 String\t#2 String\n")
	number := 0
	for line := range bytes.Lines(corpus) {
		number++
		if number == 1 {
			continue
		}
		_, rest, ok := bytes.Cut(line, []byte("\t"))
		if !ok {
			return nil, &fileformat.Error{Path: mrpcTest, Line: number, Problem: "1 column, want 5"}
		}
		test = fmt.Appendf(test, "%d\t%s", number-2, rest)
	}
	return test, nil
}
