# SPDX-License-Identifier: MIT
# What the suites preload and gate need: included by the Makefile.

tools: $(BUILD)/test/holder $(BUILD)/test/gatekeeper $(BUILD)/test/libcounting.so $(BUILD)/test/gate-test \
       $(BUILD)/test/gate-test-asan $(BUILD)/test/gate-test-tsan

# Static, like the client: it runs in every bed.
$(BUILD)/test/holder: $(BUILD)/static/bats/preload/holder.o
	@mkdir -p $(@D)
	$(CC) -static $(CFLAGS) $(link) -o $@ $^

$(BUILD)/test/gatekeeper: $(addprefix $(BUILD)/static/,bats/preload/gatekeeper.o preload/gate.o)
	@mkdir -p $(@D)
	$(CC) -static $(CFLAGS) $(link) -o $@ $^

$(BUILD)/test/libcounting.so: bats/preload/counting.c
	@mkdir -p $(@D)
	$(CC) $(filter-out -MMD -MP,$(base)) $(CFLAGS) -fPIC -shared -o $@ $<

gate_test := bats/gate/gate-test.c preload/gate.c
sanitize-gate-test      := -O2
sanitize-gate-test-asan := -O1 -fsanitize=address,undefined -fno-sanitize-recover=all
sanitize-gate-test-tsan := -O1 -fsanitize=thread

$(BUILD)/test/gate-test $(BUILD)/test/gate-test-asan $(BUILD)/test/gate-test-tsan: \
  $(gate_test) preload/gate.h preload/raw.h
	@mkdir -p $(@D)
	$(CC) $(filter-out -MMD -MP,$(base)) -g $(sanitize-$(@F)) -pthread -o $@ $(gate_test)
