"""What was done before and how it ended, by key; it lies in the cache folder and can be deleted at any time."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from typing import TYPE_CHECKING, Any, TypeVar

from patchctl.errors import Code, PatchctlError
from patchctl.files import locked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

T = TypeVar("T")

SCHEMA = """
CREATE TABLE IF NOT EXISTS results (
  kind TEXT NOT NULL,
  key TEXT NOT NULL,
  value TEXT NOT NULL,
  time REAL NOT NULL,
  seconds REAL NOT NULL,
  log TEXT NOT NULL,
  PRIMARY KEY (kind, key)
) WITHOUT ROWID
"""


def digest(*parts: object) -> str:
    """Return the key made of ``parts``: the SHA-256 of their canonical JSON, 64 hex digits."""
    canonical = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


class Ledger:
    """Results by (kind, key); values are JSON. Safe for several processes at once (SQLite in WAL mode)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._open: sqlite3.Connection | None = None

    def _connection(self) -> sqlite3.Connection:
        if self._open is None:
            try:
                self._open = self._connect()
            except sqlite3.DatabaseError:
                # A broken cache costs time, never an answer.
                self._discard()
                self._open = self._connect()
        return self._open

    def _connect(self) -> sqlite3.Connection:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(self.path, timeout=30, isolation_level=None)
            self._prepare(connection)
        except sqlite3.OperationalError as error:
            raise PatchctlError(Code.ENVIRONMENT, f"cannot write the ledger {self.path}: {error}") from error
        except OSError as error:
            raise PatchctlError(Code.ENVIRONMENT, f"cannot write the ledger {self.path}: {error.strerror}") from error
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        """Set the journal and make the table; of several at once on a new file SQLite refuses all but one."""
        if connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
            with locked(self.path.with_suffix(".lock"), f"the ledger {self.path}", wait=30):
                connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute(SCHEMA)

    def _discard(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        if self._open is not None:
            self._open.close()
            self._open = None

    def _ask(self, query: str, values: Sequence[object]) -> list[tuple[str, ...]]:
        return self._safely(lambda connection: connection.execute(query, values).fetchall())

    def _safely(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Return what ``work`` gives; a ledger that turns out to be damaged is made anew."""
        try:
            try:
                return work(self._connection())
            except sqlite3.OperationalError:
                raise
            except sqlite3.DatabaseError:
                self.close()
                self._discard()
                return work(self._connection())
        except sqlite3.OperationalError as error:
            raise PatchctlError(Code.ENVIRONMENT, f"cannot use the ledger {self.path}: {error}") from error

    def get(self, kind: str, key: str) -> Any | None:
        """Return the value kept under (kind, key), or None."""
        rows = self._ask("SELECT value FROM results WHERE kind=? AND key=?", (kind, key))
        return json.loads(rows[0][0]) if rows else None

    def seconds_of(self, kind: str, log: str) -> float | None:
        """Return the seconds that the newest result of a kind with this log took, None when there is none."""
        rows = self._ask("SELECT seconds FROM results WHERE kind=? AND log=? ORDER BY time DESC LIMIT 1", (kind, log))
        return float(rows[0][0]) if rows else None

    def get_many(self, kind: str, keys: Iterable[str]) -> dict[str, Any]:
        """Return the values of those ``keys`` that are kept."""
        wanted, found = list(keys), {}
        for start in range(0, len(wanted), 500):
            part = wanted[start : start + 500]
            marks = ",".join("?" * len(part))
            query = f"SELECT key, value FROM results WHERE kind=? AND key IN ({marks})"  # noqa: S608 - only question marks
            found.update({key: json.loads(value) for key, value in self._ask(query, (kind, *part))})
        return found

    def put(self, kind: str, key: str, value: object, *, seconds: float = 0.0, log: str = "") -> None:
        """Keep ``value`` under (kind, key) with the time, the seconds it took and where its log lies."""
        row = (kind, key, json.dumps(value, sort_keys=True), time.time(), seconds, log)
        self._ask("INSERT OR REPLACE INTO results VALUES (?,?,?,?,?,?)", row)

    def put_many(self, kind: str, values: Mapping[str, object]) -> None:
        """Keep many values under their keys in one transaction."""
        now = time.time()
        rows = [(kind, key, json.dumps(value, sort_keys=True), now, 0.0, "") for key, value in values.items()]

        def insert(connection: sqlite3.Connection) -> None:
            connection.execute("BEGIN IMMEDIATE")
            try:
                connection.executemany("INSERT OR REPLACE INTO results VALUES (?,?,?,?,?,?)", rows)
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

        if rows:
            self._safely(insert)

    def forget(self, kind: str, key: str) -> None:
        """Drop what is kept under (kind, key)."""
        self._ask("DELETE FROM results WHERE kind=? AND key=?", (kind, key))
