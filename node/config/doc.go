// Package config reads the configuration of a node from its flags, the environment and a file,
// in this order of strength, for `pyisolate-node serve` and programs that embed a node alike.
//
// A setting has one name in all three places: drain-timeout in the file, --drain-timeout, and
// $PYISOLATE_DRAIN_TIMEOUT. [Settings] has them all. The file is YAML with these keys and no
// others: an unknown one is an error that names its line and what was meant.
//
// [Load] reports all that is wrong at once, each fault with where the value is from. What a
// [Loaded] shows of itself has no secrets.
//
// The package starts no goroutine.
package config
