package main

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// manPage writes the page of one command, in the man macros that groff and mandoc
// both know. Cobra has a generator too; it brings a Markdown and a YAML library into
// the binary, and has no place for exit statuses and environment variables.
func manPage(c *cobra.Command, date string) []byte {
	c.InitDefaultHelpFlag()
	p := &roff{}
	p.macro("TH", strings.ToUpper(manName(c)), "1", date, "pyisolate-node "+version, "PyIsolate")
	p.line(".nh") // a hyphen would end up in what is copied
	p.line(".ad l")
	p.section("NAME")
	p.line(escape(manName(c)) + ` \- ` + escape(c.Short))
	p.section("SYNOPSIS")
	p.line(synopsis(c))
	p.section("DESCRIPTION")
	p.prose(description(c))
	p.commands(c)
	p.options(c.Flags())
	p.exitStatus(c)
	p.environment(c)
	if c.Example != "" {
		p.section("EXAMPLES")
		p.literal(c.Example)
	}
	p.seeAlso(c)
	return p.text.Bytes()
}

func synopsis(c *cobra.Command) string {
	path := c.CommandPath()
	if !c.Runnable() {
		return bold(path) + " " + italic("COMMAND") + " [flags] [arguments]"
	}
	return bold(path) + escape(strings.TrimPrefix(c.UseLine(), path))
}

// description is the long help without what has a section of its own.
func description(c *cobra.Command) string {
	if c.Long == "" {
		return c.Short + "."
	}
	return strings.TrimSuffix(c.Long, exitStatusHelp())
}

// roff is a page being written.
type roff struct{ text bytes.Buffer }

func (p *roff) line(text string) { p.text.WriteString(text + "\n") }

// macro quotes its arguments. Hyphens stay: the date of a title must be a date.
func (p *roff) macro(name string, args ...string) {
	p.text.WriteString("." + name)
	for _, a := range args {
		p.text.WriteString(` "` + strings.NewReplacer(`\`, `\e`, `"`, `\(dq`).Replace(a) + `"`)
	}
	p.text.WriteByte('\n')
}

func (p *roff) section(title string) { p.macro("SH", title) }

// prose writes paragraphs, which empty lines separate. An indented one is kept as it is.
func (p *roff) prose(text string) {
	for i, paragraph := range strings.Split(strings.Trim(text, "\n"), "\n\n") {
		if strings.HasPrefix(paragraph, " ") || strings.HasPrefix(paragraph, "\t") {
			p.literal(paragraph)
			continue
		}
		if i > 0 {
			p.line(".PP")
		}
		for line := range strings.Lines(paragraph) {
			p.line(escape(strings.TrimLeft(strings.TrimSpace(line), "# ")))
		}
	}
}

// literal writes lines as they are, less the indentation of the first.
func (p *roff) literal(text string) {
	indent := text[:len(text)-len(strings.TrimLeft(text, " \t"))]
	p.line(".IP")
	p.line(".nf")
	for line := range strings.SplitSeq(text, "\n") {
		p.line(escape(strings.TrimPrefix(line, indent)))
	}
	p.line(".fi")
}

// item writes one entry of a list; term is roff already.
func (p *roff) item(term, text string) {
	p.line(".TP")
	p.line(term)
	p.line(escape(text))
}

func (p *roff) commands(c *cobra.Command) {
	if !c.HasAvailableSubCommands() {
		return
	}
	p.section("COMMANDS")
	for _, child := range c.Commands() {
		if child.IsAvailableCommand() {
			p.item(reference(child), child.Short+".")
		}
	}
}

func (p *roff) options(flags *pflag.FlagSet) {
	p.section("OPTIONS")
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Deprecated != "" {
			return
		}
		kind, usage := pflag.UnquoteUsage(f)
		term := bold("--" + f.Name)
		if f.Shorthand != "" {
			term = bold("-"+f.Shorthand) + ", " + term
		}
		if kind != "" {
			term += " " + italic(kind)
		}
		p.item(term, usage+".")
		if hasDefault(f) {
			// \: lets a long list break after its commas.
			p.line("Default: " + strings.ReplaceAll(escape(f.DefValue), ",", `,\:`) + ".")
		}
	})
}

// hasDefault tells whether a flag that is not given means something.
func hasDefault(f *pflag.Flag) bool {
	switch f.DefValue {
	case "", "0", "0s", "false", "[]":
		return false
	}
	return true
}

func (p *roff) exitStatus(c *cobra.Command) {
	p.section("EXIT STATUS")
	if c.HasParent() && c.Name() != "run" {
		p.prose("0 on success, 2 if the command line is wrong, 70 if the node could not do its work.")
		return
	}
	for _, s := range exitStatuses {
		p.item(bold(fmt.Sprint(s.status)), s.meaning+".")
	}
}

func (p *roff) environment(c *cobra.Command) {
	titled := false
	for _, v := range environment {
		if c.HasParent() && !v.readBy(c) {
			continue
		}
		if !titled {
			p.section("ENVIRONMENT")
			titled = true
		}
		p.item(bold(v.name), v.meaning)
	}
}

func (p *roff) seeAlso(c *cobra.Command) {
	var pages []string
	if c.HasParent() {
		pages = append(pages, reference(c.Parent()))
	}
	for _, child := range c.Commands() {
		if child.IsAvailableCommand() {
			pages = append(pages, reference(child))
		}
	}
	p.section("SEE ALSO")
	p.line(strings.Join(pages, ",\n"))
}

func reference(c *cobra.Command) string { return bold(manName(c)) + "(1)" }

func bold(text string) string   { return `\fB` + escape(text) + `\fR` }
func italic(text string) string { return `\fI` + escape(text) + `\fR` }

// Characters that roff would take for its own or typeset as something else, such as
// a hyphen that a shell does not know.
var roffEscapes = strings.NewReplacer(`\`, `\e`, `-`, `\-`, `'`, `\(aq`, "`", `\(ga`, `^`, `\(ha`, `~`, `\(ti`)

// escape makes one line of text literal roff.
func escape(text string) string {
	var b strings.Builder
	if strings.HasPrefix(text, ".") {
		b.WriteString(`\&`)
	}
	for _, r := range roffEscapes.Replace(text) {
		if r < 0x80 {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, `\[u%04X]`, r)
		}
	}
	return b.String()
}
