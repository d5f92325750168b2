package document

import (
	"bytes"
	"encoding/json"
)

// schema is a JSON Schema.
type schema = map[string]any

// SchemaID names the schema of documents. Nothing is served there.
const SchemaID = "https://pyisolate.dev/schemas/policy-1.0.json"

// Schema is a JSON Schema (draft 2020-12) of documents of version 1.0, for editors. It is
// made of the types that read them. What it takes may still be refused: it knows no cycles
// and little of globs, contracts and capabilities.
func Schema() []byte { return (*Keys)(nil).Schema() }

// Schema is that of documents with these plug-ins' keys.
func (k *Keys) Schema() []byte {
	properties := schema{"extends": described("the sandbox that this one adds to", schema{"type": "string", "pattern": sandboxRE.String()})}
	for _, key := range keys {
		properties[key.name] = described(key.text(), key.of(&sandbox{}).schema(key))
	}
	body := schema{"type": "object", "additionalProperties": false, "properties": properties,
		"patternProperties": schema{"^" + extraPrefix: true}}
	if k != nil {
		for _, name := range k.Names() {
			if text := k.all[name].Schema(); text != nil {
				properties[extraPrefix+name] = text
			}
		}
		body["patternProperties"] = schema{}
	}
	root := schema{
		"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": SchemaID,
		"title": "PyIsolate policy document", "type": "object", "additionalProperties": false,
		"required": []string{keyVersion, keySandboxes},
		"properties": schema{
			keyVersion:  schema{"enum": []any{json.Number("1.0"), Version10}},
			keyDefaults: described("keys that every sandbox starts with", schema{"$ref": "#/$defs/sandbox", "not": schema{"required": []string{"extends"}}}),
			keySandboxes: schema{"type": "object", "minProperties": 1, "maxProperties": MaxSandboxes,
				"propertyNames": schema{"pattern": sandboxRE.String()}, "additionalProperties": schema{"$ref": "#/$defs/sandbox"}},
		},
		"$defs": schema{"sandbox": body},
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(root); err != nil {
		return nil // a plug-in's schema that is no JSON
	}
	return b.Bytes()
}

// text is a key's documentation in a sentence.
func (k *key) text() string {
	return k.doc + ". Default: " + k.fallback + ". Enforced by: " + k.layer + "."
}

func described(text string, s schema) schema {
	s["description"] = text
	return s
}

// oneOrMore is a value or a list of such.
func oneOrMore(s schema) schema {
	return schema{"oneOf": []any{s, schema{"type": "array", "items": s}}}
}

func (l *imports) schema(k *key) schema {
	s := oneOrMore(schema{"type": "string", "pattern": moduleRE.String()})
	s["maxItems"] = k.most
	return s
}

// rulesSchema is a list of maps from verbs to texts.
func rulesSchema(text schema, verbs ...string) schema {
	properties := schema{}
	for _, verb := range verbs {
		properties[verb] = oneOrMore(text)
	}
	return schema{"type": "array", "items": schema{"type": "object", "minProperties": 1, "additionalProperties": false, "properties": properties}}
}

func (f *fileRules) schema(*key) schema {
	return rulesSchema(schema{"type": "string", "pattern": `^/[^\[\]{}\\]*$`}, "allow", "read", "write", "deny")
}

func (l *netRules) schema(*key) schema {
	return rulesSchema(schema{"type": "string", "minLength": 1}, verbConnect, verbDeny)
}

func (w *word) schema(k *key) schema { return schema{"enum": k.choices} }

func (c *count) schema(k *key) schema {
	return schema{"type": "integer", "minimum": k.least, "maximum": k.most}
}

func (s *size) schema(*key) schema {
	return schema{"type": "string", "pattern": `^[0-9]+(\.[0-9]+)?([kMGT]|[KMGT]i)?B$`}
}

func (v *rate) schema(*key) schema {
	return schema{"type": "string", "pattern": `^[0-9]+(\.[0-9]+)?([kMGT]|[KMGT]i)?B/s$`}
}

const durationPattern = `([0-9]+(\.[0-9]+)?(ns|us|ms|s|m|h))+`

func (d *duration) schema(*key) schema {
	return schema{"type": "string", "pattern": "^" + durationPattern + "$"}
}

func (b *budget) schema(*key) schema {
	return schema{"type": "string", "pattern": "^" + durationPattern + "/" + durationPattern + "$"}
}

func (p *placement) schema(k *key) schema {
	return schema{"oneOf": []any{schema{"const": "auto"}, schema{"type": "integer", "minimum": k.least, "maximum": k.most}}}
}

func (g *grants) schema(*key) schema {
	return schema{"type": "object", "propertyNames": schema{"pattern": `^[a-z][a-z0-9_-]*(\.[a-z][a-z0-9_-]*)*$`},
		"additionalProperties": schema{"type": []string{"object", "array", "string", "null"}}}
}

func (c *contracts) schema(*key) schema { return oneOrMore(schema{"type": "string"}) }

func (s *restart) schema(*key) schema { return mapSchema(restartKeys) }

func (s *checkpoint) schema(*key) schema { return mapSchema(checkpointKeys) }

// mapSchema is of a map of durations, counts and words.
func mapSchema(keys []*key) schema {
	properties := schema{}
	for _, k := range keys {
		var f field = &duration{}
		switch {
		case k.choices != nil:
			f = &word{}
		case k.most <= 1_000_000_000:
			f = &count{}
		}
		properties[k.name] = described(k.doc, f.schema(k))
	}
	return schema{"type": "object", "additionalProperties": false, "properties": properties}
}
