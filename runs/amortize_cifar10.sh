#!/usr/bin/env bash
# The four tables of amortized optimization on gray 8x8 CIFAR-10: tanh and ReLU, cross-entropy and distill + L1.
# Needs DATA/cifar10/{train,test}.parquet. Two zoos of 1,000 runs, then four operators and their twins; every step
# continues where it was stopped. The committed tables were made by these commands, the operators two at a time and
# partly beside other work: take their seconds as upper bounds. Commits and threads stand in each folder; the operator
# of relu_ce was trained again later (LOG.md).
#   usage: runs/amortize_cifar10.sh DATA
set -euo pipefail
cd "$(dirname "$0")/.."
export WEIGHTSPACE_DATA=${1:?usage: runs/amortize_cifar10.sh DATA}
# Keep freed memory: fresh pages are slow on some machines. Results do not depend on it.
export MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=68719476736

for activation in tanh relu; do
    weightspace zoo make "cifar10_mlp_$activation" --out "zoos/cifar10_mlp_$activation"
done
for activation in tanh relu; do
    for objective in ce distill; do
        recipe=amortize_cifar10_${activation}_$objective
        # One thread per operator, as in the committed runs.
        OMP_NUM_THREADS=1 weightspace train "$recipe" --out "out/$recipe"
        weightspace evaluate "out/$recipe"
        mkdir -p "runs/$recipe"
        cp "out/$recipe"/{config.yaml,environment.json,metrics.jsonl,results.json,results.md} "runs/$recipe/"
    done
done
