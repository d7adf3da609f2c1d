"""Looking back at judgements: what other settings would have said, and why an event was told."""
