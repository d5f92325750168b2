package policystore

import (
	"github.com/pyisolate/pyisolate/policystore/document"
)

// ValidateDocuments returns a [Config.Validate] that takes policy documents all of whose
// sandboxes compile, with the keys of plug-ins, nil for none. What it finds wrong is
// document.Problems.
func ValidateDocuments(keys *document.Keys) func(name string, text []byte) error {
	options := document.Options{Keys: keys}
	return func(name string, text []byte) error {
		d, err := document.Parse(name, text)
		if err != nil {
			return err
		}
		return d.Check(options)
	}
}
