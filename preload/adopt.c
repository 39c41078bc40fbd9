/* SPDX-License-Identifier: MIT */
#include "adopt.h"

#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/un.h>

#include "master.h"
#include "pools.h"
#include "raw.h"
#include "shim.h"
#include "text.h"

/* Copies the path out of a unix address, where it need not end with a zero. "" if there is none. */
static void get_path(const struct sockaddr *address, socklen_t size,
                     char path[static SHIM_PATH_SIZE])
{
        const struct sockaddr_un *un = (const void *)address;
        size_t n = 0;

        if (size > offsetof(struct sockaddr_un, sun_path) && un->sun_family == AF_UNIX)
                while (n < SHIM_PATH_SIZE - 1 &&
                       offsetof(struct sockaddr_un, sun_path) + n < size && un->sun_path[n]) {
                        path[n] = un->sun_path[n];
                        n++;
                }
        path[n] = '\0';
}

/* Identifies the directory of a path, which, unlike the socket, need not be gone or unbound. */
static bool stat_directory(int dirfd, const char *path, struct stat *ret)
{
        size_t size = (size_t)(text_basename(path) - path);
        char directory[4096] = ".";

        if (size >= sizeof(directory))
                return false;
        if (size) {
                memcpy(directory, path, size);
                directory[size] = '\0';
        }
        return raw4(newfstatat, dirfd, directory, ret, 0) >= 0;
}

