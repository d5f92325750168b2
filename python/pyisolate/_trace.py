"""The caller's place in a trace, where the program uses OpenTelemetry."""

from __future__ import annotations

import sys
from typing import Optional


def parent() -> Optional[str]:
    """The traceparent of the current span; None where there is none.

    OpenTelemetry is not imported for this: a program that has not done so has no span.
    """
    api = sys.modules.get("opentelemetry.trace")
    if api is None:
        return None
    try:
        span = api.get_current_span().get_span_context()
        if not span.is_valid:
            return None
        return f"00-{span.trace_id:032x}-{span.span_id:016x}-{int(span.trace_flags):02x}"
    except Exception:  # whatever is registered under that name: a call does not fail for it
        return None
