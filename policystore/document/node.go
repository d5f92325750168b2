package document

import "strconv"

// node is a value of the text, or of the canonical form.
type node struct {
	kind nodeKind
	at   Pos
	// text of a scalar; plain tells that it stands without quotes, literal that it is a
	// block of lines whose first is on the line after at.
	text           string
	plain, literal bool
	pairs          []pair
	items          []*node
}

type nodeKind uint8

const (
	scalarNode nodeKind = iota
	mappingNode
	sequenceNode
)

func (k nodeKind) String() string { return [...]string{"a single value", "a map", "a list"}[k] }

type pair struct {
	key   *node
	value *node
}

func quoted(text string) *node { return &node{text: text} }

func plain(text string) *node { return &node{text: text, plain: true} }

func number[T ~int | ~int64 | ~uint64](n T) *node { return plain(strconv.FormatInt(int64(n), 10)) }

func mapping(pairs ...pair) *node { return &node{kind: mappingNode, pairs: pairs} }

func sequence(items ...*node) *node { return &node{kind: sequenceNode, items: items} }

func entry(key string, value *node) pair { return pair{plain(key), value} }

// empty tells a key without a value, or null.
func (n *node) empty() bool {
	return n.kind == scalarNode && n.plain && (n.text == "" || isNull(n.text))
}
