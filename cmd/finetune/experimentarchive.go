package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/metatt/metatt/pkg/experiment"
)

// takeRecords adds records and says what there is then.
func (p *program) takeRecords(plans experiment.Plans, file string) error {
	count, notes, err := plans.Take(file)
	for _, note := range notes {
		fmt.Fprintln(p.stderr, note)
	}
	p.planNotes(plans...)
	if err != nil {
		return err
	}
	fmt.Fprintf(p.stdout, "records of %s added\n", runs(count))
	var failed []error
	for _, plan := range plans {
		failed = append(failed, p.outcome(plan))
	}
	return errors.Join(failed...)
}

// portable is the program beside this one that make portable builds: without paths of this
// machine, and smaller.
const portable = "finetune-portable"

func (p *program) pack(ctx context.Context, plans experiment.Plans, file string, o experiment.Options) error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	if better := filepath.Join(filepath.Dir(program), portable); newer(better, program) {
		program = better
	} else {
		fmt.Fprintf(p.stderr, "%s is packed as it is, with paths of this machine; make portable builds one without, a third of its size\n", program)
	}
	notes, err := plans.Pack(ctx, file, program, o)
	if err != nil {
		return err
	}
	for _, note := range notes {
		fmt.Fprintln(p.stderr, note)
	}
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	fmt.Fprintf(p.stdout, "packed %s, %s: unpack it where a Python has torch %s, and call run.sh there\n", file, size(info.Size()), p.backend.environment().Version)
	return nil
}

// newer: the file is there, and not older than the other.
func newer(file, other string) bool {
	a, err := os.Stat(file)
	b, err2 := os.Stat(other)
	return err == nil && err2 == nil && !a.ModTime().Before(b.ModTime())
}
