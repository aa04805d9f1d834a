"""``python -m bench.disks``: measure, print, and end with one line of JSON."""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.disks import hashing, images, provisioning, report


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 whatever the figures are."""
    chosen = _parse(arguments)
    with tempfile.TemporaryDirectory(prefix="gf-bench-", dir=chosen.folder) as name:
        folder = Path(name)
        disk = images.full_template(folder, chosen.mebibytes)
        found_hashing = hashing.measure_full(disk, chosen.rounds)
        maker = provisioning.Maker(folder, disk)
        runs, converted, reencrypted = [], [], []
        for _ in range(chosen.rounds):  # in turns, so that other work on the machine meets all of them
            images.warm(disk)
            runs.append(maker.make())
            volume = images.os_volume(folder)
            images.warm(volume)
            converted.append(provisioning.qemu_img_luks(volume, folder))
            reencrypted.append(provisioning.cryptsetup_reencrypt(volume, folder))
        memory = _memory(maker)
        template_bytes = disk.stat().st_size
        disk.unlink()
        images.os_volume(folder).unlink()
        small = folder / "small"
        small.mkdir()
        quarter = _memory(provisioning.Maker(small, images.full_template(small, max(chosen.mebibytes // 4, 64))))
        vhdx, data = images.sparse_vhdx(folder, chosen.sparse_gibibytes, chosen.data_mebibytes)
        found = report.Findings(
            hashing=found_hashing,
            sparse=hashing.measure_sparse(vhdx, data, chosen.rounds),
            sparse_bytes=chosen.sparse_gibibytes * 1024**3,
            data_bytes=data.stat().st_size,
            template_bytes=template_bytes,
            runs=tuple(runs),
            qemu_img=tuple(converted),
            cryptsetup=tuple(reencrypted),
            memory=memory,
            memory_of_small=quarter,
        )
    print(report.text(found))
    print(report.line(found))
    return 0


def _memory(maker: provisioning.Maker) -> int:
    with provisioning.memory_watched() as peak:
        maker.make()
    return peak[0]


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.disks", description="How fast disks are hashed and VMs are made.")
    parser.add_argument("--mebibytes", type=int, default=4096, help="the full template's OS volume (default 4096)")
    parser.add_argument("--sparse-gibibytes", type=int, default=40, help="the sparse disk (default 40)")
    parser.add_argument("--data-mebibytes", type=int, default=2048, help="the data in it (default 2048)")
    parser.add_argument("--rounds", type=int, default=3, help="the best one counts (default 3)")
    parser.add_argument("--folder", type=Path, help="where there is room for four times the template (default: /tmp)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    raise SystemExit(main())
