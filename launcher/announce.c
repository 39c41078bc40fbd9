/* SPDX-License-Identifier: MIT */
#include "announce.h"

#include <ctype.h>
#include <inttypes.h>
#include <stddef.h>
#include <systemd/sd-daemon.h>
#include <time.h>

#include "events.h"
#include "log.h"
#include "status-serve.h"

#define USEC_PER_MSEC UINT64_C(1000)

static void tell(struct status *status, enum report_tier tier, const char *why, const char *notice)
{
        status_set(status, tier, why);
        (void)sd_notify(0, notice);
}

void announce(struct status *status, enum report_tier tier, const char *what)
{
        status_set(status, tier, what);
        (void)sd_notifyf(0, "STATUS=%s", what);
}

void announce_ready(struct status *status, uint64_t reload_usec)
{
        uint64_t wake_usec;

        tell(status, REPORT_HOT, NULL, "READY=1\nSTATUS=Serving requests");
        wake_usec = status_woken(status);
        if (reload_usec > 0)
                event_say(EVENT_RELOADED, NULL, "reloaded after %" PRIu64 " ms",
                          (gate_now_usec() - reload_usec) / USEC_PER_MSEC);
        else if (wake_usec > 0)
                event_say(EVENT_READY, &(struct event_fields){.wake_usec = wake_usec},
                          "ready after %" PRIu64 " ms", wake_usec / USEC_PER_MSEC);
        else
                event_say(EVENT_READY, NULL, "ready again");
}

void announce_busy(struct status *status)
{
        tell(status, REPORT_HOT, NULL, "STATUS=Serving requests");
}

void announce_thawed(struct status *status)
{
        announce_busy(status);
        event_say(EVENT_THAWED, NULL, "thawed");
}

void announce_reloading(struct status *status, uint64_t reload_usec)
{
        status_set(status, REPORT_HOT, "reloading");
        (void)sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64 "\nSTATUS=Reloading",
                         reload_usec);
        event_say(EVENT_RELOADING, NULL, "reloading");
}

void announce_reloaded_nothing(void)
{
        (void)sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, gate_now_usec());
        (void)sd_notify(0, "READY=1");
}

void announce_rest(struct status *status, enum report_tier tier, bool is_leaving)
{
        const char *name = report_tier_name(tier);
        const time_t now = time(NULL);
        char since[64];
        struct tm tm;

        status_set(status, tier, NULL);
        event_say(tier == REPORT_FROZEN ? EVENT_FROZEN : EVENT_LIGHT, NULL, "%s", name);
        if (is_leaving || !localtime_r(&now, &tm) ||
            strftime(since, sizeof(since), "%a %F %T %Z", &tm) == 0)
                return;
        (void)sd_notifyf(0, "READY=1\nSTATUS=%c%s since %s", toupper((unsigned char)*name),
                         name + 1, since);
}

void announce_idle(struct status *status, uint64_t requests)
{
        tell(status, REPORT_STOPPING, "idle", "STOPPING=1\nSTATUS=Idle, stopping");
        event_say(EVENT_IDLE, &(struct event_fields){.requests = &requests},
                  "idle, stopping (requests: %" PRIu64 ")", requests);
}

void announce_stopping(struct status *status)
{
        tell(status, REPORT_STOPPING, "told to stop",
             "STOPPING=1\nSTATUS=Stopping when the running requests are done");
}

void announce_maintenance(bool is_on)
{
        event_say(is_on ? EVENT_MAINTENANCE_ON : EVENT_MAINTENANCE_OFF, NULL, "maintenance is %s",
                  is_on ? "on" : "off");
}

void announce_in_maintenance(struct status *status)
{
        tell(status, REPORT_MAINTENANCE, NULL, "READY=1\nSTATUS=In maintenance");
}

void announce_end(bool has_failed, bool is_reload, const char *reason)
{
        const struct event_fields fields = {.reason = reason};

        if (!*reason)
                return;
        if (!has_failed)
                log_line("%s", reason);
        else if (is_reload)
                event_say(EVENT_RELOAD_FAILED, &fields, "the reload has failed: %s", reason);
        else
                event_say(EVENT_FAILED, &fields, "%s", reason);
}
