package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pyisolate/pyisolate/cell/pydist"
	"github.com/pyisolate/pyisolate/node/config"
)

// dateEnv is the reproducible-builds convention for the date of generated files.
const dateEnv = "SOURCE_DATE_EPOCH"

// environment is what the ENVIRONMENT sections list: a page has the variables that
// its command reads, the main page has all.
var environment = []struct {
	name, meaning string
	readBy        func(*cobra.Command) bool
}{
	{pydist.PythonEnv, "The Python to run, unless --python names one: a libpython, an executable or a prefix directory, " +
		"3.14 or later. Default: the embedded one.", usesPython},
	{pydist.CacheEnv, "Where the embedded Python is unpacked on first use. Default: pyisolate in the user's cache " +
		"directory ($XDG_CACHE_HOME, or $HOME/.cache). Deleting it is always safe.", usesPython},
	{config.FileEnv, "A YAML file of settings, unless --config names one. Each setting also has a variable of its own: " +
		"PYISOLATE_DRAIN_TIMEOUT is --drain-timeout.", has("config")},
	{serverEnv, "The address of the node to call, unless --server names one.", has("server")},
	{socketEnv, "The node's unix socket, unless --socket names one. Default: /run/pyisolate/node.sock for root, else pyisolate/node.sock in " +
		"$XDG_RUNTIME_DIR.", has("socket")},
	{contextEnv, "The context whose node to call, unless --context names one.", has("context")},
	{caEnv, "A file of CA certificates to check the server's against, unless --ca names one.", has("ca")},
	{tokenEnv, "The token to call a node with, unless --token gives one.", has("token")},
	{tokenFileEnv, "A file that contains the token, unless --token-file names one.", has("token-file")},
	{nogilEnv, "Modules, separated by commas, that the operator says need no GIL; doctor extensions shows them.",
		func(c *cobra.Command) bool { return c.Name() == "extensions" }},
	{dateEnv, "The date on manual pages, in seconds since 1970. Default: none.",
		func(c *cobra.Command) bool { return c.Name() == "man" }},
}

func usesPython(c *cobra.Command) bool { return c.Flags().Lookup("python") != nil }

// has tells of which commands have a flag.
func has(flag string) func(*cobra.Command) bool {
	return func(c *cobra.Command) bool { return c.Flags().Lookup(flag) != nil }
}

func newMan() *cobra.Command {
	return &cobra.Command{
		Use:   "man [DIR]",
		Short: "Write the manual pages",
		Long: `Write a manual page for each command into DIR: pyisolate-node.1,
pyisolate-node-run.1 and so on. DIR is created if it is missing. Without DIR,
print the main page to standard output.

The pages are generated from the commands themselves, so they match this binary.
They carry no date unless you set SOURCE_DATE_EPOCH: two runs write the same
bytes.`,
		Example: `  pyisolate-node man /usr/local/share/man/man1
  pyisolate-node man | man -l -`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			date, err := manDate()
			if err != nil {
				return err
			}
			if len(args) == 0 {
				_, err = c.OutOrStdout().Write(manPage(c.Root(), date))
				return err
			}
			return writeManPages(c.Root(), date, args[0])
		},
	}
}

// manDate returns the date that pages carry, "" for none.
func manDate() (string, error) {
	text := os.Getenv(dateEnv)
	if text == "" {
		return "", nil
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return "", usageError{fmt.Errorf("%s is %q; it must be a whole number of seconds since 1970", dateEnv, text)}
	}
	return time.Unix(seconds, 0).UTC().Format(time.DateOnly), nil
}

func writeManPages(root *cobra.Command, date, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make the directory of the manual pages: %w", err)
	}
	for _, c := range documented(root) {
		if err := os.WriteFile(filepath.Join(dir, manName(c)+".1"), manPage(c, date), 0o644); err != nil {
			return fmt.Errorf("write a manual page: %w", err)
		}
	}
	return nil
}

// documented lists c and all below it that --help shows, but for help itself.
func documented(c *cobra.Command) []*cobra.Command {
	all := []*cobra.Command{c}
	for _, child := range c.Commands() {
		if child.IsAvailableCommand() {
			all = append(all, documented(child)...)
		}
	}
	return all
}

func manName(c *cobra.Command) string { return strings.ReplaceAll(c.CommandPath(), " ", "-") }
