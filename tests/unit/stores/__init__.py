"""SQLite files, blobs and opening: what is particular to each."""
