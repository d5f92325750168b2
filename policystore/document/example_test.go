package document_test

import (
	"fmt"
	"log"
	"net/netip"

	"github.com/pyisolate/pyisolate/policystore/document"
)

func Example() {
	d, err := document.Parse("etl.yml", []byte(`version: 1.0
defaults: {imports: [math]}
sandboxes:
  etl:
    imports: [json, csv]
    fs:
      - read: /srv/data
      - deny: /srv/data/private
    net:
      - connect: 10.0.0.0/8:443
`))
	if err != nil {
		log.Fatal(err)
	}
	c, err := d.Compile("", document.Options{})
	if err != nil {
		log.Fatal(err)
	}
	for _, r := range c.Policy.Files {
		fmt.Println(r.Access, r.Path)
	}
	v := c.Explain(document.Query{Address: netip.MustParseAddrPort("10.1.2.3:80")})
	fmt.Println(v.Allowed, v.Why)
	// Output:
	// r-- /srv/data
	// --- /srv/data/private
	// false no rule is about it
}

func ExampleProblem_Text() {
	_, err := document.Parse("etl.yml", []byte("version: 1.0\nsandboxes:\n  etl:\n    improts: [json]\n"))
	problems, _ := err.(document.Problems) //nolint:errorlint // Parse wraps no Problems
	fmt.Print(problems.Text())
	// Output:
	// etl.yml:4:5: a sandbox has no key "improts"
	//     4 |     improts: [json]
	//       |     ^
	//       = did you mean imports?
}
