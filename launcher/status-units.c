/* SPDX-License-Identifier: MIT */
#include "status-units.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-bus.h>

#include "cleanup.h"

/* A bus that is not answered in this time will not be. */
#define CALL_USEC   (5 * UINT64_C(1000000))

#define DESTINATION "org.freedesktop.systemd1"
#define INTERFACE   DESTINATION "."

static const char socket_suffix[] = ".socket", service_suffix[] = ".service";

struct unit {
        char *name; /* fpm-waker@site.socket */
        bool active;
};

struct units {
        sd_bus *bus;
        struct unit *list;
        size_t n;
};

/* --- which there are ----------------------------------------------------------------------- */

static int add_unit(struct units *units, const char *name, bool active)
{
        struct unit *list;

        list = reallocarray(units->list, units->n + 1, sizeof(*list));
        if (!list)
                return -ENOMEM;
        units->list = list;
        list[units->n] = (struct unit){.name = strdup(name), .active = active};
        if (!list[units->n].name)
                return -ENOMEM;
        units->n++;
        return 0;
}

static int read_list(struct units *units, sd_bus_message *reply)
{
        const char *name, *active;
        int r;

        r = sd_bus_message_enter_container(reply, 'a', "(ssssssouso)");
        while (r >= 0) {
                r = sd_bus_message_read(reply, "(ssssssouso)", &name, NULL, NULL, &active, NULL,
                                        NULL, NULL, NULL, NULL, NULL);
                if (r <= 0)
                        break;
                r = add_unit(units, name, strcmp(active, "active") == 0);
        }
        return r;
}

static int list_units(struct units *units)
{
        sd_bus_message *reply = NULL;
        int r;

        r = sd_bus_call_method(units->bus, DESTINATION, "/org/freedesktop/systemd1",
                               INTERFACE "Manager", "ListUnitsByPatterns", NULL, &reply, "asas", 0,
                               2, "fpm-waker@*.socket", "fpm-waker-*@*.socket");
        if (r >= 0)
                r = read_list(units, reply);
        (void)sd_bus_message_unref(reply);
        return r < 0 ? r : 0;
}

int units_new(struct units **ret, bool user)
{
        struct units *units;
        int r;

        units = calloc(1, sizeof(*units));
        if (!units)
                return -ENOMEM;
        r = user ? sd_bus_open_user(&units->bus) : sd_bus_open_system(&units->bus);
        if (r >= 0)
                r = sd_bus_set_method_call_timeout(units->bus, CALL_USEC);
        if (r >= 0)
                r = list_units(units);
        if (r < 0) {
                units_free(units);
                return r;
        }
        *ret = units;
        return 0;
}

void units_free(struct units *units)
{
        if (!units)
                return;
        for (size_t i = 0; i < units->n; i++)
                free(units->list[i].name);
        free(units->list);
        (void)sd_bus_flush_close_unref(units->bus);
        free(units);
}

size_t units_count(const struct units *units)
{
        return units->n;
}

void units_vhost(const struct units *units, size_t i, char *ret, size_t size)
{
        const char *name = strchr(units->list[i].name, '@') + 1;
        size_t n = strlen(name) - strlen(socket_suffix);

        (void)snprintf(ret, size, "%.*s", (int)n, name);
}

void units_service(const struct units *units, const char *vhost, char *ret, size_t size)
{
        const struct unit *found = NULL;
        char name[256];

        *ret = '\0';
        for (size_t i = 0; i < units->n; i++) {
                units_vhost(units, i, name, sizeof(name));
                if (strcmp(name, vhost) == 0 && (!found || units->list[i].active))
                        found = &units->list[i];
        }
        if (found)
                (void)snprintf(ret, size, "%.*s%s",
                               (int)(strlen(found->name) - strlen(socket_suffix)), found->name,
                               service_suffix);
}

/* --- how they are -------------------------------------------------------------------------- */

static int get_text(const struct units *units, const char *path, const char *interface,
                    const char *property, char *ret, size_t size)
{
        _cleanup_free_ char *text = NULL;
        int r;

        r = sd_bus_get_property_string(units->bus, DESTINATION, path, interface, property, NULL,
                                       &text);
        if (r >= 0)
                (void)snprintf(ret, size, "%s", text);
        return r;
}

static int get_number(const struct units *units, const char *path, const char *interface,
                      const char *property, char type, void *ret)
{
        return sd_bus_get_property_trivial(units->bus, DESTINATION, path, interface, property, NULL,
                                           type, ret);
}

/* The unit's object, to be freed, NULL for lack of memory. */
static char *path_of(const char *unit)
{
        char *path = NULL;

        if (sd_bus_path_encode("/org/freedesktop/systemd1/unit", unit, &path) < 0)
                return NULL;
        return path;
}

/* The socket's part. A service may have no socket, or one of another name. */
static int get_socket(const struct units *units, const char *service, struct unit_state *ret)
{
        _cleanup_free_ char *path = path_of(service), *socket_path = NULL;
        char **triggers = NULL, active[32] = "";
        int r;

        if (!path)
                return -ENOMEM;
        r = sd_bus_get_property_strv(units->bus, DESTINATION, path, INTERFACE "Unit", "TriggeredBy",
                                     NULL, &triggers);
        if (r < 0)
                return r;
        for (char **trigger = triggers; trigger && *trigger; trigger++) {
                const size_t n = strlen(*trigger), suffix = strlen(socket_suffix);

                if (!socket_path && n > suffix && strcmp(*trigger + n - suffix, socket_suffix) == 0)
                        socket_path = path_of(*trigger);
                free(*trigger);
        }
        free(triggers);
        if (!socket_path)
                return 0;
        r = get_text(units, socket_path, INTERFACE "Unit", "ActiveState", active, sizeof(active));
        ret->listens = strcmp(active, "active") == 0;
        if (r >= 0)
                r = get_number(units, socket_path, INTERFACE "Unit", "ActiveEnterTimestamp", 't',
                               &ret->listening_usec);
        return r;
}

int units_state(const struct units *units, const char *service, struct unit_state *ret)
{
        _cleanup_free_ char *path = path_of(service);
        uint32_t main_pid = 0;
        int32_t exit_status = 0;
        int r;

        *ret = (struct unit_state){0};
        if (!path)
                return -ENOMEM;
        r = get_text(units, path, INTERFACE "Unit", "ActiveState", ret->active,
                     sizeof(ret->active));
        if (r >= 0)
                r = get_number(units, path, INTERFACE "Unit", "StateChangeTimestamp", 't',
                               &ret->changed_usec);
        if (r >= 0)
                r = get_text(units, path, INTERFACE "Service", "Result", ret->result,
                             sizeof(ret->result));
        if (r >= 0)
                r = get_number(units, path, INTERFACE "Service", "MainPID", 'u', &main_pid);
        if (r >= 0)
                r = get_number(units, path, INTERFACE "Service", "ExecMainStatus", 'i',
                               &exit_status);
        ret->main_pid = (pid_t)main_pid;
        ret->exit_status = exit_status;
        if (r >= 0)
                r = get_socket(units, service, ret);
        return r < 0 ? r : 0;
}
