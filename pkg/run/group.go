package run

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"hash/fnv"
	"os"

	"golang.org/x/sys/unix"

	"github.com/metatt/metatt/pkg/parallel"
	"github.com/metatt/metatt/pkg/torch"
)

// agree is an error where the processes of a group were not given the same run.
func (a *assembly) agree() error {
	text, err := a.config.YAML()
	if err != nil {
		return err
	}
	numbers := []uint32{crc32.ChecksumIEEE(text)}
	for _, t := range a.tasks {
		numbers = append(numbers, uint32(t.train.Len()), uint32(t.dev.Len()))
	}
	return parallel.Agree(a.group, "settings or examples", numbers...)
}

// shareDevices gives the processes on a machine a GPU each, as far as there are so many. The
// record says no more than that it was one: another number of processes may go on.
func (a *assembly) shareDevices() {
	rank, size := a.group.Local()
	devices := torch.CUDADevices()
	if size > devices {
		a.observer.Note(fmt.Sprintf("%d processes share %d CUDA devices on this machine", size, devices))
	}
	a.device, a.config.Device = torch.CUDA(rank%devices), "cuda"
}

// shareThreads is the number of threads of each process of a group: the user's, else what the
// processes that may use the same cores have of them. It is the same in all, so that they round
// alike.
func (a *assembly) shareThreads() (int, error) {
	own := a.config.Threads
	if own == 0 {
		own = torch.DefaultThreads()
	}
	if _, told := os.LookupEnv("OMP_NUM_THREADS"); a.config.Threads == 0 && !told {
		var err error
		if own, err = a.shareCores(own); err != nil {
			return 0, err
		}
	}
	all, err := parallel.Gather(a.group, "the threads", binary.LittleEndian.AppendUint32(nil, uint32(own)))
	if err != nil {
		return 0, err
	}
	for _, text := range all {
		own = min(own, int(binary.LittleEndian.Uint32(text)))
	}
	a.observer.Note(fmt.Sprintf("%d processes make the run, with %d threads each", a.group.Size(), own))
	return own, nil
}

// shareCores is this process's part of its cores, of which it would use so many alone.
func (a *assembly) shareCores(alone int) (int, error) {
	var cores unix.CPUSet
	if err := unix.SchedGetaffinity(0, &cores); err != nil {
		return 0, fmt.Errorf("the cores of this process: %w", err)
	}
	host, err := os.Hostname()
	if err != nil {
		return 0, err
	}
	hash := fnv.New64a()
	hash.Write([]byte(host))
	own := hash.Sum(nil)
	name := len(own)
	for _, word := range cores {
		own = binary.LittleEndian.AppendUint64(own, uint64(word))
	}
	all, err := parallel.Gather(a.group, "the cores", own)
	if err != nil {
		return 0, err
	}
	sharing := 0
	for _, other := range all {
		if bytes.Equal(other[:name], own[:name]) && overlap(other[name:], own[name:]) {
			sharing++
		}
	}
	return max(1, min(alone, cores.Count())/sharing), nil
}

// overlap: two sets of bits have one in common.
func overlap(a, b []byte) bool {
	for i := range a {
		if a[i]&b[i] != 0 {
			return true
		}
	}
	return false
}
