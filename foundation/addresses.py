"""IP addresses of the internet, and those of private networks."""

import ipaddress


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
        found = found.ipv4_mapped or found.sixtofour or found
    return found.is_global and not found.is_multicast
