"""Models as they were read, kept until anything changes on which they depend.

Reading a folder of model files tokenises, parses and binds each of them and follows its columns, which would cost every
command and every run that Dagster starts a tenth of a second for two files. What came of it is kept, named after all
that went into it: the files, the tables that they may read, the code that reads them and the versions of what it uses.
"""

from __future__ import annotations

import contextlib
import pickle
import sys
from collections.abc import Iterable
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from uuid import uuid4

from oplake.lake.spec import TableSpec
from oplake.models.functions import FUNCTIONS
from oplake.models.model import Models

DIGEST_BYTES = 32  # of the sha256 that stands before the models, so that no torn file is taken for them
SUFFIX = ".models"


def kept_models(folder: Path, sources: Iterable[TableSpec], keep: Path | None) -> Models:
    """The models of a folder, read only if something has changed; see `sql_file.load_models`.

    Args:
        folder: Holds the model files.
        sources: The tables that models may read besides each other.
        keep: The folder to keep them in, made where it is not there; None to keep nothing.

    Raises:
        ModelFileError: At least one file is wrong.
    """
    known = list(sources)
    path = keep / f"{_fingerprint(folder, known)}{SUFFIX}" if keep else None
    if path and (found := _read(path)) is not None:
        return found
    from oplake.models.sql_file import load_models  # only now: sqlglot takes a while to load

    models = load_models(folder, known)
    if path:
        for model in models:
            _ = model.lineage  # so that it is kept, too
        with contextlib.suppress(OSError):
            _write(path, models)
    return models


def _fingerprint(folder: Path, sources: Iterable[TableSpec]) -> str:
    digest = sha256(repr((sys.version_info[:3], str(folder), *map(version, ("duckdb", "pyarrow", "sqlglot")))).encode())
    for path in (*sorted(folder.rglob("*.sql")), *sorted(Path(__file__).parent.glob("*.py"))):
        content = path.read_bytes()
        digest.update(f"{path}\0{len(content)}\0".encode())
        digest.update(content)
    for source in sources:
        digest.update(repr(source).encode())
    for function in FUNCTIONS:
        digest.update(function.code_version.encode())
    return digest.hexdigest()[:DIGEST_BYTES]


def _read(path: Path) -> Models | None:
    try:
        content = path.read_bytes()
    except OSError:
        return None
    digest, packed = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
    if sha256(packed).digest() != digest:
        return None
    models = pickle.loads(packed)  # noqa: S301  # written by nobody but us, in our own folder
    return models if isinstance(models, Models) else None


def _write(path: Path, models: Models) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    packed = pickle.dumps(models)
    part = path.with_name(f".{uuid4().hex}")
    part.write_bytes(sha256(packed).digest() + packed)
    part.replace(path)
    for old in path.parent.glob(f"*{SUFFIX}"):
        if old != path:
            old.unlink(missing_ok=True)