bool adopt_same_path(int dirfd, const char *a, const char *b)
{
        struct stat x;
        struct stat y;

        if (!a[0] || !b[0] || !text_equal(text_basename(a), text_basename(b)))
                return false;
        if (a[0] == '/' && text_equal(a, b))
                return true;
        return stat_directory(dirfd, a, &x) && stat_directory(AT_FDCWD, b, &y) &&
               x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static bool owns_path(int dirfd, const char *path)
{
        char passed[SHIM_PATH_SIZE];

        for (uint32_t i = 0; i < shim.n_listeners; i++) {
                const struct listener *listener = &shim.listeners[i];

                get_path((const void *)&listener->address, listener->address_size, passed);
                if (adopt_same_path(dirfd, path, passed) ||
                    adopt_same_path(dirfd, path, listener->adopted_path))
                        return true;
        }
        return false;
}

static bool is_or_precedes_server(void)
{
        enum shim_role role = shim.role == SHIM_ABSENT ? SHIM_ABSENT : shim_role();

        return role == SHIM_BEFORE || role == SHIM_SERVER;
}

bool adopt_guards_path(int dirfd, const char *path)
{
        return path && is_or_precedes_server() && owns_path(dirfd, path);
}

long adopt_connect(int fd, const struct sockaddr *address, socklen_t size)
{
        char path[SHIM_PATH_SIZE];

        if (address && address->sa_family == AF_UNIX && is_or_precedes_server()) {
                get_path(address, size, path);
                if (path[0] && owns_path(AT_FDCWD, path))
                        return -ECONNREFUSED;
        }
        return raw3(connect, fd, address, size);
}

static const struct sockaddr_in *as_ipv4(const struct sockaddr *address)
{
        return (const void *)address;
}

static const struct in6_addr *as_ipv6_host(const struct sockaddr *address)
{
        const struct sockaddr_in6 *in6 = (const void *)address;

        return &in6->sin6_addr;
}

static bool is_internet(const struct sockaddr *address)
{
        return address->sa_family == AF_INET || address->sa_family == AF_INET6;
}

static bool is_wildcard(const struct sockaddr *address)
{
        if (address->sa_family == AF_INET)
                return as_ipv4(address)->sin_addr.s_addr == INADDR_ANY;
        return IN6_IS_ADDR_UNSPECIFIED(as_ipv6_host(address));
}

/* The port is at the same place in both families' addresses. */
static bool same_port(const struct sockaddr *a, const struct sockaddr *b)
{
        return is_internet(a) && is_internet(b) && as_ipv4(a)->sin_port == as_ipv4(b)->sin_port;
}

static bool same_host(const struct sockaddr *a, const struct sockaddr *b)
{
        if (a->sa_family != b->sa_family)
                return false;
        if (a->sa_family == AF_INET)
                return as_ipv4(a)->sin_addr.s_addr == as_ipv4(b)->sin_addr.s_addr;
        return memcmp(as_ipv6_host(a), as_ipv6_host(b), sizeof(struct in6_addr)) == 0;
}

static bool is_exactly(const struct listener *listener, const struct sockaddr *address,
                       socklen_t size)
{
        const struct sockaddr *passed = (const void *)&listener->address;
        char path[SHIM_PATH_SIZE];
        char passed_path[SHIM_PATH_SIZE];

        if (same_port(passed, address))
                return same_host(passed, address);
        get_path(address, size, path);
        get_path(passed, listener->address_size, passed_path);
        return adopt_same_path(AT_FDCWD, path, passed_path);
}

/* "9000" is tried as [::]:9000 first, and may be meant for 127.0.0.1:9000 or 0.0.0.0:9000. */
static bool covers(const struct listener *listener, const struct sockaddr *address)
{
        const struct sockaddr *passed = (const void *)&listener->address;

        return same_port(passed, address) && (is_wildcard(passed) || is_wildcard(address));
}

/* The index of the one passed socket at an address, or -1. */
static int match_address(const struct sockaddr *address, socklen_t size)
{
        int found = -1;

        for (uint32_t i = 0; i < shim.n_listeners; i++)
                if (is_exactly(&shim.listeners[i], address, size))
                        return (int)i;
        for (uint32_t i = 0; i < shim.n_listeners; i++) {
                if (!covers(&shim.listeners[i], address))
                        continue;
                if (found >= 0)
                        return -1;
                found = (int)i;
        }
        return found;
}

/*
 * A worker that found the queue empty must not block in accept() past the gate. The flag is shared
 * with systemd, which sets it as the socket unit says whenever it passes the socket anew.
 */
static void set_nonblocking(int fd)
{
        long flags = raw_fcntl(fd, F_GETFL, 0);

        if (flags >= 0 && !(flags & O_NONBLOCK))
                (void)raw_fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

void adopt_inherited(int fd, uint32_t i)
{
        set_nonblocking(fd);
        shim.listeners[i].adopted = true;
        shim_become_server();
        shim_track_listener(fd, i);
        master_hold_signals(false);
}

/* Puts passed socket i at the number of the server's own socket, which dup3() closes. */
static long adopt(int fd, uint32_t i, const struct sockaddr *address, socklen_t size)
{
        struct listener *listener = &shim.listeners[i];
        int passed = shim.gate.page->sockets[i].fd;
        long flags = raw_fcntl(fd, F_GETFD, 0);
        long status = raw_fcntl(fd, F_GETFL, 0);
        long r;

        if (flags < 0)
                return flags;
        if (shim_identify(passed) != (int)i) {
                struct line line = {0};

                line_add(&line, "the passed socket ");
                line_add_address(&line, (const void *)&listener->address, listener->address_size);
                line_add(&line, " is no longer at descriptor ");
                line_add_number(&line, (unsigned long)passed);
                line_add(&line, ": something between fpm-launcher and the server has closed it");
                line_say(&line);
                return -EBADF;
        }
        r = raw3(dup3, passed, fd, flags & FD_CLOEXEC ? O_CLOEXEC : 0);
        if (r < 0)
                return r;
        get_path(address, size, listener->adopted_path);
        listener->at_once = status & O_NONBLOCK;
        adopt_inherited(fd, i);
        return 0;
}

/* The passed socket that a descriptor is, adopted or not yet, or NULL. */
static struct listener *find_passed(int fd)
{
        struct listener *listener = shim_listener(fd);
        int i;

        if (listener || shim.role != SHIM_BEFORE || (i = shim_identify(fd)) < 0)
                return listener;
        return &shim.listeners[i];
}

long adopt_get_flags(int fd)
{
        const struct listener *listener = find_passed(fd);
        long flags = raw_fcntl(fd, F_GETFL, 0);

        return flags < 0 || !listener || listener->at_once ? flags : flags & ~O_NONBLOCK;
}

long adopt_set_flags(int fd, long flags)
{
        struct listener *listener = find_passed(fd);

        if (!listener || !shim_owns_memory())
                return raw_fcntl(fd, F_SETFL, flags);
        listener->at_once = flags & O_NONBLOCK;
        return raw_fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

long adopt_set_nonblocking(int fd, const int *on)
{
        struct listener *listener = find_passed(fd);

        if (!listener || !shim_owns_memory())
                return raw3(ioctl, fd, FIONBIO, on);
        listener->at_once = *on;
        return 0;
}

static bool is_stream(int fd)
{
        int type = 0;
        socklen_t size = sizeof(type);

        return raw_getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) >= 0 && type == SOCK_STREAM;
}

/* Two pools for one socket: the first may have got what is the second's. Nobody would see it. */
static long refuse_taken(const struct sockaddr *address, socklen_t size)
{
        struct line line = {0};

        line_add(&line, "a pool listens on ");
        line_add_address(&line, address, size);
        line_add(&line, ", but that passed socket already went to another pool, whose own address "
                        "matches no passed socket");
        line_say(&line);
        return -EADDRINUSE;
}

long adopt_bind(int fd, const struct sockaddr *address, socklen_t size)
{
        int i;

        if (!address || size < sizeof(address->sa_family) ||
            (address->sa_family != AF_UNIX && !is_internet(address)) || !is_or_precedes_server() ||
            !is_stream(fd))
                return raw3(bind, fd, address, size);

        i = match_address(address, size);
        if (i < 0)
                i = pools_find(address, size);
        else if (shim.listeners[i].references && shim.is_php_fpm)
                return refuse_taken(address, size);
        if (i == POOLS_OWN_SOCKET)
                return raw3(bind, fd, address, size);
        return i < 0 ? i : adopt(fd, (uint32_t)i, address, size);
}

/*
 * The smallest valid ACL, as acl(5) and the kernel's <linux/posix_acl_xattr.h> define it: version
 * 2, then the entries user::rw-, group::rw-, other::---.
 */
long adopt_acl(void *value, size_t size)
{
        static const uint8_t acl[28] = {
            2,    0, 0, 0,                         /* version */
            0x01, 0, 6, 0, 0xff, 0xff, 0xff, 0xff, /* ACL_USER_OBJ */
            0x04, 0, 6, 0, 0xff, 0xff, 0xff, 0xff, /* ACL_GROUP_OBJ */
            0x20, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, /* ACL_OTHER */
        };

        if (size == 0)
                return sizeof(acl);
        if (size < sizeof(acl))
                return -ERANGE;
        memcpy(value, acl, sizeof(acl));
        return sizeof(acl);
}

/* One "key=descriptor" of FPM_SOCKETS; the key is the path under which the server knows it. */
static void take_up(const char *key, const char *equals)
{
        int fd = text_number(equals + 1, ',');
        int i = fd < 0 ? -1 : shim_identify(fd);
        struct listener *listener;
        size_t size = (size_t)(equals - key);

        if (i < 0)
                return;
        listener = &shim.listeners[i];
        if (*key == '/' && size < sizeof(listener->adopted_path)) {
                memcpy(listener->adopted_path, key, size);
                listener->adopted_path[size] = '\0';
        }
        adopt_inherited(fd, (uint32_t)i);
}

/* php-fpm writes FPM_SOCKETS, FPM_SOCKETS_1, ... for itself before it executes itself. */
static void take_up_all(void)
{
        for (unsigned long set = 0;; set++) {
                struct line name = {0};
                const char *entry;

                line_add(&name, "FPM_SOCKETS");
                if (set) {
                        line_add(&name, "_");
                        line_add_number(&name, set);
                }
                entry = text_environment(name.text);
                if (!entry || !*entry)
                        return;
                while (*entry) {
                        const char *key = entry;
                        const char *equals = NULL;

                        for (; *entry && *entry != ','; entry++)
                                if (*entry == '=')
                                        equals = entry;
                        if (equals)
                                take_up(key, equals);
                        if (*entry)
                                entry++;
                }
        }
}

void adopt_resume(void)
{
        shim.resumes = false;
        gate_reset(&shim.gate); /* also if a daemon's former master still waits for this one */
        shim_become_server();
        take_up_all();
}

void adopt_at_load(void)
{
        struct gate_page *page = shim.gate.page;
        uint32_t pid = raw_getpid();
        uint32_t none = 0;
        int i;

        shim.resumes = atomic_load(&page->master) == pid;
        if (!page->fd0 || (i = shim_identify(0)) < 0)
                return;
        /* The first process is the server, and stays it through each exec. */
        if (atomic_compare_exchange_strong(&page->master, &none, pid) || none == pid) {
                shim_become_server();
                adopt_inherited(0, (uint32_t)i);
                master_hold_signals(true); /* servers like fcgiwrap have no handlers at all */
        }
}
