"""HTTP to a cluster on this machine: a proxy of the shell gets neither its requests nor its token."""

from __future__ import annotations

from urllib.request import ProxyHandler, build_opener

__all__ = ["open_directly"]

open_directly = build_opener(ProxyHandler({})).open
