package download

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// ErrOffline is what the error of [Offline] wraps.
var ErrOffline = errors.New("nothing is downloaded")

// Offline is an error while the user wants nothing to call out, and nil else. As
// huggingface_hub reads them: HF_HUB_OFFLINE, or where that is empty
// TRANSFORMERS_OFFLINE, is 1, ON, YES or TRUE in any case.
func Offline() error {
	for _, variable := range []string{"HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"} {
		value := os.Getenv(variable)
		if value == "" {
			continue
		}
		switch strings.ToUpper(value) {
		case "1", "ON", "YES", "TRUE":
			return fmt.Errorf("%s is set: %w", variable, ErrOffline)
		}
		return nil
	}
	return nil
}
