"""The archive: segments that were wholly taken in, compressed, each with its sha256 in a manifest.

A segment moves here with its index, so that a rebuild reads it as ingest once did. Here is how one is moved so that no
crash loses it, how it is brought back, and how damage is found. Which segments may move is for the caller to say.

The manifest is a list, not the archive: a file that it does not name is as good as any, as long as its own checksum and
its seal vouch for it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import zstandard

from oplake.lake.durable_log import DurableLog, sync_folder
from oplake.lake.errors import LakeError
from oplake.landing.segments import INDEX_SUFFIX, SUFFIX, Seal, Segment, look_at, read_seal

MANIFEST = "manifest.jsonl"
PACKED = ".zst"
RELIST = (
    "Restore the file from a backup, or move it away and run `oplake upkeep`: it lists every archived file again, each "
    "checked by its own checksum."
)
LEVEL = 3  # zstd's default: a fifth of the size of JSON lines at 400 MB/s; the archive is written once and rarely read
READ_BYTES = 1 << 20  # a step of reading, compressing and hashing
UNDATED = date(1970, 1, 1)  # the folder of segments that somebody else named


class Archived(msgspec.Struct, frozen=True):
    """A line of the manifest: one archived segment."""

    segment: str
    day: date  # on which it was opened, and the folder that it is in
    bytes: int  # of the segment itself
    sha256: str  # of the segment itself
    archived_bytes: int  # of the compressed file
    archived_sha256: str  # of the compressed file
    archived_at: datetime


@dataclass(frozen=True)
class Damage:
    """A segment, archived or about to be, that is not what it was."""

    segment: str
    path: Path
    problem: str


class Archive:
    """The archive below a landing folder. One process at a time writes to it: whoever holds the lock of ingest."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._manifest = DurableLog(folder / MANIFEST, Archived, way_out=RELIST)

    @property
    def manifest(self) -> Path:
        """The file that lists what is here."""
        return self._manifest.path

    def entries(self) -> dict[str, Archived]:
        """What is here, by the name of the segment: what the manifest lists, oldest first, then what it should.

        Raises:
            LakeError: The manifest is damaged, or a file that it does not list is.
        """
        found = self.listed()
        for each in self.unlisted():
            if isinstance(each, Damage):
                raise LakeError(f"{each.path}: {each.problem}. Restore the file from a backup.")
            found[each.segment] = each
        return found

    def listed(self) -> dict[str, Archived]:
        """What the manifest lists, by the name of the segment, oldest first.

        Raises:
            LakeError: The manifest is damaged.
        """
        return {entry.segment: entry for entry in self._manifest.entries()}

    def unlisted(self) -> Iterator[Archived | Damage]:
        """Reads the archived files that the manifest does not list: as they would be listed, or what is wrong.

        Raises:
            LakeError: The manifest is damaged.
        """
        listed = self.listed()
        for path in self.files():
            if _segment_of(path) not in listed:
                yield _found(path)

    def files(self) -> list[Path]:
        """The compressed segments that are here, listed or not."""
        return sorted(self.folder.glob(f"*/*{SUFFIX}{PACKED}"))

    def relist(self) -> list[Archived]:
        """Lists in the manifest what it should list, and does not since it was lost; returns that.

        Raises:
            LakeError: The manifest is damaged.
        """
        found = [each for each in self.unlisted() if isinstance(each, Archived)]
        for entry in found:
            self._manifest.append(entry)
        return found

    def path(self, entry: Archived) -> Path:
        """The compressed file."""
        return self.folder / entry.day.isoformat() / f"{entry.segment}{SUFFIX}{PACKED}"

    def store(self, segment: Segment, *, now: datetime) -> Archived | Damage:
        """Moves a sealed segment here; it is only removed when its copy and the manifest are durable.

        Returns the entry, or the damage found: a segment that is not what its seal says stays where it is. After a
        crash the same call does the rest.
        """
        if segment.seal is None:
            raise LakeError(f"{segment.path} is not sealed; only what no longer grows can be archived")
        entry = self.listed().get(segment.name)
        if entry is None:
            day = segment.started_at.date() if segment.started_at else UNDATED
            folder = self.folder / day.isoformat()
            folder.mkdir(parents=True, exist_ok=True)
            sync_folder(self.folder)
            stem = folder / segment.name
            index = segment.path.with_suffix(INDEX_SUFFIX)
            if index.exists():
                _compress(index, stem.with_name(f"{segment.name}{INDEX_SUFFIX}{PACKED}"))
            target = stem.with_name(f"{segment.name}{SUFFIX}{PACKED}")
            sha256, size, archived_sha256, archived_size = _compress(segment.path, target)
            if (sha256, size) != (segment.seal.sha256, segment.seal.bytes):
                target.unlink()
                return _changed(segment)
            sync_folder(folder)
            sync_folder(self.folder)
            entry = Archived(segment.name, day, size, sha256, archived_size, archived_sha256, now.astimezone(UTC))
            self._manifest.append(entry)
        elif file_sha256(segment.path) != entry.sha256:
            return _changed(segment)
        # The index last: a segment without one is read slowly but rightly, an index without a segment is just rubbish.
        segment.path.unlink(missing_ok=True)
        segment.path.with_suffix(INDEX_SUFFIX).unlink(missing_ok=True)
        return entry

    def restore(self, entry: Archived, folder: Path) -> Segment:
        """Unpacks a segment, with its index, into a folder.

        Raises:
            LakeError: It is gone, or is not what was put there.
        """
        source = self.path(entry)
        target = folder / f"{entry.segment}{SUFFIX}"
        try:
            sha256 = _decompress(source, target)
        except (OSError, zstandard.ZstdError) as error:
            target.unlink(missing_ok=True)
            raise LakeError(f"cannot unpack {source}: {error}. Restore the file from a backup.") from error
        if sha256 != entry.sha256:
            target.unlink()
            raise LakeError(f"{source} is not what was archived: its sha256 differs. Restore the file from a backup.")
        index = source.with_name(f"{entry.segment}{INDEX_SUFFIX}{PACKED}")
        if index.exists():
            try:
                _decompress(index, target.with_suffix(INDEX_SUFFIX))
            except zstandard.ZstdError:  # only a shortcut is lost
                target.with_suffix(INDEX_SUFFIX).unlink()
        segment = look_at(target)
        assert segment is not None
        return segment

    def replace(self, entry: Archived, segment: Segment) -> None:
        """Puts another segment, sealed, in the place of an archived one of its name.

        Until that is done the manifest does not list it, and nothing vouches for it but its own checksum: after a crash
        either of the two is as good as any, and `relist` lists it.
        """
        if segment.seal is None:
            raise LakeError(f"{segment.path} is not sealed; only what no longer grows can be archived")
        packed = self.path(entry)
        index = packed.with_name(f"{entry.segment}{INDEX_SUFFIX}{PACKED}")
        self._manifest.replace(each for each in self._manifest.entries() if each.segment != entry.segment)
        index.unlink(missing_ok=True)
        sync_folder(packed.parent)
        sha256, size, packed_sha256, packed_size = _compress(segment.path, packed)
        _compress(segment.path.with_suffix(INDEX_SUFFIX), index)
        sync_folder(packed.parent)
        self._manifest.append(
            Archived(entry.segment, entry.day, size, sha256, packed_size, packed_sha256, entry.archived_at)
        )

    def damages(self) -> Iterator[Damage]:
        """Reads every archived file and names those that are gone or changed."""
        for entry in self.listed().values():
            path = self.path(entry)
            if not path.exists():
                yield Damage(entry.segment, path, "the file is gone")
            elif path.stat().st_size != entry.archived_bytes or file_sha256(path) != entry.archived_sha256:
                yield Damage(entry.segment, path, "its bytes changed: the sha256 is not that of the manifest")
        yield from (each for each in self.unlisted() if isinstance(each, Damage))


