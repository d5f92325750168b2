package capability_test

import (
	"context"
	"fmt"
	"strings"

	"github.com/pyisolate/pyisolate/broker/capability"
)

// A capability of one's own: a name, a function, and a grant.
func Example() {
	greet := capability.Func(func(_ context.Context, call *capability.Call) (capability.Value, error) {
		var args struct {
			Name string `json:"name"`
		}
		if _, err := call.Arguments(&args); err != nil {
			return capability.Value{}, err
		}
		switch call.Action {
		case "hello":
			call.SetTarget(args.Name)
			return capability.JSONValue("hello, " + strings.ToUpper(args.Name))
		default:
			return capability.Value{}, call.UnknownAction("hello")
		}
	})

	broker := capability.New(capability.Config{})
	defer func() { _ = broker.Close(context.Background()) }()
	if err := broker.Register("greet", greet); err != nil {
		panic(err)
	}
	grants, err := capability.ParseGrants([]string{`greet={"rps": 5}`})
	if err != nil {
		panic(err)
	}
	session, err := broker.Open(capability.Identity{Tenant: "acme", Cell: "worker"}, capability.Policy{Version: 1, Grants: grants})
	if err != nil {
		panic(err)
	}
	defer session.Close()

	ask := func(name, action, payload string) {
		answer, err := session.Do(context.Background(), capability.Request{Capability: name, Action: action,
			Payload: capability.Value{Type: capability.JSON, Data: []byte(payload)}})
		fmt.Println(string(answer.Data), err)
	}
	ask("greet", "hello", `{"name": "ada"}`)
	ask("greet", "wave", `{}`)
	ask("fs.read", "get", `{"path": "/etc/passwd"}`)
	// Output:
	// "hello, ADA" <nil>
	//  Invalid: greet has no action "wave": use hello
	//  Denied: capability fs.read is not granted
}
