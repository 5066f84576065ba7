package predict_test

import (
	"context"
	"fmt"

	"github.com/metatt/metatt/pkg/predict"
	"github.com/metatt/metatt/pkg/task"
)

// Load a model, apply a saved adapter to it, predict.
func ExamplePredictor() {
	p, err := predict.Open("testdata/start-query-value", predict.Options{Model: "testdata/tiny-bert"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer p.Close()
	rows, err := p.Logits(context.Background(), []task.Example{{Text: "the king sees a cat .", Pair: "a cat sees the king ."}})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%d logits, for the labels %v\n", len(rows[0]), p.Task().Labels)
	// Output: 2 logits, for the labels [0 1]
}
