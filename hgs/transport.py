"""One bounded HTTP exchange with HGS, and the closed set of ways in which it can fail.

HGS is reached directly: proxies from the environment are ignored, redirects are refused and compressed answers are
refused, so that the size limit counts what was received.
"""

import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

import httpx2

DEFAULT_TIMEOUT: Final = 15.0
MAX_RESPONSE_BYTES: Final = 4 * 2**20


class HgsError(Exception):
    """HGS could not be used; ``code`` is stable, ``message`` says what happened, ``advice`` what to do."""

    code = "hgs-error"
    advice = ""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class HgsUnreachable(HgsError):  # noqa: N818 - reads as a sentence where it is raised
    """No answer: trying again later may help."""

    code = "hgs-unreachable"
    advice = "Check that HGS runs and that its address is right, then try again."


class HgsRefused(HgsError):  # noqa: N818 - reads as a sentence where it is raised
    """HGS answered and said no. ``reason`` is the name or code that HGS gave, ``status`` the HTTP status."""

    code = "hgs-refused"
    advice = "The reason is HGS's own; its administrator sees the details in the HGS console."

    def __init__(self, message: str, *, reason: str = "", status: int = 0) -> None:
        super().__init__(message)
        self.reason = reason
        self.status = status


class HgsProtocolError(HgsError):
    """What answered does not speak as HGS does: too long, another content type, not the format."""

    code = "hgs-protocol"
    advice = "Check that the address is that of an HGS of the same version."


@dataclass(frozen=True)
class Answer:
    """An HTTP answer, read whole and within its limit. Header names are lower case."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def media_type(self) -> str:
        """The content type without parameters, lower case."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


class Transport:
    """A connection pool to one HGS address. Close it, or use it as a context manager."""

    def __init__(
        self,
        base_url: str,
        timeout: float = DEFAULT_TIMEOUT,
        *,
        token: str = "",
        verify: ssl.SSLContext | bool = True,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        """``timeout`` is in seconds, for the whole exchange; ``transport`` replaces the network in tests."""
        self._timeout = timeout
        headers = {"Accept-Encoding": "identity", "User-Agent": "open-guarded-fabric"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        self._client = httpx2.Client(
            base_url=base_url.rstrip("/"),
            timeout=timeout,
            headers=headers,
            verify=verify,
            trust_env=False,
            follow_redirects=False,
            transport=transport,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()

    def send(
        self,
        method: str,
        path: str,
        *,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        limit: int = MAX_RESPONSE_BYTES,
    ) -> Answer:
        """Send one request and read the answer, at most ``limit`` bytes.

        Raises HgsUnreachable or HgsProtocolError; every HTTP status but a redirect is an answer.
        """
        deadline = time.monotonic() + self._timeout
        with (
            self._in_our_errors(),
            self._client.stream(method, path, content=content, headers=headers, params=params) as response,
        ):
            body = _read(response, limit, deadline)
        self._refuse_redirect(response)
        return Answer(response.status_code, dict(response.headers), body)

    def receive(self, path: str, *, params: Mapping[str, str] | None = None, limit: int) -> Iterator[Answer | bytes]:
        """GET something long: first the answer, then, where its status is 200, its body in pieces.

        The content of an answer of another status is read whole and comes with it. ``timeout`` bounds each piece, not
        the whole. Raises like ``send``.
        """
        with self._in_our_errors(), self._client.stream("GET", path, params=params) as response:
            self._refuse_redirect(response)
            if response.status_code != 200:
                content = _read(response, MAX_RESPONSE_BYTES, time.monotonic() + self._timeout)
                yield Answer(response.status_code, dict(response.headers), content)
                return
            yield Answer(200, dict(response.headers), b"")
            yield from _pieces(response, limit)

    @contextmanager
    def _in_our_errors(self) -> Iterator[None]:
        try:
            yield
        except httpx2.TimeoutException:
            raise HgsUnreachable(f"HGS at {self._client.base_url} did not answer in {self._timeout:g} s.") from None
        except (httpx2.TransportError, httpx2.InvalidURL) as error:
            raise HgsUnreachable(f"HGS at {self._client.base_url} cannot be reached: {error}.") from error

    def _refuse_redirect(self, response: httpx2.Response) -> None:
        if 300 <= response.status_code < 400:
            raise HgsProtocolError(f"HGS at {self._client.base_url} answered with a redirect, which is not followed.")


def _read(response: httpx2.Response, limit: int, deadline: float) -> bytes:
    body = bytearray()
    for chunk in _pieces(response, limit):
        body += chunk
        if time.monotonic() > deadline:
            raise HgsUnreachable("HGS did not finish its answer in time.")
    return bytes(body)


def _pieces(response: httpx2.Response, limit: int) -> Iterator[bytes]:
    if response.headers.get("content-encoding", "identity") != "identity":
        raise HgsProtocolError("HGS answered with a compressed body, which was not asked for.")
    size = 0
    for chunk in response.iter_bytes():
        size += len(chunk)
        if size > limit:
            raise HgsProtocolError(f"The answer of HGS is longer than {limit} bytes.")
        yield chunk
