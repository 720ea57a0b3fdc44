"""The dashboard's node list: which nodes Ray thinks alive."""

from __future__ import annotations

from typing import Any

import httpx

from raystead.errors import RayUnreachable
from raystead.manifests.living import Living
from raystead.rayapi.faults import words_of

__all__ = ["NodesClient"]

_TIMEOUT = 5.0  # seconds; a dashboard that takes longer is asked again by whoever waits


class NodesClient:
    """Asks one dashboard for its nodes; keeps its connection."""

    def __init__(self, base_url: str, token: str | None) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        # trust_env: a proxy of the shell must not get requests for this machine
        self._http = httpx.Client(base_url=base_url, headers=headers, timeout=_TIMEOUT, trust_env=False)

    def close(self) -> None:
        self._http.close()

    def nodes(self) -> dict[str, Any]:
        """`data` of `/nodes?view=summary`: `summary` has one entry per node, dead ones included.

        Raises:
            RayUnreachable: no answer, or not an answer of Ray's dashboard.
        """
        try:
            # nocache: else the dashboard tells what it told the last asker, however long ago that was
            answer = self._http.get("/nodes", params={"view": "summary", "nocache": "1"})
            if answer.status_code in (401, 403):
                raise RayUnreachable(
                    "Ray does not accept the cluster's token",
                    evidence=f"GET /nodes: HTTP {answer.status_code}; was the Secret changed since then?",
                    remedy="raystead restart head",
                )
            answer.raise_for_status()
            data = answer.json()["data"]
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            raise RayUnreachable(
                "Ray's dashboard does not answer",
                evidence=f"GET /nodes: {words_of(error)}",
                remedy="raystead explain",
            ) from error
        return dict(data)

    def living(self) -> Living:
        """Whether this Ray checks tokens, and its version; never raises, says "" of what it was not told."""
        mode = self._text_at("/api/authentication_mode", "authentication_mode")
        return Living(mode, self._text_at("/api/version", "ray_version"))

    def autoscaler(self) -> str:
        """What `ray status` says, as text; "" where this Ray's dashboard does not tell; never raises."""
        try:
            answer = self._http.get("/api/cluster_status", params={"format": "1"})
            return str(answer.raise_for_status().json()["data"]["clusterStatus"] or "")
        except (httpx.HTTPError, ValueError, KeyError, TypeError):
            return ""

    def _text_at(self, path: str, key: str) -> str:
        try:
            answer = self._http.get(path)
            if answer.status_code == 404 and key == "authentication_mode":
                return "disabled"  # a Ray before 2.52, which knows no tokens
            return str(answer.raise_for_status().json()[key])
        except (httpx.HTTPError, ValueError, KeyError, TypeError):
            return ""
