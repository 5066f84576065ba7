package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"

	"github.com/metatt/metatt/pkg/fileformat"
	"github.com/metatt/metatt/pkg/predict"
	"github.com/metatt/metatt/pkg/task"
	"github.com/metatt/metatt/pkg/task/own"
)

const predictHelp = `Predict labels with their probabilities, or the scores of a regression.

ADAPTER is an adapter folder, or a run directory, whose best adapter is taken.
With a text as the next argument (and, where the task compares two, a second
one), its prediction is printed. Otherwise examples are read from --input or
standard input: TSV, CSV, JSON lines or Parquet, with the columns or keys that
the adapter learned from unless --text and --text-pair name others. Each gives a
line of TSV or JSON. Input may be larger than memory. A file that --output names
is complete or not there.`

// predictCommandLine is what its flags say.
type predictCommandLine struct {
	adapter            string
	predictor          predict.Options
	input, output      string
	from, to           string
	text, pair         string
	noHeader           bool
	toFormat, inFormat own.Format
}

func (p *program) predictCommand() *cobra.Command {
	var line predictCommandLine
	cmd := &cobra.Command{
		Use:     "predict ADAPTER [TEXT [TEXT]]",
		GroupID: "use",
		Short:   "Predict a sentence, a file or standard input",
		Long:    predictHelp,
		Example: `  finetune predict runs/sst2-metatt4d-r8-s42 "a film of rare warmth"
  finetune predict runs/mrpc-metatt4d-r8-s42 -i pairs.jsonl -o labels.jsonl
  finetune predict runs/sst2-metatt4d-r8-s42 --no-header < sentences.txt`,
		ValidArgsFunction: completeRuns,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := line.settle(args); err != nil {
				return &usageError{cmd, err.Error()}
			}
			line.predictor.Note = p.note
			predictor, err := p.backend.predictor(line.adapter, line.predictor)
			if err != nil {
				return err
			}
			defer predictor.Close()
			if texts := args[1:]; len(texts) > 0 {
				return p.predictOne(cmd, predictor, texts)
			}
			return p.predictAll(cmd.Context(), predictor, line)
		},
	}
	cmd.Flags().StringVarP(&line.input, "input", "i", "", "`FILE` of examples; default: standard input")
	cmd.Flags().StringVarP(&line.output, "output", "o", "", "`FILE` for predictions; default: standard output")
	cmd.Flags().StringVar(&line.from, "from", "", "tsv, csv, jsonl, parquet; default: extension, or tsv")
	cmd.Flags().StringVar(&line.to, "to", "", "tsv or jsonl; default: by extension, or tsv")
	cmd.Flags().StringVar(&line.text, "text", "", "`COLUMN` or key of the text")
	cmd.Flags().StringVar(&line.pair, "text-pair", "", "`COLUMN` or key of the second text")
	cmd.Flags().BoolVar(&line.noHeader, "no-header", false, "rows of TSV or CSV are texts and nothing else")
	predictorFlags(cmd.Flags(), &line.predictor)
	return cmd
}

// settle checks what was given and fills the formats in.
func (l *predictCommandLine) settle(args []string) (err error) {
	switch {
	case len(args) == 0:
		return errors.New("no adapter given")
	case len(args) > 3:
		return fmt.Errorf("unexpected argument %q", args[3])
	case len(args) > 1 && cmp.Or(l.input, l.output, l.from, l.to, l.text, l.pair) != "", len(args) > 1 && l.noHeader:
		return errors.New("a text on the command line is predicted alone; --input and its like are for files")
	case l.pair != "" && l.text == "":
		return errors.New("--text-pair needs --text")
	case l.noHeader && l.text != "":
		return errors.New("without a header, columns have no names: --text cannot be given with --no-header")
	}
	l.adapter = args[0]
	l.predictor.Device = cmp.Or(l.predictor.Device, "auto")
	if l.inFormat, err = settleFormat("--from", l.from, l.input, own.TSV, own.CSV, own.JSONL, own.Parquet); err != nil {
		return err
	}
	switch {
	case l.noHeader && l.inFormat == own.JSONL:
		return errors.New("JSON lines have no header to do without: leave --no-header out")
	case l.noHeader && l.inFormat == own.Parquet:
		return errors.New("columns of Parquet have names: leave --no-header out")
	}
	l.toFormat, err = settleFormat("--to", l.to, l.output, own.TSV, own.JSONL)
	return err
}

