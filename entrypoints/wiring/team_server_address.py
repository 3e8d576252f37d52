"""Where a team's tracking server listens, under which names, and which one runs on a folder."""

from __future__ import annotations

import contextlib
import ipaddress
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock, Timeout

from project.support.errors import AssayError

ADDRESS = "address"
"""File with the address of the running server, which holds a lock on it."""
IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
_LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")


class ServerAddress(NamedTuple):
    """Where a server listens.

    Attributes
    ----------
    host, port
        IP address and port.
    url, public_url
        Address for this machine, and for the team.
    allowed_hosts, allowed_origins
        What a browser may send as ``Host`` and ``Origin``.
    """

    host: str
    port: int
    url: str
    public_url: str
    allowed_hosts: tuple[str, ...]
    allowed_origins: tuple[str, ...]


class RunningServer(NamedTuple):
    """The addresses of a running server: for this machine, and for the team."""

    url: str
    public_url: str


def server_address(host: str, port: int, allowed_hosts: str) -> ServerAddress:
    """The address to listen on.

    Parameters
    ----------
    host
        IP address of this machine, or ``localhost``.
    port
        Port.
    allowed_hosts
        Names by which others reach this machine, comma-separated. With a loopback address, they
        belong to a proxy in front of the server, which should use TLS.

    Raises
    ------
    AssayError
        For a host that is no IP address, or one that others reach without an allowed name.
    """
    names = [name.strip() for name in allowed_hosts.split(",") if name.strip()]
    ip = _ip_address(host)
    if not ip.is_loopback and not names:
        raise AssayError(
            f"--allowed_hosts must list the names by which others reach --host {host}, as in "
            "--allowed_hosts mlflow.example.org: a request to any other name is refused"
        )
    own_name = _name_in_url(ip)
    url = f"http://{own_name}:{port}"
    public_url = url
    if names:
        public_url = f"https://{names[0]}" if ip.is_loopback else f"http://{names[0]}:{port}"
    # Browsers send the port unless it is that of the protocol.
    hosts: list[str] = []
    for name in dict.fromkeys([*_LOCAL_NAMES, own_name, *names]):
        hosts += [name, f"{name}:{port}"]
    origins: list[str] = []
    for name in names:
        origins += [f"http://{name}", f"http://{name}:{port}", f"https://{name}"]
    return ServerAddress(
        host=str(ip),
        port=port,
        url=url,
        public_url=public_url,
        allowed_hosts=tuple(hosts),
        allowed_origins=tuple(origins),
    )


def _ip_address(host: str) -> IPAddress:
    """The IP address that ``host`` names; AssayError for anything else."""
    try:
        return ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError as error:
        raise AssayError(
            f"--host must be an address of this machine, like 127.0.0.1 or 0.0.0.0; got {host!r}"
        ) from error


def _name_in_url(ip: IPAddress) -> str:
    """How a URL of this machine names the address on which a server listens."""
    if ip.is_unspecified:
        return "[::1]" if ip.version == 6 else "127.0.0.1"
    return f"[{ip}]" if ip.version == 6 else str(ip)


@contextlib.contextmanager
def claimed_folder(folder: Path, address: ServerAddress) -> Iterator[None]:
    """Hold the folder's lock, and write the address for other processes.

    Raises AssayError if a server runs on the folder.
    """
    lock = _lock(folder)
    try:
        held = lock.acquire(blocking=False)
    except Timeout:
        url = running_server(folder).url
        raise AssayError(f"a server runs on {folder} already, at {url}") from None
    with held:
        text = f"{address.url}\n{address.public_url}\n"
        (folder / ADDRESS).write_text(text, encoding="utf-8")
        yield


def running_server(folder: Path) -> RunningServer:
    """The addresses of the server on ``folder``; AssayError if none runs."""
    if (folder / ADDRESS).is_file():  # the lock would create the file
        try:
            with _lock(folder).acquire(blocking=False):
                pass
        except Timeout:
            url, public_url = (folder / ADDRESS).read_text(encoding="utf-8").splitlines()
            return RunningServer(url, public_url)
    raise AssayError(
        f"no server runs on {folder}; start one: python -m entrypoints.server --folder "
        f"{shlex.quote(str(folder))}"
    )


def _lock(folder: Path) -> FileLock:
    return FileLock(folder / ADDRESS, mode=0o600, fallback_to_soft=False)
