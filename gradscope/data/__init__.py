"""What the network sees: synthetic tasks whose required lag is known, and a user's own series."""
