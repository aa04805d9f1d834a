"""Places files into a plaintext volume without mounting it, by the file system's own tools, on a view in memory.

debugfs (e2fsprogs) writes into ext4, mcopy (mtools) into FAT, wimapply (wimlib) into NTFS; the sources are anonymous
files as well. Of ext4 the view holds a few blocks; FAT and NTFS tools read more than can be told beforehand, so that
volumes of these are held whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import PurePosixPath
from typing import Final

from fabric.disks.ext4 import read_ext4
from fabric.disks.filesystems import FileSystem, file_system_of
from fabric.hyperv.errors import HostError
from fabric.hyperv.memory_files import memory_file, open_path
from fabric.hyperv.secure_worker.volume_view import PAGE, Read, VolumeView, view_of
from fabric.hyperv.system_tools import run_tool
from hgs.keyprotection.secret import Secret

HELD_WHOLE_MAX: Final = 8 * 1024**3
Changes = Sequence[tuple[int, bytes]]
"""(offset in the volume, new bytes) of whole pages, in order."""


def place_files(read: Read, length: int, files: Mapping[str, Secret]) -> Changes:
    """What changes in a volume when these files (path → contents) come into it: owner root, mode 0600, where it knows.

    Raises `HostError`, `FileSystemError`.
    """
    kind = file_system_of(read)
    with view_of(read, length) as view:
        if kind is FileSystem.EXT4:
            return _into_ext4(view, read, length, files)
        if kind in (FileSystem.NTFS, FileSystem.FAT):
            _hold_whole(view, kind)
            (_into_ntfs if kind is FileSystem.NTFS else _into_fat)(view, files)
            return list(view.changes(PAGE, lambda _page: False))
    name = kind or "one that is not known"
    raise HostError(
        "file-system-unsupported",
        f"The operating system volume has the file system {name}, into which no files can be placed.",
        "Use a template with ext4, NTFS or FAT.",
    )


def _into_ext4(view: VolumeView, read: Read, length: int, files: Mapping[str, Secret]) -> Changes:
    volume = read_ext4(read, length)
    folders = sorted({str(PurePosixPath(path).parent) for path in files})
    view.fill(volume.needed_for(folders, len(files)))
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


def _hold_whole(view: VolumeView, kind: FileSystem) -> None:
    if view.length > HELD_WHOLE_MAX:
        raise HostError(
            "template-too-large",
            f"A volume with {kind} has at most {HELD_WHOLE_MAX // 1024**3} GiB here, since it is prepared in memory.",
            "Use a smaller template, or one with ext4.",
        )
    view.fill([(0, view.length)])


def _into_ntfs(view: VolumeView, files: Mapping[str, Secret]) -> None:
    """By an archive that passes through a pipe; wimapply unpacks it over what is there, folders included."""
    with ExitStack() as stack:
        sources = {path: stack.enter_context(memory_file("file", item.reveal())) for path, item in files.items()}
        listing = "".join(f"{open_path(source)}\t{path}\n" for path, source in sources.items())
        given = stack.enter_context(memory_file("listing", listing.encode()))
        capture = ["wimcapture", "--source-list", "--dereference", "--compress=none", "--no-acls"]
        try:
            archive = run_tool([*capture, open_path(given), "-"], keep=(given, *sources.values())).stdout
            apply = ["wimapply", "--no-acls", "-", "1", open_path(view.descriptor)]
            run_tool(apply, keep=(view.descriptor,), stdin=archive)
        except HostError as error:
            if error.code != "tool-failed":
                raise
            raise _refused("Its NTFS must be whole, with room for the files.") from None


def _into_fat(view: VolumeView, files: Mapping[str, Secret]) -> None:
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


def _refused(advice: str) -> HostError:
    return HostError(
        "specialise-failed",
        "The OS volume of the template took no shielding data.",
        f"{advice} See docs/formats/template-disk.md.",
    )
