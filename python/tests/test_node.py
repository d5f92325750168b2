"""Which node is called, and the private one: how it starts and how it ends."""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from unittest import mock

from . import support  # noqa: F401
import pyisolate as iso
from pyisolate import _address, _calls, _context, _node, aio

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


@contextlib.contextmanager
def environment(**values):
    """The environment without ours, and with these."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("PYISOLATE_")}
    with mock.patch.dict(os.environ, {**clean, **values}, clear=True):
        yield


def contexts(directory, text, mode=0o600):
    os.makedirs(os.path.join(directory, "pyisolate"), exist_ok=True)
    path = os.path.join(directory, "pyisolate", "contexts.yml")
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    os.chmod(path, mode)
    return path


TWO = """current: prod
contexts:
- name: local
  server: "unix:///run/a b/x#y.sock"
  token-file: {tokens}
- name: prod
  server: https://node.example.com:7443
  ca: /etc/ca.pem
  token: pyi_abc
"""


class AddressTest(unittest.TestCase):
    def test_parse(self):
        for text, want in {
            "/run/s": _address.Address(path="/run/s"),
            "unix:///run/s": _address.Address(path="/run/s"),
            "http://127.0.0.1:80": _address.Address(host="127.0.0.1", port=80),
            "http://[::1]:8080": _address.Address(host="::1", port=8080),
            "https://node.example.com:7443/": _address.Address(host="node.example.com", port=7443, tls=True),
        }.items():
            got = _address.parse(text)
            self.assertEqual(got, want)
            self.assertEqual(_address.parse(str(got)), want)

    def test_bad(self):
        for text in (
            "", "node", "ftp://x:1", "http://example.com:80", "https://x", "https://u@x:1", "https://x:1/p", "https://x:99999",
            "unix://x", "/" + "x" * 107, "https://x:1?q", "http://[::1:80",
        ):  # fmt: skip
            with self.subTest(text), self.assertRaises(iso.Invalid):
                _address.parse(text)

    def test_order(self):
        with tempfile.TemporaryDirectory() as d, environment(XDG_CONFIG_HOME=d, XDG_RUNTIME_DIR=d):
            tokens = os.path.join(d, "token")
            with open(tokens, "w", encoding="ascii") as f:
                f.write("pyi_file\n")
            with mock.patch.object(_address.os, "geteuid", lambda: 1):
                self.assertIsNone(_address.resolve(None, None))
            contexts(d, TWO.format(tokens=tokens))
            got = _address.resolve(None, None)
            self.assertEqual(
                (str(got), got.token, got.ca), ("https://node.example.com:7443", "pyi_abc", "/etc/ca.pem")
            )
            os.environ["PYISOLATE_CONTEXT"] = "local"
            got = _address.resolve(None, None)
            self.assertEqual((got.path, got.token), ("/run/a b/x#y.sock", "pyi_file"))
            os.environ["PYISOLATE_SOCKET"] = "/run/socket"
            self.assertEqual(_address.resolve(None, None).path, "/run/socket")
            os.environ["PYISOLATE_SERVER"] = "unix:///run/server"
            self.assertEqual(_address.resolve(None, None).path, "/run/server")
            self.assertEqual(_address.resolve("/run/argument", None).path, "/run/argument")
            for connect in (iso.connect, iso.Client, aio.Client):
                with self.assertRaisesRegex(iso.Invalid, "server ''"):
                    connect("")  # as of a variable that has no value
            os.environ["PYISOLATE_TOKEN_FILE"] = tokens
            self.assertEqual(_address.resolve(None, None).token, "pyi_file")
            os.environ["PYISOLATE_TOKEN"] = "pyi_env"
            self.assertEqual(_address.resolve(None, None).token, "pyi_env")
            self.assertEqual(_address.resolve(None, "pyi_arg").token, "pyi_arg")
            with self.assertRaises(iso.NotFound):
                os.environ.update(PYISOLATE_CONTEXT="other", PYISOLATE_SERVER="", PYISOLATE_SOCKET="")
                _address.resolve(None, None)

    def test_a_file_of_contexts_that_others_can_read(self):
        with tempfile.TemporaryDirectory() as d, environment(XDG_CONFIG_HOME=d):
            contexts(d, TWO, 0o644)
            with self.assertRaisesRegex(iso.Invalid, "chmod 0600"):
                _context.current()

    def test_contexts_that_are_not_the_command_lines(self):
        for text in (
            "contexts: {a: b}", "current: *x", "contexts:\n- name: &a x", "other: 1", "contexts:\n  name: x", "a", "- [",
            "contexts:\n- name: a", "current: 'x", 'current: "x', "current: a # b", "contexts:\n- name: a\n  server: |", "\tcurrent: a",
        ):  # fmt: skip
            with self.subTest(text), self.assertRaises(iso.Invalid):
                _context._parse("f", text)
        self.assertEqual(_context._parse("f", "contexts: []\n"), ("", []))
        self.assertEqual(_context._parse("f", "# x\ncurrent: 'it''s'\n"), ("it's", []))

    def test_what_the_command_line_writes_is_read(self):
        binary = os.environ.get("PYISOLATE_NODE")
        if not binary:
            self.skipTest("$PYISOLATE_NODE is not set")
        with tempfile.TemporaryDirectory() as d, environment(XDG_CONFIG_HOME=d):
            for name, server in (
                ("a", "unix:///run/a: b#'\"ü.sock"),
                ("b.c-d", "http://127.0.0.1:80"),
                ("yes", "https://[::1]:7443"),
            ):
                subprocess.run([binary, "context", "add", name, "--server", server], check=True)
                self.assertEqual(_context.named(name)["server"], server)
            self.assertEqual(_context.current()["name"], "a")


class ClientTest(unittest.TestCase):
    def test_what_is_no_client(self):
        """Is said before anything is started, also where it is an address."""
        address = _address.parse("unix:///x")
        blocking, awaited = iso.Client("unix:///x"), aio.Client("unix:///x")
        policy = iso.Policy()

        async def events(client):
            async for _ in aio.events(client=client):
                pass

        for bad in ("unix:///x", "", 5, address, awaited):
            for do in (
                iso.spawn, iso.RestrictedExec, iso.list_active, iso.events, iso.nodes, iso.stats, iso.checkpoints,
                iso.Supervisor, iso.Pipeline, lambda client: iso.attach("a", client=client),
                lambda client: iso.publish("t", 1, client=client), lambda client: iso.restore("c", "a", client=client),
                lambda client: iso.delete_checkpoint("c", client=client), lambda client: iso.sandbox(client=client)(contexts),
                lambda client: iso.export_checkpoint("c", "f", client=client),
                lambda client: iso.import_checkpoint(__file__, client=client),
                lambda client: iso.policy.put("p", policy, client=client),
            ):  # fmt: skip
                with self.subTest(repr(bad)), self.assertRaisesRegex(iso.Invalid, r"client is what pyisolate\.connect"):
                    do(client=bad)
        for bad in ("unix:///x", address, blocking):
            for do in (
                aio.list_active, events, aio.nodes, aio.stats, aio.checkpoints,
                lambda client: aio.attach("a", client=client), lambda client: aio.publish("t", 1, client=client),
                lambda client: aio.delete_checkpoint("c", client=client),
                lambda client: aio.export_checkpoint("c", "f", client=client),
                lambda client: aio.import_checkpoint(__file__, client=client),
            ):  # fmt: skip
                with self.subTest(repr(bad)), self.assertRaisesRegex(iso.Invalid, r"pyisolate\.aio\.connect"):
                    asyncio.run(do(client=bad))
            for do in (
                aio.spawn,
                lambda client: aio.restore("c", client=client),
                lambda client: aio.sandbox(client=client)(contexts),
            ):
                with self.subTest(repr(bad)), self.assertRaisesRegex(iso.Invalid, r"pyisolate\.aio\.connect"):
                    do(client=bad)


class FindTest(unittest.TestCase):
    def test_missing(self):
        with tempfile.TemporaryDirectory() as d, environment(PATH=d, GOBIN=d, GOPATH=d, HOME=d):
            with mock.patch.object(_node, "__file__", os.path.join(d, "a", "b", "c.py")), mock.patch.object(
                sys, "executable", d
            ):
                with self.assertRaises(iso.NodeMissing) as caught:
                    _node.find()
                for want in ("make build", "go install", "PYISOLATE_NODE", "PYISOLATE_SERVER"):
                    self.assertIn(want, str(caught.exception))
                os.environ["PYISOLATE_NODE"] = "/no/such"
                with self.assertRaisesRegex(iso.NodeMissing, "which is no program"):
                    _node.find()

    def test_gobin(self):
        with tempfile.TemporaryDirectory() as d, environment(PATH="/nowhere", GOBIN=d):
            path = os.path.join(d, "pyisolate-node")
            with open(path, "w", encoding="ascii") as f:
                f.write("#!/bin/sh\n")
            os.chmod(path, 0o755)
            with mock.patch.object(_node, "__file__", "/nowhere/b/c.py"), mock.patch.object(
                sys, "executable", ""
            ):
                self.assertEqual(_node.find(), path)

    def test_a_program_that_is_no_node(self):
        for script, want in (
            ("echo 'no such flag' >&2; exit 2", "status 2.*no such flag"),
            ("exec 1>&-; sleep 0; exit 0", "status 0"),
        ):
            with tempfile.TemporaryDirectory() as d, environment(
                PYISOLATE_NODE=os.path.join(d, "n"), TMPDIR=d
            ):
                with open(os.path.join(d, "n"), "w", encoding="ascii") as f:
                    f.write(f"#!/bin/sh\n{script}\n")
                os.chmod(os.path.join(d, "n"), 0o755)
                with mock.patch.object(tempfile, "tempdir", d), self.assertRaisesRegex(
                    iso.Unavailable, f"(?s){want}"
                ):
                    _node.PrivateNode()
                self.assertEqual(os.listdir(d), ["n"], "nothing is left")


class NetworkTest(unittest.TestCase):
    """Over TCP with TLS, as a user who is not the node's."""

    def setUp(self):
        if shutil.which("openssl") is None:
            self.skipTest("there is no openssl to make a certificate")
        pid = os.getpid()
        at = f"127.{1 + (pid >> 8) % 254}.{pid % 256}.1"  # this process's: a free port may be another's a moment later
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.cert, self.key = (os.path.join(directory.name, n) for n in ("node.crt", "node.key"))
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
             "/CN=localhost", "-addext", f"subjectAltName=DNS:localhost,IP:{at}", "-keyout", self.key, "-out", self.cert],
            check=True, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.chmod(self.key, 0o600)
        self.server = f"https://{at}:7443"
        self.node = _node.PrivateNode(
            ["--listen", self.server, "--tls-cert", self.cert, "--tls-key", self.key]
        )
        self.addCleanup(self.node.close)
        self.local = iso.Client._at(self.node.address)
        self.addCleanup(self.local.close)

    def token(self):
        """A token of an operator."""
        create = _calls.Call(
            "PolicyService/CreateToken",
            {"name": "ci", "role": "operator"},
            lambda d: d["secret"],
            repeatable=False,
        )
        return self.local.do(create)

    def test_tls_and_token(self):
        with environment(PYISOLATE_CA=self.cert):
            with iso.Client(self.server, token=self.token()) as client, iso.spawn(
                "far", client=client
            ) as sandbox:
                sandbox.exec("post(1)")
                self.assertEqual(sandbox.recv(timeout=5), 1)
                with sandbox.logs(follow=True) as logs:
                    sandbox.exec("print('hello')")
                    self.assertEqual(logs.next(5).message, "hello")
                    with self.assertRaises(iso.Timeout):
                        logs.next(0.05)
                with self.assertRaises(iso.PolicyAuth):
                    iso.policy.put("p", iso.Policy(), client=client)

            async def main():
                async with aio.Client(self.server, token=self.token()) as client, aio.spawn(
                    client=client
                ) as sandbox:
                    await sandbox.exec("post(2)")
                    return await sandbox.recv(5)

            self.assertEqual(asyncio.run(main()), 2)
            for token in (None, "pyi_nonsense"):
                with iso.Client(self.server, token=token) as client, self.assertRaises(iso.Unauthenticated):
                    iso.nodes(client=client)

    def test_a_certificate_that_nobody_vouches_for(self):
        with environment(), iso.Client(self.server, token=self.token()) as client:
            with self.assertRaises(iso.Unavailable) as caught:
                iso.nodes(client=client)
        self.assertIn("PYISOLATE_CA", str(caught.exception))


