package cpython

// #include "cell.h"
import "C"
import "unsafe"

// globMatch is the gate's matcher, for the test that holds it to the policy's.
func globMatch(glob, path string, below bool) bool {
	return bool(C.glob_match(text(glob), C.size_t(len(glob)), text(path), C.size_t(len(path)), C.bool(below)))
}

func text(s string) *C.char { return (*C.char)(unsafe.Pointer(unsafe.StringData(s))) }
