# SPDX-License-Identifier: MIT
# What the suite soak needs: included by the Makefile.

tools: $(BUILD)/test/hammer $(BUILD)/test/hog

# Static, like the client: they run in every bed.
hammer := client.c crowd.c fastcgi.c hammer.c http.c sabotage.c

$(BUILD)/test/hammer: $(addprefix $(BUILD)/static/bats/soak/,$(hammer:.c=.o))
	@mkdir -p $(@D)
	$(CC) -static $(CFLAGS) $(link) -pthread -o $@ $^

$(BUILD)/test/hog: $(BUILD)/static/bats/soak/hog.o
	@mkdir -p $(@D)
	$(CC) -static $(CFLAGS) $(link) -o $@ $^
