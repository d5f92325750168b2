package landlock

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/kernel/internal/osthread"
	"github.com/pyisolate/pyisolate/kernel/policy"
)

func BenchmarkCompile(b *testing.B) {
	p := policy.Policy{Files: []policy.FileRule{{Path: "/usr", Access: policy.Read}, {Path: "/tmp", Access: policy.Write}}}
	for b.Loop() {
		if _, _, err := Compile(p, 7); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkCompileMany says what a rule costs among few, and among as many as a document may have: about the same.
func BenchmarkCompileMany(b *testing.B) {
	for _, rules := range []int{100, 10_000} {
		b.Run(fmt.Sprintf("%d", rules), func(b *testing.B) {
			p := policy.Policy{Files: []policy.FileRule{{Path: "/none", Access: policy.Read}}}
			for i := range rules - 1 {
				p.Files = append(p.Files, policy.FileRule{Path: fmt.Sprintf("/none/%d", i)})
			}
			for b.Loop() {
				if _, _, err := Compile(p, 7); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*rules), "ns/rule")
		})
	}
}

func BenchmarkOpenClose(b *testing.B) {
	path := b.TempDir() + "/file"
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		b.Fatal(err)
	}
	for _, with := range []bool{false, true} {
		b.Run(fmt.Sprintf("restricted=%v", with), func(b *testing.B) {
			loop := func() error {
				for b.Loop() {
					if err := openFor(path, unix.O_RDONLY); err != nil {
						return err
					}
				}
				return nil
			}
			if !with {
				if err := osthread.Run(loop); err != nil {
					b.Fatal(err)
				}
				return
			}
			restricted(b, policy.Policy{Files: []policy.FileRule{{Path: filepath.Dir(path), Access: policy.Read}}}, loop)
		})
	}
}

func BenchmarkRestrict(b *testing.B) {
	s, _, err := Compile(policy.Policy{Files: []policy.FileRule{{Path: "/usr", Access: policy.Read}}}, abiHere(b, 1))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := osthread.Run(s.Restrict); err != nil {
			b.Fatal(err)
		}
	}
}
