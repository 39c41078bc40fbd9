# SPDX-License-Identifier: MIT
#
#   make                the shim, the launcher and fpm-waker, in build/
#   make check          sets up all it needs (as root) and passes the tests
#   make fuzz           looks for streams that FastCGI framing takes for something else; FUZZ_SECONDS=
#   make demo           sets up all it needs (as root) and shows the main job
#   make soak           drives php-fpm at the moment of its idle exit for half an hour (as root)
#   make bench          sets up all it needs (as root) and measures everything beside others
#   make install        DESTDIR= PREFIX=
#   make uninstall      removes exactly that
#   make clean

VERSION  := 0.1.0
CC       ?= cc
CFLAGS   ?= -O2 -g
PREFIX   ?= /usr
DESTDIR  ?=
BUILD    ?= build

warnings := -Wall -Wextra -Werror -pedantic -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
            -Wold-style-definition -Wcast-qual -Wcast-align -Wwrite-strings -Wundef -Wvla \
            -Wformat=2 -Wconversion -Wsign-conversion -Wnull-dereference -Wdouble-promotion
base     := -std=gnu11 -D_GNU_SOURCE -DFPM_WAKER_VERSION='"$(VERSION)"' $(warnings) -MMD -MP
harden   := -fstack-protector-strong -fstack-clash-protection -fcf-protection -D_FORTIFY_SOURCE=2
link     := -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack

# The shim loads into glibc and musl programs alike: no needed library, no versioned symbol, and
# nothing the compiler might call on its own (memcpy, __stack_chk_fail).
gcc_only := $(if $(findstring clang,$(shell $(CC) --version)),,-fno-tree-loop-distribute-patterns)
shim     := -O2 -g -fPIC -ffreestanding -fno-stack-protector -fvisibility=hidden \
            -ftls-model=initial-exec -fcf-protection $(gcc_only)
shim_link := -shared -nostdlib -Wl,--hash-style=both -Wl,-soname,libfpm-waker.so $(link)

preload_c  := $(wildcard preload/*.c)
launcher_c  = $(addprefix launcher/,fpm-launcher.c $(launcher_parts))
waker_c     = $(addprefix launcher/,fpm-waker.c $(waker_parts))
docker_c    = $(addprefix launcher/,fpm-docker.c $(docker_parts))
# What each program is made of besides its main file.
launcher_parts := answering.c background.c cgroup.c handover-fetch.c leftovers.c liveness.c log.c \
                  no-resolver.c opcache.c process.c resident.c server.c sockets.c span.c \
                  unavailable.c watch.c watch-process.c watchdog.c
waker_parts    := announce.c answering.c attempt.c background.c cgroup.c client.c complaint.c \
                  conf.c configtest.c container.c container-stop.c container-tiers.c docker.c \
                  docker-outcome.c engine.c events.c failing.c freezer.c frozen.c handover-serve.c \
                  installed.c log.c maintenance.c nspawn.c opcache-directory.c peer.c podman.c \
                  process.c relay.c report.c responder.c run.c sockets.c span.c status-command.c \
                  status-memory.c status-print.c status-serve.c status-units.c supervise.c tier.c \
                  vhost.c watchdog.c words.c
docker_parts   := conf.c docker-api.c docker-outcome.c docker-spec.c log.c opcache-directory.c \
                  span.c tier.c words.c

objects = $(patsubst %.c,$(BUILD)/$(1)/%.o,$(2))

.PHONY: all
all: $(BUILD)/libfpm-waker.so $(BUILD)/fpm-launcher $(BUILD)/fpm-waker $(BUILD)/fpm-docker

$(BUILD)/libfpm-waker.so: $(call objects,shim,$(preload_c))
	$(CC) $(shim_link) -o $@ $^

$(BUILD)/fpm-launcher: $(call objects,static,$(launcher_c) preload/gate.c)
	$(CC) -static-pie $(CFLAGS) $(link) -o $@ $^ -lfcgi -pthread

$(BUILD)/fpm-waker: $(call objects,host,$(waker_c) preload/gate.c)
	$(CC) -pie $(CFLAGS) $(link) -o $@ $^ -lsystemd -lfcgi -pthread

$(BUILD)/fpm-docker: $(call objects,host,$(docker_c))
	$(CC) -pie $(CFLAGS) $(link) -o $@ $^ -lcurl -ljansson

$(BUILD)/shim/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(base) $(shim) -c -o $@ $<

$(BUILD)/static/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(base) $(harden) -fPIE $(CFLAGS) -c -o $@ $<

$(BUILD)/host/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(base) $(harden) -fPIE $(CFLAGS) -c -o $@ $<

.PHONY: clean
clean:
	rm -rf $(BUILD)

# Sets up what building needs before it builds, so that it works on a machine with only a compiler.
.PHONY: check demo bench
check:
	bats/run

demo:
	bats/demo

soak:
	bats/soak/soak

bench:
	bats/bench/bench

include units/install.mk bats/tools.mk $(wildcard bats/*/tests.mk)

-include $(wildcard $(BUILD)/*/*/*.d $(BUILD)/*/*/*/*.d)
