package train

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// eventFile appends events to one file, each a line that is written at once. A nil one, of
// a process that owns no files, takes all and does nothing.
type eventFile struct {
	file *os.File
	size int64
}

// openEvents opens or makes the file, locks it against a second process and
// cuts it to size bytes: what a run wrote after its last checkpoint is written
// again.
func openEvents(path string, size int64) (*eventFile, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: another process is training in this folder", path)
	}
	info, err := f.Stat()
	if err == nil && info.Size() < size {
		err = &CheckpointError{fmt.Errorf("%s: %d bytes, the checkpoint was made when it had %d", path, info.Size(), size)}
	}
	if err == nil {
		err = f.Truncate(size)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return &eventFile{f, size}, nil
}

func (e *eventFile) append(event any) error {
	if e == nil {
		return nil
	}
	line, err := json.Marshal(event)
	if err != nil {
		return fmt.Errorf("%s: %w", e.file.Name(), err)
	}
	n, err := e.file.Write(append(line, '\n'))
	if err != nil {
		// A torn line is taken back: the file holds whole events only.
		return errors.Join(err, e.file.Truncate(e.size))
	}
	e.size += int64(n)
	return nil
}

// sync puts the events on disk, before a checkpoint refers to them.
func (e *eventFile) sync() error { return e.file.Sync() }

func (e *eventFile) close() error {
	if e == nil {
		return nil
	}
	return e.file.Close()
}
