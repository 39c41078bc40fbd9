# SPDX-License-Identifier: MIT
# What the suite launcher needs: included by the Makefile.

tools: $(addprefix $(BUILD)/test/,unit-test background-test fake-host)

# Static, to run in every bed; the sanitizers' libraries do not link statically, UBSan's trap does.
unit_test := bats/launcher/unit-test.c launcher/complaint.c launcher/span.c launcher/watchdog.c preload/gate.c

$(BUILD)/test/unit-test: $(unit_test) launcher/complaint.h launcher/span.h launcher/watchdog.h preload/gate.h
	@mkdir -p $(@D)
	$(CC) $(filter-out -MMD -MP,$(base)) -O1 -g -fsanitize=undefined \
	  -fsanitize-undefined-trap-on-error -static -o $@ $(unit_test)

background_test := $(addprefix $(BUILD)/static/,bats/launcher/background-test.o launcher/background.o \
                     launcher/cgroup.o launcher/log.o launcher/process.o)

$(BUILD)/test/background-test: $(background_test)
	@mkdir -p $(@D)
	$(CC) -static $(CFLAGS) $(link) -pthread -o $@ $^

$(BUILD)/test/fake-host: $(addprefix $(BUILD)/static/,bats/launcher/fake-host.o preload/gate.o)
	@mkdir -p $(@D)
	$(CC) -static $(CFLAGS) $(link) -o $@ $^
