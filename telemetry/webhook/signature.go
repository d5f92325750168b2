package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// Headers of requests. The signature is "v1=" and the hexadecimal HMAC-SHA256 of the timestamp (in
// seconds since 1970), a full stop and the body.
const (
	HeaderID        = "Pyisolate-Delivery"
	HeaderTimestamp = "Pyisolate-Timestamp"
	HeaderSignature = "Pyisolate-Signature"
)

// ErrSignature: a request is not from who has the secret, or is too old.
var ErrSignature = errors.New("webhook: not a valid signature")

// Sign puts the signature of a body into the headers.
func Sign(h http.Header, key, body []byte, now time.Time) {
	at := strconv.FormatInt(now.Unix(), 10)
	h.Set(HeaderTimestamp, at)
	h.Set(HeaderSignature, "v1="+hex.EncodeToString(mac(key, at, body)))
}

// Verify is for receivers: it reports ErrSignature unless the body was signed with the key, less
// than within ago. Five minutes are usual. A receiver that keeps the ids of that time hears nothing
// twice.
func Verify(h http.Header, key, body []byte, now time.Time, within time.Duration) error {
	at := h.Get(HeaderTimestamp)
	seconds, err := strconv.ParseInt(at, 10, 64)
	if err != nil {
		return fmt.Errorf("%w: no timestamp", ErrSignature)
	}
	sent, err := hex.DecodeString(trimVersion(h.Get(HeaderSignature)))
	if err != nil || !hmac.Equal(sent, mac(key, at, body)) {
		return ErrSignature
	}
	if age := now.Sub(time.Unix(seconds, 0)); age > within || age < -within {
		return fmt.Errorf("%w: it is of %s", ErrSignature, time.Unix(seconds, 0).UTC())
	}
	return nil
}

func trimVersion(s string) string {
	const version = "v1="
	if len(s) < len(version) || s[:len(version)] != version {
		return "-" // no hexadecimal digit
	}
	return s[len(version):]
}

func mac(key []byte, at string, body []byte) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(at + "."))
	m.Write(body)
	return m.Sum(nil)
}
