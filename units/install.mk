# SPDX-License-Identifier: MIT
# make install, make uninstall: included by the Makefile.
#
# The one list of what is installed. A line is: what, where from, where to (below PREFIX, unless it
# starts with a slash). What is a file's mode; or "in", a template in which @PREFIX@ is
# replaced; "dir", an empty directory that is wanted as such; "link", a symbolic link; "never", only
# to be uninstalled.

unitdir      := lib/systemd/system
userunitdir  := lib/systemd/user
sharedir     := share/fpm-waker
mandir       := share/man
quadlet      := fpm-waker-podman@my-site.example.com.container

# Type=notify-reload came with 253. Packagers say whose version counts: make install SYSTEMD_VERSION=257
SYSTEMD_VERSION ?= $(shell systemctl --version 2>/dev/null | awk 'NR == 1 { print int($$2) }')
has_reload      := $(shell [ "0$(SYSTEMD_VERSION)" -lt 253 ] || echo yes)
reload_dirs     := $(unitdir)/fpm-waker@.service.d $(unitdir)/fpm-waker-nspawn@.service.d \
                   $(unitdir)/fpm-waker-podman@.service.d $(userunitdir)/fpm-waker-podman@.service.d

define installed
755    $(BUILD)/fpm-waker                       bin/fpm-waker
755    $(BUILD)/fpm-launcher                    lib/fpm-waker/fpm-launcher
755    $(BUILD)/fpm-docker                      lib/fpm-waker/fpm-docker
644    $(BUILD)/libfpm-waker.so                 lib/fpm-waker/libfpm-waker.so
dir    755                                      lib/fpm-waker/run
dir    755                                      lib/fpm-waker/opcache
644    units/php.d/opcache-file-cache.ini       lib/fpm-waker/php.d/opcache-file-cache.ini
link   ../lib/fpm-waker/fpm-launcher            bin/fpm-launcher
dir    755                                      /etc/fpm-waker
644    units/fpm-waker@.socket                  $(unitdir)/fpm-waker@.socket
in     units/fpm-waker@.service.in              $(unitdir)/fpm-waker@.service
644    units/fpm-waker-directories.service       $(unitdir)/fpm-waker-directories.service
644    units/fpm-waker-engine-a@.target           $(unitdir)/fpm-waker-engine-a@.target
644    units/fpm-waker-engine-b@.target           $(unitdir)/fpm-waker-engine-b@.target
644    units/fpm-waker-native@.socket           $(unitdir)/fpm-waker-native@.socket
in     units/fpm-waker-native@.service.in       $(unitdir)/fpm-waker-native@.service
644    units/fpm-waker-nspawn@.socket           $(unitdir)/fpm-waker-nspawn@.socket
in     units/fpm-waker-nspawn@.service.in       $(unitdir)/fpm-waker-nspawn@.service
644    units/fpm-waker-podman@.socket           $(unitdir)/fpm-waker-podman@.socket
in     units/fpm-waker-podman@.service.in       $(unitdir)/fpm-waker-podman@.service
644    units/user/fpm-waker-podman@.socket      $(userunitdir)/fpm-waker-podman@.socket
in     units/fpm-waker-podman@.service.in       $(userunitdir)/fpm-waker-podman@.service
in     units/mysql.service.in                   $(sharedir)/mysql.service
in     units/nginx.service.in                   $(sharedir)/nginx.service
644    units/examples/docker.conf               $(sharedir)/examples/docker.conf
644    units/examples/many-awake.conf           $(sharedir)/examples/many-awake.conf
644    units/examples/native.conf               $(sharedir)/examples/native.conf
644    units/examples/native.php-fpm.conf       $(sharedir)/examples/native.php-fpm.conf
644    units/examples/nspawn.conf               $(sharedir)/examples/nspawn.conf
644    units/examples/podman.conf               $(sharedir)/examples/podman.conf
in     units/examples/$(quadlet)  $(sharedir)/examples/$(quadlet)
$(foreach dir,$(reload_dirs),
$(if $(has_reload),644,never)  units/notify-reload.conf  $(dir)/notify-reload.conf)
$(foreach page,$(wildcard man/*.[1-9]),
644    $(page)                                  $(mandir)/man$(subst .,,$(suffix $(page)))/$(notdir $(page)))
endef
export installed

# Directories that are ours alone: uninstall removes them once they are empty.
owned_dirs := lib/fpm-waker/php.d lib/fpm-waker $(reload_dirs) $(sharedir)/examples $(sharedir)

# Reads the list: "$$what", "$$from" and "$$to", the last with DESTDIR and PREFIX.
for_installed = printf '%s\n' "$$installed" | while read -r what from to; do \
        case $$to in '') continue ;; /*) ;; *) to=$(PREFIX)/$$to ;; esac; to=$(DESTDIR)$$to;

.PHONY: install
install: all
	@$(for_installed) \
	case $$what in \
	never) ;; \
	dir) install -d -m "$$from" "$$to" ;; \
	link) mkdir -p "$${to%/*}" && ln -sfn "$$from" "$$to" ;; \
	in) install -D -m 644 "$$from" "$$to" && sed -i 's|@PREFIX@|$(PREFIX)|g' "$$to" ;; \
	*) install -D -m "$$what" "$$from" "$$to" ;; \
	esac || exit; done

.PHONY: uninstall
uninstall:
	@$(for_installed) \
	case $$what in \
	dir) [ ! -d "$$to" ] || rmdir --ignore-fail-on-non-empty "$$to" ;; \
	*) rm -f "$$to" ;; \
	esac || exit; done
	@for dir in $(owned_dirs); do \
	[ ! -d "$(DESTDIR)$(PREFIX)/$$dir" ] || \
	rmdir --ignore-fail-on-non-empty "$(DESTDIR)$(PREFIX)/$$dir"; done
