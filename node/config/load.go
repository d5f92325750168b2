package config

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/knadh/koanf/providers/env/v2"
	fileprovider "github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/providers/posflag"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/pflag"

	"github.com/pyisolate/pyisolate/internal/near"
	"github.com/pyisolate/pyisolate/node"
)

// Sources say where a configuration is from. The zero value is the environment and the file
// that it names, or that is there by default.
type Sources struct {
	// File is a YAML file that must be there. Default: $PYISOLATE_CONFIG, or, if it is there,
	// [DefaultFile].
	File string
	// Flags of a command, of which those count that were given. See [AddFlags]. Nil: none.
	Flags *pflag.FlagSet
	// Environ is the environment. Nil: that of the process.
	Environ []string
	// Inherited are the configuration's own.
	Inherited []net.Listener
}

// Loaded is a configuration, and where it is from.
type Loaded struct {
	Node      node.Config
	LogFormat string // text or json
	LogLevel  slog.Level
	// File is that which was read; "": none.
	File string
	// Warnings are of what was found and has no meaning.
	Warnings []string

	webhooks string            // the file that they are from
	origins  map[string]string // by key; of what is not the default
}

// FileEnv names the variable that names the file.
const FileEnv = "PYISOLATE_CONFIG"

// DefaultFile is /etc/pyisolate/node.yml for root, and for others pyisolate/node.yml in
// $XDG_CONFIG_HOME or ~/.config; "" where there is no such place.
func DefaultFile() string {
	if os.Geteuid() == 0 {
		return "/etc/pyisolate/node.yml"
	}
	dir, err := os.UserConfigDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "pyisolate", "node.yml")
}

// AddFlags gives a command the flag of each setting.
func AddFlags(f *pflag.FlagSet) {
	for _, s := range Settings {
		switch s.Kind {
		case Switch:
			f.Bool(s.Key, false, s.Usage)
		case List:
			f.StringSlice(s.Key, nil, s.Usage)
		default:
			f.String(s.Key, "", s.Usage)
		}
	}
}

// Load reads a configuration and validates it. Its error has all that is wrong, joined. The
// configuration is of use without one only.
func Load(from Sources) (*Loaded, error) {
	l, problems := load(from)
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	return l, nil
}

func load(from Sources) (*Loaded, []error) {
	if from.Environ == nil {
		from.Environ = os.Environ()
	}
	l := &Loaded{Node: node.Config{Inherited: from.Inherited}, LogFormat: "text", origins: map[string]string{}}
	f, problems := l.chooseFile(from)
	layers, err := layersOf(from, f)
	if err != nil {
		return nil, append(problems, err)
	}
	problems = append(problems, f.problems...)
	problems = append(problems, l.take(layers)...)
	l.unknownVariables(from.Environ)
	for _, err := range unjoined(l.Node.Validate()) {
		var wrong *node.ConfigError
		if errors.As(err, &wrong) {
			err = fmt.Errorf("%s%w", l.origin(wrong.Key), err)
		}
		problems = append(problems, err)
	}
	return l, problems
}

// chooseFile finds the file to read; its path is "" where there is none.
func (l *Loaded) chooseFile(from Sources) (*file, []error) {
	f := &file{path: from.File, lines: map[string]int{}}
	if f.path == "" {
		f.path = lookUp(from.Environ, FileEnv)
	}
	if f.path == "" {
		byDefault := DefaultFile()
		if _, err := os.Stat(byDefault); byDefault == "" || errors.Is(err, fs.ErrNotExist) {
			return f, nil
		}
		f.path = byDefault
	}
	if err := trusted(f.path); err != nil {
		f.path = ""
		return f, []error{fmt.Errorf("configuration file: %w", err)}
	}
	l.File = f.path
	return f, nil
}

func lookUp(environ []string, name string) (value string) {
	for _, v := range environ {
		if text, is := strings.CutPrefix(v, name+"="); is {
			value = text
		}
	}
	return value
}

