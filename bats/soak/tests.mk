# SPDX-License-Identifier: MIT
# What the suite soak needs: included by the Makefile.

tools: $(BUILD)/test/hammer

# Static, like the client: it runs in every bed.
$(BUILD)/test/hammer: $(patsubst %.c,$(BUILD)/static/%.o,$(wildcard bats/soak/*.c))
	@mkdir -p $(@D)
	$(CC) -static $(CFLAGS) $(link) -pthread -o $@ $^
