"""IP addresses of the internet, and those of private networks."""

import ipaddress

IPV4_WITHIN = tuple(map(ipaddress.IPv6Network, ("64:ff9b::/96", "::/96")))
"""Networks whose addresses end in an IPv4 address: NAT64 (RFC 6052), IPv4-compatible (RFC 4291)."""
LOCAL_NAT64 = ipaddress.IPv6Network("64:ff9b:1::/48")
"""Of one network alone (RFC 8215); releases of Python before mid-2024 take it for the internet."""


def is_public(address: str) -> bool:
    """Return whether an IP address is of the internet: not private, loopback or link-local.

    Raises
    ------
    ValueError
        It is no IP address.

    Examples
    --------
    >>> is_public("93.184.216.34"), is_public("10.0.0.1"), is_public("::ffff:127.0.0.1")
    (True, False, False)
    """
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        if found in LOCAL_NAT64:
            return False
        found = found.ipv4_mapped or found.sixtofour or _ipv4_within(found) or found
    return found.is_global and not found.is_multicast


def _ipv4_within(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if any(address in network for network in IPV4_WITHIN):
        return ipaddress.IPv4Address(address.packed[-4:])
    return None
