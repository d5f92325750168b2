#!/bin/sh
# The plugin protoc calls: the version go.mod names.
exec go tool protoc-gen-go "$@"
