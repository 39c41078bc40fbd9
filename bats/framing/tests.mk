# SPDX-License-Identifier: MIT
# What the suite framing needs: included by the Makefile.

tools: $(BUILD)/test/record-test $(BUILD)/test/record-fuzz

framing_c := bats/framing/whole.c preload/record.c
framing_h := bats/framing/whole.h preload/record.h preload/shim.h

$(BUILD)/test/record-test: bats/framing/record-test.c $(framing_c) $(framing_h)
	@mkdir -p $(@D)
	$(CC) $(filter-out -MMD -MP,$(base)) -g -O1 -fsanitize=address,undefined \
	  -fno-sanitize-recover=all -o $@ $(filter %.c,$^)

# libFuzzer is part of clang, whatever the other compiler is.
$(BUILD)/test/record-fuzz: bats/framing/record-fuzz.c $(framing_c) $(framing_h)
	@mkdir -p $(@D)
	clang $(filter-out -MMD -MP,$(base)) -g -O1 -fsanitize=fuzzer,address,undefined \
	  -fno-sanitize-recover=all -o $@ $(filter %.c,$^)

# The inputs that were worth keeping are in $(BUILD)/fuzz: a further run starts from them.
FUZZ_SECONDS ?= 600

.PHONY: fuzz
fuzz:
	bats/bed setup
	$(MAKE) $(BUILD)/test/record-test $(BUILD)/test/record-fuzz
	@mkdir -p $(BUILD)/fuzz
	$(BUILD)/test/record-test $(BUILD)/fuzz
	$(BUILD)/test/record-fuzz -max_total_time=$(FUZZ_SECONDS) -max_len=140000 \
	  -artifact_prefix=$(BUILD)/fuzz. $(BUILD)/fuzz
