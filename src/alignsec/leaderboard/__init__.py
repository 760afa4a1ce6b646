"""The Brain-Score leaderboard: any published export as tidy scores, the registry of loadable models, and their merge."""
