// Package document reads policy documents: what a team writes about what its cells may do.
// It is for whoever stores policies, checks them or puts cells under them; docs/policy.md
// describes the documents themselves.
//
// [Parse] takes strict YAML and gives an immutable [Document], or [Problems], each with its
// line and column. [Document.Compile] makes of one of its sandboxes what the layers below
// enforce, a [Compiled]: a kernel/policy.Policy, limits, imports and grants. Compiling
// follows `extends`, resolves deny against allow, and finds what cannot be enforced.
// [Compiled.Explain] judges one deed by the same rules and says which line decides; [Diff]
// compares two compiled sandboxes by the authority they give.
//
// Everything here is a pure function of its arguments: no file is opened, no name is looked
// up, no clock is read. Equal arguments give equal results on every node, so that a
// replicated state machine may call it. The package starts no goroutine. A Document and a
// Compiled may be used by several; a Compiled's fields are shared and must not be changed.
//
// A parser of untrusted text must end: a text has [MaxSize] bytes, 100,000 words and signs,
// [MaxDepth] levels and [MaxSandboxes] sandboxes at most, each map [MaxKeys] entries, each list
// and each sandbox [MaxRules]; and YAML's anchors and aliases are refused. Parsing or compiling any text takes a second or two at
// most, and a hundredth of that for those that people write.
//
// Compatibility: a document that one release takes, later ones take with the same meaning,
// and its [Document.Hash] stays. New keys may come. What is no YAML, and was taken for lack of a
// check, may be refused.
package document
