/* SPDX-License-Identifier: MIT */
#include "complaint.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

static const char time_characters[] =
    "0123456789:.- ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/* "[26-Nov-2026 01:29:52] ", also with a fraction of the second. */
static const char *skip_time(const char *line)
{
        const char *end;

        if (line[0] != '[' || !isdigit((unsigned char)line[1]))
                return line;
        end = line + 1 + strspn(line + 1, time_characters);
        return strncmp(end, "] ", 2) == 0 ? end + 2 : line;
}

void complaint_line(struct complaint *complaint, const char *line)
{
        if (complaint->is_error)
                return;
        line = skip_time(line);
        if (line[strspn(line, " \t\r")] == '\0')
                return;
        complaint->is_error = strcasestr(line, "error") || strcasestr(line, "fatal");
        (void)snprintf(complaint->text, sizeof(complaint->text), "%s", line);
}
