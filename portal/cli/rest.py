"""A small client for the portal's REST API, used by the command groups that talk to the portal.

Address and token come from GF_URL and GF_TOKEN (or GF_TOKEN_FILE), else from `config.toml` in `~/.config/gf`:

    url = "https://portal.example"
    token = "…"
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import httpx2

from portal.cli.failure import UNREACHABLE, CliError

TIMEOUT: Final = httpx2.Timeout(30.0, connect=5.0)
UPLOAD_TIMEOUT: Final = httpx2.Timeout(600.0, connect=5.0)
_CHUNK: Final = 1024 * 1024
_UNREACHABLE_STATUS: Final = frozenset({502, 503, 504})


@dataclass(frozen=True, slots=True)
class Connection:
    """Where the portal is and who is calling. Prints without the token."""

    url: str
    token: str = field(repr=False)


def config_directory() -> Path:
    """`$XDG_CONFIG_HOME/gf` or `~/.config/gf`."""
    base = os.environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "gf"


def connection_from_environment() -> Connection:
    """Read the connection. Raises CliError that names what is missing."""
    file = _config_file()
    url = os.environ.get("GF_URL") or file.get("url", "")
    token = os.environ.get("GF_TOKEN") or _token_file() or file.get("token", "")
    where = config_directory() / "config.toml"
    if not url:
        raise CliError("The portal's address is not known.", f"Set GF_URL, or url in {where}.")
    if not token:
        raise CliError("There is no API token.", f"Make one in the portal, then set GF_TOKEN, or token in {where}.")
    return Connection(url.rstrip("/"), token)


def _token_file() -> str:
    path = os.environ.get("GF_TOKEN_FILE")
    return Path(path).read_text().strip() if path else ""


def _config_file() -> dict[str, str]:
    path = config_directory() / "config.toml"
    if not path.exists():
        return {}
    try:
        content = tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CliError(f"{path} is not a TOML file: {error}.") from error
    return {key: value for key, value in content.items() if isinstance(value, str)}


class RestClient(AbstractContextManager["RestClient"]):
    """Requests to the portal. Errors become CliError: problem details as sentences, exit code 3 if unreachable.

    Paths are relative to the address, for example `/api/v1/virtual-machines/`.
    """

    def __init__(self, connection: Connection | None = None, transport: httpx2.BaseTransport | None = None) -> None:
        self._connection = connection or connection_from_environment()
        self._http = httpx2.Client(
            base_url=self._connection.url,
            headers={"Authorization": f"Bearer {self._connection.token}", "Accept": "application/json"},
            timeout=TIMEOUT,
            transport=transport,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    @property
    def origin(self) -> str:
        """Scheme, host and port of the portal, as a browser would say them."""
        url = httpx2.URL(self._connection.url)
        return f"{url.scheme}://{url.netloc.decode()}"

    def get(self, path: str, params: Mapping[str, str] | None = None) -> Any:
        """The JSON of a GET."""
        return self.request("GET", path, params=params)

    def post(self, path: str, json: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None) -> Any:
        """The JSON of a POST."""
        return self.request("POST", path, json=json, headers=headers)

    def delete(self, path: str) -> Any:
        """The JSON of a DELETE, None if there is none."""
        return self.request("DELETE", path)

    def request(self, method: str, path: str, **options: Any) -> Any:
        """Any request; `options` as httpx takes them. Returns the JSON, None for an empty answer."""
        return _json(self._send(method, path, **options))

    def exchange(self, method: str, path: str, **options: Any) -> httpx2.Response:
        """The answer as it is, refusals too, for protocols whose headers and statuses matter. Raises CliError."""
        try:
            return self._http.request(method, path, **options)
        except httpx2.TransportError as error:
            raise self._unreachable(error) from error

    def problem_of(self, response: httpx2.Response) -> CliError:
        """What a refusal says, ready to be raised."""
        return _problem(response)

    def items(self, path: str, params: Mapping[str, str] | None = None) -> Iterator[dict[str, Any]]:
        """All objects of a list, following its pages ({"results": […], "next": url|null}) or a bare list."""
        page = self.get(path, params)
        while True:
            if isinstance(page, list):
                yield from page
                return
            yield from page["results"]
            following = page.get("next")
            if not following:
                return
            page = self.get(self._same_origin(following))

    def _same_origin(self, url: str) -> str:
        # The token goes wherever the request goes, so a page may not send us elsewhere.
        target, base = httpx2.URL(url), httpx2.URL(self._connection.url)
        if target.is_relative_url:
            return url
        if (target.scheme, target.host, target.port) != (base.scheme, base.host, base.port):
            raise CliError("The portal's list goes on at another address, which was not followed.")
        return target.raw_path.decode()

    def upload(
        self, path: str, files: Mapping[str, Path], fields: Mapping[str, str] | None = None, method: str = "POST"
    ) -> Any:
        """Send files as multipart/form-data, read from disk while sending. `files`: form field → path."""
        opened = {name: (file.name, file.open("rb"), "application/octet-stream") for name, file in files.items()}
        try:
            return self.request(method, path, files=opened, data=dict(fields or {}), timeout=UPLOAD_TIMEOUT)
        finally:
            for _, stream, _ in opened.values():
                stream.close()

    def upload_raw(self, path: str, file: Path, content_type: str, method: str = "PUT") -> Any:
        """Send one file as the body, read from disk while sending."""
        headers = {"Content-Type": content_type, "Content-Length": str(file.stat().st_size)}
        return self.request(method, path, content=_chunks(file), headers=headers, timeout=UPLOAD_TIMEOUT)

    def download(self, path: str, destination: Path) -> int:
        """Write an answer's body to a file that appears only when complete. Returns its size in bytes."""
        partial = destination.with_name(destination.name + ".partial")
        try:
            with self._http.stream("GET", path, timeout=UPLOAD_TIMEOUT) as response, partial.open("wb") as target:
                if not response.is_success:
                    response.read()
                    raise _problem(response)
                for chunk in response.iter_bytes(_CHUNK):
                    target.write(chunk)
            size = partial.stat().st_size
            partial.replace(destination)
        except httpx2.TransportError as error:
            raise self._unreachable(error) from error
        else:
            return size
        finally:
            partial.unlink(missing_ok=True)

    def _send(self, method: str, path: str, **options: Any) -> httpx2.Response:
        response = self.exchange(method, path, **options)
        if not response.is_success:
            raise _problem(response)
        return response

    def _unreachable(self, error: httpx2.TransportError) -> CliError:
        reason = "it did not answer in time" if isinstance(error, httpx2.TimeoutException) else str(error)
        return CliError(
            f"The portal at {self._connection.url} cannot be reached: {reason}.",
            "Check that it runs and that GF_URL is right.",
            exit_code=UNREACHABLE,
        )


