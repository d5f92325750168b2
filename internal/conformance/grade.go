package conformance

import (
	"context"
	"time"

	"github.com/pyisolate/pyisolate/cell"
)

// Verdict says in a word how a guarantee fares.
type Verdict string

// The verdicts: all of its points, some, none.
const (
	Yes    Verdict = "yes"
	Partly Verdict = "partly"
	No     Verdict = "no"
)

// Card is the outcome of grading.
type Card struct {
	// Grade is a letter, A to F.
	Grade      string        `json:"grade"`
	Points     int           `json:"points"`
	Most       int           `json:"most"`
	Guarantees []Score       `json:"guarantees"`
	Took       time.Duration `json:"took_ns"`
}

// Score is how one guarantee fares.
type Score struct {
	Guarantee string  `json:"guarantee"`
	Verdict   Verdict `json:"verdict"`
	Points    int     `json:"points"`
	Most      int     `json:"most"`
	Checks    []Check `json:"checks"`
}

// Check is one thing that was tried for a guarantee. It gets all of its points or none.
type Check struct {
	Check    string       `json:"check"`
	Backend  cell.Backend `json:"backend,omitempty"`
	Met      bool         `json:"met"`
	Points   int          `json:"points"`
	Most     int          `json:"most"`
	Evidence string       `json:"evidence"`
}

// guarantee is what is scored, check its parts.
type guarantee struct {
	name   string
	checks []check
}

type check struct {
	what    string
	points  int
	backend cell.Backend
	trial   trial
}

// letters are the grades, each with its least of a hundred points.
var letters = []struct {
	letter string
	least  int
}{{"A", 90}, {"B", 80}, {"C", 70}, {"D", 60}, {"E", 50}, {"F", 0}}

// Guarantees names what Grade scores, in its order.
func Guarantees() []string {
	names := make([]string, 0, len(guarantees))
	for _, g := range guarantees {
		names = append(names, g.name)
	}
	return names
}

// Grade scores all guarantees. It tells before each, and ends early with ctx.
func (r *Runner) Grade(ctx context.Context, before func(name string)) (Card, error) {
	begin := time.Now()
	var card Card
	for _, g := range guarantees {
		before(g.name)
		score := r.score(ctx, g)
		if err := ctx.Err(); err != nil {
			return Card{}, err
		}
		card.Guarantees = append(card.Guarantees, score)
		card.Points += score.Points
		card.Most += score.Most
	}
	card.Grade = letter(card.Points, card.Most)
	card.Took = time.Since(begin)
	return card, nil
}

func (r *Runner) score(ctx context.Context, g guarantee) Score {
	score := Score{Guarantee: g.name}
	for _, c := range g.checks {
		result := r.Run(ctx, Probe{Name: c.what, Backend: c.backend, trial: c.trial})
		row := Check{Check: c.what, Backend: c.backend, Met: result.Outcome == Pass, Most: c.points, Evidence: result.Evidence}
		if row.Met {
			row.Points = c.points
		}
		score.Checks = append(score.Checks, row)
		score.Points += row.Points
		score.Most += row.Most
	}
	score.Verdict = verdict(score.Points, score.Most)
	return score
}

func verdict(points, most int) Verdict {
	switch points {
	case most:
		return Yes
	case 0:
		return No
	}
	return Partly
}

func letter(points, most int) string {
	for _, l := range letters {
		if points*100 >= l.least*most {
			return l.letter
		}
	}
	return letters[len(letters)-1].letter
}
