// Package policies has the policy documents that come with PyIsolate, as starting points for
// your own, and their JSON Schema for editors. docs/policy-templates.md shows each with what
// it permits and refuses; cases/ has that as data, and a test holds the documents to it.
package policies
