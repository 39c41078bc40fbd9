# SPDX-License-Identifier: MIT
# What the bench needs: included by the Makefile.

tools: $(BUILD)/test/load

# Static: it runs in every bed.
$(BUILD)/test/load: $(BUILD)/static/bats/bench/load.o
	@mkdir -p $(@D)
	$(CC) -static $(CFLAGS) $(link) -o $@ $^
