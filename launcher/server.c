/* SPDX-License-Identifier: MIT */
#include "server.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../preload/gate.h"
#include "cleanup.h"
#include "log.h"
#include "opcache.h"
#include "status.h"

/* What execvp() takes without PATH. */
#define DEFAULT_PATH "/bin:/usr/bin"

/* More program headers than any program has. */
#define HEADERS_MAX    128U

#define OWN_BYTE_ORDER (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? ELFDATA2LSB : ELFDATA2MSB)

/* What a program file is, as far as preloading goes. */
enum kind {
        KIND_ELF,    /* class and machine are known */
        KIND_SCRIPT, /* begins with #! */
        KIND_OTHER,
};

struct program {
        enum kind kind;
        unsigned char elf_class, elf_data;
        uint16_t machine;
        uint16_t type;
        bool has_interpreter; /* dynamically linked, so that LD_PRELOAD is obeyed */
};

/* Reads exactly length bytes at offset. Returns 0, -errno, or -ENOEXEC at the end of the file. */
static int read_at(int fd, void *buffer, size_t length, uint64_t offset)
{
        ssize_t n;

        if (offset > INT64_MAX)
                return -ENOEXEC;
        n = pread(fd, buffer, length, (off_t)offset);
        if (n < 0)
                return -errno;
        return (size_t)n == length ? 0 : -ENOEXEC;
}

static int look_for_interpreter(int fd, uint64_t offset, size_t n, size_t size, bool *ret)
{
        *ret = false;
        for (size_t i = 0; i < n && i < HEADERS_MAX; i++) {
                uint32_t type; /* the first field in both classes */
                int r;

                r = read_at(fd, &type, sizeof(type), offset + i * size);
                if (r < 0)
                        return r;
                if (type == PT_INTERP)
                        *ret = true;
        }
        return 0;
}

/* Reads what kind of program is at path. Returns 0 or -errno. */
static int read_program(const char *path, struct program *ret)
{
        _cleanup_close_ int fd = -1;
        union {
                unsigned char ident[EI_NIDENT];
                Elf32_Ehdr elf32;
                Elf64_Ehdr elf64;
        } header;
        ssize_t n;
        int r = 0;

        *ret = (struct program){.kind = KIND_OTHER};
        memset(&header, 0, sizeof(header));
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        if (fd < 0)
                return -errno;
        n = pread(fd, &header, sizeof(header), 0);
        if (n < 0)
                return -errno;
        if (n >= 2 && header.ident[0] == '#' && header.ident[1] == '!') {
                ret->kind = KIND_SCRIPT;
                return 0;
        }
        if ((size_t)n < sizeof(header.elf32) || memcmp(header.ident, ELFMAG, SELFMAG) != 0)
                return 0;

        ret->kind = KIND_ELF;
        ret->elf_class = header.ident[EI_CLASS];
        ret->elf_data = header.ident[EI_DATA];
        ret->type = header.elf32.e_type; /* these two lie alike in both classes */
        ret->machine = header.elf32.e_machine;
        if (ret->elf_data != OWN_BYTE_ORDER)
                return 0; /* refused for its machine anyway */
        if (ret->elf_class == ELFCLASS64)
                r = look_for_interpreter(fd, header.elf64.e_phoff, header.elf64.e_phnum,
                                         header.elf64.e_phentsize, &ret->has_interpreter);
        else if (ret->elf_class == ELFCLASS32)
                r = look_for_interpreter(fd, header.elf32.e_phoff, header.elf32.e_phnum,
                                         header.elf32.e_phentsize, &ret->has_interpreter);
        if (r == -ENOEXEC)
                ret->kind = KIND_OTHER;
        return r == -ENOEXEC ? 0 : r;
}

/* "x86-64" and the like, for the machines that servers have. */
static const char *machine_name(const struct program *program, char buffer[32])
{
        static const struct {
                uint16_t machine;
                unsigned char elf_class;
                const char *name;
        } machines[] = {
            {EM_X86_64, ELFCLASS64, "x86-64"},     {EM_X86_64, ELFCLASS32, "x32"},
            {EM_386, ELFCLASS32, "i386"},          {EM_AARCH64, ELFCLASS64, "arm64"},
            {EM_ARM, ELFCLASS32, "arm"},           {EM_RISCV, ELFCLASS64, "riscv64"},
            {EM_PPC64, ELFCLASS64, "ppc64"},       {EM_S390, ELFCLASS64, "s390x"},
            {EM_LOONGARCH, ELFCLASS64, "loong64"},
        };

        for (size_t i = 0; i < sizeof(machines) / sizeof(machines[0]); i++)
                if (machines[i].machine == program->machine &&
                    machines[i].elf_class == program->elf_class)
                        return machines[i].name;
        (void)snprintf(buffer, 32, "ELF machine %u, class %u", program->machine,
                       program->elf_class);
        return buffer;
}

