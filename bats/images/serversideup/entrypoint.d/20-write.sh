# shellcheck shell=sh
echo "$GREETED" >/tmp/greeted
