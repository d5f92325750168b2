package policystore

import (
	"errors"
	"fmt"

	"github.com/pyisolate/pyisolate/policystore/internal/wire"
)

// textUse is how many versions of a tenant have a text, and the text's size.
type textUse struct{ versions, size uint64 }

func (u textUse) encode() []byte {
	var w wire.Writer
	w.Uint(u.versions)
	w.Uint(u.size)
	return w.B
}

func decodeTextUse(b []byte) (textUse, error) {
	r := wire.NewReader(b)
	u := textUse{r.Uint(), r.Uint()}
	if err := r.Done(); err != nil {
		return u, err
	}
	if u.versions == 0 {
		return u, fmt.Errorf("%w: it is of no version", wire.ErrFormat)
	}
	return u, nil
}

// textKey is where a version's text is: once for each tenant.
func textKey(v Version) []byte { return tenantKey(NameTenant(v.Name), v.Hash[:]) }

func (t *transaction) textUse(key []byte) (textUse, error) {
	body, err := t.get(textUseBucket, key)
	if err != nil || body == nil {
		return textUse{}, err
	}
	u, err := decodeTextUse(body)
	if err != nil {
		return u, t.damage("use of text %x: %v", key, err)
	}
	return u, nil
}

// textNeeds is how many bytes the version's text adds to what its tenant has.
func (a *application) textNeeds(v Version) (uint64, error) {
	if a.action != PutPolicy {
		return 0, nil
	}
	u, err := a.textUse(textKey(v))
	if err != nil || u.versions > 0 {
		return 0, err
	}
	return uint64(len(a.text)), nil
}

// holdText counts a version's text once more, and stores it if it is new.
func (a *application) holdText(v Version) error {
	if v.Deleted {
		return nil
	}
	key := textKey(v)
	u, err := a.textUse(key)
	if err != nil {
		return err
	}
	if u.versions == 0 {
		u.size = uint64(len(a.text))
		err = errors.Join(
			a.put(textBucket, key, append([]byte(nil), a.text...)),
			a.use(NameTenant(v.Name), func(n *usage) { n.textBytes += u.size }))
	}
	u.versions++
	return errors.Join(err, a.put(textUseBucket, key, u.encode()))
}

// releaseText counts a version's text once less, and drops it with its last version.
func (t *transaction) releaseText(v Version) error {
	if v.Deleted {
		return nil
	}
	key := textKey(v)
	u, err := t.textUse(key)
	if err != nil {
		return err
	}
	if u.versions == 0 {
		return t.damage("text %x is of no version", v.Hash)
	}
	if u.versions--; u.versions > 0 {
		return t.put(textUseBucket, key, u.encode())
	}
	return errors.Join(
		t.remove(textUseBucket, key),
		t.remove(textBucket, key),
		t.use(NameTenant(v.Name), func(n *usage) { n.textBytes -= u.size }))
}
