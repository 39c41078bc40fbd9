# SPDX-License-Identifier: MIT
# shellcheck shell=sh
echo "$GREETED" >/tmp/greeted