def _chunks(file: Path) -> Iterator[bytes]:
    with file.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            yield chunk


def _json(response: httpx2.Response) -> Any:
    if not response.content:
        return None
    try:
        return response.json()
    except ValueError as error:
        raise CliError(
            f"The answer of {response.request.url} is not JSON.", "Check that GF_URL is the portal's address."
        ) from error


def _problem(response: httpx2.Response) -> CliError:
    """Problem details (RFC 9457) as sentences; `advice`, `fields` and `errors` are the portal's own members."""
    exit_code = UNREACHABLE if response.status_code in _UNREACHABLE_STATUS else 1
    try:
        content = response.json()
    except ValueError:
        content = None
    if not isinstance(content, dict):
        return CliError(f"The portal answered {response.status_code} {response.reason_phrase}.", exit_code=exit_code)
    sentence = content.get("detail") or content.get("title") or f"The portal answered {response.status_code}."
    advice = content.get("advice") or ("Check GF_TOKEN." if response.status_code == 401 else "")
    return CliError(str(sentence), str(advice), exit_code=exit_code, details=_field_errors(content))


def _field_errors(content: Mapping[str, Any]) -> tuple[str, ...]:
    fields = content.get("fields") or content.get("errors")
    if not isinstance(fields, dict):
        return ()
    return tuple(
        f"{name}: {' '.join(map(str, value)) if isinstance(value, list) else value}" for name, value in fields.items()
    )
