package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// kernel returns the file of a kernel of a version, getting it first if it is not there.
func kernel(dir, version string) (string, error) {
	to, err := filepath.Abs(filepath.Join(dir, version))
	if err != nil {
		return "", err
	}
	if image, err := image(to); err == nil {
		return image, nil
	}
	name, err := newest(version)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(to, 0o755); err != nil {
		return "", err
	}
	fmt.Println("getting", name)
	if err := in(to, "apt-get", "download", name); err != nil {
		return "", err
	}
	debs, err := filepath.Glob(filepath.Join(to, "*.deb"))
	if err != nil || len(debs) != 1 {
		return "", fmt.Errorf("%d packages came for %s (%w)", len(debs), name, err)
	}
	if err := in(to, "dpkg", "-x", debs[0], "."); err != nil {
		return "", err
	}
	// The modules take a gigabyte, and a machine of ours loads none.
	for _, path := range []string{debs[0], filepath.Join(to, "lib"), filepath.Join(to, "usr")} {
		if err := os.RemoveAll(path); err != nil {
			return "", err
		}
	}
	return image(to)
}

func image(dir string) (string, error) {
	images, err := filepath.Glob(filepath.Join(dir, "boot", "vmlinuz-*"))
	if err != nil || len(images) != 1 {
		return "", errors.Join(err, fmt.Errorf("%d kernels are in %s", len(images), dir))
	}
	return images[0], nil
}

func in(dir, name string, args ...string) error {
	c := exec.Command(name, args...)
	c.Dir = dir
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return nil
}

// newest asks Debian's lists, which `apt-get update` renews, for the newest package with
// a kernel of a version.
func newest(version string) (string, error) {
	out, err := exec.Command("apt-cache", "search", "--names-only", "^linux-image-"+regexp.QuoteMeta(version)+`\..*-amd64-unsigned$`).Output()
	if err != nil {
		return "", fmt.Errorf("look for a kernel %s: %w", version, err)
	}
	var names []string
	for line := range strings.Lines(string(out)) {
		name, _, _ := strings.Cut(line, " ")
		if !strings.Contains(name, "-cloud-") && !strings.Contains(name, "-rt-") {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return "", fmt.Errorf("there is no package of kernel %s; apt-get update may help", version)
	}
	return slices.MaxFunc(names, compare), nil
}

var digits = regexp.MustCompile(`\d+`)

// compare orders names by the numbers in them.
func compare(a, b string) int {
	numbers := func(s string) []int {
		var list []int
		for _, d := range digits.FindAllString(s, -1) {
			n, _ := strconv.Atoi(d) // too long a number is the largest
			list = append(list, n)
		}
		return list
	}
	return slices.Compare(numbers(a), numbers(b))
}
