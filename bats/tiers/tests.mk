# SPDX-License-Identifier: MIT
# What the suite tiers needs: included by the Makefile.

tools: $(BUILD)/test/tier-test

tier_test := $(addprefix $(BUILD)/static/,bats/tiers/tier-test.o launcher/cgroup.o launcher/freezer.o \
               launcher/span.o launcher/tier.o)

$(BUILD)/test/tier-test: $(tier_test)
	@mkdir -p $(@D)
	$(CC) -static $(CFLAGS) $(link) -o $@ $^
