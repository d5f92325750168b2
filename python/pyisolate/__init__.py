"""Runs Python that you do not trust in the cells of a PyIsolate node.

::

    import pyisolate as iso

    with iso.spawn("demo", allowed_imports=["math"]) as sandbox:
        sandbox.exec("from math import sqrt; post(sqrt(2))")
        print(sandbox.recv())  # 1.4142135623730951

docs/python.md tells the rest. :mod:`pyisolate.aio` has the same for asyncio.
"""

from . import errors, policy
from ._authority import (
    AllowPath,
    Authority,
    Capability,
    ConnectTCP,
    Contract,
    CpuBudget,
    DenyPath,
    DenyTCP,
    Import,
    MemoryBudget,
    OpenFiles,
    OutputBudget,
    ReadPath,
    Threads,
    WallBudget,
    WritePath,
)
from ._calls import Checkpointing, Placement, PolicyRef
from ._client import Client, Stream, connect, set_default
from ._decorator import Sandboxed, sandbox
from ._pipeline import Pipeline, Stage
from ._reports import (
    Checkpoint,
    Event,
    Layer,
    Log,
    Lost,
    Metric,
    Migration,
    Move,
    Node,
    PolicyState,
    Report,
    Stats,
    Version,
)
from ._restricted import RestrictedExec
from ._sandbox import Sandbox, attach, events, list_active, nodes, publish, spawn, stats
from ._states import (
    checkpoint,
    checkpoint_key,
    checkpoints,
    delete_checkpoint,
    export_checkpoint,
    import_checkpoint,
    migrate,
    restore,
)
from ._supervisor import Supervisor
from .errors import *  # noqa: F403  # all of its __all__: the exception tree
from .policy import Policy, set_policy_token

__version__ = "0.1.0"
__all__ = [
    "AllowPath",
    "Authority",
    "Busy",
    "CPUExceeded",
    "Cancelled",
    "Capability",
    "CellGone",
    "Checkpoint",
    "Checkpointing",
    "ChildWorkExceeded",
    "Client",
    "Compacted",
    "Conflict",
    "ConnectTCP",
    "Contract",
    "Corrupt",
    "CpuBudget",
    "Denial",
    "DenyPath",
    "DenyTCP",
    "Event",
    "GuestError",
    "Import",
    "Internal",
    "Invalid",
    "Layer",
    "Limited",
    "Log",
    "Lost",
    "MemoryBudget",
    "MemoryExceeded",
    "Metric",
    "Migration",
    "Move",
    "NetworkExceeded",
    "Node",
    "NodeMissing",
    "NotCheckpointable",
    "NotFound",
    "NotLeader",
    "NotShippable",
    "OpenFiles",
    "OutputBudget",
    "OutputExceeded",
    "OwnershipError",
    "Pipeline",
    "Placement",
    "Policy",
    "PolicyAuth",
    "PolicyDenied",
    "PolicyRef",
    "PolicyState",
    "Problem",
    "ProtocolError",
    "PyIsolateError",
    "ReadPath",
    "Refused",
    "Report",
    "RestrictedExec",
    "Sandbox",
    "Sandboxed",
    "SourceUnavailable",
    "Stage",
    "Stats",
    "Stream",
    "Supervisor",
    "Threads",
    "Timeout",
    "Unauthenticated",
    "Unavailable",
    "Unimplemented",
    "UnknownOutcome",
    "Version",
    "WallBudget",
    "WritePath",
    "attach",
    "checkpoint",
    "checkpoint_key",
    "checkpoints",
    "connect",
    "delete_checkpoint",
    "errors",
    "events",
    "export_checkpoint",
    "import_checkpoint",
    "list_active",
    "migrate",
    "nodes",
    "policy",
    "publish",
    "restore",
    "sandbox",
    "set_default",
    "set_policy_token",
    "spawn",
    "stats",
]
