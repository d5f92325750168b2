"""Builds the wheel and the source distribution, with the standard library alone.

A PEP 517 and PEP 660 backend. The same tree gives the same bytes: entries are sorted, and
their time is $SOURCE_DATE_EPOCH or the earliest that a zip file can have.
"""

import ast
import base64
import gzip
import hashlib
import io
import os
import re
import sys
import tarfile
import time
import zipfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PACKAGE = "pyisolate"
TAG = "py3-none-any"
_EARLIEST = 315532800  # 1980-01-01


def get_requires_for_build_wheel(config_settings=None):
    """Nothing."""
    return []


get_requires_for_build_sdist = get_requires_for_build_editable = get_requires_for_build_wheel


def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):
    """Writes the .dist-info directory that the wheel will have, without RECORD."""
    info = _info()
    os.makedirs(os.path.join(metadata_directory, info), exist_ok=True)
    for name, data in _metadata().items():
        with open(os.path.join(metadata_directory, info, name), "wb") as f:
            f.write(data)
    return info


prepare_metadata_for_build_editable = prepare_metadata_for_build_wheel


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    """Writes the wheel and returns its name."""
    return _wheel(wheel_directory, {name: _read(name) for name in _sources(PACKAGE)})


def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    """Writes a wheel that leads to this tree."""
    return _wheel(wheel_directory, {f"{PACKAGE}.pth": (ROOT + "\n").encode()})


def build_sdist(sdist_directory, config_settings=None):
    """Writes the source distribution and returns its name."""
    base = f"{PACKAGE}-{_version()}"
    names = [
        "LICENSE",
        "README.md",
        "pyproject.toml",
        *_sources("backend"),
        *_sources(PACKAGE),
        *_sources("tests"),
    ]
    files = {f"{base}/{name}": _read(name) for name in names}
    files[f"{base}/PKG-INFO"] = _metadata()["METADATA"]
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name in sorted(files):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime, entry.mode = len(files[name]), _time(), 0o644
            tar.addfile(entry, io.BytesIO(files[name]))
    name = base + ".tar.gz"
    with open(os.path.join(sdist_directory, name), "wb") as f:
        with gzip.GzipFile(filename="", fileobj=f, mode="wb", mtime=_time()) as z:
            z.write(packed.getvalue())
    return name


def _wheel(directory, files):
    info = _info()
    files = dict(files)
    files.update({f"{info}/{name}": data for name, data in _metadata().items()})
    lines = []
    for name in sorted(files):
        digest = base64.urlsafe_b64encode(hashlib.sha256(files[name]).digest()).rstrip(b"=").decode()
        lines.append(f"{name},sha256={digest},{len(files[name])}\n")
    files[f"{info}/RECORD"] = "".join([*lines, f"{info}/RECORD,,\n"]).encode()
    wheel = f"{PACKAGE}-{_version()}-{TAG}.whl"
    at = time.gmtime(_time())[:6]
    with zipfile.ZipFile(os.path.join(directory, wheel), "w", zipfile.ZIP_DEFLATED) as z:
        for name in sorted(files, key=lambda n: (n.startswith(info), n)):  # .dist-info comes last
            entry = zipfile.ZipInfo(name, at)
            entry.external_attr = 0o100644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            z.writestr(entry, files[name])
    return wheel


def _info():
    return f"{PACKAGE}-{_version()}.dist-info"


def _metadata():
    p = _project()
    head = [
        "Metadata-Version: 2.1",
        f"Name: {p['name']}",
        f"Version: {_version()}",
        f"Summary: {p['description']}",
        "License: MIT",
        f"Keywords: {','.join(p['keywords'])}",
        *(f"Classifier: {c}" for c in p["classifiers"]),
        f"Requires-Python: {p['requires-python']}",
        "Description-Content-Type: text/markdown",
        "License-File: LICENSE",
    ]
    return {
        "LICENSE": _read("LICENSE"),
        "METADATA": ("\n".join(head) + "\n\n").encode() + _read("README.md"),
        "WHEEL": f"Wheel-Version: 1.0\nGenerator: pyisolate_build\nRoot-Is-Purelib: true\nTag: {TAG}\n".encode(),
    }


def _project():
    """The texts and lists of texts of [project]: Python 3.9 and 3.10 have no reader of TOML."""
    section = re.search(r"^\[project\]\n(.*?)(?=^\[)", _read("pyproject.toml").decode(), re.M | re.S)
    found = re.findall(r'^([a-z-]+) = ("[^"\n]*"|\[[^\]]*\])$', section[1], re.M)
    return {key: ast.literal_eval(value) for key, value in found}


def _version():
    return re.search(r'^__version__ = "([^"]+)"$', _read(f"{PACKAGE}/__init__.py").decode(), re.M)[1]


def _sources(top):
    """Python files and the mark of types, relative to the root."""
    for directory, below, names in os.walk(os.path.join(ROOT, top)):
        below[:] = [d for d in below if d != "__pycache__"]
        for name in names:
            if name.endswith(".py") or name == "py.typed":
                yield os.path.relpath(os.path.join(directory, name), ROOT).replace(os.sep, "/")


def _read(name):
    with open(os.path.join(ROOT, name), "rb") as f:
        return f.read()


def _time():
    return max(int(os.environ.get("SOURCE_DATE_EPOCH", _EARLIEST)), _EARLIEST)


if __name__ == "__main__":
    os.makedirs(sys.argv[1], exist_ok=True)
    for build in (build_wheel, build_sdist):
        print(os.path.join(sys.argv[1], build(sys.argv[1])))
