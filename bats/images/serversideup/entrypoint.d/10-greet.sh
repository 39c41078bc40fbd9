# SPDX-License-Identifier: MIT
# shellcheck shell=sh
echo "running as $(id -un)" >&2
export GREETED=yes