// settleFormat is the format that a flag names, else that of the file's extension,
// else TSV.
func settleFormat(flag, given, file string, legal ...own.Format) (own.Format, error) {
	format := own.Format(given)
	if given == "" {
		format = own.TSV
		if byName, err := own.FormatOf(file); err == nil {
			format = byName
		}
	}
	if !slices.Contains(legal, format) {
		words := make([]string, len(legal))
		for i, f := range legal {
			words[i] = string(f)
		}
		return "", fmt.Errorf("%s %s is unknown; legal: %s", flag, format, strings.Join(words, ", "))
	}
	return format, nil
}

// predictOne prints the prediction of one example, the most probable label first.
func (p *program) predictOne(cmd *cobra.Command, predictor predictor, texts []string) error {
	t := predictor.Task()
	if t.HasPair != (len(texts) == 2) {
		wants := "takes one text, two are given"
		if t.HasPair {
			wants = "compares two texts, one is given"
		}
		return &usageError{cmd, fmt.Sprintf("task %s %s", t.Name, wants)}
	}
	example := task.Example{ID: "0", Text: texts[0]}
	if t.HasPair {
		example.Pair = texts[1]
	}
	predictions, err := predictor.Predict(cmd.Context(), []task.Example{example})
	if err != nil {
		return err
	}
	if t.Regression {
		_, err = fmt.Fprintln(p.stdout, figure(predictions[0].Score))
		return err
	}
	order := make([]int, len(t.Labels))
	for i := range order {
		order[i] = i
	}
	probabilities := predictions[0].Probabilities
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(probabilities[b], probabilities[a]) })
	rows := make([]row, len(order))
	for i, class := range order {
		rows[i] = row{t.Labels[class], strconv.FormatFloat(probabilities[class], 'f', 4, 64)}
	}
	writeRows(p.stdout, rows)
	return nil
}

// predictAll predicts a file or standard input.
func (p *program) predictAll(ctx context.Context, predictor predictor, l predictCommandLine) error {
	in := predict.Input{Reader: p.stdin, Name: "standard input", Format: l.inFormat, NoHeader: l.noHeader}
	if l.input != "" && l.input != "-" {
		file, err := os.Open(l.input)
		if err != nil {
			return err
		}
		defer file.Close()
		in.Reader, in.Name = file, l.input
	}
	if l.text != "" {
		in.Columns = []string{l.text}
	}
	if l.pair != "" {
		in.Columns = append(in.Columns, l.pair)
	}
	if l.output == "" || l.output == "-" {
		return predictInto(ctx, p.stdout, predictor, in, l.toFormat)
	}
	pending, err := renameio.NewPendingFile(l.output, renameio.WithPermissions(0o644))
	if err != nil {
		return err
	}
	defer pending.Cleanup()
	if err := predictInto(ctx, pending, predictor, in, l.toFormat); err != nil {
		return err
	}
	return pending.CloseAtomicallyReplace()
}

func predictInto(ctx context.Context, w io.Writer, predictor predictor, in predict.Input, format own.Format) error {
	examples, err := predictor.Examples(in)
	if err != nil {
		return err
	}
	buffered := bufio.NewWriter(w)
	out := newPredictionWriter(buffered, format, predictor.Task())
	err = predictor.Stream(ctx, examples, out.write)
	var wrong *fileformat.Error
	switch {
	case err == nil:
		err = out.finish()
	case errors.As(err, &wrong) && wrong.Line == 1 && in.Format != own.JSONL && !in.NoHeader:
		err = fmt.Errorf("%w; --text names columns, and --no-header does without", err)
	}
	// Predictions before a fault are shown, as by any filter; a file is dropped.
	return errors.Join(err, buffered.Flush())
}
