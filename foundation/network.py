"""Which addresses are public, and whether the Hugging Face hub can be asked."""

import ipaddress
import socket
from urllib.parse import urlsplit
from urllib.request import getproxies

from savs.foundation.errors import reason_of

HUB = "hf://"
"""What an address on the Hugging Face hub begins with."""
HUB_DATASETS = f"{HUB}datasets/"
"""That of a data set, or of a store: as fsspec reads it."""
HUB_SPACES = f"{HUB}spaces/"
"""That of a Space: a page that runs on the hub."""
IPV4_WITHIN = tuple(map(ipaddress.IPv6Network, ("64:ff9b::/96", "::/96")))
"""Networks whose addresses end in an IPv4 address: NAT64 (RFC 6052), IPv4-compatible (RFC 4291)."""
LOCAL_NAT64 = ipaddress.IPv6Network("64:ff9b:1::/48")
"""Of one network alone (RFC 8215); releases of Python before mid-2024 take it for the internet."""


def is_public(address: str) -> bool:
    """Return whether an IP address is public: not private, loopback or link-local.

    ValueError for a text that is no IP address.

    Examples
    --------
    >>> is_public("93.184.216.34"), is_public("10.0.0.1"), is_public("::ffff:127.0.0.1")
    (True, False, False)
    """
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        if ip in LOCAL_NAT64:
            return False
        ip = ip.ipv4_mapped or ip.sixtofour or _ipv4_within(ip) or ip
    return ip.is_global and not ip.is_multicast


def _ipv4_within(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if any(address in network for network in IPV4_WITHIN):
        return ipaddress.IPv4Address(address.packed[-4:])
    return None


PROBE_S = 5.0
"""How long a connection may take."""


def hub_problem() -> str | None:
    """Return why the hub cannot be reached, or None if it can be, or if that is not known.

    One connection is tried and closed. Nothing is tried offline (`HF_HUB_OFFLINE`) or after a
    proxy.
    """
    from huggingface_hub import constants

    place = urlsplit(constants.ENDPOINT)
    if constants.HF_HUB_OFFLINE or getproxies().keys() & {place.scheme, "all"}:
        return None
    port = place.port or {"http": 80}.get(place.scheme, 443)
    try:
        socket.create_connection((place.hostname or "", port), PROBE_S).close()
    except OSError as error:
        return f"{constants.ENDPOINT} cannot be reached ({reason_of(error)})"
    return None
