package pki

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"github.com/pyisolate/pyisolate/internal/durable"
)

const (
	keyBlock  = "PRIVATE KEY"
	certBlock = "CERTIFICATE"
	// maxFile is more than a file of ours has, by far.
	maxFile = 64 << 10
)

// save writes a key and certificates, in place of what was there.
func save(path string, key *ecdsa.PrivateKey, certs ...*x509.Certificate) error {
	text, err := encode(key, certs...)
	if err == nil {
		err = replace(path, text)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// encode is a key and certificates as decode reads them.
func encode(key *ecdsa.PrivateKey, certs ...*x509.Certificate) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode a key: %w", err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: keyBlock, Bytes: der})
	for _, c := range certs {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: certBlock, Bytes: c.Raw})...)
	}
	return text, nil
}

// replace makes text the content of a file, whole or not at all, with mode 0600. What a crash leaves
// behind has one name, and goes the next time.
func replace(path string, text []byte) (err error) {
	name := path + ".new"
	if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	temp, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(name)
		}
	}()
	_, err = temp.Write(text)
	if err = errors.Join(err, temp.Sync(), temp.Close()); err != nil {
		return err
	}
	if err = os.Rename(name, path); err != nil {
		return err
	}
	return durable.SyncDir(filepath.Dir(path))
}

// load reads what save wrote, with as many certificates as there must be.
func load(path string, certs int) (*ecdsa.PrivateKey, []*x509.Certificate, error) {
	text, err := read(path)
	if err != nil {
		return nil, nil, err
	}
	key, list, err := decode(text)
	if err == nil {
		err = belong(key, list, certs)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %s: %w", ErrFile, path, err)
	}
	return key, list, nil
}

// belong tells why a key and so many certificates are not what was written together.
func belong(key *ecdsa.PrivateKey, list []*x509.Certificate, certs int) error {
	if len(list) != certs {
		return fmt.Errorf("%d certificates, %d are right", len(list), certs)
	}
	if certs > 0 && !key.PublicKey.Equal(list[0].PublicKey) {
		return errors.New("key and certificate do not belong together")
	}
	return nil
}

func read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("%w: %s has mode %#o, others can read the key or change it; set 0600, and if it was so for long get another key", ErrFile, path, mode)
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid != 0 && int(st.Uid) != os.Geteuid() {
		return nil, fmt.Errorf("%w: %s belongs to user %d, who can read the key and change it; give it to the user of the node", ErrFile, path, st.Uid)
	}
	return io.ReadAll(io.LimitReader(f, maxFile))
}

// decode reads a key and the certificates after it.
func decode(text []byte) (*ecdsa.PrivateKey, []*x509.Certificate, error) {
	block, rest := pem.Decode(text)
	if block == nil || block.Type != keyBlock {
		return nil, nil, errors.New("it does not begin with a private key")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, nil, err
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return nil, nil, fmt.Errorf("its key is %T, ECDSA is right", parsed)
	}
	var certs []*x509.Certificate
	for {
		if block, rest = pem.Decode(rest); block == nil {
			return key, certs, nil
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, nil, err
		}
		certs = append(certs, c)
	}
}
