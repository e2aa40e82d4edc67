"""The store on DuckDB: one file, no server."""
