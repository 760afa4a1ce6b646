"""The Brain-Score leaderboard: exports as tidy scores, the registry of loadable models, their merge."""
