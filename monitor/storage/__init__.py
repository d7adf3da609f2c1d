"""What every room that keeps rows stands on: opening a database, and column types for all of them."""
