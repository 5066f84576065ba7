package task

// Unlabelled is the Label of an example whose file hides it, and of every
// example of a regression.
const Unlabelled = -1

// Example is one row of a task.
type Example struct {
	ID    string  // the index that a submission to GLUE names; the row's number from 0 where the file has none
	Text  string  // the sentence, or the first of two
	Pair  string  // the second text; empty where the task has one
	Label int     // an index into Task.Labels, or Unlabelled
	Score float64 // the gold score of a regression, NaN where it is hidden; 0 in other tasks
}

// Source is where the examples of a task's splits come from.
type Source interface {
	// Read returns a split's examples in their order. note, if any, is told what was left
	// out. A file that is not in the task's form is a [*fileformat.Error], one that is
	// missing an error that wraps [io/fs.ErrNotExist].
	Read(t Task, s Split, note func(string)) ([]Example, error)
}
