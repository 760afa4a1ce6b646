"""alignsec: are vision models that see more like humans harder to attack?

The library behind the Snakemake workflow: pure functions on data frames and tensors that know nothing of
Snakemake. Modules import lazily where start-up time counts; nothing is imported here.
"""

__version__ = "0.1.0"
