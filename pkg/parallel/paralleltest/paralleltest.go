// Package paralleltest is a group of processes on one machine by a socket, for tests where
// there is no MPI: a program that a test starts several times, of itself, joins it.
package paralleltest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"
	"unsafe"

	"github.com/metatt/metatt/pkg/parallel"
)

// The environment of a process of a group.
const (
	socketVariable = "METATT_TEST_SOCKET"
	rankVariable   = "METATT_TEST_RANK"
	sizeVariable   = "METATT_TEST_SIZE"
)

// patience is how long a process waits for another.
const patience = time.Minute

// Commands are the processes of a group of that size, to be started: each is the test's
// program with env added to its environment.
func Commands(t testing.TB, size int, env ...string) []*exec.Cmd {
	t.Helper()
	dir, err := os.MkdirTemp("", "group") // a short name: a socket's has at most 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	var commands []*exec.Cmd
	for rank := range size {
		command := exec.Command(os.Args[0])
		command.Env = append(os.Environ(), env...)
		command.Env = append(command.Env, socketVariable+"="+filepath.Join(dir, "s"), fmt.Sprintf("%s=%d", rankVariable, rank), fmt.Sprintf("%s=%d", sizeVariable, size))
		commands = append(commands, command)
	}
	return commands
}

// group is a star around the first process.
type group struct {
	rank, size int
	others     []net.Conn // of the first process, by rank less one; of another, that to the first
}

// Join joins the group that the environment names; nil where it names none, or one of this
// process alone.
func Join() (parallel.Group, error) {
	path := os.Getenv(socketVariable)
	rank, err := strconv.Atoi(os.Getenv(rankVariable))
	size, err2 := strconv.Atoi(os.Getenv(sizeVariable))
	if path == "" || errors.Join(err, err2) != nil || size < 2 {
		return nil, nil
	}
	g := &group{rank: rank, size: size}
	if rank == 0 {
		return g, g.gather(path)
	}
	for began := time.Now(); ; time.Sleep(time.Millisecond) {
		c, err := net.Dial("unix", path)
		if err == nil {
			g.others = []net.Conn{c}
			return g, binary.Write(c, binary.LittleEndian, int64(rank))
		}
		if time.Since(began) > patience {
			return nil, err
		}
	}
}

// gather waits for the others.
func (g *group) gather(path string) error {
	l, err := net.Listen("unix", path)
	if err != nil {
		return err
	}
	defer l.Close()
	g.others = make([]net.Conn, g.size-1)
	for range g.others {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		var rank int64
		if err := binary.Read(c, binary.LittleEndian, &rank); err != nil {
			return err
		}
		g.others[rank-1] = c
	}
	return nil
}

// Rank implements [parallel.Group].
func (g *group) Rank() int { return g.rank }

// Size implements [parallel.Group].
func (g *group) Size() int { return g.size }

// Local implements [parallel.Group].
func (g *group) Local() (rank, size int) { return g.rank, g.size }

// Sum implements [parallel.Group]. Processes whose numbers of values differ are an error.
func (g *group) Sum(what string, values []float32) error {
	own := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(values))), 4*len(values))
	if g.rank > 0 {
		if err := g.send(g.others[0], what, own); err != nil {
			return err
		}
		return g.receive(g.others[0], what, own)
	}
	other := make([]float32, len(values))
	for _, c := range g.others {
		if err := g.receive(c, what, unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(other))), 4*len(other))); err != nil {
			return err
		}
		for i, v := range other {
			values[i] += v
		}
	}
	for _, c := range g.others {
		if err := g.send(c, what, own); err != nil {
			return err
		}
	}
	return nil
}

// Broadcast implements [parallel.Group].
func (g *group) Broadcast(what string, data []byte) ([]byte, error) {
	if g.rank == 0 {
		for _, c := range g.others {
			if err := g.send(c, what, data); err != nil {
				return nil, err
			}
		}
		return data, nil
	}
	size, err := g.expect(g.others[0], what)
	if err != nil {
		return nil, err
	}
	data = make([]byte, size)
	_, err = io.ReadFull(g.others[0], data)
	return data, err
}

// send sends what it is of before the data.
func (g *group) send(c net.Conn, what string, data []byte) error {
	header := binary.LittleEndian.AppendUint64(nil, uint64(len(what)))
	header = binary.LittleEndian.AppendUint64(append(header, what...), uint64(len(data)))
	_, err := c.Write(append(header, data...))
	return err
}

// expect reads up to the data, and is their length.
func (g *group) expect(c net.Conn, what string) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return 0, err
	}
	var length [8]byte
	if _, err := io.ReadFull(c, length[:]); err != nil {
		return 0, fmt.Errorf("%s: %w", what, err)
	}
	name := make([]byte, binary.LittleEndian.Uint64(length[:]))
	if _, err := io.ReadFull(c, name); err != nil {
		return 0, err
	}
	if string(name) != what {
		return 0, fmt.Errorf("one process is at %s, another at %s", what, name)
	}
	_, err := io.ReadFull(c, length[:])
	return int(binary.LittleEndian.Uint64(length[:])), err
}

func (g *group) receive(c net.Conn, what string, into []byte) error {
	size, err := g.expect(c, what)
	if err != nil {
		return err
	}
	if size != len(into) {
		return fmt.Errorf("%s: %d bytes of one process, %d of another", what, len(into), size)
	}
	_, err = io.ReadFull(c, into)
	return err
}
