package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/pyisolate/pyisolate/internal/conformance"
)

// grade scores the guarantees and shows the card.
func grade(ctx context.Context, r *conformance.Runner, asJSON bool, out, progress io.Writer) error {
	names, i := conformance.Guarantees(), 0
	card, err := r.Grade(ctx, func(name string) {
		step(progress, "grading", name, i, len(names))
		i++
	})
	clearStep(progress)
	switch {
	case err != nil:
		return interrupted(ctx, err)
	case asJSON:
		lines := json.NewEncoder(out)
		lines.SetEscapeHTML(false)
		return lines.Encode(card)
	}
	_, err = io.WriteString(out, cardText(card))
	return err
}

func cardText(card conformance.Card) string {
	var b strings.Builder
	for _, g := range card.Guarantees {
		fmt.Fprintf(&b, "%-7s %2d/%d  %s\n", g.Verdict, g.Points, g.Most, g.Guarantee)
		for _, c := range g.Checks {
			what := c.Check
			if c.Backend != "" {
				what += " (" + string(c.Backend) + ")"
			}
			fmt.Fprintf(&b, "         %d/%d  %s: %s\n", c.Points, c.Most, what, oneLine(c.Evidence))
		}
	}
	fmt.Fprintf(&b, "\ngrade %s: %d of %d points, in %s\n", card.Grade, card.Points, card.Most, card.Took.Round(100*time.Millisecond))
	return b.String()
}
