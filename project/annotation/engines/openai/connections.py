"""What went wrong with a connection, and whether a retry can help. Sends nothing."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator

from project.annotation.engines.openai.faults import TemporaryError, TLSFailed, Unreachable

_CERTIFICATE = "CERTIFICATE_VERIFY_FAILED"
# What OpenSSL says of a server that answers the first message of TLS with plain text.
_NOT_TLS = (
    "WRONG_VERSION_NUMBER",
    "RECORD_LAYER_FAILURE",
    "PACKET_LENGTH_TOO_LONG",
    "HTTP_REQUEST",
)


def connection_error(error: BaseException) -> str:
    """The kind of a connection error, in the operating system's words where it has some.

    The error's own text is not used: it may quote what was sent.
    """
    inner = getattr(error, "os_error", error)
    if isinstance(inner, OSError) and inner.errno and inner.errno > 0:
        return os.strerror(inner.errno)
    return type(error).__name__


def tls_error(error: BaseException, url: str) -> str:
    """What failed in TLS, as a sentence with the way out; empty if nothing did.

    Parameters
    ----------
    error
        The error of a connection.
    url
        Address of the server.
    """
    inner = next((each for each in _causes(error) if isinstance(each, ssl.SSLError)), None)
    if inner is None:
        return ""
    # The HTTP library's own errors are of this class too, but lack what OpenSSL said.
    said = [each for each in _causes(error) if isinstance(getattr(each, "reason", None), str)]
    inner = next((each for each in said if isinstance(each, ssl.SSLError)), inner)
    reason = str(getattr(inner, "reason", "")).upper()
    if isinstance(inner, ssl.SSLCertVerificationError) or _CERTIFICATE in reason:
        detail = getattr(inner, "verify_message", "") or "certificate verify failed"
        return (
            f"the TLS connection to {url} failed: certificate verify failed ({detail}). Correct "
            "the host name in annotator_url, or name the file of the authority that signed the "
            "certificate with the environment variable SSL_CERT_FILE."
        )
    if any(name in reason for name in _NOT_TLS):
        return (
            f"the TLS connection to {url} failed: the server there does not speak TLS. "
            "Set annotator_url to an address that begins with http://."
        )
    return (
        f"the TLS connection to {url} failed ({reason.replace('_', ' ').lower() or 'no reason'}). "
        "Is annotator_url right?"
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and those that it holds or follows from."""
    seen: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is None or one in seen:
            continue
        seen.append(one)
        yield one
        held = (getattr(one, name, None) for name in ("os_error", "_certificate_error"))
        waiting += [inner for inner in held if isinstance(inner, BaseException)]
        waiting += [one.__cause__, one.__context__]


def unreachable(error: BaseException, url: str) -> TemporaryError:
    """A failed connection as a temporary error; one that no retry can mend is raised."""
    if message := tls_error(error, url):
        raise TLSFailed(message) from None
    other = "https" if url.startswith("http:") else "http"
    # A refused connection says nothing about the protocol.
    is_refused = hasattr(error, "os_error")
    hint = "" if is_refused else f" Or does it speak {other}?"
    return TemporaryError(
        f"could not be reached, or the connection broke ({connection_error(error)}; "
        f"is it running, and is annotator_url right?{hint})",
        Unreachable,
    )
