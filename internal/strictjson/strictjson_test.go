package strictjson

import "testing"

func TestMarshal(t *testing.T) {
	for most, ok := range map[int]bool{8: true, 7: false} { // "<" is six bytes there
		if text, err := Marshal("<", most); (err == nil) != ok || ok && len(text) != most || !ok && text != nil {
			t.Errorf("%d at the most: %q, %v", most, text, err)
		}
	}
	if _, err := Marshal(func() {}, 100); err == nil {
		t.Error("a function is written")
	}
}

func TestUnmarshal(t *testing.T) {
	for text, ok := range map[string]bool{
		`{"a":1}`: true, "{\"a\":1}\n ": true, `{}`: true,
		`{"a":1,"b":2}`: false, `{"a":1}{"a":1}`: false, `{"a":1}]`: false, `{"a":"x"}`: false, `{"a":1`: false, ``: false,
	} {
		var v struct{ A int }
		if err := Unmarshal([]byte(text), &v); (err == nil) != ok {
			t.Errorf("%q: %v", text, err)
		}
	}
}
