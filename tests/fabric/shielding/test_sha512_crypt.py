import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fabric.shielding.answerfile import default_linux_answer_file
from fabric.shielding.sha512_crypt import hash_password, sha512_crypt
from hgs.keyprotection.secret import Secret
from tests.hgs.keyprotection.guardians import counted_random


@pytest.mark.parametrize(
    ("password", "salt", "rounds", "expected"),
    [
        # From the specification, "Unix crypt using SHA-256 and SHA-512".
        (
            "Hello world!",
            "saltstring",
            5000,
            "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1",
        ),
        (
            "Hello world!",
            "saltstringsaltst",
            10000,
            "$6$rounds=10000$saltstringsaltst$OW1/O6BYHV6BcXZu8QVeXbDWra3Oeqh0sbHbbMCVNSnCM/UrjmM0Dp8vOuZeHBy/YTBmSK6H9qs/y3RnOaw5v.",
        ),
    ],
)
def test_the_vectors_of_the_specification(password: str, salt: str, rounds: int, expected: str) -> None:
    assert sha512_crypt(Secret(password.encode()), salt, rounds) == expected


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
@settings(max_examples=20, deadline=None)
@given(
    st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=150),
    st.from_regex(r"[./0-9A-Za-z]{1,16}", fullmatch=True),
)
def test_openssl_computes_the_same(password: str, salt: str) -> None:
    command = ["openssl", "passwd", "-6", "-salt", salt, "-stdin"]
    done = subprocess.run(command, input=password.encode(), capture_output=True, check=True)
    assert sha512_crypt(Secret(password.encode()), salt, 5000) == done.stdout.decode().strip()


def test_a_hash_fits_into_the_answer_file_and_does_not_hold_the_password() -> None:
    hashed = hash_password(Secret(b"canary"), counted_random("salt"), rounds=1000)
    assert "canary" not in default_linux_answer_file(hashed)


def test_the_same_password_is_salted_differently() -> None:
    random_bytes = counted_random("salt")
    assert len({hash_password(Secret(b"x"), random_bytes, rounds=1000) for _ in range(3)}) == 3


@pytest.mark.parametrize(("salt", "rounds"), [("", 5000), ("x" * 17, 5000), ("a$b", 5000), ("ok", 999)])
def test_salts_and_rounds_out_of_range_are_refused(salt: str, rounds: int) -> None:
    with pytest.raises(ValueError):
        sha512_crypt(Secret(b"x"), salt, rounds)
