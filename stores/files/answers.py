"""What went wrong with a server's answer, in words."""

from typing import Any


class AnswerError(ValueError):
    """A server answers as it must not, with too much or with the way to another server."""


def underlying(error: Exception, place: Any) -> Exception:
    """Return what a failure comes from: fsspec calls all of http a file that is not there.

    A `FileNotFoundError` that is returned is one: the server says so.
    """
    cause = error.__cause__
    is_http = isinstance(error, FileNotFoundError) and place.protocol in ("http", "https")
    if is_http and isinstance(cause, Exception) and getattr(cause, "status", 0) not in (404, 410):
        return cause
    return error


def reason(error: Exception) -> str:
    """Return one line that says what is wrong; a library's own may be empty, or a bare name."""
    status, message = getattr(error, "status", 0), getattr(error, "message", "")
    if isinstance(error, TimeoutError):
        return "it takes too long"
    if isinstance(error, KeyError):
        return f"the server's answer lacks {error}"
    if type(error).__name__ == "TooManyRedirects":
        return "the server leads from address to address without end"
    if status and message:  # aiohttp's, which would add the URL once more
        return f"the server says {status} {message:.200}".partition("\n")[0]
    text = str(getattr(error, "strerror", None) or error).partition("\n")[0]
    return text[:500] or type(error).__name__
