# SPDX-License-Identifier: MIT
# What the suite slots needs: included by the Makefile.

tools: $(BUILD)/test/slot-test $(BUILD)/test/responder $(BUILD)/test/responder-musl

slot_test := $(addprefix bats/slots/,slot-test.c at-once.c calls.c connections.c waits.c driver.c) preload/gate.c

$(BUILD)/test/slot-test: $(call objects,static,$(slot_test))
	@mkdir -p $(@D)
	$(CC) -static $(CFLAGS) $(link) -o $@ $^

# Dynamic, so that the shim gets in.
$(BUILD)/test/responder: bats/slots/responder.c bats/slots/responder.h preload/gate.h
	@mkdir -p $(@D)
	$(CC) $(filter-out -MMD -MP,$(base)) -O1 -g -pthread -o $@ $<

# musl's FD_SET() is a macro that mixes signs.
$(BUILD)/test/responder-musl: bats/slots/responder.c bats/slots/responder.h preload/gate.h
	@mkdir -p $(@D)
	musl-gcc $(filter-out -MMD -MP,$(base)) -Wno-sign-conversion -O1 -g -pthread -o $@ $<
