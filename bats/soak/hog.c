/* SPDX-License-Identifier: MIT */
/*
 * Makes a machine short of processors or memory, for a while:
 *
 *   hog cpu SECONDS N         N processes that do nothing but run
 *   hog memory SECONDS FILE   takes more and more memory until the kernel kills it, again and
 * again, and reads FILE all the time, for the kernel to have cache to reclaim. Prints how often it
 * was killed.
 *
 * The kernel kills it before all others (oom_score_adj).
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define STEP      (1UL << 20) /* bytes ... */
#define STEP_USEC 1000U       /* ... each so many microseconds */

static time_t end;

static time_t now(void)
{
        struct timespec t;

        (void)clock_gettime(CLOCK_MONOTONIC, &t);
        return t.tv_sec;
}

static void run(const char *unused)
{
        volatile unsigned long n = 0;

        (void)unused;
        while (now() < end)
                for (int i = 0; i < 1000000; i++)
                        n = n + 1;
}

static void keep_reading(const char *path)
{
        static char buffer[1 << 16];

        while (now() < end) {
                int fd = open(path, O_RDONLY | O_CLOEXEC);

                if (fd < 0) {
                        perror(path);
                        return;
                }
                while (now() < end && read(fd, buffer, sizeof(buffer)) > 0)
                        ;
                (void)close(fd);
        }
}

static void grow(const char *unused)
{
        (void)unused;
        while (now() < end) {
                char *memory =
                    mmap(NULL, STEP, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

                if (memory == MAP_FAILED)
                        return;
                memset(memory, 1, STEP);
                (void)usleep(STEP_USEC);
        }
}

/* Runs a function in a child that does not outlive us. */
static pid_t start(void (*function)(const char *), const char *argument)
{
        pid_t pid = fork();

        if (pid < 0) {
                perror("hog: fork");
                exit(EXIT_FAILURE);
        }
        if (pid == 0) {
                (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
                function(argument);
                _exit(0);
        }
        return pid;
}

static void be_the_first_to_die(void)
{
        FILE *file = fopen("/proc/self/oom_score_adj", "we");

        if (!file || fputs("1000", file) < 0 || fclose(file) < 0)
                perror("hog: oom_score_adj");
}

static void hog_memory(const char *path)
{
        int status;

        (void)setvbuf(stdout, NULL, _IOLBF, 0);
        (void)start(keep_reading, path);
        while (now() < end) {
                pid_t grower = start(grow, NULL);

                (void)waitpid(grower, &status, 0);
                if (WIFSIGNALED(status))
                        printf("killed\n");
        }
}

int main(int argc, char **argv)
{
        if (argc != 4) {
                fprintf(stderr, "Usage: hog cpu SECONDS N | hog memory SECONDS FILE\n");
                return 2;
        }
        end = now() + atoi(argv[2]);
        be_the_first_to_die();
        if (strcmp(argv[1], "memory") == 0)
                hog_memory(argv[3]);
        else
                for (int i = 0; i < atoi(argv[3]); i++)
                        (void)start(run, NULL);
        while (wait(NULL) > 0)
                ;
        return 0;
}
