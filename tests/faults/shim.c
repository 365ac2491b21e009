/* Fails the calls of a process on files beneath a folder, and moves its clock, once the process arms it.
 *
 * It is loaded before the C library. What the process starts gets a clean environment, and no part of it.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

enum { NOTHING, WRITES, READS };

static char under[4096];
static int armed = NOTHING, error_given;
static long first, last, seen, clock_offset, clock_step, clock_reads;

void faults_arm(const char *folder, int kind, long from, long to, int error)
{
    snprintf(under, sizeof under, "%s", folder);
    first = from, last = to, seen = 0, error_given = error, armed = kind;
}

void faults_clock(long offset, long step) { clock_offset = offset, clock_step = step, clock_reads = 0; }

long faults_seen(void) { return seen; }

static int fails_path(int kind, const char *path)
{
    if (armed != kind || !path || strncmp(path, under, strlen(under))) return 0;
    long number = __sync_add_and_fetch(&seen, 1);
    if (number < first || number > last) return 0;
    errno = error_given;
    return 1;
}

static int fails(int kind, int fd)
{
    char link[64], path[4096];
    if (armed != kind) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return fails_path(kind, path);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define ON_FILE(kind, type, name, parameters, arguments, fd) \
    type name parameters { return fails(kind, fd) ? -1 : REAL(name) arguments; }
#define ON_PATH(kind, type, name, parameters, arguments, path) \
    type name parameters { return fails_path(kind, path) ? -1 : REAL(name) arguments; }

ON_FILE(WRITES, ssize_t, write, (int fd, const void *b, size_t n), (fd, b, n), fd)
ON_FILE(WRITES, ssize_t, pwrite, (int fd, const void *b, size_t n, off_t o), (fd, b, n, o), fd)
ON_FILE(WRITES, ssize_t, pwrite64, (int fd, const void *b, size_t n, off64_t o), (fd, b, n, o), fd)
ON_FILE(WRITES, int, ftruncate, (int fd, off_t n), (fd, n), fd)
ON_FILE(WRITES, int, ftruncate64, (int fd, off64_t n), (fd, n), fd)
ON_FILE(WRITES, int, fsync, (int fd), (fd), fd)
ON_FILE(WRITES, int, fdatasync, (int fd), (fd), fd)
ON_FILE(WRITES, ssize_t, sendfile, (int fd, int in, off_t *o, size_t n), (fd, in, o, n), fd)
ON_FILE(WRITES, ssize_t, sendfile64, (int fd, int in, off64_t *o, size_t n), (fd, in, o, n), fd)
ON_PATH(WRITES, int, mkdir, (const char *path, mode_t mode), (path, mode), path)
ON_PATH(WRITES, int, rename, (const char *path, const char *to), (path, to), to)
ON_FILE(READS, ssize_t, read, (int fd, void *b, size_t n), (fd, b, n), fd)
ON_FILE(READS, ssize_t, pread, (int fd, void *b, size_t n, off_t o), (fd, b, n, o), fd)
ON_FILE(READS, ssize_t, pread64, (int fd, void *b, size_t n, off64_t o), (fd, b, n, o), fd)

#define OPENS(name) \
    int name(const char *path, int flags, ...) \
    { \
        va_list more; \
        va_start(more, flags); \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0; \
        va_end(more); \
        if (fails_path(flags & O_CREAT ? WRITES : READS, path)) return -1; \
        return REAL(name)(path, flags, mode); \
    }
OPENS(open)
OPENS(open64)

static long moved(void) { return clock_offset + clock_step * __sync_add_and_fetch(&clock_reads, 1); }

int clock_gettime(clockid_t clock, struct timespec *now)
{
    int done = REAL(clock_gettime)(clock, now);
    if (clock == CLOCK_REALTIME && (clock_offset || clock_step)) now->tv_sec += moved();
    return done;
}

int gettimeofday(struct timeval *now, void *zone)
{
    int done = REAL(gettimeofday)(now, zone);
    if (clock_offset || clock_step) now->tv_sec += moved();
    return done;
}
