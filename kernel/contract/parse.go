package contract

import "slices"

// maxRecursion bounds the parser's stack. It is beyond what maxDepth permits, so that
// every contract that was checked can be written with all its brackets.
const maxRecursion = 4 * MaxDepth

// The tree of what was written, before anybody asks what it means.
type (
	expression interface{}

	// junction is terms with and, or "or", between them.
	junction struct {
		or    bool
		terms []expression
	}
	negation    struct{ of expression }
	implication struct{ premise, conclusion expression }

	// comparison is a field and, but for a flag alone, an operator and operands.
	comparison struct {
		field    token
		operator string // "" for a flag; "in" and "under" with negated for not
		negated  bool
		operands []operand
	}
	// operand is a value, or with last a range.
	operand struct{ first, last token }
)

// statement is one assertion as written.
type statement struct {
	at        Position
	condition expression
}

// parser reads assertions by recursive descent, one token ahead.
type parser struct {
	lexer lexer
	token token
	depth int
	bad   *Error // of the token ahead, which then is a break
}

func newParser(source string) *parser {
	p := &parser{lexer: lexer{rest: source, at: Position{1, 1}}}
	p.advance()
	return p
}

// advance reads the next token. A fault of the lexer is met where the token is.
func (p *parser) advance() {
	p.token, p.bad = p.lexer.next()
}

// statement reads one assertion; nil at the end.
func (p *parser) statement() (*statement, *Error) {
	for p.bad == nil && p.token.kind == tokenBreak {
		p.advance()
	}
	if p.bad == nil && p.token.kind == tokenEnd {
		return nil, nil
	}
	at := p.token.at
	condition, err := p.condition()
	if err == nil && (p.bad != nil || p.token.kind != tokenBreak && p.token.kind != tokenEnd) {
		err = p.unexpected("and, or, => or the end of the assertion")
	}
	if err != nil {
		p.recover()
		return nil, err
	}
	return &statement{at, condition}, nil
}

// recover goes to the next line, or stays if the assertion ended too early.
func (p *parser) recover() {
	p.depth, p.lexer.depth = 0, 0
	if p.bad != nil || p.token.kind != tokenBreak {
		p.lexer.skipLine()
		p.advance()
	}
}

func (p *parser) unexpected(want string) *Error {
	if p.bad != nil {
		return p.bad
	}
	got := p.token.text
	switch p.token.kind {
	case tokenEnd:
		got = "the end"
	case tokenString:
		got = quote(got)
	}
	if runes := []rune(got); len(runes) > 40 {
		got = string(runes[:40]) + "…"
	}
	return fault(p.token.at, "%s stands where %s is expected", got, want)
}

// is tells whether the token ahead is this sign or word.
func (p *parser) is(text string) bool {
	return p.bad == nil && (p.token.kind == tokenSign || p.token.kind == tokenWord) && p.token.text == text
}

func (p *parser) accept(text string) bool {
	if !p.is(text) {
		return false
	}
	p.advance()
	return true
}

func (p *parser) expect(text string) *Error {
	if !p.accept(text) {
		return p.unexpected(text)
	}
	return nil
}

func (p *parser) descend() *Error {
	if p.depth++; p.depth > maxRecursion {
		return tooDeep(p.token.at)
	}
	return nil
}

// condition = "if" condition "then" condition | disjunction [ "=>" condition ] .
func (p *parser) condition() (expression, *Error) {
	if err := p.descend(); err != nil {
		return nil, err
	}
	defer func() { p.depth-- }()
	arrow := "=>"
	var premise expression
	var err *Error
	if p.accept("if") {
		arrow = "then"
		premise, err = p.condition()
	} else {
		premise, err = p.junction(true)
	}
	if err != nil {
		return nil, err
	}
	if arrow == "=>" && !p.is(arrow) {
		return premise, nil
	}
	if err := p.expect(arrow); err != nil {
		return nil, err
	}
	conclusion, err := p.condition()
	return implication{premise, conclusion}, err
}

// disjunction = conjunction { "or" conjunction } .
// conjunction = factor { "and" factor } .
func (p *parser) junction(or bool) (expression, *Error) {
	word, part := "and", p.factor
	if or {
		word, part = "or", func() (expression, *Error) { return p.junction(false) }
	}
	first, err := part()
	if err != nil || !p.is(word) {
		return first, err
	}
	j := junction{or, []expression{first}}
	for p.accept(word) {
		next, err := part()
		if err != nil {
			return nil, err
		}
		j.terms = append(j.terms, next)
	}
	return j, nil
}

// factor = "not" factor | "(" condition ")" | comparison .
func (p *parser) factor() (expression, *Error) {
	switch {
	case p.accept("not"):
		if err := p.descend(); err != nil {
			return nil, err
		}
		defer func() { p.depth-- }()
		of, err := p.factor()
		return negation{of}, err
	case p.accept("("):
		c, err := p.condition()
		if err != nil {
			return nil, err
		}
		return c, p.expect(")")
	default:
		return p.comparison()
	}
}

var comparators = []string{"==", "!=", "<", "<=", ">", ">="}

// keywords cannot be where a field's name is expected.
var keywords = []string{"and", "or", "not", "if", "then", "in", "under"}

// comparison = field [ comparator value | [ "not" ] "in" set | [ "not" ] "under" ( value | set ) ] .
func (p *parser) comparison() (expression, *Error) {
	c := comparison{field: p.token}
	if p.bad != nil || p.token.kind != tokenWord || slices.Contains(keywords, p.token.text) {
		return nil, p.unexpected("a field")
	}
	p.advance()
	for _, sign := range comparators {
		if p.accept(sign) {
			c.operator = sign
			return c, p.value(&c.operands)
		}
	}
	c.negated = p.accept("not")
	switch {
	case p.accept("in"):
		c.operator = "in"
		return c, p.set(&c.operands)
	case p.accept("under"):
		c.operator = "under"
		if p.is("{") {
			return c, p.set(&c.operands)
		}
		return c, p.value(&c.operands)
	case c.negated:
		return nil, p.unexpected("in or under")
	}
	return c, nil
}

func (p *parser) value(to *[]operand) *Error {
	t, err := p.literal()
	*to = append(*to, operand{first: t})
	return err
}

func (p *parser) literal() (token, *Error) {
	t := p.token
	if p.bad != nil || t.kind != tokenWord && t.kind != tokenString {
		return t, p.unexpected("a value")
	}
	p.advance()
	return t, nil
}

// set = "{" element { "," element } [ "," ] "}" .
func (p *parser) set(to *[]operand) *Error {
	if err := p.expect("{"); err != nil {
		return err
	}
	for {
		if err := p.element(to); err != nil {
			return err
		}
		comma := p.accept(",")
		if p.accept("}") {
			return nil
		}
		if !comma {
			return p.unexpected(", or }")
		}
	}
}

// element = value [ ".." value ] .
func (p *parser) element(to *[]operand) *Error {
	first, err := p.literal()
	if err != nil {
		return err
	}
	o := operand{first: first}
	if p.accept("..") {
		if o.last, err = p.literal(); err != nil {
			return err
		}
	}
	if *to = append(*to, o); len(*to) > MaxSet {
		return fault(first.at, "a set has %d elements at most", MaxSet)
	}
	return nil
}
