package document_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"pgregory.net/rapid"

	"github.com/pyisolate/pyisolate/policystore/document"
)

// validator judges by as much of JSON Schema as ours uses; a word it does not know is a
// failure.
type validator struct{ root map[string]any }

func (v validator) check(schema, value any, at string) error {
	if always, ok := schema.(bool); ok {
		if !always {
			return fmt.Errorf("%s is not allowed", at)
		}
		return nil
	}
	for word, want := range schema.(map[string]any) {
		if err := v.word(word, want, schema.(map[string]any), value, at); err != nil {
			return err
		}
	}
	return nil
}

func (v validator) word(word string, want any, schema map[string]any, value any, at string) error {
	text, isText := value.(string)
	number, isNumber := value.(float64)
	list, isList := value.([]any)
	object, isObject := value.(map[string]any)
	ok := true
	switch word {
	case "$schema", "$id", "$defs", "title", "description":
	case "$ref":
		return v.check(v.root["$defs"].(map[string]any)[strings.TrimPrefix(want.(string), "#/$defs/")], value, at)
	case "type":
		ok = false
		names, several := want.([]any)
		if !several {
			names = []any{want}
		}
		for _, name := range names {
			ok = ok || typeIs(name.(string), value)
		}
	case "enum":
		ok = false
		for _, one := range want.([]any) {
			ok = ok || reflect.DeepEqual(one, value)
		}
	case "const":
		ok = reflect.DeepEqual(want, value)
	case "pattern":
		ok = !isText || regexp.MustCompile(want.(string)).MatchString(text)
	case "minLength":
		ok = !isText || utf8.RuneCountInString(text) >= int(want.(float64))
	case "minimum":
		ok = !isNumber || number >= want.(float64)
	case "maximum":
		ok = !isNumber || number <= want.(float64)
	case "maxItems":
		ok = !isList || len(list) <= int(want.(float64))
	case "items":
		for i, item := range list {
			if err := v.check(want, item, fmt.Sprintf("%s[%d]", at, i)); err != nil {
				return err
			}
		}
	case "minProperties":
		ok = !isObject || len(object) >= int(want.(float64))
	case "maxProperties":
		ok = !isObject || len(object) <= int(want.(float64))
	case "required":
		for _, key := range want.([]any) {
			_, there := object[key.(string)]
			ok = ok && (!isObject || there)
		}
	case "propertyNames":
		for key := range object {
			if err := v.check(want, key, at+"/"+key); err != nil {
				return err
			}
		}
	case "properties", "patternProperties":
	case "additionalProperties":
		return v.properties(schema, object, at)
	case "not":
		ok = v.check(want, value, at) != nil
	case "oneOf":
		fits := 0
		for _, one := range want.([]any) {
			if v.check(one, value, at) == nil {
				fits++
			}
		}
		ok = fits == 1
	default:
		return fmt.Errorf("%s: the test does not know the word %s", at, word)
	}
	if !ok {
		return fmt.Errorf("%s is %v, against %s %v", at, value, word, want)
	}
	return nil
}

func (v validator) properties(schema, object map[string]any, at string) error {
	named, _ := schema["properties"].(map[string]any)
	patterns, _ := schema["patternProperties"].(map[string]any)
	for key, value := range object {
		sub, known := named[key]
		for pattern, s := range patterns {
			if !known && regexp.MustCompile(pattern).MatchString(key) {
				sub, known = s, true
			}
		}
		if !known {
			sub = schema["additionalProperties"]
		}
		if err := v.check(sub, value, at+"/"+key); err != nil {
			return err
		}
	}
	return nil
}

func typeIs(name string, value any) bool {
	switch v := value.(type) {
	case nil:
		return name == "null"
	case string:
		return name == "string"
	case float64:
		return name == "number" || (name == "integer" && v == float64(int64(v)))
	case []any:
		return name == "array"
	case map[string]any:
		return name == "object"
	}
	return false
}

// asJSON is a YAML text as an editor's validator sees it.
func asJSON(t interface{ Fatal(...any) }, text string) (value any) {
	var tree any
	if err := yaml.Unmarshal([]byte(text), &tree); err != nil {
		t.Fatal(err)
	}
	encoded, err := json.Marshal(tree)
	if err == nil {
		err = json.Unmarshal(encoded, &value)
	}
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func schemaOf(t testing.TB, k *document.Keys) validator {
	t.Helper()
	var root map[string]any
	if err := json.Unmarshal(k.Schema(), &root); err != nil {
		t.Fatal(err)
	}
	return validator{root}
}

// What is parsed fits the schema, and so does its canonical form.
func TestSchemaTakesWhatIsParsed(t *testing.T) {
	v := schemaOf(t, nil)
	files, err := filepath.Glob("../../policies/*.yml")
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	for _, file := range append(files, "testdata/full.yml") {
		text := readFile(t, file)
		for _, form := range []string{text, string(parse(t, text).Canonical())} {
			if err := v.check(v.root, asJSON(t, form), ""); err != nil {
				t.Errorf("%s: %v", file, err)
			}
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		text := drawDocument(t)
		if err := v.check(v.root, asJSON(t, text), ""); err != nil {
			t.Errorf("%s\n%v", text, err)
		}
	})
}

// Of what is broken the schema refuses what it can know.
func TestSchemaRefuses(t *testing.T) {
	v := schemaOf(t, nil)
	for _, name := range []string{"misspelt-key", "unknown-key", "key-at-the-top", "no-version", "no-sandboxes", "sandboxes-is-a-list", "not-a-map",
		"sizes", "durations", "windows", "choices", "restart", "paths", "rules", "capabilities-list", "imports", "sandbox-names", "defaults-extend", "octal", "legacy-in-one", "out-of-range"} {
		text, err := os.ReadFile("testdata/broken/" + name + ".yml")
		if err != nil {
			t.Fatal(err)
		}
		if err := v.check(v.root, asJSON(t, string(text)), ""); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}
