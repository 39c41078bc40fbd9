/* SPDX-License-Identifier: MIT */
#include "shim.h"

#include <stdint.h>

#include "adopt.h"
#include "connection.h"
#include "raw.h"
#include "text.h"
#include "worker.h"

struct shim shim;

/* Maps the page behind a descriptor, or returns NULL if it is not what we expect. */
static struct gate_page *map_page(int fd)
{
        const long seals = F_SEAL_SHRINK | F_SEAL_GROW;
        struct stat status;
        long address;
        struct gate_page *page;

        if ((raw_fcntl(fd, F_GET_SEALS, 0) & seals) != seals)
                return NULL; /* -EBADF has these bits too, but then fstat() fails */
        if (raw2(fstat, fd, &status) < 0 || status.st_size != sizeof(struct gate_page))
                return NULL;
        address =
            raw6(mmap, NULL, sizeof(struct gate_page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (address < 0 && address > -4096)
                return NULL;
        page = (struct gate_page *)address;
        return page->magic == GATE_MAGIC && page->version == GATE_VERSION ? page : NULL;
}

/* Learns what the passed sockets are; nothing is consumed, a later exec finds all of it again. */
static void learn_listeners(const struct gate_page *page)
{
        for (uint32_t i = 0; i < page->n_sockets && i < GATE_SOCKETS_MAX; i++) {
                struct listener *listener = &shim.listeners[i];

                listener->inode = page->sockets[i].inode;
                listener->ondemand_fd = -1;
                listener->more_fd = -1;
                listener->wait_fd = -1;
                listener->own_fd = -1;
                listener->address_size = sizeof(listener->address);
                if (raw3(getsockname, page->sockets[i].fd, &listener->address,
                         &listener->address_size) < 0)
                        listener->address_size = 0;
                shim.n_listeners = i + 1;
        }
}

static void learn_executable(void)
{
        char path[4096];
        long size = raw4(readlinkat, AT_FDCWD, "/proc/self/exe", path, sizeof(path) - 1);
        int fd;

        if (size < 0)
                return;
        path[size] = '\0';
        shim.is_php_fpm = text_starts(text_basename(path), "php-fpm");
        if (!shim.is_php_fpm)
                return;
        fd = (int)raw3(openat, AT_FDCWD, "/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
        size = raw_read(fd, shim.words, sizeof(shim.words) - 1);
        shim.words_size = size > 0 ? (size_t)size : 0;
        (void)raw_close(fd);
}

/*
 * The constructor. It runs in every program between the launcher and the server too, so it writes
 * nothing but this struct, unless this very process was the server before an exec (a reload).
 * It takes no arguments: musl passes none.
 */
__attribute__((constructor)) static void load(void)
{
        const char *value = text_environment(GATE_ENVIRONMENT);
        int fd = value ? text_number(value, '\0') : -1;
        struct gate_page *page = fd >= 0 ? map_page(fd) : NULL;

        if (!page)
                return;
        shim.page_fd = fd;
        shim.gate.page = page;
        shim.gate.closing_fd = page->closing_fd;
        shim.gate.waking_fd = page->waking_fd;
        learn_listeners(page);
        learn_executable();
        shim.role = SHIM_BEFORE;
        adopt_at_load();
}

static bool was_forked(void)
{
        const struct shim_process *process = shim.process;

        return shim.wiped_on_fork ? process->pid == 0 : process->pid != raw_getpid();
}

enum shim_role shim_role(void)
{
        if (shim.role < SHIM_SERVER || !was_forked())
                return shim.role;

        shim.process->pid = raw_getpid();
        worker_forget_slot();
        connection_forget_all();
        shim.role = shim.role == SHIM_WORKER ? SHIM_STRANGER : SHIM_CHILD;
        return shim.role;
}

bool shim_owns_memory(void)
{
        return shim.role < SHIM_SERVER || shim_role() == SHIM_STRANGER ||
               shim.process->pid == raw_getpid();
}

static bool make_process_page(void)
{
        long address;

        if (shim.process)
                return true;
        address =
            raw6(mmap, NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (address < 0 && address > -4096)
                return false;
        shim.process = (struct shim_process *)address;
        shim.wiped_on_fork = raw3(madvise, address, 4096, MADV_WIPEONFORK) == 0;
        return true;
}

/* The connection to fpm-waker, unless there is none or a script has closed it. */
static int handover_connection(const struct gate_page *page)
{
        int type = 0;
        socklen_t size = sizeof(type);

        if (page->handover_fd < 0 ||
            raw_getsockopt(page->handover_fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0 ||
            type != SOCK_SEQPACKET)
                return -1;
        return page->handover_fd;
}

void shim_say(char what)
{
        int fd = handover_connection(shim.gate.page);

        if (fd >= 0)
                (void)raw6(sendto, fd, &what, 1, MSG_NOSIGNAL | MSG_DONTWAIT, NULL, 0);
}

void shim_become_ready(void)
{
        if (gate_become_ready(shim.gate.page))
                shim_say(GATE_SAYS_READY);
}

/*
 * The kernel tells of fpm-waker's death by a signal: it must go to the process that drains. If that
 * signal came when nobody could heed it (a container's init without a handler), it is given again.
 */
static void own_handover_signal(uint32_t pid)
{
        static const struct timespec now = {0};
        struct pollfd host = {.fd = handover_connection(shim.gate.page), .events = POLLIN};

        if (host.fd < 0)
                return;
        (void)raw_fcntl(host.fd, F_SETOWN, (long)pid);
        if (raw_poll(&host, 1, &now) > 0)
                (void)raw2(kill, pid, SIGQUIT);
}

void shim_become_server(void)
{
        struct gate_page *page = shim.gate.page;
        uint32_t pid = raw_getpid();
        uint32_t former = atomic_load(&page->master);

        if (shim_role() == SHIM_SERVER || !make_process_page())
                return;
        shim.process->pid = pid;
        shim.server = pid;
        shim.role = SHIM_SERVER;
        /* Its workers are gone with it: with its death, or before it executed itself. */
        if (former != 0 && (former == pid || raw2(kill, former, 0) == -ESRCH))
                gate_reset(&shim.gate);
        atomic_store(&page->master, pid);
        shim_say(GATE_SAYS_MASTER);
        own_handover_signal(pid);
}

void shim_set_fd(int fd, unsigned kind)
{
        shim.fds[fd] = (uint16_t)kind;
        if (fd >= shim.fds_end)
                shim.fds_end = fd + 1;
}

void shim_track_listener(int fd, uint32_t i)
{
        if ((unsigned)fd >= SHIM_FDS_MAX)
                return;
        shim_forget(fd);
        shim_set_fd(fd, SHIM_FD_LISTENER + i);
        shim.listeners[i].references++;
}

void shim_forget(int fd)
{
        unsigned kind = shim_fd(fd);
        struct listener *listener = shim_listener(fd);

        if (kind == SHIM_FD_OTHER)
                return;
        shim.fds[fd] = SHIM_FD_OTHER;
        if (!listener)
                connection_forget(&shim.connections[kind - SHIM_FD_CONNECTION], fd);
        else if (--listener->references == 0)
                worker_leave(listener);
}

int shim_identify(int fd)
{
        uint64_t inode;

        if (raw_fstat_inode(fd, &inode) < 0)
                return -1;
        for (uint32_t i = 0; i < shim.n_listeners; i++)
                if (shim.listeners[i].inode == inode)
                        return (int)i;
        return -1;
}