int beside_executable(const char *name, char ret[PATH_MAX])
{
        const size_t size = strlen(name) + 1;
        ssize_t length;
        char *slash;

        length = readlink("/proc/self/exe", ret, PATH_MAX - 1);
        if (length < 0)
                return -errno;
        ret[length] = '\0';
        slash = strrchr(ret, '/');
        if (!slash || (size_t)(slash + 1 - ret) + size > PATH_MAX)
                return -ENAMETOOLONG;
        memcpy(slash + 1, name, size);
        return 0;
}

/* Finds the shim and reads what it is. */
static int find_preload(struct server *server, const char *wanted, struct program *ret)
{
        char beside[PATH_MAX];
        int r;

        if (!wanted) {
                r = beside_executable("libfpm-waker.so", beside);
                errno = -r;
                if (r < 0)
                        return log_fail(STATUS_PRELOAD, "cannot find the shim beside the launcher: "
                                                        "/proc/self/exe: %m; use --preload=PATH");
                wanted = beside;
        }
        /* Absolute, because an entrypoint may change its directory first. */
        if (!realpath(wanted, server->preload))
                return log_fail(STATUS_PRELOAD, "cannot find the shim: %s: %m; use --preload=PATH",
                                wanted);
        if (strpbrk(server->preload, ": \t\n"))
                return log_fail(STATUS_PRELOAD,
                                "cannot preload the shim: %s: a path in LD_PRELOAD can hold "
                                "neither colon nor blank",
                                server->preload);
        r = read_program(server->preload, ret);
        errno = -r;
        if (r < 0)
                return log_fail(STATUS_PRELOAD, "cannot read the shim: %s: %m", server->preload);
        if (ret->kind != KIND_ELF || ret->type != ET_DYN || ret->has_interpreter)
                return log_fail(STATUS_PRELOAD,
                                "the shim is not a shared object: %s; use --preload=PATH",
                                server->preload);
        return 0;
}

/* Says whether path can be executed: 0, -EISDIR, or -errno. */
static int check_executable(const char *path)
{
        struct stat st;

        if (stat(path, &st) < 0)
                return -errno;
        if (S_ISDIR(st.st_mode))
                return -EISDIR;
        if (!S_ISREG(st.st_mode))
                return -EACCES;
        return faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) < 0 ? -errno : 0;
}

/*
 * Finds a program as execvp() does: what cannot be executed is passed over, and only counts if
 * nothing better comes.
 */
static int search_path(const char *name, char ret[PATH_MAX])
{
        const char *path = getenv("PATH");
        int result = -ENOENT;

        if (!*name)
                return -ENOENT;
        if (strchr(name, '/')) {
                size_t size = strlen(name) + 1;

                if (size > PATH_MAX)
                        return -ENAMETOOLONG;
                memcpy(ret, name, size);
                return check_executable(ret);
        }
        for (const char *p = path ? path : DEFAULT_PATH;; p++) {
                char candidate[PATH_MAX] = "";
                int length = (int)strcspn(p, ":");
                int r;

                r = snprintf(candidate, sizeof(candidate), "%.*s%s%s", length, p,
                             length > 0 ? "/" : "", name);
                if (r > 0 && (size_t)r < sizeof(candidate)) {
                        r = check_executable(candidate);
                        if (r == 0 || (result == -ENOENT && r != -ENOENT && r != -ENOTDIR)) {
                                memcpy(ret, candidate, sizeof(candidate));
                                result = r;
                        }
                        if (r == 0)
                                return 0;
                }
                p += length;
                if (!*p)
                        return result;
        }
}

static int find_server(struct server *server)
{
        const char *name = server->argv[0];
        int r;

        r = search_path(name, server->path);
        errno = -r;
        if (r == -ENOENT || r == -ENOTDIR)
                return log_fail(STATUS_NOT_FOUND, "cannot find the server: %s: %m%s", name,
                                strchr(name, '/') ? "" : "; is it on PATH?");
        if (r < 0)
                return log_fail(STATUS_NOT_EXECUTABLE, "cannot execute the server: %s: %m",
                                server->path);
        return 0;
}

/*
 * A static program in front, such as tini-static or gosu, hands the environment on to the server
 * that it starts: then one of its words names a program, or it is a shell.
 */
static bool is_wrapper(const struct server *server)
{
        static const char *const shells[] = {"sh", "ash", "bash", "dash", "busybox"};
        const char *slash = strrchr(server->argv[0], '/');
        const char *name = slash ? slash + 1 : server->argv[0];
        char ignored[PATH_MAX];

        for (size_t i = 0; i < sizeof(shells) / sizeof(shells[0]); i++)
                if (strcmp(name, shells[i]) == 0)
                        return true;
        for (char *const *word = server->argv + 1; *word; word++)
                if (search_path(*word, ignored) == 0)
                        return true;
        return false;
}

