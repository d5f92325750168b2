//go:build !amd64

package hostile

func inject(int, []call, *canaries) (answers, left []byte, err error) {
	return nil, nil, errNoTracer
}
