package experiment

import (
	"context"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/metatt/metatt/pkg/train"
)

// What is not an event is an error, and does not stop the process that says it.
func TestProcessesThatTalk(t *testing.T) {
	over := 0
	chatter := exec.Command("sh", "-c", "echo hello; i=0; while [ $i -lt 20000 ]; do echo '{\"kind\":\"over\"}'; i=$((i+1)); done; head -c 2000000 /dev/zero; exit 0")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	err := Processes(ctx, []*exec.Cmd{chatter}, func(e Event) {
		if e.Kind == Over {
			over++
		}
	})
	if err == nil || !strings.Contains(err.Error(), `says "hello"`) || over != 20000 {
		t.Errorf("%d events, %v", over, err)
	}
}

// The end of the process that started them, or of its ctx, lets processes save.
func TestLeash(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var notes []string
	listens := exec.Command("sh", "-c", `trap "" TERM; cat >/dev/null; echo '{"kind":"over","state":"stopped"}'`)
	dies := exec.Command("sh", "-c", "exit 7")
	stopped := 0
	err := Processes(ctx, []*exec.Cmd{listens, dies}, func(e Event) {
		if e.Kind == Note { // while the other goes on
			notes = append(notes, e.Text)
			cancel()
		}
		if e.State == Stopped {
			stopped++
		}
	})
	if !errors.Is(err, train.ErrInterrupted) || stopped != 1 || len(notes) != 1 || !strings.Contains(notes[0], "ended early: exit status 7") {
		t.Errorf("%v, %d stopped, %v", err, stopped, notes)
	}
	r, w := io.Pipe()
	leashed, cancel := Leash(t.Context(), r)
	defer cancel()
	if leashed.Err() != nil {
		t.Error("cancelled at once")
	}
	w.Close()
	<-leashed.Done()
}
