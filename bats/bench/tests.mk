# SPDX-License-Identifier: MIT
# What the bench needs: included by the Makefile.

tools: $(BUILD)/test/load $(BUILD)/test/wake

# Static: they run in every bed.
$(BUILD)/test/load $(BUILD)/test/wake: $(BUILD)/test/%: $(BUILD)/static/bats/bench/%.o
	@mkdir -p $(@D)
	$(CC) -static $(CFLAGS) $(link) -o $@ $^
