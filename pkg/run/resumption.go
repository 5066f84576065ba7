package run

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// recordResumption notes with what else than before a run goes on, and adds it to environment.json.
func (a *assembly) recordResumption(ctx context.Context, dir string, o Options) error {
	path := filepath.Join(dir, EnvironmentFile)
	var recorded Environment
	text, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, &recorded)
	}
	if err != nil {
		a.observer.Note(fmt.Sprintf("what the run was made with is not known: %v", err))
		return nil
	}
	if len(recorded.Inputs.Model) == 0 { // of a program that recorded less
		return nil
	}
	before := recorded
	if n := len(recorded.Resumed); n > 0 {
		before = recorded.Resumed[n-1]
	}
	now, err := a.environment(ctx, o)
	if err != nil {
		return err
	}
	now.Inputs.Start = before.Inputs.Start // a checkpoint of the run has taken its place
	differences := before.Differences(now)
	for _, d := range differences {
		a.observer.Note(fmt.Sprintf("the run goes on with another %s: %s, was %s", d.What, d.Now, d.Then))
	}
	if len(differences) == 0 {
		return nil
	}
	recorded.Resumed = append(recorded.Resumed, now)
	return writeJSON(path, recorded)
}
