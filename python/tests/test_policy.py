"""Policies that are built, and stored on a real node."""

import dataclasses
import os
import tempfile
import unittest

from .support import Liar, NodeTestCase, ok, read_request
import pyisolate as iso
from pyisolate import policy

ETL = """version: 1.0
sandboxes:
  "cell":
    imports:
      - json
      - "a.b"
    fs:
      - {read: "/srv/data"}
      - {allow: "/srv/out"}
      - {write: "/srv/log"}
      - {deny: "/srv/**/.git"}
    net:
      - {connect: "10.0.0.0/8:443"}
      - {connect: "[2001:db8::/32]:443,8000-8100"}
      - {connect: "api.example.com:443"}
      - {connect: "192.0.2.1"}
      - {deny: "169.254.0.0/16"}
    backend: process
    mem: "256MiB"
    cpu: "500ms/1s"
    cpu_ms: 5000
    wall: "1500ms"
    output: "1GiB"
    files: 32
    children: 2
    capabilities:
      "http.fetch":
        hosts:
          - "api.example.com"
        rps: 5
      clock: {}
    contracts:
      - "connect.port in {443}"
"""


def etl():
    return (
        iso.Policy(
            iso.Import("json"),
            iso.ReadPath("/srv/data"),
            iso.AllowPath("/srv/out"),
            iso.WritePath("/srv/log"),
            iso.CpuBudget(5),
            iso.CpuBudget("500ms", per="1s"),
            iso.WallBudget(1.5),
            iso.OutputBudget(1 << 30),
            iso.Threads(2),
            iso.OpenFiles(32),
            iso.MemoryBudget(1 << 20),
            mem=256 << 20,
            backend="process",
        )
        .allow_import("a.b", "json")
        .deny_fs("/srv/**/.git")
        .allow_tcp("10.0.0.0/8", 443)
        .allow_tcp("2001:db8::/32", 443, "8000-8100")
        .allow_tcp("api.example.com", 443)
        .allow_tcp("192.0.2.1")
        .deny_tcp("169.254.0.0/16")
        .grant("http.fetch", hosts=["api.example.com"], rps=5)
        .grant("clock")
        .require("connect.port in {443}")
    )


class BuilderTest(unittest.TestCase):
    def test_document(self):
        self.assertEqual(etl().document(), ETL)
        self.assertEqual(iso.Policy().document("x"), 'version: 1.0\nsandboxes:\n  "x": {}\n')

    def test_it_never_changes(self):
        p = iso.Policy(iso.Import("json"))
        q = p.allow_fs("/srv")
        self.assertNotEqual(p, q)
        self.assertEqual(q, p + iso.ReadPath("/srv"))
        self.assertEqual(p, iso.Policy(iso.Import("json")))
        self.assertEqual(len({p, q, iso.Policy(iso.Import("json"))}), 2)

    def test_words_that_yaml_takes_for_others(self):
        text = iso.Policy(
            iso.Import("yes", "null", "n"), iso.ReadPath("/a: b", "/#x", '/"q"', "/ü", "/- x")
        ).document()
        for want in ('- "yes"', '- "null"', '- "n"', '"/a: b"', '"/#x"', '"/\\"q\\""', '"/ü"', '"/- x"'):
            self.assertIn(want, text)

    def test_bad(self):
        for make in (
            lambda: iso.ReadPath("relative"),
            lambda: iso.ReadPath(),
            lambda: iso.Policy("/srv"),
            lambda: iso.Policy(memory="1MiB"),
            lambda: iso.Policy(mem="1 MB"),
            lambda: iso.Policy(cpu="5s"),
            lambda: iso.Policy(imports=["json"]),
            lambda: iso.CpuBudget(0),
            lambda: iso.Policy.of_text("version: 1.0") + iso.Import("json"),
            lambda: iso.Policy().grant("kv", prefix=float("nan")).document(),
        ):
            with self.assertRaises(iso.Invalid):
                make()


