#!/bin/bash
# smoke.sh: an image that cannot attack a network must not be built. Everything a job needs, once, in seconds.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
export OMP_NUM_THREADS=1
snakemake --version
python3 -c "import brainscore_vision, timm, torch, torchvision; print('torch', torch.__version__, 'for CUDA', torch.version.cuda)"
alignsec devices
python3 -m alignsec.cluster.job --version
alignsec demo train arch=mlp,training=standard,seed=1 --out weights.pt
alignsec images shard digits --start 0 --stop 2 --out shard.parquet
model=(mlp --source demo --spec arch=mlp,training=standard,seed=1 --weights weights.pt)
alignsec zoo preflight "${model[@]}" --out preflight.json
alignsec attack run "${model[@]}" --preflight preflight.json --shard shard.parquet --epsilon 1/255 --epsilon 0.3 \
  --out attack.parquet --status status.json
python3 -c "
import json, pandas as pd
assert json.load(open('status.json'))['status'] == 'ok', open('status.json').read()
assert len(pd.read_parquet('attack.parquet')) == 4"
echo "smoke test passed"
