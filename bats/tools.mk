# SPDX-License-Identifier: MIT
# What only the tests need: included by the Makefile.

.PHONY: tools
tools: $(BUILD)/fastcgi

# Static, so that it runs in the bed and in any image.
$(BUILD)/fastcgi: $(BUILD)/static/bats/fastcgi.o
	$(CC) -static $(CFLAGS) $(link) -o $@ $^
