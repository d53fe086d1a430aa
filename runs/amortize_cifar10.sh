#!/usr/bin/env bash
# The four tables of amortized optimization on gray 8x8 CIFAR-10: tanh and ReLU, cross-entropy and distill + L1.
# Needs DATA/cifar10/{train,test}.parquet. Two zoos of 1,000 runs, then four operators and their twins; every step
# continues where it was stopped. The committed tables were made by exactly these lines.
#   usage: runs/amortize_cifar10.sh DATA
set -euo pipefail
cd "$(dirname "$0")/.."
export WEIGHTSPACE_DATA=${1:?usage: runs/amortize_cifar10.sh DATA}
# Freed memory is kept: on a machine where fresh pages are slow, a training step is up to a third faster.
export MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=68719476736

for activation in tanh relu; do
    weightspace zoo make "cifar10_mlp_$activation" --out "zoos/cifar10_mlp_$activation"
done
for activation in tanh relu; do
    for objective in ce distill; do
        recipe=amortize_cifar10_${activation}_$objective
        # One thread per operator: at width 32 a second one gains less than a second operator beside it.
        OMP_NUM_THREADS=1 weightspace train "$recipe" --out "out/$recipe"
        weightspace evaluate "out/$recipe"
        mkdir -p "runs/$recipe"
        cp "out/$recipe"/{config.yaml,environment.json,metrics.jsonl,results.json,results.md} "runs/$recipe/"
    done
done
