package main

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
)

//go:embed peers/*.py
var peerScripts embed.FS

// peer runs one of peers/ with the Python being measured.
func (b *bench) peer(ctx context.Context, script string, n int, args ...string) ([]float64, error) {
	source, err := peerScript(script)
	if err != nil {
		return nil, err
	}
	return b.python(ctx, source, n, args...)
}

func peerScript(name string) (string, error) {
	source, err := peerScripts.ReadFile("peers/" + name + ".py")
	return string(source), err
}

// errNoPython: the library that is measured has no program to run peers with.
var errNoPython = errors.New("no python executable beside it")

// python takes n samples by a program in the Python being measured.
func (b *bench) python(ctx context.Context, source string, n int, args ...string) ([]float64, error) {
	if b.dist.Exe == "" {
		return nil, errNoPython
	}
	return samplesOf(exec.CommandContext(ctx, b.dist.Exe, append([]string{"-I", "-S", "-c", source, strconv.Itoa(n)}, args...)...))
}

// samplesOf runs a program that prints one JSON array of numbers.
func samplesOf(c *exec.Cmd) ([]float64, error) {
	var complaint strings.Builder
	c.Stderr = &complaint
	out, err := c.Output()
	if err != nil {
		return nil, fmt.Errorf("run %s: %w: %s", c.Path, err, strings.TrimSpace(complaint.String()))
	}
	var samples []float64
	if err := json.Unmarshal(out, &samples); err != nil {
		return nil, fmt.Errorf("read the figures of %s: %w", c.Path, err)
	}
	if len(samples) == 0 {
		return nil, fmt.Errorf("%s printed no figures", c.Path)
	}
	return samples, nil
}
