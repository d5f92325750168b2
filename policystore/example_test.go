package policystore_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"

	"github.com/pyisolate/pyisolate/policystore"
)

// A store without configuration is a node by itself. Changes name who makes them, and can
// say which version they expect to replace.
func Example() {
	dir, err := os.MkdirTemp("", "policies")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	ctx := context.Background()
	store, err := policystore.Open(ctx, policystore.Config{Dir: dir})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = store.Close() }()
	watch, err := store.Watch(ctx, "", 0)
	if err != nil {
		log.Fatal(err)
	}

	ann := policystore.Principal{Name: "ann", Role: policystore.PolicyAdmin}
	put := func(module string, expect uint64) error {
		text := fmt.Sprintf("version: 1.0\nsandboxes:\n  etl:\n    imports: [%s]\n", module)
		_, err := store.Put(ctx, ann, policystore.PutRequest{Name: "etl", Text: []byte(text), Expect: &expect})
		return err
	}
	fmt.Println(put("json", 0), put("csv", 1))
	fmt.Println(errors.Is(put("math", 1), policystore.ErrConflict))
	if _, err := store.Rollback(ctx, ann, policystore.RollbackRequest{Name: "etl", To: 1, Comment: "csv broke it"}); err != nil {
		log.Fatal(err)
	}

	for range 3 {
		event, err := watch.Next(ctx)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s %d %q\n", event.Version.Name, event.Version.Number, event.Version.Source)
	}
	// Output:
	// <nil> <nil>
	// true
	// etl 1 ""
	// etl 2 ""
	// etl 3 "rollback:1"
}
