package run_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/metatt/metatt/pkg/run"
	"github.com/metatt/metatt/pkg/run/runtest"
	"github.com/metatt/metatt/pkg/torch"
	"github.com/metatt/metatt/pkg/train"
)

// trainedFiles are those files of a run that nothing but its configuration decides.
func trainedFiles(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	files := map[string][]byte{"metrics.jsonl": metrics(t, dir)}
	for _, name := range []string{"adapter/last/adapter_model.safetensors", "adapter/best/adapter_model.safetensors"} {
		content, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		files[name] = content
	}
	return files
}

func sameTraining(t *testing.T, what string, got, want map[string][]byte) {
	t.Helper()
	for name, content := range want {
		if !bytes.Equal(got[name], content) {
			t.Errorf("%s: %s is not that of a process of its own", what, name)
		}
	}
}

// keptSum is a digest of every tensor of the one backbone that a session keeps.
func keptSum(t *testing.T, s *run.Session) string {
	t.Helper()
	kept := s.KeptWeights()
	if len(kept) != 1 {
		t.Fatalf("%d backbones are kept", len(kept))
	}
	digest := sha256.New()
	if err := torch.Do(func() error {
		for _, p := range kept[0] {
			digest.Write([]byte(p.Name))
			digest.Write(p.Tensor.Contiguous().Bytes())
			if p.Tensor.RequiresGrad() {
				t.Errorf("%s is trained", p.Name)
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(digest.Sum(nil))
}

// Runs of different methods and tasks in one process, on one backbone, write byte
// for byte what each writes in a process of its own; the backbone stays as it is.
func TestRunsOfASessionAreRunsApart(t *testing.T) {
	for _, dtype := range []string{"fp32", "bf16"} {
		t.Run(dtype, func(t *testing.T) {
			session := run.NewSession()
			defer session.Close()
			runs := [][]string{
				{"adapter.method=metatt4d"},
				{"adapter.method=full", "train.lr=1e-3"},
				{"task=sample", "adapter.method=lora", "data.max_length=20"},
				{"adapter.init_from=testdata/peft/bias-all"},
				{"adapter.init_from=testdata/peft/bias-dora"},
			}
			if dtype == "fp32" {
				runs = append(runs,
					[]string{"adapter.method=bitfit"},
					ownRun(reviews(t), "adapter.method=metatt5d", "adapter.rank=2", "data.max_length=20"),
					[]string{"adapter.init_from=testdata/peft/norms"},
					[]string{"adapter.init_from=testdata/peft/pooler"},
					[]string{"adapter.method=dora", "train.batch_size=5", "model.dropout=0.3"})
			}
			before := ""
			for i, keys := range append(runs, runs[0]) {
				keys = slices.Concat(keys, []string{"train.max_steps=8", "model.dtype=" + dtype})
				apart := filepath.Join(t.TempDir(), "apart")
				trainApart(t, apart, keys, 0)
				dir := filepath.Join(t.TempDir(), "run")
				o, err := runtest.TinyIn(dir, keys...)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := session.Train(t.Context(), o); err != nil {
					t.Fatalf("%v: %v", keys, err)
				}
				sameTraining(t, strings.Join(keys, " "), trainedFiles(t, dir), trainedFiles(t, apart))
				switch sum := keptSum(t, session); {
				case i == 0:
					before = sum
				case sum != before:
					t.Fatalf("%v has changed the backbone", keys)
				}
			}
		})
	}
}

// A run that is stopped goes on in a session, after others, as it would alone.
func TestResumeInASession(t *testing.T) {
	for _, method := range []string{"metatt4d", "full"} {
		whole := tiny(t, "adapter.method="+method)
		if _, err := run.Train(t.Context(), whole); err != nil {
			t.Fatal(err)
		}
		stopped := tiny(t, "adapter.method="+method)
		interrupted(t, stopped, 4)
		session := run.NewSession()
		if _, err := session.Train(t.Context(), tiny(t, "adapter.method=bitfit", "train.max_steps=3")); err != nil {
			t.Fatal(err)
		}
		if _, err := session.Resume(t.Context(), stopped.Config.Run.Dir, stopped); err != nil {
			t.Fatal(err)
		}
		session.Close()
		sameTraining(t, method, trainedFiles(t, stopped.Config.Run.Dir), trainedFiles(t, whole.Config.Run.Dir))
	}
}

// notes collects what an observer is told beside training.
type notes struct {
	silent
	texts *[]string
}

func (n notes) Note(text string) { *n.texts = append(*n.texts, text) }

// What is to be known of a set is said by each run that uses it; another task,
// folder or length is another set.
func TestKeptSets(t *testing.T) {
	const header, first, second = "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n", "0\t1\t2\tthe king\ta king\t1\n", "1\t3\t4\tthe cat\ta king\t0\n"
	qqp := runtest.Files(t, map[string]string{"QQP/train.tsv": header + first + "broken\n" + second, "QQP/dev.tsv": header + second + first})
	session := run.NewSession()
	defer session.Close()
	for _, c := range []struct {
		keys []string
		sets int
		says int // that rows are left out
	}{
		{nil, 2, 0}, {nil, 2, 0}, {[]string{"data.max_length=7"}, 4, 0},
		{[]string{"task=qqp", "data.glue=" + qqp}, 6, 1}, {[]string{"task=qqp", "data.glue=" + qqp, "adapter.method=lora"}, 6, 1},
	} {
		var said []string
		o := tiny(t, append([]string{"train.max_steps=1"}, c.keys...)...)
		o.Observer = notes{texts: &said}
		if _, err := session.Train(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		says := len(slices.DeleteFunc(said, func(text string) bool { return !strings.Contains(text, "left out") }))
		if n := session.KeptSets(); n != c.sets || says != c.says {
			t.Errorf("%v: %d sets and %d notes, want %d and %d", c.keys, n, says, c.sets, c.says)
		}
	}
}

// A run that fails leaves the session as it was; a closed one has freed everything.
func TestSessionAfterFailures(t *testing.T) {
	session := run.NewSession()
	good := func() {
		t.Helper()
		if _, err := session.Train(t.Context(), tiny(t, "train.max_steps=2")); err != nil {
			t.Fatal(err)
		}
	}
	good()
	sum := keptSum(t, session)
	for _, keys := range [][]string{
		{"adapter.init_from=testdata/peft/bias-all", "data.glue=nowhere"},
		{"adapter.method=full", "data.max_length=4000"},
		{"adapter.rank=1000"},
	} {
		if _, err := session.Train(t.Context(), tiny(t, keys...)); err == nil {
			t.Errorf("%v: no error", keys)
		}
	}
	good()
	if keptSum(t, session) != sum {
		t.Error("the backbone has changed")
	}
	kept := session.KeptWeights()[0]
	session.Close()
	for _, p := range kept {
		if !p.Tensor.Freed() {
			t.Fatalf("%s is not freed", p.Name)
		}
	}
	if session.KeptSets()+len(session.KeptWeights()) > 0 {
		t.Error("a closed session keeps something")
	}
	good() // anew
	session.Close()
}

// A run's peak memory is its own, not that of what the process held before.
func TestPeakMemoryIsTheRuns(t *testing.T) {
	if err := train.ResetPeakMemory(); err != nil {
		t.Skipf("the kernel does not let a process forget its peak: %v", err)
	}
	session := run.NewSession()
	defer session.Close()
	alone, err := session.Train(t.Context(), tiny(t, "train.max_steps=1"))
	if err != nil {
		t.Fatal(err)
	}
	// A tensor that is the kernel's again when it is freed, and many that the C library keeps, below one that
	// stays.
	const held, small = 400 << 20, 32 << 10
	if err := torch.Do(func() error {
		torch.Randn(torch.Float32, torch.CPU, held/4).Free()
		many := make([]*torch.Tensor, held/small)
		for i := range many {
			many[i] = torch.Ones(torch.Float32, torch.CPU, small/4).Keep()
		}
		for _, x := range many[:len(many)-1] {
			x.Free()
		}
		t.Cleanup(many[len(many)-1].Free)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	first, err := session.Train(t.Context(), tiny(t, "train.max_steps=1"))
	if err != nil {
		t.Fatal(err)
	}
	if before := alone.PeakBytes; first.PeakBytes > before+held/4 {
		t.Errorf("a run's peak is %d bytes after others, alone %d", first.PeakBytes, before)
	}
}

// threadOf notes the OS thread that trains.
type threadOf struct {
	runtest.Silent
	seen map[int]bool
}

func (o threadOf) Begin(train.BeginInfo) { o.seen[unix.Gettid()] = true }

// The runs of a session compute on one OS thread: each that computes would get a team of
// libgomp's, and memory that the allocator keeps for it.
func TestSessionStaysOnItsThread(t *testing.T) {
	seen := map[int]bool{}
	session := run.NewSession()
	defer session.Close()
	for range 8 {
		o := tiny(t, "train.max_steps=1")
		o.Observer = threadOf{seen: seen}
		if _, err := session.Train(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		// Others take the threads that this goroutine leaves.
		done := make(chan bool)
		for range 8 {
			go func() {
				for began := time.Now(); time.Since(began) < 3*time.Millisecond; {
					runtime.Gosched()
				}
				done <- true
			}()
		}
		for range 8 {
			<-done
		}
	}
	if len(seen) != 1 {
		t.Errorf("%d threads", len(seen))
	}
}
