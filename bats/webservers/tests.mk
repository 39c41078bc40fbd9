# SPDX-License-Identifier: MIT
# What the suite webservers needs: included by the Makefile.

tools: $(BUILD)/test/post

$(BUILD)/test/post: $(BUILD)/static/bats/webservers/post.o
	@mkdir -p $(@D)
	$(CC) -static $(CFLAGS) $(link) -o $@ $^
