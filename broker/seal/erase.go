package seal

import (
	"reflect"
	"unsafe"
)

// erase overwrites every number reachable from p, a pointer, through structs,
// arrays and pointers. It exists for the key objects of other packages, which
// offer no such method: their fields are not exported, but their memory can be
// written to. Slices, maps and functions are not followed, so that a table
// shared by many keys is safe; a test holds the libraries in use to that.
func erase(p any) { eraseValue(reflect.ValueOf(p)) }

func eraseValue(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			eraseValue(v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			eraseValue(v.Field(i))
		}
	case reflect.Array:
		if isNumber(v.Type().Elem().Kind()) {
			overwrite(v)
			return
		}
		for i := range v.Len() {
			eraseValue(v.Index(i))
		}
	default:
		if isNumber(v.Kind()) {
			overwrite(v)
		}
	}
}

func isNumber(k reflect.Kind) bool { return reflect.Bool <= k && k <= reflect.Complex128 }

func overwrite(v reflect.Value) {
	if v.CanAddr() {
		clear(unsafe.Slice((*byte)(v.Addr().UnsafePointer()), v.Type().Size()))
	}
}
