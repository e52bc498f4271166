"""Whether the Hugging Face hub can be asked: its client tries half a minute before it gives up."""

import socket
from urllib.parse import urlsplit
from urllib.request import getproxies

PROBE_S = 5.0
"""How long a connection may take."""


def hub_problem() -> str | None:
    """Return why the hub cannot be reached, or None if it can be, or if that is not known.

    One connection is tried and closed. Nothing is tried offline (`HF_HUB_OFFLINE`) or behind a
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
        return f"{constants.ENDPOINT} cannot be reached ({error.strerror or error})"
    return None