// layer is one source.
type layer struct {
	values *koanf.Koanf
	origin func(s *Setting) string
}

// layersOf reads all sources, the strongest first.
func layersOf(from Sources, f *file) ([]layer, error) {
	flags := layer{koanf.New("."), func(s *Setting) string { return "--" + s.Key }}
	variables := layer{koanf.New("."), func(s *Setting) string { return "$" + s.Env() }}
	written := layer{koanf.New("."), func(s *Setting) string { return fmt.Sprintf("%s:%d", f.path, f.lines[s.Key]) }}
	var err error
	if from.Flags != nil {
		err = flags.values.Load(posflag.ProviderWithFlag(from.Flags, ".", nil, func(p *pflag.Flag) (string, any) {
			if named(p.Name) == nil || !p.Changed {
				return "", nil
			}
			return p.Name, posflag.FlagVal(from.Flags, p)
		}), nil)
	}
	err = errors.Join(err, variables.values.Load(env.Provider(".", env.Opt{Prefix: EnvPrefix, TransformFunc: variable,
		EnvironFunc: func() []string { return from.Environ }}), nil))
	if f.path != "" {
		err = errors.Join(err, written.values.Load(fileprovider.Provider(f.path), f))
	}
	return []layer{flags, variables, written}, err
}

// variable is the setting and the value of an environment variable; "" if it is of none. An
// empty one is none, as everywhere.
func variable(name, value string) (string, any) {
	key := strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(name, EnvPrefix), "_", "-"))
	s := named(key)
	if s == nil || value == "" {
		return "", nil
	}
	if s.Kind == List {
		return key, strings.FieldsFunc(value, func(r rune) bool { return r == ',' || r == ' ' && !s.spaced })
	}
	return key, value
}

// take sets each setting by the strongest source that has it.
func (l *Loaded) take(layers []layer) (problems []error) {
	for i := range Settings {
		s := &Settings[i]
		at := slices.IndexFunc(layers, func(one layer) bool { return one.values.Exists(s.Key) })
		if at < 0 {
			continue
		}
		values := layers[at].values.Strings(s.Key)
		if s.Kind != List {
			values = []string{layers[at].values.String(s.Key)}
		}
		l.origins[s.Key] = layers[at].origin(s)
		if err := s.set(l, values); err != nil {
			problems = append(problems, fmt.Errorf("%s%s: %w", l.origin(s.Key), s.Key, err))
		}
	}
	return problems
}

// origin is where a setting's value is from, as the beginning of a message; "" by default.
func (l *Loaded) origin(key string) string {
	from := l.origins[key]
	switch from {
	case "":
		return ""
	case "--" + key: // the key follows
		return "--"
	}
	return from + ": "
}

// otherVariables have the prefix and are read elsewhere.
var otherVariables = []string{FileEnv, "PYISOLATE_TOKEN", "PYISOLATE_TOKEN_FILE", "PYISOLATE_SERVER", "PYISOLATE_CA", "PYISOLATE_CONTEXT", "PYISOLATE_CACHE", "PYISOLATE_NOGIL_SAFE_MODULES"}

// unknownVariables warns of those that look like a setting's and are none.
func (l *Loaded) unknownVariables(environ []string) {
	known := slices.Clone(otherVariables)
	for _, s := range Settings {
		known = append(known, s.Env())
	}
	for _, v := range environ {
		name, _, _ := strings.Cut(v, "=")
		if !strings.HasPrefix(name, EnvPrefix) || slices.Contains(known, name) {
			continue
		}
		if meant := near.Name(name, known); meant != "" {
			l.Warnings = append(l.Warnings, fmt.Sprintf("the variable %s has no meaning; did you mean %s?", name, meant))
		}
	}
	slices.Sort(l.Warnings)
}

func unjoined(err error) []error {
	if all, ok := err.(interface{ Unwrap() []error }); ok {
		return all.Unwrap()
	}
	if err != nil {
		return []error{err}
	}
	return nil
}
