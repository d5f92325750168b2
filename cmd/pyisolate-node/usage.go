package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// explainArguments has each command, when its arguments are not right, say how it is used.
func explainArguments(c *cobra.Command) {
	for _, one := range c.Commands() {
		explainArguments(one)
	}
	check := c.Args
	if check == nil {
		return
	}
	c.Args = func(c *cobra.Command, given []string) error {
		err := check(c, given)
		switch {
		case err == nil:
			return nil
		case c.HasAvailableSubCommands() && len(given) > 0:
			return unknownCommand(c, given[0])
		case strings.HasPrefix(err.Error(), "unknown command"): // of one that takes no arguments
			err = fmt.Errorf("%q is one argument too many", plain(given[0]))
		}
		return fmt.Errorf("%w; usage: %s", err, c.UseLine())
	}
}

func unknownCommand(c *cobra.Command, name string) error {
	c.SuggestionsMinimumDistance = 2
	meant := ""
	if close := c.SuggestionsFor(name); len(close) > 0 {
		meant = "; did you mean " + strings.Join(close, " or ") + "?"
	}
	return seeHelp(c, fmt.Errorf("%s has no command %q%s", c.CommandPath(), plain(name), meant))
}

// flagError says of a value that a flag does not take what is to be written, where the flag's type does not.
func flagError(c *cobra.Command, err error) error {
	var wrong *pflag.InvalidValueError
	if !errors.As(err, &wrong) {
		return seeHelp(c, err)
	}
	write := ""
	switch kind := wrong.GetFlag().Value.Type(); {
	case kind == "duration":
		write = "a time, as 500ms, 30s or 1h30m"
	case strings.HasPrefix(kind, "uint"):
		write = "a whole number that is not negative"
	case strings.HasPrefix(kind, "int"):
		write = "a whole number"
	case strings.HasPrefix(kind, "float"):
		write = "a number"
	default:
		return seeHelp(c, err)
	}
	return seeHelp(c, fmt.Errorf("--%s %q: write %s", wrong.GetFlag().Name, plain(wrong.GetValue()), write))
}

func seeHelp(c *cobra.Command, err error) error {
	return fmt.Errorf("%w; see %s --help", err, c.CommandPath())
}
