"""Places files into a plaintext volume without mounting it, by the file system's own tools, on a view in memory.

debugfs (e2fsprogs) writes into ext4, mcopy (mtools) into FAT, ntfscp (ntfs-3g) into NTFS, where wimapply (wimlib) makes
folders that are missing; the sources are anonymous files as well. The view holds what these tools need of a volume,
some mebibytes, and never more than `NEEDED_MAX`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import PurePosixPath
from typing import Final

from fabric.disks import fat
from fabric.disks.errors import FileSystemError
from fabric.disks.ext4 import read_ext4
from fabric.disks.fat import read_fat
from fabric.disks.filesystems import FileSystem, bounded, file_system_of
from fabric.disks.ntfs import Ntfs, read_ntfs
from fabric.hyperv.errors import HostError
from fabric.hyperv.memory_files import memory_file, open_path
from fabric.hyperv.secure_worker.volume_view import Read, VolumeView, view_of
from fabric.hyperv.system_tools import run_tool
from hgs.keyprotection.secret import Secret

_NTFS_NEEDS: Final = "Its NTFS must be whole, with the folder \\Windows\\Panther and room for the files."
Changes = Sequence[tuple[int, bytes]]
"""(offset in the volume, new bytes) of whole pages, in order."""
Files = Mapping[str, Secret]
"""Path → contents."""


def place_files(read: Read, length: int, files: Files) -> Changes:
    """What changes in a volume when these files come into it: owner root, mode 0600, where it knows.

    Raises `HostError`, `FileSystemError`.
    """
    kind = file_system_of(read)
    places = {FileSystem.EXT4: _into_ext4, FileSystem.NTFS: _into_ntfs, FileSystem.FAT: _into_fat}
    if kind not in places:
        name = kind or "one that is not known"
        raise HostError(
            "file-system-unsupported",
            f"The operating system volume has the file system {name}, into which no files can be placed.",
            "Use a template with ext4, NTFS or FAT.",
        )
    with view_of(read, length) as view:
        return places[kind](view, read, length, files)


def _into_ext4(view: VolumeView, read: Read, length: int, files: Files) -> Changes:
    volume = read_ext4(read, length)
    view.fill(bounded(volume.needed_for(_folders(files), len(files))))
    with ExitStack() as stack:
        sources = {path: stack.enter_context(memory_file("file", item.reveal())) for path, item in files.items()}
        commands = []
        for path, descriptor in sources.items():
            # debugfs gives a new file the source's type and mode; an anonymous file's are regular and 0777.
            commands += [f"write {open_path(descriptor)} {path}", f"set_inode_field {path} mode 0100600"]
            commands += [f"set_inode_field {path} uid 0", f"set_inode_field {path} gid 0"]
        done = run_tool(
            ["debugfs", "-w", "-f", "/dev/stdin", open_path(view.descriptor)],
            keep=(view.descriptor, *sources.values()),
            stdin="\n".join([*commands, ""]).encode(),
        )
    # debugfs ends with success whatever happened; complaints stand on standard error behind its banner.
    if [line for line in done.stderr.decode("utf-8", "replace").splitlines() if "debugfs 1." not in line]:
        # They name the files, and even a file's name is the tenant's secret.
        raise _refused("It needs the folder /etc/guarded/files and room for the files.")
    return list(view.changes(volume.block_size, volume.is_free))


def _into_ntfs(view: VolumeView, read: Read, length: int, files: Files) -> Changes:
    """wimapply makes new folders alone, from the root on; ntfscp writes into folders that are there."""
    volume = read_ntfs(read, length)
    volume.check_usable()
    view.fill(bounded(_needed_of_ntfs(volume, files)))
    targets = {path: _target(volume, path) for path in files}
    new = {path: contents for path, contents in files.items() if targets[path] is None}
    try:
        if new:
            _unpack(view, new)
        for path, target in targets.items():
            if target:
                _copy_into_ntfs(view, target, files[path])
    except HostError as error:
        if error.code != "tool-failed":
            raise
        raise _refused(_NTFS_NEEDS) from None
    _check_written(view, files)
    return list(view.changes(volume.geometry.cluster_size, volume.is_free))


def _needed_of_ntfs(volume: Ntfs, files: Files) -> Iterator[tuple[int, int]]:
    yield from volume.needed_for(_folders(files), len(files))
    for path in files:
        there = volume.find(path)
        if there:
            yield from volume.needed_to_replace(there.file)


def _target(volume: Ntfs, path: str) -> str | None:
    """The path as ntfscp, for which case matters, finds its folder or the file to replace; None without a folder."""
    there, folder = volume.find(path), volume.find(_folder(path))
    if there is not None:
        return there.path
    return f"{folder.path}/{PurePosixPath(path).name}".replace("//", "/") if folder else None


def _unpack(view: VolumeView, files: Files) -> None:
    """By an archive that passes through a pipe. The root folder keeps its attributes."""
    with ExitStack() as stack:
        sources = {path: stack.enter_context(memory_file("file", item.reveal())) for path, item in files.items()}
        listing = "".join(f"{open_path(source)}\t{path}\n" for path, source in sources.items())
        given = stack.enter_context(memory_file("listing", listing.encode()))
        capture = ["wimcapture", "--source-list", "--dereference", "--compress=none", "--no-acls"]
        archive = run_tool([*capture, open_path(given), "-"], keep=(given, *sources.values())).stdout
        apply = ["wimapply", "--no-acls", "--no-attributes", "-", "1", open_path(view.descriptor)]
        run_tool(apply, keep=(view.descriptor,), stdin=archive)


def _copy_into_ntfs(view: VolumeView, target: str, contents: Secret) -> None:
    # Whether the volume is mounted cannot be told for a file without a name; that it is clean was seen to before.
    with memory_file("file", contents.reveal()) as source:
        command = ["ntfscp", "--quiet", "--force", open_path(view.descriptor), open_path(source), target]
        run_tool(command, keep=(view.descriptor, source))


def _check_written(view: VolumeView, files: Files) -> None:
    """ntfscp ends with success even if the volume was full."""

    def read(offset: int, length: int) -> bytes:
        return os.pread(view.descriptor, length, offset)

    try:
        written = read_ntfs(read, view.length)
        found = {path: written.find(path) for path in files}
        whole = all(item and written.contents(item.file) == files[path].reveal() for path, item in found.items())
    except FileSystemError:
        whole = False
    if not whole:
        raise _refused(_NTFS_NEEDS)


def _into_fat(view: VolumeView, read: Read, length: int, files: Files) -> Changes:
    volume = read_fat(read, length)
    view.fill(bounded(volume.needed_for(_folders(files))))
    image = open_path(view.descriptor)
    with ExitStack() as stack:
        sources = {path: stack.enter_context(memory_file("file", item.reveal())) for path, item in files.items()}
        try:
            for path, source in sources.items():
                command = ["mcopy", "-n", "-i", image, open_path(source), f"::{path}"]
                run_tool(command, keep=(view.descriptor, source))
        except HostError as error:
            if error.code != "tool-failed":
                raise
            raise _refused("It needs the folder /etc/guarded/files and room for the files.") from None
    return list(view.changes(fat.UNIT, volume.is_free))


def _folder(path: str) -> str:
    return str(PurePosixPath(path).parent)


def _folders(files: Files) -> list[str]:
    return sorted({_folder(path) for path in files})


def _refused(advice: str) -> HostError:
    return HostError(
        "specialise-failed",
        "The OS volume of the template took no shielding data.",
        f"{advice} See docs/formats/template-disk.md.",
    )