def file_sha256(path: Path) -> str:
    """The sha256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _segment_of(path: Path) -> str:
    return path.name.removesuffix(SUFFIX + PACKED)


def _found(path: Path) -> Archived | Damage:
    """What the manifest should say of a file, by what the file itself and its index say."""
    name = _segment_of(path)
    digest, size = hashlib.sha256(), 0
    try:
        day = date.fromisoformat(path.parent.name)
        for part in _unpacked(path):
            digest.update(part)
            size += len(part)
        archived_at = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        packed_sha256, packed_size = file_sha256(path), path.stat().st_size
    except (OSError, ValueError, zstandard.ZstdError) as error:
        return Damage(name, path, f"the manifest does not list it, and it cannot be read: {error}")
    seal = _archived_seal(path)
    if seal is not None and (digest.hexdigest(), size) != (seal.sha256, seal.bytes):
        return Damage(name, path, "the manifest does not list it, and its sha256 is not that of its seal")
    return Archived(name, day, size, digest.hexdigest(), packed_size, packed_sha256, archived_at)


def _archived_seal(path: Path) -> Seal | None:
    """The seal in the archived index of a segment; None where there is none that can be read."""
    with TemporaryDirectory(prefix="oplake-") as folder:
        plain = Path(folder) / f"{_segment_of(path)}{SUFFIX}"
        try:
            _decompress(path.with_name(f"{plain.stem}{INDEX_SUFFIX}{PACKED}"), plain.with_suffix(INDEX_SUFFIX))
        except (OSError, zstandard.ZstdError):
            return None
        return read_seal(plain)


def _changed(segment: Segment) -> Damage:
    return Damage(
        segment.name, segment.path, "its bytes changed after it was sealed: the sha256 is not that of the seal"
    )


def _compress(source: Path, target: Path) -> tuple[str, int, str, int]:
    """Writes a durable compressed copy under its final name; sha256 and size of the source, then of the copy."""
    partial = target.with_name(target.name + ".tmp")
    before, after = hashlib.sha256(), hashlib.sha256()
    size = packed_size = 0
    compressor = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True).compressobj()
    with source.open("rb") as plain, partial.open("wb") as packed:
        while part := plain.read(READ_BYTES):
            before.update(part)
            size += len(part)
            piece = compressor.compress(part)
            after.update(piece)
            packed_size += packed.write(piece)
        piece = compressor.flush()
        after.update(piece)
        packed_size += packed.write(piece)
        packed.flush()
        os.fsync(packed.fileno())
    partial.replace(target)
    return before.hexdigest(), size, after.hexdigest(), packed_size


def _decompress(source: Path, target: Path) -> str:
    """Unpacks a file and returns the sha256 of what was in it."""
    digest = hashlib.sha256()
    with target.open("wb") as plain:
        for part in _unpacked(source):
            digest.update(part)
            plain.write(part)
    return digest.hexdigest()


def _unpacked(source: Path) -> Iterator[bytes]:
    """What a compressed file holds, in parts.

    Raises:
        ZstdError: Its checksum is wrong, or it ends too early, of which zstandard's own iterator says nothing.
    """
    unpacking = zstandard.ZstdDecompressor().decompressobj()
    with source.open("rb") as packed:
        while not unpacking.eof:
            part = packed.read(READ_BYTES)
            if not part:
                raise zstandard.ZstdError("it ends too early")
            yield unpacking.decompress(part)
