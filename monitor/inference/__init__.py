"""Scores from frames: predictors, worker processes, and the pool that feeds them.

Nothing is imported here: a worker process must load only what it needs.
"""
