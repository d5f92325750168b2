package config

import "testing"

func FuzzWebhooks(f *testing.F) {
	for _, seed := range []string{"", "- url: https://a.example.com\n", "- &a {url: x}\n- *a\n", "[{\"url\": 1}]", "null"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if hooks, err := parseWebhooks(text); err != nil && hooks != nil {
			t.Errorf("it gives %v, and %v", hooks, err)
		}
	})
}
