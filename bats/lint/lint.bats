#!/usr/bin/env bats
# bats file_tags=host
# SPDX-License-Identifier: MIT
#
# The code itself: style, static analysis, what the binaries need and export.

load ../helpers

setup() {
  start_test
  cd "$tree" || return
}
teardown() { end_test; }

# Every file of the repository, also one that is not committed yet, in which nothing is ignored.
files() { git ls-files --cached --others --exclude-standard -- "$@" | sort -u; }

c_files() { files '*.c' '*.h'; }

# Scripts: by their name or their first line.
scripts() {
  local file
  files | while read -r file; do
    case $file in
      *.bash | *.bats | *.sh) echo "$file" ;;
      *) [ ! -f "$file" ] || head -n 1 "$file" | grep -qE '^#!.*sh$' && echo "$file" ;;
    esac || true
  done
}

# nothing COMMAND...: it succeeds and says nothing.
nothing() {
  run "$@"
  is "$status $output" '0 ' "$1"
}

# --- scripts -------------------------------------------------------------------------------------

@test "shellcheck" {
  # What comes of not seeing that bats loads one file from another and calls the functions (2034,
  # 2119, 2120, 2317), and runs each test in a shell of its own (2030, 2031); echo is bash's (2028).
  [ "$(scripts | wc -l)" -gt 20 ]
  nothing xargs -a <(scripts) shellcheck -x -S style \
    -e SC2028,SC2030,SC2031,SC2034,SC2119,SC2120,SC2317
}

@test "shfmt" { nothing xargs -a <(scripts) shfmt -i 2 -ci -d; }

# --- C -------------------------------------------------------------------------------------------

@test "clang-format" {
  [ "$(c_files | wc -l)" -gt 40 ]
  nothing xargs -a <(c_files) clang-format --dry-run -Werror
}

