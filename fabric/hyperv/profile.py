"""What an emulated host pretends to be: firmware, Secure Boot, settings, code-integrity policy and loaded modules.

A profile is a TOML file, read strictly: every key is needed but those that have a default, none other is allowed, and
every mistake gets a sentence that names its place. `docs/hosts.md` explains each key. The same profile always measures
the same baseline; what differs between two hosts of one profile (boot counter, load addresses, identity key) is no part
of a profile.
"""

import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

from fabric.hyperv.errors import ProfileError

MAX_PROFILE_BYTES = 64 * 1024
BUILT_IN = Path(__file__).parent / "profiles"
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SHA256_FORM = "a SHA-256 digest as 64 lower-case hexadecimal digits"
_VERSION = re.compile(r"\d{1,5}(\.\d{1,5}){3}")
_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_LARGEST_VERSION_PART = 65535
_LONGEST_TEXT = 200
_LONGEST_LIST = 64
_ABSOLUTE = re.compile(r"/.*")
BOOT_AUTHORITY = "Emulated Boot Authority"
"""Who signs what a host boots, unless its profile says otherwise; its certificate is in `profiles/keys`."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Firmware:
    """What the firmware measures about itself into PCR 0 and 2."""

    version: str
    startup_locality: Literal[0, 3]
    volumes: tuple[str, ...]
    option_roms: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SecureBoot:
    """PCR 7; `revoked` are SHA-256 digests (hexadecimal) of refused boot programs (dbx)."""

    enabled: bool
    revoked: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Boot:
    """How the boot manager and the loader were asked to start the system."""

    resumed: bool
    boot_debugging: bool
    kernel_debugging: bool
    test_signing: bool
    flight_signing: bool
    code_integrity: bool
    bitlocker: bool


@dataclass(frozen=True, slots=True)
class Hypervisor:
    """The hypervisor and what it protects."""

    launched: bool
    debugging: bool
    virtual_secure_mode: bool
    iommu: bool
    enforced_code_integrity: bool


@dataclass(frozen=True, slots=True)
class Memory:
    """Where memory may end up on disk. `dump_key_digest` is 64 hexadecimal digits, or empty for no key."""

    pagefile_encrypted: bool
    hibernation_disabled: bool
    dumps_disabled: bool
    dump_encryption: bool
    dump_key_digest: str


@dataclass(frozen=True, slots=True)
class CodeIntegrityPolicy:
    """The code-integrity policy in force: that in `policy_file`, or one made of the other fields.

    `version` is four numbers, `policy_id` a GUID in lower case; `publishers` (of the boot authority) and `hashes`
    (SHA-256, hexadecimal) are what a made policy allows. `file_name` is the name that is measured.
    """

    file_name: str
    policy_file: str = ""
    title: str = ""
    policy_id: str = ""
    version: str = ""
    audit: bool = False
    publishers: tuple[str, ...] = ()
    hashes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Module:
    """A program loaded during boot. An empty `hash` is derived from path and version; no `publisher` means unsigned."""

    path: str
    version: str
    driver: bool
    publisher: str = BOOT_AUTHORITY
    issuer: str = BOOT_AUTHORITY
    hash: str = ""

    @property
    def name(self) -> str:
        """The file's name."""
        return self.path.rpartition("\\")[2]


@dataclass(frozen=True, slots=True)
class HostProfile:
    description: str
    firmware: Firmware
    secure_boot: SecureBoot
    boot: Boot
    hypervisor: Hypervisor
    memory: Memory
    code_integrity_policy: CodeIntegrityPolicy
    modules: tuple[Module, ...]


def find_profile(name_or_file: str) -> Path:
    """The file of a built-in profile (`healthy`, `tampered`), or the file itself. Raises `ProfileError`."""
    if _NAME.fullmatch(name_or_file):
        path = BUILT_IN / f"{name_or_file}.toml"
        if path.is_file():
            return path
    path = Path(name_or_file)
    if path.is_file():
        return path
    names = ", ".join(sorted(entry.stem for entry in BUILT_IN.glob("*.toml")))
    raise ProfileError(f"There is no host profile {name_or_file!r}: give a file, or one of {names}.")


