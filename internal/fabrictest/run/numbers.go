package main

import (
	"encoding/json"
	"fmt"
)

// numbers are in a JSON array; null is none.
func numbers(text string) (all []float64, err error) {
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		return nil, fmt.Errorf("numbers %.40q: %w", text, err)
	}
	return all, nil
}
