/* SPDX-License-Identifier: MIT */
/*
 * What the tiers rest on, one call at a time:
 *
 *   tier-test next FREEZE LIGHT STOP NOW   spans as in a conf, NOW is a number of enum tier: prints
 *                                          tier_next()'s tier and span, and tier_has_light()
 *   tier-test find PID                     prints the path of a process's freezer
 *   tier-test freeze|thaw|is-set PATH      a freezer; the last prints it
 *   tier-test reclaim PATH BYTES
 *
 * Prints the errno's text and exits with 1 if the call fails.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../launcher/cgroup.h"
#include "../../launcher/cleanup.h"
#include "../../launcher/freezer.h"
#include "../../launcher/span.h"
#include "../../launcher/tier.h"

static int result(int r)
{
        if (r >= 0)
                return 0;
        puts(strerror(-r));
        return 1;
}

static int next(char **words)
{
        static const char *const names[TIERS] = {"hot", "frozen", "light", "stopped"};
        struct tier_spans spans = TIER_SPANS_NONE;
        uint64_t usec;
        enum tier tier;

        for (int i = TIER_FROZEN; i < TIERS; i++)
                if (span_parse(words[i - 1], &spans.usec[i]) < 0)
                        return 2;
        tier = tier_next(&spans, (enum tier)atoi(words[3]), &usec);
        if (usec == GATE_INFINITY)
                printf("%s never", names[tier]);
        else
                printf("%s %" PRIu64, names[tier], usec / 1000000);
        puts(tier_has_light(&spans) ? " light" : "");
        return 0;
}

static int find(const char *pid)
{
        _cleanup_free_ char *path = NULL;
        int r;

        r = freezer_find(CGROUP_ROOT, atoi(pid), &path);
        if (r == 0)
                puts(path);
        return result(r);
}

static int on_freezer(const char *what, const char *path)
{
        _cleanup_close_ int freezer = freezer_open(path);
        int r = freezer;

        if (r >= 0 && strcmp(what, "is-set") == 0) {
                r = freezer_is_set(freezer);
                if (r >= 0)
                        printf("%d\n", r);
        } else if (r >= 0) {
                r = freezer_set(freezer, strcmp(what, "freeze") == 0);
        }
        return result(r);
}

int main(int argc, char **argv)
{
        if (argc == 6 && strcmp(argv[1], "next") == 0)
                return next(argv + 2);
        if (argc == 3 && strcmp(argv[1], "find") == 0)
                return find(argv[2]);
        if (argc == 4 && strcmp(argv[1], "reclaim") == 0)
                return result(freezer_reclaim(argv[2], strtoul(argv[3], NULL, 10)));
        if (argc == 3)
                return on_freezer(argv[1], argv[2]);
        return 2;
}
