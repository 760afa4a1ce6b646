"""What a notebook or a script calls, without Snakemake: the workflow's own steps, in memory.

Every name is an attribute of the package (``alignsec.relate``); torch is imported by `evaluate` and `check`.
"""