/* True if the kernel would change ids at exec, so that the loader ignores LD_PRELOAD. */
static bool changes_ids(const char *path)
{
        struct stat st;

        if (stat(path, &st) < 0)
                return false;
        return ((st.st_mode & S_ISUID) && st.st_uid != geteuid()) ||
               ((st.st_mode & S_ISGID) && (st.st_mode & S_IXGRP) && st.st_gid != getegid());
}

/* Refuses a server into which the shim cannot be loaded: it would never see its sockets. */
static int check_loadable(const struct server *server, const struct program *preload)
{
        char server_machine[32], preload_machine[32];
        struct program program;
        int r;

        r = read_program(server->path, &program);
        if (r == -EACCES)
                return 0; /* executable, but not readable: the kernel decides */
        errno = -r;
        if (r < 0)
                return log_fail(STATUS_NOT_EXECUTABLE, "cannot read the server: %s: %m",
                                server->path);
        if (program.kind == KIND_OTHER)
                return log_fail(STATUS_NOT_EXECUTABLE,
                                "cannot execute the server: %s: neither an ELF program nor a "
                                "script that begins with #!",
                                server->path);
        if (changes_ids(server->path))
                return log_fail(STATUS_NOT_EXECUTABLE,
                                "cannot preload into the server: %s: it is set-uid or set-gid, so "
                                "LD_PRELOAD is ignored",
                                server->path);
        if (program.kind == KIND_SCRIPT)
                return 0;
        if (program.elf_class != preload->elf_class || program.elf_data != preload->elf_data ||
            program.machine != preload->machine)
                return log_fail(STATUS_NOT_EXECUTABLE,
                                "wrong architecture: server %s is for %s, shim %s is for %s; "
                                "use a launcher and shim built for the server",
                                server->path, machine_name(&program, server_machine),
                                server->preload, machine_name(preload, preload_machine));
        if (!program.has_interpreter && !is_wrapper(server))
                return log_fail(STATUS_NOT_EXECUTABLE,
                                "cannot preload into the server: %s: it is statically linked; use "
                                "a dynamically linked build",
                                server->path);
        return 0;
}

int server_find(struct server *server, const char *wanted_preload, char *const *argv)
{
        struct program preload;
        int r;

        server->argv = argv;
        r = find_preload(server, wanted_preload, &preload);
        if (r > 0)
                return r;
        r = find_server(server);
        if (r > 0)
                return r;
        return check_loadable(server, &preload);
}

/* LD_PRELOAD is the administrator's own libraries, then ours: theirs reach ours by RTLD_NEXT. */
static int set_preload(const char *preload)
{
        const char *own = getenv("LD_PRELOAD");
        _cleanup_free_ char *both = NULL;

        if (!own || !*own)
                return setenv("LD_PRELOAD", preload, 1);
        if (asprintf(&both, "%s:%s", own, preload) < 0) {
                both = NULL;
                return -1;
        }
        return setenv("LD_PRELOAD", both, 1);
}

int server_prepare_environment(const struct server *server, int page_fd)
{
        static const char *const for_us[] = {
            "LISTEN_FDS",
            "LISTEN_PID",
            "LISTEN_FDNAMES",
            "LISTEN_PIDFDID",
            "FPM_WAKER_LISTEN",
            "FPM_WAKER_EXIT_IDLE_TIME",
            "FPM_WAKER_FD0",
            "FPM_WAKER_DRAIN_LIMIT",
            "FPM_WAKER_HANDOVER",
            "FPM_WAKER_PRELOAD",
            "FPM_WAKER_BACKGROUND_LIMIT",
            "FPM_WAKER_READ_AHEAD",
            "FPM_WAKER_RESIDENT",
            "FPM_WAKER_LIVENESS",
            "FPM_WAKER_OPCACHE_FILE_CACHE",
        };
        char page[16];

        for (size_t i = 0; i < sizeof(for_us) / sizeof(for_us[0]); i++)
                (void)unsetenv(for_us[i]);
        (void)snprintf(page, sizeof(page), "%d", page_fd);
        if (setenv(GATE_ENVIRONMENT, page, 1) < 0 || set_preload(server->preload) < 0)
                return log_fail(STATUS_SYSTEM, "cannot set the server's environment: %m");
        return opcache_prepare_environment(server->opcache_file_cache);
}

int server_exec(const struct server *server)
{
        (void)execv(server->path, server->argv);
        return log_fail(STATUS_NOT_EXECUTABLE, "cannot execute the server: %s: %m%s", server->path,
                        errno == ENOENT ? "; is its interpreter missing?" : "");
}
