"""What every room that keeps rows stands on: opening a database, and its column types."""
