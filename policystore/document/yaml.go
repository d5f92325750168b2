package document

import (
	"errors"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// parseYAML reads text as a tree; nil if that is not possible. Problems may be reported all
// the same.
func parseYAML(r *reporter, text []byte) *node {
	if !readLines(r, text) {
		return nil
	}
	return parseTree(r, strings.Join(r.lines, "\n")+"\n")
}

// parseTree calls the YAML library. Its panics are problems: no text may end a node.
func parseTree(r *reporter, text string) (root *node) {
	defer func() {
		if p := recover(); p != nil {
			r.at(Pos{1, 1}, "write it more simply", "the YAML parser failed on this document: %v", p)
		}
	}()
	tokens := lexer.Tokenize(text)
	if !checkTokens(r, tokens) {
		return nil
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		at, message := syntaxError(err)
		r.at(at, "", "%s", message)
		return nil
	}
	c := converter{r}
	for _, d := range file.Docs {
		if d.Body == nil || root != nil {
			continue
		}
		if _, comment := d.Body.(*ast.CommentGroupNode); !comment {
			root = c.node(d.Body, 1)
		}
	}
	if root == nil {
		r.at(Pos{1, 1}, `begin with "version: 1.0"`, "the document is empty")
	}
	return root
}

// syntaxError is the place and the words of an error of the YAML library.
func syntaxError(err error) (Pos, string) {
	var e interface {
		GetToken() *token.Token
		GetMessage() string
	}
	if !errors.As(err, &e) {
		return Pos{1, 1}, err.Error()
	}
	return positionOf(e.GetToken()), "this is not YAML: " + e.GetMessage()
}

// converter makes nodes of the library's tree.
type converter struct {
	*reporter
}

func (c converter) node(n ast.Node, depth int) *node {
	if depth > MaxDepth {
		c.at(positionOf(n.GetToken()), "", "lists and maps are nested deeper than %d levels", MaxDepth)
		return quoted("")
	}
	switch n := n.(type) {
	case *ast.MappingNode:
		return c.mapping(n.Start, n.Values, depth)
	case *ast.MappingValueNode:
		return c.mapping(n.Start, []*ast.MappingValueNode{n}, depth)
	case *ast.SequenceNode:
		s := &node{kind: sequenceNode, at: positionOf(n.Start)}
		for _, v := range n.Values {
			s.items = append(s.items, c.node(v, depth+1))
		}
		return s
	default:
		return c.scalar(n)
	}
}

func (c converter) mapping(start *token.Token, values []*ast.MappingValueNode, depth int) *node {
	m := &node{kind: mappingNode, at: positionOf(start)}
	seen := map[string]Pos{}
	for i, v := range values {
		key := c.scalar(v.Key)
		if i == 0 {
			m.at = key.at
		}
		if first, twice := seen[key.text]; twice {
			c.at(key.at, "write it once", "%s is here twice; the first is on line %d", shown(key.text), first.Line)
			continue
		}
		if key.plain && (ambiguous[strings.ToLower(key.text)] || numberRE.MatchString(key.text)) {
			c.at(key.at, `write "`+key.text+`" if the word is meant`, "the key %s without quotes is no word to some readers", key.text)
		}
		seen[key.text] = key.at
		value := c.node(v.Value, depth+1)
		if value.empty() {
			value.at = key.at
		}
		m.pairs = append(m.pairs, pair{key, value})
	}
	return m
}

func (c converter) scalar(n ast.Node) *node {
	t := n.GetToken()
	s := &node{at: positionOf(t)}
	switch n := n.(type) {
	case *ast.StringNode:
		s.text, s.plain = n.Value, t.Type != token.SingleQuoteType && t.Type != token.DoubleQuoteType
		if s.plain && strings.Contains(strings.TrimSpace(t.Origin), "\n") {
			c.at(s.at, "put it on one line, or in quotes", "text without quotes must not go on over lines")
		} else if s.plain && (strings.Contains(s.text, ": ") || strings.HasSuffix(s.text, ":")) {
			c.at(s.at, "put it in quotes, or write the comma before the key", "text without quotes must not have a key in it")
		}
	case *ast.LiteralNode:
		s.text, s.literal = n.Value.Value, true
	case *ast.NullNode:
		s.plain = true
		if t.Type == token.NullType {
			s.text = t.Value
		}
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		s.text, s.plain = t.Value, true
	default:
		c.at(s.at, "write a word, a number or text in quotes", "%s is not allowed here", strings.ToLower(n.Type().String()))
	}
	return s
}

// shown is text of a document in a message: quoted where it needs to be, and short.
func shown(text string) string {
	const most = 60
	if runes := []rune(text); len(runes) > most {
		return fmt.Sprintf("%q…", string(runes[:most]))
	}
	return fmt.Sprintf("%q", text)
}