class StoreTest(NodeTestCase):
    def test_the_node_accepts_what_is_built(self):
        stored = policy.put("builder/etl", etl())
        self.assertEqual((stored.name, stored.number, stored.deleted), ("builder/etl", 1, False))
        self.assertIn('"etl":', policy.get("builder/etl").text)
        self.assertEqual(policy.put("empty", iso.Policy()).number, 1)
        words = iso.Policy(iso.Import("math"), iso.ReadPath("/a: b", "/#x", '/"q"', "/ü", "/- x", "/yes"))
        self.assertEqual(policy.put("words", words).number, 1)

    def test_history(self):
        policy.put("h", iso.Policy(iso.Import("math")), comment="first", expect=0)
        policy.put("h", iso.Policy(iso.Import("json")), comment="second", expect=1)
        with self.assertRaises(iso.Conflict):
            policy.put("h", iso.Policy(), expect=1)
        policy.rollback("h", 1, comment="back")
        got = [(v.number, v.comment, v.source) for v in policy.history("h")]
        self.assertEqual(got, [(3, "back", "rollback:1"), (2, "second", ""), (1, "first", "")])
        self.assertEqual(policy.get("h").text, policy.get("h", 1).text)
        self.assertTrue(policy.delete("h").deleted)
        with self.assertRaises(iso.NotFound):
            policy.get("h")

    def test_a_document_of_its_own(self):
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as f:
            f.write("data")
            f.flush()
            p = iso.Policy(iso.Import("math"), iso.ReadPath(f.name), iso.MemoryBudget("16MiB"))
            with iso.spawn(policy=p) as sandbox:
                sandbox.exec(f"import math; post(open({f.name!r}).read())")
                self.assertEqual(sandbox.recv(timeout=5), "data")
                with self.assertRaises(iso.PolicyDenied):
                    sandbox.exec("import json")
                with self.assertRaises(iso.PolicyDenied) as caught:
                    sandbox.exec("open('/etc/passwd')")
                self.assertIn("/etc/passwd", str(caught.exception))

    def test_hot_reload(self):
        """A cell that runs gets, and loses, what a new version says."""
        with tempfile.TemporaryDirectory() as d:
            path = os.path.join(d, "hot.yml")
            sandbox = None
            for imports, allowed in (("[math]", False), ("[math, json]", True), ("[math]", False)):
                with open(path, "w", encoding="utf-8") as f:
                    f.write(f"version: 1.0\nsandboxes:\n  hot:\n    imports: {imports}\n")
                version = iso.policy.refresh(path)
                sandbox = sandbox or iso.spawn(policy="hot")
                until(lambda: sandbox.stats.policy.version == version.number)
                if allowed:
                    sandbox.exec("import json")
                else:
                    with self.assertRaises(iso.PolicyDenied):
                        sandbox.exec("import json")

    def test_problems(self):
        with self.assertRaises(iso.Invalid) as caught:
            policy.put("p", "version: 1.0\nsandboxes:\n  a:\n    improts: [json]\n")
        problem = caught.exception.problems[0]
        self.assertEqual((problem.line, problem.column), (4, 5))
        self.assertIn('no key "improts"', problem.message)
        self.assertIn("did you mean imports?", str(caught.exception))

    def test_tokens(self):
        """The token that is given is the one that is shown."""
        for token in ("pyi_nonsense", None):
            policy.set_policy_token("pyi_other" if token is None else None)
            try:
                with self.assertRaises(iso.Unauthenticated):
                    policy.put("p", iso.Policy(), token=token)
            finally:
                policy.set_policy_token(None)

    def test_a_token_is_not_for_other_nodes(self):
        asked = []

        def node(c):
            while request := read_request(c):
                asked.append(request)
                c.sendall(ok(b"{}"))

        with Liar(node) as liar, iso.Client(liar.path) as other:
            other.address = dataclasses.replace(other.address, token="pyi_of_the_other")
            policy.set_policy_token("pyi_of_the_default")
            try:
                policy.history("p", client=other)
                policy.history("p", token="pyi_said", client=other)
            finally:
                policy.set_policy_token(None)
        self.assertIn(b"Authorization: Bearer pyi_of_the_other\r\n", asked[0])
        self.assertIn(b"Authorization: Bearer pyi_said\r\n", asked[1])

    def test_refresh_remote(self):
        with self.assertRaises(iso.Invalid):
            policy.refresh_remote("https://example.invalid/p.yml", sha256="zz")
        with self.assertRaises((iso.SourceUnavailable, iso.Refused)):
            policy.refresh_remote("https://example.invalid/p.yml", sha256="00" * 32)

    def test_stored_sandboxes_and_versions(self):
        text = "version: 1.0\nsandboxes:\n  a: {imports: [math]}\n  b: {imports: [json]}\n"
        number = policy.put("both", text).number
        with iso.spawn(policy=f"both:b@{number}") as sandbox:
            sandbox.exec("import json")
            state = sandbox.stats.policy
            self.assertEqual((state.name, state.sandbox, state.version), ("both", "b", number))
        with iso.spawn(policy=iso.PolicyRef("both", "a"), allowed_imports=["math"]) as sandbox:
            sandbox.exec("import math")
        with self.assertRaises(iso.PolicyDenied):
            iso.spawn(policy="both:a", allowed_imports=["json"])
        with self.assertRaises(iso.NotFound):
            iso.spawn(policy="both:c")


def until(condition):
    """Waits for what nobody tells of, at most 10 s."""
    import time

    end = time.monotonic() + 10
    while not condition():
        if time.monotonic() > end:
            raise AssertionError("it did not come to that")
        time.sleep(0.005)


if __name__ == "__main__":
    unittest.main()
