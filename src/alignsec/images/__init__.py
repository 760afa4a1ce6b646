"""Labelled images: where they come from, their seeded order in shards, pixels, packs, corruptions."""
