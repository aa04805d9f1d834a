"""What an event is about, and how two events about the same thing differ, in words."""

from collections import Counter
from typing import Any

from hgs.attestation.offline.describe import describe
from hgs.attestation.offline.log_reading import Record
from hgs.attestation.offline.uefi import one_line
from hgs.attestation.offline.windows import SipaItem, decode_sipa, facts, in_words, modules

_SHOWN = 4


def subject(record: Record) -> object:
    """Two events with equal subjects are about the same thing, such as one variable or one kind of program."""
    content = describe(record).content
    if "variable" in content and "entry" not in content:
        return record.type, content["guid"], content["variable"]
    if "records" in content:
        return record.type, content["records"][0]["name"] if content["records"] else ""
    if "path" in content:
        return record.type, str(content["path"]).rpartition("/")[2].lower()
    if "kind" in content:
        # GRUB's commands have no name of their own; their first word is the nearest thing.
        text = str(content["text"])
        return record.type, content["kind"], text.split(" ")[0] if content["kind"] == "GRUB command" else text[:64]
    return record.type, "entry" in content, content.get("separator")


def changed(before: Record, after: Record) -> str:
    """How the event differs from the one that it takes the place of."""
    old, new = describe(before), describe(after)
    if isinstance(old.content.get("value"), list) and isinstance(new.content.get("value"), list):
        return _entries(str(new.content["variable"]), old.content["value"], new.content["value"])
    if "records" in old.content and "records" in new.content:
        return _records(before, after)
    if old.sentence == new.sentence:
        if before.data == after.data:
            return f"{new.sentence}: what was measured has another digest"
        return f"{new.sentence}: its details differ"
    return f"was: {old.sentence} · is: {new.sentence}"


def _entries(variable: str, old: list[Any], new: list[Any]) -> str:
    before, after = Counter(map(_entry, old)), Counter(map(_entry, new))
    lost, gained = list((before - after).elements()), list((after - before).elements())
    parts = [
        f"{verb} {len(items)} {'entry' if len(items) == 1 else 'entries'} ({_shortened(items)})"
        for verb, items in (("lost", lost), ("gained", gained))
        if items
    ]
    return f"variable {variable} " + (" and ".join(parts) if parts else "has its entries in another order")


def _entry(item: object) -> str:
    if isinstance(item, dict):
        return str(item.get("subject") or f"{item.get('type')} {str(item.get('digest'))[:16]}…")
    return str(item)


def _shortened(items: list[str]) -> str:
    return one_line("; ".join(items[:_SHOWN]) + (f"; and {len(items) - _SHOWN} more" if len(items) > _SHOWN else ""))


def _records(before: Record, after: Record) -> str:
    old, new = decode_sipa(before.data), decode_sipa(after.data)
    was, now = facts(old), facts(new)
    words = _words(old) | {("new", name): text for name, text in _words(new).items()}
    parts = []
    for name in [*was, *(name for name in now if name not in was)]:
        if name not in now:
            parts.append(f"{name} is no longer measured")
        elif name not in was:
            parts.append(f"{name} = {words[('new', name)]} is new")
        elif was[name] != now[name]:
            parts.append(f"{name} was {words[name]}, is {words[('new', name)]}")
    parts += _module_changes(modules(old), modules(new))
    return one_line("Windows: " + ("; ".join(parts) if parts else "its records are in another order"), 1200)


def _words(items: tuple[SipaItem, ...]) -> dict[Any, str]:
    found: dict[Any, list[str]] = {}

    def collect(item: SipaItem) -> None:
        for child in item.children:
            collect(child)
        if not item.children:
            text = in_words(item)
            if text not in found.setdefault(item.name, []):
                found[item.name].append(text)

    for item in items:
        collect(item)
    return {name: ", ".join(texts) for name, texts in found.items()}


def _module_changes(old: list[dict[str, int | str]], new: list[dict[str, int | str]]) -> list[str]:
    before = {str(item.get("AUTHENTICODEHASH")): str(item.get("FILEPATH", "?")) for item in old}
    after = {str(item.get("AUTHENTICODEHASH")): str(item.get("FILEPATH", "?")) for item in new}
    lost = {path for digest, path in before.items() if digest not in after}
    gained = {path for digest, path in after.items() if digest not in before}
    parts = [f"module {path} is another version" for path in sorted(lost & gained)]
    parts += [f"module {path} is no longer loaded" for path in sorted(lost - gained)]
    return parts + [f"module {path} is new" for path in sorted(gained - lost)]
