module github.com/pyisolate/pyisolate

go 1.26.8
