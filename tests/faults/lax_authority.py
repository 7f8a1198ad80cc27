"""``imprint`` with a mutant database that acknowledges what it did not sync. A kill cannot tell; a power cut must."""

import sqlite3
import sys

from imprint.cli import main
from imprint.storage.database import Database

LAX = (sys.executable, __file__)


if __name__ == "__main__":
    connect = Database._connect

    def without_syncing(database: Database) -> sqlite3.Connection:
        connection = connect(database)
        connection.execute("PRAGMA synchronous = NORMAL")
        return connection

    setattr(Database, "_connect", without_syncing)  # noqa: B010
    main()