PROGRAM = """
import os, sys, pyisolate as iso
from pyisolate import _node
sandbox = iso.spawn("one")
print(_node.private().pid, _node.private().directory, flush=True)
%s
"""


class LifeTest(unittest.TestCase):
    def program(self, end):
        env = {**os.environ, "PYTHONPATH": ROOT}
        p = subprocess.Popen(
            [sys.executable, "-c", PROGRAM % end],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=env,
            text=True,
        )
        self.addCleanup(lambda: (p.kill(), p.wait(), p.stdin.close(), p.stdout.close()))
        line = p.stdout.readline().split()
        if not line:
            self.skipTest("no node could be started")
        return p, int(line[0]), line[1]

    def gone(self, pid):
        """The node ends, in 10 s at most."""
        end = time.monotonic() + 10
        while time.monotonic() < end:
            try:
                with open(f"/proc/{pid}/stat", encoding="ascii") as f:
                    if f.read().rpartition(")")[2].split()[0] == "Z":
                        return True
            except (FileNotFoundError, ProcessLookupError):
                return True
            time.sleep(0.02)
        return False

    def test_it_ends_with_the_program(self):
        for end, status in (
            ("", 0),
            ("sys.exit(3)", 3),
            ("raise SystemExit(1)", 1),
            ("os.kill(os.getpid(), 15)", -15),
            ("sandbox.close()", 0),
        ):
            with self.subTest(end):
                p, pid, directory = self.program(end)
                self.assertEqual(p.wait(30), status)
                self.assertTrue(self.gone(pid), "the node is still there")
                if status >= 0:
                    self.assertFalse(os.path.exists(directory), "its directory is still there")

    def test_it_ends_when_the_program_is_killed(self):
        p, pid, directory = self.program("sys.stdin.read()")
        self.assertEqual(os.stat(directory).st_mode & 0o777, 0o700)
        p.send_signal(signal.SIGKILL)
        p.wait(10)
        self.assertTrue(self.gone(pid), "the node is still there")
        # What it has left is removed by a later program, not while a node may be starting.
        lock = os.path.join(directory, "data", "lock")
        _node._sweep()
        self.assertTrue(os.path.exists(directory))
        os.utime(lock, (0, 0))
        _node._sweep()
        self.assertFalse(os.path.exists(directory))

    def test_what_is_left_where_paths_are_short(self):
        """Where a program's directory for files is too long for a socket, the node's is in /tmp."""
        with tempfile.TemporaryDirectory() as base:
            long = os.path.join(base, "x" * 100)
            os.mkdir(long)
            with mock.patch.object(tempfile, "tempdir", long):
                left = _node._directory()
                os.utime(left, (0, 0))
                _node._sweep()
        self.assertFalse(os.path.exists(left))

    def test_a_childs_end_is_not_the_nodes(self):
        p, pid, _ = self.program(
            "if os.fork() == 0: sys.exit(0)\nos.wait(); sandbox.exec('post(1)'); sys.exit(sandbox.recv() + 41)"
        )
        self.assertEqual(p.wait(30), 42)
        self.assertTrue(self.gone(pid))

    def test_a_child_that_stays(self):
        """It keeps the node neither from ending with its parent, nor from ending at once."""
        fork = "if os.fork() == 0: sys.stdin.read(); os._exit(0)\n"
        for end, status in (
            ("node = _node.private(); node.close(); sys.exit(node._process.returncode == -9)", 0),
            ("os.kill(os.getpid(), 9)", -9),
        ):
            with self.subTest(end):
                p, pid, _ = self.program(fork + end)
                self.assertEqual(p.wait(30), status)
                self.assertTrue(self.gone(pid), "the node is still there")
                p.stdin.close()  # the child ends

    def test_a_node_that_died_is_started_anew(self):
        p, pid, _ = self.program(
            "node = _node.private(); node._process.kill(); node._process.wait()\n"
            "try: sandbox.exec('')\nexcept iso.Unavailable as e: print(e, flush=True)\n"
            "iso.spawn('two').exec('post(1)'); print(_node.private().pid, flush=True)"
        )
        self.assertIn("no node is running at", p.stdout.readline())
        self.assertNotEqual(int(p.stdout.readline()), pid)
        self.assertEqual(p.wait(30), 0)


if __name__ == "__main__":
    unittest.main()
