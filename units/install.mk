# SPDX-License-Identifier: MIT
# make install, make uninstall: included by the Makefile.
#
# The one list of what is installed. A line is: what, where from, where to (below PREFIX, unless it
# starts with a slash). What is a file's mode; or "in", a template in which @PREFIX@ is
# replaced; "dir", an empty directory that is wanted as such; "link", a symbolic link.

unitdir      := lib/systemd/system
userunitdir  := lib/systemd/user
sharedir     := share/fpm-waker
mandir       := share/man

define installed
755    $(BUILD)/fpm-waker                       bin/fpm-waker
755    $(BUILD)/fpm-launcher                    lib/fpm-waker/fpm-launcher
644    $(BUILD)/libfpm-waker.so                 lib/fpm-waker/libfpm-waker.so
dir    755                                      lib/fpm-waker/run
link   ../lib/fpm-waker/fpm-launcher            bin/fpm-launcher
dir    755                                      /etc/fpm-waker
$(foreach page,$(wildcard man/*.[1-9]),
644    $(page)                                  $(mandir)/man$(subst .,,$(suffix $(page)))/$(notdir $(page)))
endef
export installed

# Directories that are ours alone: uninstall removes them once they are empty.
owned_dirs := lib/fpm-waker $(sharedir)

# Reads the list: "$$what", "$$from" and "$$to", the last with DESTDIR and PREFIX.
for_installed = printf '%s\n' "$$installed" | while read -r what from to; do \
        case $$to in '') continue ;; /*) ;; *) to=$(PREFIX)/$$to ;; esac; to=$(DESTDIR)$$to;

.PHONY: install
install: all
	@$(for_installed) \
	case $$what in \
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
