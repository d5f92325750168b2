"""A cluster for tests: nodes of their own, as processes, on loopback addresses of this process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import time
from typing import Any, Callable, Dict, List

from . import support  # noqa: F401  # the environment
import pyisolate as iso
from pyisolate import _node

LEASE = 3.0  # seconds; what has no node any more is free a little later
PATIENCE = 60.0  # seconds, for what takes one or two on a machine that does nothing else


def eventually(what: str, holds: Callable[[], Any]) -> Any:
    """What holds at last. Errors of a cluster that is busy with itself are waited for, too."""
    until, last = time.monotonic() + PATIENCE, None
    while time.monotonic() < until:
        try:
            if found := holds():
                return found
        except iso.PyIsolateError as error:
            last = error
        time.sleep(0.05)
    raise AssertionError(f"not within {PATIENCE:g} s: {what}; the last error was {last}")


class Cluster:
    """Nodes n1, n2, …, all of them voters. A context manager that ends them."""

    def __init__(self, size: int = 3) -> None:
        self._binary = _node.find()
        self._directory = tempfile.TemporaryDirectory(prefix="pyisolate-cluster-")
        self._nodes: Dict[str, _node.PrivateNode] = {}
        self.clients: Dict[str, iso.Client] = {}
        try:
            self._found()
            for i in range(2, size + 1):
                self._join(f"n{i}")
            eventually("all are there", self._whole)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "Cluster":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends all nodes, those first that do not lead: who is left has a majority for longer."""
        for client in self.clients.values():
            client.close()
        for name in sorted(self._nodes, reverse=True):
            self._nodes[name].close()
        self._directory.cleanup()

    @property
    def names(self) -> List[str]:
        """Of the nodes that run, in their order."""
        return sorted(self.clients)

    def others(self, *but: str) -> List[str]:
        """The nodes that run, without some."""
        return [n for n in self.names if n not in but]

    def kill(self, name: str) -> None:
        """As a machine without power: the node does nothing more, from now on."""
        self.clients.pop(name).close()
        os.kill(self._nodes[name].pid, signal.SIGKILL)
        self._nodes.pop(name).close()

    def run(self, *arguments: str, said: str = "", by: str = "n1") -> str:
        """What a command says that was asked of a node."""
        if by in self._nodes:
            arguments = (*arguments, "--socket", self._nodes[by].address.path)
        done = subprocess.run(
            [self._binary, *arguments], input=said, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, timeout=PATIENCE,
        )  # fmt: skip
        if done.returncode:
            raise AssertionError(f"{' '.join(arguments)}: status {done.returncode}: {done.stderr}")
        return done.stdout

    def _data(self, name: str) -> str:
        return os.path.join(self._directory.name, name)

    def _member(self, name: str) -> List[str]:
        """How a node is named to ``init`` and ``join``: of each process and node an address of its own."""
        pid = os.getpid()
        at = f"127.{1 + (pid >> 8) % 254}.{pid % 256}.{name[1:]}:7700"
        return ["--data", self._data(name), "--name", name, "--advertise", at]

    def _found(self) -> None:
        self.run("init", *self._member("n1"), by="")
        self._serve("n1")

    def _join(self, name: str) -> None:
        token = eventually("n1 invites", lambda: self._invite(name))
        self.run("cluster", "join", "-", *self._member(name), said=token, by="")
        self._serve(name)

    def _invite(self, name: str) -> str:
        try:
            return self.run("cluster", "invite", name)
        except AssertionError as error:  # it does not lead yet
            raise iso.Unavailable(str(error)) from None

    def _serve(self, name: str) -> None:
        flags = ["--data", self._data(name), "--cluster-lease", f"{LEASE:g}s", "--label", f"at={name}"]
        self._nodes[name] = node = _node.PrivateNode(flags)
        self.clients[name] = iso.Client._at(node.address)

    def _whole(self) -> bool:
        """Whether every node sees all of them alive, voting and with a lease, which cells need."""
        for name in self.names:
            members = [json.loads(line) for line in self.run("cluster", "members", "--json", by=name).splitlines()]
            if sum(m["state"] == "alive" and m["voter"] and m["session"] for m in members) != len(self.clients):
                return False
        return True
