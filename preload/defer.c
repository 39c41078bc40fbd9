/* SPDX-License-Identifier: MIT */
#include "defer.h"

#include <errno.h>
#include <signal.h>

#include "connection.h"
#include "master.h"
#include "raw.h"
#include "shim.h"
#include "worker.h"

static void die_of(int number)
{
        const struct raw_sigaction by_default = {.handler = SIG_DFL};
        const uint64_t mask = UINT64_C(1) << (number - 1);

        (void)master_install(number, &by_default, NULL);
        (void)raw2(kill, raw_getpid(), number);
        (void)raw4(rt_sigprocmask, SIG_UNBLOCK, &mask, NULL, 8);
}

static void defer(int number, siginfo_t *info, void *context)
{
        int saved_errno = errno;

        (void)context;
        if (shim_role() == SHIM_WORKER && (worker_is_busy() || connection_is_any_left_behind()) &&
            (uint32_t)info->si_pid != shim.server && (uint32_t)info->si_pid != raw_getpid())
                shim.deferred = number;
        else
                die_of(number);
        atomic_fetch_add(&shim.hold.held_back, 1);
        errno = saved_errno;
}

void defer_signals(void)
{
        static const int numbers[] = {SIGTERM, SIGINT};

        if (shim.role != SHIM_WORKER)
                return;
        for (unsigned i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
                struct raw_sigaction action;

                if (master_install(numbers[i], NULL, &action) < 0 || action.handler != SIG_DFL)
                        continue;
                action.handler_with_info = defer;
                action.flags = SA_SIGINFO | SA_RESTART;
                (void)master_install(numbers[i], &action, NULL);
        }
}

void defer_act_now(void)
{
        if (shim.deferred && !connection_is_any_left_behind())
                die_of(shim.deferred);
}