@test "clang-tidy" {
  tidy() {
    case $1 in preload/*) set -- "$1" -ffreestanding ;; esac
    clang-tidy --quiet "$1" -- -std=gnu11 -D_GNU_SOURCE '-DFPM_WAKER_VERSION="0"' "${@:2}" \
      2>/dev/null
  }
  export -f tidy
  nothing xargs -a <(files '*.c') -P "$(nproc)" -I{} bash -c 'tidy {}'
}

@test "cppcheck" {
  # nullPointerRedundantCheck: an address from a bare system call is a number first.
  nothing cppcheck --quiet --std=c11 --enable=warning,performance,portability --error-exitcode=1 \
    -D_GNU_SOURCE -D__x86_64__ '-DFPM_WAKER_VERSION="0"' --suppress=missingIncludeSystem \
    --suppress=nullPointerRedundantCheck --suppress=checkersReport preload launcher bats
}

@test "gcc and clang have no warning, optimizing and not" {
  local compiler flags
  for compiler in gcc clang; do
    for flags in -O2 -O0; do
      nothing make -s -j "$(nproc)" all tools "BUILD=$dir/$compiler$flags" "CC=$compiler" \
        "CFLAGS=$flags"
    done
  done
}

@test "a changed header rebuilds the programs that include it, those of the tests too" {
  make -s -j "$(nproc)" all tools
  run make -q -W bats/launcher/../../launcher/handover.h "${BUILD:-build}/test/fake-host"
  is "$status" 1 'make -q: 0 is up to date, 1 is not'
}

# --- what is built -------------------------------------------------------------------------------

needed() { readelf -dW "$1" | awk '/NEEDED/ { print $NF }' | tr '\n' ' '; }

@test "the shim needs no library, no version of a symbol, and three symbols" {
  local compiler shim=$build/libfpm-waker.so
  # With the other compiler too: each has its own idea of when to call memcpy().
  make -s -j "$(nproc)" "$dir/clang/libfpm-waker.so" "BUILD=$dir/clang" CC=clang
  for shim in "$build/libfpm-waker.so" "$dir/clang/libfpm-waker.so"; do
    is "$(needed "$shim")" '' "$shim"
    contains "$(readelf -VW "$shim")" 'No version information found'
    is "$(nm -D --undefined-only "$shim" | awk '{ print $NF }' | sort | tr '\n' ' ')" \
      '__errno_location clock_gettime environ ' "$shim"
  done
}

@test "the shim exports what it wraps, and nothing else" {
  # A new wrapper is a new promise: to php-fpm, to whoever else is in LD_PRELOAD, and to musl.
  is "$(nm -D --defined-only "$build/libfpm-waker.so" | awk '{ print $NF }' | sort)" "$(
    sort <<'END'
__poll_chk
__ppoll_chk
__read_chk
__recv_chk
__recvfrom_chk
accept
accept4
bind
chmod
chown
close
connect
dup
dup2
dup3
epoll_ctl
fchownat
fcntl
fcntl64
getsockopt
getxattr
ioctl
kill
lchown
listen
poll
ppoll
preadv2
preadv64v2
pselect
pwritev2
pwritev64v2
read
readv
recv
recvfrom
recvmmsg
recvmsg
select
send
sendfile
sendfile64
sendmmsg
sendmsg
sendto
setsockopt
setxattr
shutdown
sigaction
splice
unlink
unlinkat
waitpid
write
writev
END
  )"
}

@test "the launcher is static, fpm-waker needs libsystemd, libfcgi and the libc" {
  is "$(needed "$build/fpm-launcher")" ''
  lacks "$(readelf -lW "$build/fpm-launcher")" INTERP
  is "$(needed "$build/fpm-waker")" '[libsystemd.so.0] [libfcgi.so.0] [libc.so.6] '
  is "$(needed "$build/fpm-docker")" '[libcurl.so.4] [libjansson.so.4] [libc.so.6] '
}

@test "hardened: position-independent, read-only after start, no executable stack" {
  local file text
  for file in fpm-docker fpm-launcher fpm-waker libfpm-waker.so; do
    text=$(readelf -hldW "$build/$file")
    matches "$text" 'Type: +DYN' "$file"
    matches "$text" 'GNU_STACK +[x0-9a-f ]+ RW +' "$file"
    contains "$text" GNU_RELRO "$file"
    contains "$text" BIND_NOW "$file"
    lacks "$text" RWE "$file"
    lacks "$text" TEXTREL "$file"
  done
  # The canary of the stack protector; the shim can have none, it is also musl's.
  for file in fpm-docker fpm-launcher fpm-waker; do
    contains "$(nm "$build/$file")" __stack_chk_fail "$file"
  done
}

# --- texts ---------------------------------------------------------------------------------------

@test "man pages: mandoc and groff have nothing to say" {
  local page
  for page in man/*; do
    nothing mandoc -T lint -W warning "$page"
    is "$(MANWIDTH=80 man --warnings -l "$page" 2>&1 >/dev/null)" '' "$page"
  done
}

@test "man pages name every option that --help names, and no other" {
  local page program options
  for program in fpm-launcher fpm-waker; do
    options=$("$build/$program" --help | grep -oE -e '--[a-z0-9-]+' | sort -u)
    page=$(MANWIDTH=200 man --no-hyphenation -l man/"$program".[18] | col -b)
    for option in $options; do
      contains "$page" "$option" "$program's man page"
    done
  done
}

@test "every file says its licence in its first lines" {
  local file
  files | while read -r file; do
    case $file in
      LICENSE | README.md | .* | */.*) continue ;;
    esac
    [ -f "$file" ] || continue
    head -n 3 "$file" | grep -q 'SPDX-License-Identifier: MIT' || fail "$file"
  done
}

@test "no blank at a line's end, no tab but in makefiles, a newline at each file's end" {
  local file
  is "$(git grep -InE --untracked '[[:blank:]]$' -- ':!*.md')" ''
  is "$(git grep -InP --untracked '\t' -- ':!*Makefile' ':!*.mk')" ''
  files | while read -r file; do
    [ ! -s "$file" ] || [ -z "$(tail -c 1 "$file")" ] || fail "$file has no newline at its end"
  done
}

@test "nothing in the repository knows the place where it was written" {
  is "$(git grep -InE --untracked '[/]work[/]|[.][.]/shared|[c]ontract\.md|[d]efects\.md|bash_[j]obs')" ''
}
