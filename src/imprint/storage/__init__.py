"""Where bytes are kept: SQLite behind one transaction; files that are whole or absent. Chosen in ``assemble`` alone."""