def parse_profile(data: bytes) -> HostProfile:
    """A profile from the bytes of its file. Raises `ProfileError` with a sentence that names what is wrong where."""
    if len(data) > MAX_PROFILE_BYTES:
        raise ProfileError(f"The profile has {len(data)} bytes; {MAX_PROFILE_BYTES} is the limit.")
    try:
        document = tomllib.loads(data.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ProfileError(f"The profile is not a TOML file: {error}.") from error
    return _Table("", document).read(_profile)


class _Table:
    """One table of the file; remembers which keys were asked for, so that `read` can refuse all others."""

    def __init__(self, name: str, content: dict[str, Any]):
        self._name = name
        self._content = content
        self._read: set[str] = set()

    def read(self, reader: "Callable[[_Table], T]") -> T:
        value = reader(self)
        unknown = sorted(set(self._content) - self._read)
        if unknown:
            raise ProfileError(f"The profile has an unknown key: {self._place(unknown[0])}.")
        return value

    def has(self, key: str) -> bool:
        """Whether a key that has a default is given; only `flag`, `text` and the like read it."""
        return key in self._content

    def flag(self, key: str) -> bool:
        return cast("bool", self._value(key, bool, "true or false"))

    def text(self, key: str, pattern: re.Pattern[str] | None = None, form: str = "", *, empty: bool = False) -> str:
        value = cast("str", self._value(key, str, "a text"))
        if empty and not value:
            return value
        if not value.isprintable() or not 0 < len(value) <= _LONGEST_TEXT:
            raise ProfileError(f"{self._place(key)} must be one line of 1 to {_LONGEST_TEXT} printable characters.")
        if pattern and not pattern.fullmatch(value):
            raise ProfileError(f"{self._place(key)} must be {form}, not {value!r}.")
        return value

    def texts(self, key: str, pattern: re.Pattern[str] | None = None, form: str = "") -> tuple[str, ...]:
        values = self._list(key, str, "texts")
        items = _Table(self._place(key), {str(number): value for number, value in enumerate(values, 1)})
        return tuple(items.text(number, pattern, form) for number in items._content)

    def choice(self, key: str, allowed: tuple[int, ...]) -> int:
        value = cast("int", self._value(key, int, "a number"))
        if value not in allowed:
            raise ProfileError(f"{self._place(key)} must be one of {', '.join(map(str, allowed))}, not {value}.")
        return value

    def table(self, key: str, reader: "Callable[[_Table], T]") -> T:
        return _Table(self._place(key), cast("dict[str, Any]", self._value(key, dict, "a table"))).read(reader)

    def tables(self, key: str, reader: "Callable[[_Table], T]") -> tuple[T, ...]:
        values = self._list(key, dict, "tables")
        return tuple(_Table(f"{self._place(key)}[{n}]", value).read(reader) for n, value in enumerate(values, 1))

    def _list(self, key: str, kind: type, form: str) -> list[Any]:
        values = cast("list[Any]", self._value(key, list, f"a list of {form}"))
        if len(values) > _LONGEST_LIST or any(type(value) is not kind for value in values):
            raise ProfileError(f"{self._place(key)} must be a list of at most {_LONGEST_LIST} {form}.")
        return values

    def _value(self, key: str, kind: type, form: str) -> object:
        self._read.add(key)
        if key not in self._content:
            raise ProfileError(f"The profile lacks {self._place(key)}.")
        value = self._content[key]
        # `type is`, because a boolean is an integer to isinstance.
        if type(value) is not kind:
            raise ProfileError(f"{self._place(key)} must be {form}.")
        return value

    def _place(self, key: str) -> str:
        return f"{self._name}.{key}" if self._name else key


def _profile(table: _Table) -> HostProfile:
    profile = HostProfile(
        description=table.text("description"),
        firmware=table.table("firmware", _firmware),
        secure_boot=table.table("secure_boot", _secure_boot),
        boot=table.table("boot", _boot),
        hypervisor=table.table("hypervisor", _hypervisor),
        memory=table.table("memory", _memory),
        code_integrity_policy=table.table("code_integrity_policy", _code_integrity_policy),
        modules=table.tables("modules", _module),
    )
    if not profile.modules:
        raise ProfileError("modules must name at least the loader of the operating system.")
    if profile.hypervisor.virtual_secure_mode and not profile.hypervisor.launched:
        raise ProfileError("hypervisor.virtual_secure_mode needs hypervisor.launched: it runs on the hypervisor.")
    if profile.memory.dump_encryption and not profile.memory.dump_key_digest:
        raise ProfileError("memory.dump_encryption needs memory.dump_key_digest: dumps are encrypted for a key.")
    return profile


def _firmware(table: _Table) -> Firmware:
    return Firmware(
        version=table.text("version"),
        startup_locality=cast("Literal[0, 3]", table.choice("startup_locality", (0, 3))),
        volumes=table.texts("volumes"),
        option_roms=table.texts("option_roms"),
    )


def _secure_boot(table: _Table) -> SecureBoot:
    return SecureBoot(
        enabled=table.flag("enabled"),
        revoked=table.texts("revoked", _SHA256, _SHA256_FORM),
    )


def _boot(table: _Table) -> Boot:
    return Boot(
        resumed=table.flag("resumed"),
        boot_debugging=table.flag("boot_debugging"),
        kernel_debugging=table.flag("kernel_debugging"),
        test_signing=table.flag("test_signing"),
        flight_signing=table.flag("flight_signing"),
        code_integrity=table.flag("code_integrity"),
        bitlocker=table.flag("bitlocker"),
    )


def _hypervisor(table: _Table) -> Hypervisor:
    return Hypervisor(
        launched=table.flag("launched"),
        debugging=table.flag("debugging"),
        virtual_secure_mode=table.flag("virtual_secure_mode"),
        iommu=table.flag("iommu"),
        enforced_code_integrity=table.flag("enforced_code_integrity"),
    )


def _memory(table: _Table) -> Memory:
    digest = f"{_SHA256_FORM}, or empty"
    return Memory(
        pagefile_encrypted=table.flag("pagefile_encrypted"),
        hibernation_disabled=table.flag("hibernation_disabled"),
        dumps_disabled=table.flag("dumps_disabled"),
        dump_encryption=table.flag("dump_encryption"),
        dump_key_digest=table.text("dump_key_digest", _SHA256, digest, empty=True),
    )


def _code_integrity_policy(table: _Table) -> CodeIntegrityPolicy:
    file_name = table.text("file_name")
    if table.has("policy_file"):
        # What a file says about itself is not said a second time.
        policy_file = table.text("policy_file", _ABSOLUTE, "an absolute path")
        return CodeIntegrityPolicy(file_name, policy_file)
    version = table.text("version", _VERSION, "four numbers such as 10.0.0.0")
    if any(int(number) > _LARGEST_VERSION_PART for number in version.split(".")):
        raise ProfileError(f"code_integrity_policy.version may hold numbers up to {_LARGEST_VERSION_PART}.")
    return CodeIntegrityPolicy(
        file_name,
        title=table.text("title"),
        policy_id=table.text("policy_id", _GUID, "a GUID in lower case"),
        version=version,
        audit=table.flag("audit"),
        publishers=table.texts("publishers") if table.has("publishers") else (BOOT_AUTHORITY,),
        hashes=table.texts("hashes", _SHA256, _SHA256_FORM) if table.has("hashes") else (),
    )


def _module(table: _Table) -> Module:
    return Module(
        path=table.text("path"),
        version=table.text("version"),
        driver=table.flag("driver"),
        publisher=table.text("publisher", empty=True) if table.has("publisher") else BOOT_AUTHORITY,
        issuer=table.text("issuer") if table.has("issuer") else BOOT_AUTHORITY,
        hash=table.text("hash", _SHA256, _SHA256_FORM) if table.has("hash") else "",
    )
