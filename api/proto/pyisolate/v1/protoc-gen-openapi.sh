#!/bin/sh
# The plugin protoc calls for the OpenAPI document.
exec go run github.com/pyisolate/pyisolate/api/openapi/generate "$@"
