#!/usr/bin/env bash
# Trains softmax and mixture-of-keys attention on ListOps: installs what is missing, builds, runs.
# All arguments go to the program: ./train.sh --help
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")" || exit 1
# shellcheck source=cmake/bootstrap.sh
. cmake/bootstrap.sh

install_missing build
configure cpu build || exit 1
build build listops || exit 1

exec build/examples/listops "$@"
