#!/usr/bin/env bash
# the package itself, into the environment that Snakemake has just made
set -euo pipefail
pip install --no-deps "$PWD"
