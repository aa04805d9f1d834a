import hashlib
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

from portal.cli.failure import UNREACHABLE, CliError
from portal.cli.rest import Connection, RestClient, connection_from_environment

Answer = Callable[[httpx2.Request], httpx2.Response]


def client(answer: Answer) -> RestClient:
    return RestClient(Connection("http://portal.test", "secret-token"), httpx2.MockTransport(answer))


def test_requests_carry_the_token() -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        assert request.headers["authorization"] == "Bearer secret-token"
        assert request.url.path == "/api/v1/vms/"
        return httpx2.Response(200, json={"name": "web01"})

    assert client(answer).get("/api/v1/vms/") == {"name": "web01"}


def test_the_token_does_not_print() -> None:
    assert "secret" not in repr(Connection("http://x", "secret-token"))


def test_problem_details_become_sentences() -> None:
    problem = {
        "type": "/api/problems/name-taken",
        "title": "Conflict",
        "status": 409,
        "detail": "There is a VM called web01.",
        "advice": "Choose another name.",
        "fields": {"name": ["Taken."], "size": "Too big."},
    }
    with pytest.raises(CliError) as caught:
        client(lambda _request: httpx2.Response(409, json=problem)).post("/x", json={})
    error = caught.value
    assert (error.message, error.advice, error.exit_code) == ("There is a VM called web01.", "Choose another name.", 1)
    assert error.details == ("name: Taken.", "size: Too big.")


def test_an_answer_without_details_is_told_by_its_status() -> None:
    with pytest.raises(CliError, match="500"):
        client(lambda _request: httpx2.Response(500, text="<h1>oops</h1>")).get("/x")


def test_a_portal_that_is_down_is_unreachable() -> None:
    def refuse(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("connection refused", request=request)

    for answer in (refuse, lambda _request: httpx2.Response(503)):
        with pytest.raises(CliError) as caught:
            client(answer).get("/x")
        assert caught.value.exit_code == UNREACHABLE


def test_an_answer_that_is_not_json_is_told() -> None:
    with pytest.raises(CliError, match="not JSON"):
        client(lambda _request: httpx2.Response(200, text="<html>")).get("/x")


def test_an_empty_answer_is_none() -> None:
    assert client(lambda _request: httpx2.Response(204)).delete("/x") is None


def test_lists_are_followed_to_their_end() -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        if "page" in request.url.params:
            return httpx2.Response(200, json={"results": [{"id": 2}], "next": None})
        return httpx2.Response(200, json={"results": [{"id": 1}], "next": "http://portal.test/vms/?page=2"})

    assert list(client(answer).items("/vms/")) == [{"id": 1}, {"id": 2}]


def test_a_list_that_goes_on_elsewhere_does_not_get_the_token() -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        assert request.url.host == "portal.test"
        return httpx2.Response(200, json={"results": [], "next": "http://evil.test/?page=2"})

    with pytest.raises(CliError, match="another address"):
        list(client(answer).items("/vms/"))


def test_a_redirect_is_not_followed() -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        assert request.url.host == "portal.test"
        return httpx2.Response(302, headers={"location": "http://evil.test/"})

    with pytest.raises(CliError):
        client(answer).get("/x")


def test_a_file_is_sent_whole(tmp_path: Path) -> None:
    file = tmp_path / "disk.vhdx"
    file.write_bytes(bytes(range(256)) * 10_000)

    def answer(request: httpx2.Request) -> httpx2.Response:
        assert request.headers["content-length"] == str(file.stat().st_size)
        return httpx2.Response(201, json={"sha256": hashlib.sha256(request.read()).hexdigest()})

    assert client(answer).upload_raw("/blobs", file, "application/octet-stream") == {
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest()
    }


def test_a_form_carries_fields_and_files(tmp_path: Path) -> None:
    file = tmp_path / "web.pdk"
    file.write_bytes(b"<ShieldingData>")

    def answer(request: httpx2.Request) -> httpx2.Response:
        body = request.read()
        assert b'name="name"' in body
        assert b"web" in body
        assert b'filename="web.pdk"' in body
        assert b"<ShieldingData>" in body
        return httpx2.Response(201, json={})

    client(answer).upload("/shielding-data/", {"file": file}, {"name": "web"})


def test_a_download_appears_only_when_complete(tmp_path: Path) -> None:
    target = tmp_path / "a.vsc"
    assert client(lambda _request: httpx2.Response(200, content=b"data")).download("/x", target) == 4
    assert target.read_bytes() == b"data"
    with pytest.raises(CliError):
        client(lambda _request: httpx2.Response(404, json={"detail": "No."})).download("/x", tmp_path / "b.vsc")
    assert [path.name for path in tmp_path.iterdir()] == ["a.vsc"]


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("GF_URL", "GF_TOKEN", "GF_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "gf").mkdir()
    return tmp_path / "gf" / "config.toml"


def test_the_connection_comes_from_the_file(config: Path) -> None:
    config.write_text('url = "https://portal.example/"\ntoken = "t"\n')
    assert connection_from_environment() == Connection("https://portal.example", "t")


def test_the_environment_goes_before_the_file(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config.write_text('url = "https://portal.example"\ntoken = "t"\n')
    monkeypatch.setenv("GF_URL", "http://localhost:8000")
    (config.parent / "token").write_text("from-file\n")
    monkeypatch.setenv("GF_TOKEN_FILE", str(config.parent / "token"))
    assert connection_from_environment() == Connection("http://localhost:8000", "from-file")


@pytest.mark.parametrize(("content", "wanted"), [("", "GF_URL"), ('url = "http://x"\n', "GF_TOKEN")])
def test_what_is_missing_is_named(config: Path, content: str, wanted: str) -> None:
    config.write_text(content)
    with pytest.raises(CliError) as caught:
        connection_from_environment()
    assert wanted in caught.value.advice


def test_a_broken_file_is_told(config: Path) -> None:
    config.write_text("url = ")
    with pytest.raises(CliError, match="not a TOML file"):
        connection_from_environment()
