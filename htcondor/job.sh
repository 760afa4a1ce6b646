#!/bin/bash
# HTCondor's executable of every job: runs where it landed, in its scratch folder (src/alignsec/cluster/job.py).
export PYTHONNOUSERSITE=1
command -v python3 > /dev/null || { echo "no python3 here: is container_image set in htcondor/config.yaml?" >&2; exit 3; }
exec python3 -m alignsec.cluster.job "$@"
