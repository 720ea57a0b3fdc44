"""TLS as Go's clients do it: any certificate that is named is a root, names are never common names."""

from __future__ import annotations

import contextlib
import os
import ssl
import threading
from collections.abc import Iterator

__all__ = ["context"]


def context(
    *,
    authority: bytes | None,
    insecure: bool = False,
    certificate: tuple[bytes, bytes] | None = None,
    also_this_machine: bool = False,
) -> ssl.SSLContext:
    """A client's settings.

    Args:
        authority: the certificates trusted, PEM; None trusts those of this machine.
        certificate: our own with its chain, and its key, PEM.
        also_this_machine: besides `authority`, those of this machine are trusted.

    Raises:
        ValueError: a certificate or key cannot be used.
    """
    out = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # An intermediate or the server's own certificate may be the root, as in Go.
    out.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    out.hostname_checks_common_name = False
    out.set_alpn_protocols(["http/1.1"])
    if insecure:
        out.check_hostname = False
        out.verify_mode = ssl.CERT_NONE
    elif authority is None or also_this_machine:
        _trust_this_machine(out)
    if authority is not None and not insecure:
        try:
            out.load_verify_locations(cadata=authority.decode("ascii", "ignore"))
        except (ssl.SSLError, ValueError):
            raise ValueError("certificate-authority holds no certificate in PEM") from None
    if certificate is not None:
        with _as_path(certificate[0]) as chain, _as_path(certificate[1]) as key:
            try:
                out.load_cert_chain(chain, key, password=lambda: b"")  # never asks at the terminal
            except (ssl.SSLError, OSError, ValueError) as error:
                reason = getattr(error, "reason", None) or "they do not fit together, or one is not PEM"
                raise ValueError(f"the client certificate and its key cannot be used: {reason}") from None
    return out


def _trust_this_machine(settings: ssl.SSLContext) -> None:
    settings.load_default_certs()
    if not settings.cert_store_stats()["x509_ca"] and not os.path.isdir(  # noqa: PTH112
        ssl.get_default_verify_paths().capath or ""
    ):  # python.org's Python on a Mac has none of its own
        import certifi

        settings.load_verify_locations(certifi.where())


@contextlib.contextmanager
def _as_path(data: bytes) -> Iterator[str]:
    """A path that reads as `data` once: OpenSSL takes files alone, and a key must never lie on a disk.

    It is the end of a pipe. A temporary file would outlive a process that is killed before it removes it.
    """
    reading, writing = os.pipe()
    writer = threading.Thread(target=_fill, args=(writing, data), daemon=True)
    writer.start()
    try:
        yield f"/dev/fd/{reading}"
    finally:
        os.close(reading)
        writer.join()


def _fill(end: int, data: bytes) -> None:
    with contextlib.suppress(OSError), open(end, "wb") as pipe:  # OSError: nobody read it all
        pipe.write(data)
