package config

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
	"github.com/knadh/koanf/v2"

	"github.com/pyisolate/pyisolate/internal/near"
)

// maxFile is in bytes.
const maxFile = 1 << 20

// file is a configuration file as koanf parses it: it remembers where keys are, and what is
// wrong with them.
type file struct {
	path     string
	lines    map[string]int
	problems []error
}

var _ koanf.Parser = (*file)(nil)

// bad remembers a problem of a line; 0 is none of them.
func (f *file) bad(line int, format string, args ...any) {
	at := f.path
	if line > 0 {
		at = fmt.Sprintf("%s:%d", f.path, line)
	}
	f.problems = append(f.problems, fmt.Errorf("%s: %w", at, fmt.Errorf(format, args...)))
}

// Marshal implements koanf.Parser; nobody writes such files.
func (*file) Marshal(map[string]any) ([]byte, error) { return nil, errors.ErrUnsupported }

// Unmarshal implements koanf.Parser. Values are as they are written: texts, and lists of them.
// What is wrong is among the problems.
func (f *file) Unmarshal(data []byte) (values map[string]any, _ error) {
	values = map[string]any{}
	if len(data) > maxFile {
		f.bad(0, "it has %d bytes; %d is the most", len(data), maxFile)
		return values, nil
	}
	defer func() {
		if p := recover(); p != nil { // no text may end a program
			f.bad(0, "the YAML parser failed on it: %v; write it more simply", p)
		}
	}()
	tree, err := parser.ParseBytes(data, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		f.bad(syntaxError(err))
		return values, nil
	}
	for i, document := range tree.Docs {
		if i > 0 && document.Body != nil {
			f.bad(lineOf(document.Body), "a second document begins here: write one")
			break
		}
		f.document(document.Body, values)
	}
	return values, nil
}

func syntaxError(err error) (line int, format string, message any) {
	var e interface {
		GetToken() *token.Token
		GetMessage() string
	}
	if !errors.As(err, &e) {
		return 0, "this is not YAML: %v", err
	}
	if t := e.GetToken(); t != nil {
		line = t.Position.Line
	}
	return line, "this is not YAML: %v", e.GetMessage()
}

func lineOf(n ast.Node) int {
	if t := n.GetToken(); t != nil && t.Position != nil {
		return t.Position.Line
	}
	return 0
}

func (f *file) document(body ast.Node, values map[string]any) {
	switch n := body.(type) {
	case nil, *ast.CommentGroupNode, *ast.NullNode:
	case *ast.MappingNode:
		for _, one := range n.Values {
			f.pair(one, values)
		}
	case *ast.MappingValueNode:
		f.pair(n, values)
	default:
		f.bad(lineOf(body), "a configuration is keys and values: write for example mode: hardened")
	}
}

func (f *file) pair(n *ast.MappingValueNode, values map[string]any) {
	key, line := n.Key.GetToken().Value, lineOf(n.Key)
	s := named(key)
	if s == nil {
		hint := "docs/configuration.md has all"
		if meant := near.Name(key, keys()); meant != "" {
			hint = "did you mean " + meant + "?"
		}
		f.bad(line, "there is no setting %q; %s", key, hint)
		return
	}
	if _, twice := values[key]; twice {
		f.bad(line, "%s is here twice; the first is on line %d", key, f.lines[key])
		return
	}
	f.lines[key] = line
	if value, ok := f.value(s, n.Value); ok {
		values[key] = value
	}
}

func (f *file) value(s *Setting, n ast.Node) (any, bool) {
	list, isList := n.(*ast.SequenceNode)
	switch {
	case isList && s.Kind == List:
		all := []string{}
		for _, one := range list.Values {
			value, ok := f.scalar(s, one)
			if !ok {
				return nil, false
			}
			all = append(all, value)
		}
		return all, true
	case isList:
		f.bad(lineOf(n), "%s: it has one value, and not a list", s.Key)
		return nil, false
	}
	value, ok := f.scalar(s, n)
	if ok && s.Kind == List {
		return []string{value}, true
	}
	return value, ok
}

func (f *file) scalar(s *Setting, n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.GetToken().Value, true // as it is written: 0660 stays what it is
	case *ast.NullNode:
		f.bad(lineOf(n), "%s: it has no value: give one, or take the line out", s.Key)
	default:
		f.bad(lineOf(n), "%s: it has a simple value, and not a %s", s.Key, n.Type())
	}
	return "", false
}

// trusted refuses a file that somebody else decides about.
func trusted(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	own := uint32(os.Geteuid())
	stat, known := info.Sys().(*syscall.Stat_t)
	switch {
	case info.IsDir():
		return fmt.Errorf("%s is a directory: name a file", path)
	case info.Mode().IsRegular() && info.Mode()&0o002 != 0:
		return fmt.Errorf("%s can be changed by every user: chmod o-w %s", path, path)
	case known && stat.Uid != own && stat.Uid != 0:
		return fmt.Errorf("%s belongs to user %d: it must be root's or your own", path, stat.Uid)
	}
	return nil
}
