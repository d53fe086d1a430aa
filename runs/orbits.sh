#!/usr/bin/env bash
# Copies of one network in different gauges, brought together: Figs. 3 and 7 of arXiv:2511.12601 for INRs, and the same
# for small CNNs. Needs DATA/mnist and DATA/cifar10. Every step continues where it was stopped.
#   usage: runs/orbits.sh DATA
set -euo pipefail
cd "$(dirname "$0")/.."
export WEIGHTSPACE_DATA=${1:?usage: runs/orbits.sh DATA}

weightspace zoo make inr_mnist --out zoos/inr_mnist
weightspace zoo make cnn_cifar10_relu --out zoos/cnn_relu
weightspace zoo make cnn_cifar10_tanh --out zoos/cnn_tanh --num 8
weightspace interpolate orbit_inr_mnist --zoo zoos/inr_mnist --out out/orbit_inr_mnist
weightspace interpolate orbit_cnn_cifar10 --zoo zoos/cnn_relu --out out/orbit_cnn_cifar10_relu
weightspace interpolate orbit_cnn_cifar10 --zoo zoos/cnn_tanh --out out/orbit_cnn_cifar10_tanh --networks 8
for name in orbit_inr_mnist orbit_cnn_cifar10_relu orbit_cnn_cifar10_tanh; do
    mkdir -p "runs/orbits/$name"
    cp "out/$name"/{config.yaml,environment.json,curves.csv,networks.csv,orbits.svg,results.json} "runs/orbits/$name/"
done
# Rows of all pairs stay in out/*/panels; the summaries name their hashes.
python benchmarks/orbit_curves.py out/orbit_inr_mnist --out runs/orbits/inr_mnist_against_published.csv
python benchmarks/orbit_draws.py zoos/inr_mnist --work out/orbit_draws --out runs/orbits/inr_mnist
python benchmarks/orbit_spreads.py zoos/inr_mnist --out runs/orbits/inr_mnist_spreads.csv
