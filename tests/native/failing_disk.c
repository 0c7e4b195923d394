// A disk that fails and that remembers: a library to preload (LD_PRELOAD) into a process, which
// then logs, fails or kills at the calls that reach a folder. For tests on 64-bit Linux with glibc;
// tests/support/disk.py builds it, sets the variables and replays the log.
//
//   SHIM_ROOT  The folder, without symbolic links in its path. Calls elsewhere pass untouched.
//   SHIM_LOG   A file of zeros, as long as the log may grow. It is mapped, so that its content
//              survives SIGKILL. Child processes share it, and with it the count of calls.
//   SHIM_FAIL  KIND:N:ERRNO:ALWAYS   The N-th call of a kind fails, or, if ALWAYS is 1, all from
//              then on; of ENOSPC the first is a short write, as on a disk that fills up.
//   SHIM_KILL  KIND:N:MOMENT   SIGKILL at the N-th call of a kind; kinds and moments: see below.
//
// Every call on the folder takes one lock, from looking up its path to appending it to the log:
// the log is in the order in which things happened, across threads and processes. What a descriptor
// stands for is asked of /proc each time: dup, fcntl, fork and renames need no tracking.
//
// Not seen: writes of stdio (fopen, and fdopen of a descriptor: glibc calls itself, past any
// preloaded name), mappings, fallocate, io_uring, programs linked statically, modes and times.

#define _GNU_SOURCE
#undef _FORTIFY_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

_Static_assert(sizeof(long) == 8 && sizeof(off_t) == 8, "written for 64-bit systems");

// OPEN counts readers, too. UNLINK stands for rmdir, LINK for symlink. CLOSE counts only where the
// file was open for writing. PRINT is standard output, which neither fails nor kills.
enum kind { OPEN, WRITE, TRUNCATE, FSYNC, RENAME, UNLINK, MKDIR, LINK, CLOSE, PRINT, ANY, KINDS };
enum moment { BEFORE, HALF, AFTER };  // HALF: with half of the bytes written; others: AFTER
enum { CREATED = 1, TRUNCATED = 2, NAMELESS = 4, SYMBOLIC = 8 };

// One call. The path, relative to the root, and the data follow it in the log.
struct record {
  uint16_t kind;
  uint16_t error;  // errno; 0: the call succeeded
  uint32_t path_size;
  uint64_t node;       // inode of the file or folder
  uint64_t number;     // write: offset; truncate: size; open, mkdir: st_mode; rename: flags
  uint32_t detail;     // CREATED ...
  uint32_t data_size;  // write, print: the bytes; rename: the new path; symlink: the target
};

// The beginning of SHIM_LOG. Its first three numbers are for whoever reads the log.
struct shared {
  uint64_t end;    // of the log, counted from LOG_START
  uint64_t hits;   // how often SHIM_FAIL or SHIM_KILL struck
  uint64_t ready;  // a process has loaded this library
  uint64_t counts[KINDS];
  pthread_mutex_t lock;
};
enum { LOG_START = 4096 };

struct rule {
  unsigned kind;
  unsigned long n;  // 0: no rule
  int error, always, moment;
};

static struct shared* shared;
static uint64_t capacity;
static char root[PATH_MAX];
static size_t root_size;
static struct rule failing, killing;
static int dying;  // SIGKILL comes when the call is in the log

static void stop(const char* why) {
  dprintf(2, "failing_disk: %s\n", why);
  syscall(SYS_exit_group, 97);
}

__attribute__((constructor)) static void start(void) {
  const char *log = getenv("SHIM_LOG"), *folder = getenv("SHIM_ROOT");
  const char *fail = getenv("SHIM_FAIL"), *kill = getenv("SHIM_KILL");
  struct rule *f = &failing, *k = &killing;
  if (!log || !folder) return;
  if (fail && sscanf(fail, "%u:%lu:%d:%d", &f->kind, &f->n, &f->error, &f->always) != 4) stop("SHIM_FAIL");
  if (kill && sscanf(kill, "%u:%lu:%d", &k->kind, &k->n, &k->moment) != 3) stop("SHIM_KILL");
  root_size = strlen(strncpy(root, folder, PATH_MAX - 1));

  struct stat st;
  int fd = syscall(SYS_openat, AT_FDCWD, log, O_RDWR | O_CLOEXEC, 0);
  if (fd < 0 || fstat(fd, &st) || st.st_size < LOG_START) stop("SHIM_LOG cannot be used");
  struct shared* map = mmap(NULL, st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (map == MAP_FAILED) stop("SHIM_LOG cannot be mapped");
  syscall(SYS_close, fd);
  capacity = st.st_size - LOG_START;
  if (!map->ready) {  // the first process: those below it start later
    pthread_mutexattr_t kinds;
    pthread_mutexattr_init(&kinds);
    pthread_mutexattr_setpshared(&kinds, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&kinds, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&map->lock, &kinds);
    map->ready = 1;
  }
  shared = map;
}

// ---- which file is meant

// Makes a true path relative to the root; 0 where it lies elsewhere.
static int relative(char path[PATH_MAX]) {
  if (strncmp(path, root, root_size) || (path[root_size] && path[root_size] != '/')) return 0;
  size_t skip = root_size + (path[root_size] == '/');
  memmove(path, path + skip, strlen(path + skip) + 1);
  return 1;
}

static int true_path(int fd, char path[PATH_MAX]) {
  char link[40];
  int saved = errno;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t size = readlink(link, path, PATH_MAX - 1);
  path[size < 0 ? 0 : size] = 0;
  errno = saved;
  return size > 0;
}

// The path of an open file or folder, relative to the root; 0 where it lies elsewhere.
static int inside_fd(int fd, char path[PATH_MAX]) { return shared && true_path(fd, path) && relative(path); }

// The same for a name: every part but the last is resolved, symbolic links included.
static int inside(int dir, const char* name, char path[PATH_MAX]) {
  char parent[PATH_MAX];
  int saved = errno, found = 0;
  size_t size = shared && name ? strlen(name) : 0;
  if (!size || size >= PATH_MAX) return 0;
  while (size > 1 && name[size - 1] == '/') size--;
  size_t cut = size;
  while (cut && name[cut - 1] != '/') cut--;
  if (size - cut <= 2 && strspn(name + cut, ".") >= size - cut) cut = size;  // "." and ".."
  snprintf(parent, sizeof parent, "%.*s", cut ? (int)cut : 1, cut ? name : ".");
  int fd = syscall(SYS_openat, dir, parent, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
  if (fd >= 0) {
    found = true_path(fd, path) && strlen(path) + size - cut + 2 < PATH_MAX;
    syscall(SYS_close, fd);
    if (found && size > cut) strncat(strcat(path, "/"), name + cut, size - cut);
    found = found && relative(path);
  }
  errno = saved;
  return found;
}

static int watched(int fd) {
  char path[PATH_MAX];
  struct stat st;
  return inside_fd(fd, path) && !fstat(fd, &st) && S_ISREG(st.st_mode);
}

// ---- the log

// The end of the log, with room for a record.
static char* room(size_t size) {
  if (shared->end + size > capacity) stop("SHIM_LOG is full: let the test write less");
  return (char*)shared + LOG_START + shared->end;
}

// Appends a call. `data` may already stand in its place.
static void append(struct record r, const char* path, const void* data, size_t size) {
  r.path_size = strlen(path), r.data_size = size;
  char* at = room(sizeof r + r.path_size + size);
  memcpy(at, &r, sizeof r);
  memcpy(at + sizeof r, path, r.path_size);
  memmove(at + sizeof r + r.path_size, data, size);
  shared->end += sizeof r + r.path_size + size;
}

static void lock(void) {
  // Whoever died with the lock had not moved `end`: what it was appending does not count.
  if (pthread_mutex_lock(&shared->lock) == EOWNERDEAD) pthread_mutex_consistent(&shared->lock);
}

// 1 for the first call that a rule strikes, 2 for later ones, else 0.
static int strikes(const struct rule* rule, enum kind kind) {
  if (!rule->n || (rule->kind != kind && rule->kind != ANY)) return 0;
  int64_t later = shared->counts[rule->kind] - rule->n;
  int strike = !later ? 1 : later > 0 && rule->always ? 2 : 0;
  shared->hits += strike > 0;
  return strike;
}

enum verdict { WHOLE, HALF_OF_IT, NONE };

// Takes the lock and says how much of a call is to happen.
static enum verdict begin(enum kind kind) {
  lock();
  shared->counts[kind]++, shared->counts[ANY]++;
  if (strikes(&killing, kind)) {
    dying = 1;
    if (killing.moment == BEFORE) raise(SIGKILL);
    return kind == WRITE && killing.moment == HALF ? HALF_OF_IT : WHOLE;
  }
  int strike = strikes(&failing, kind);
  int fills_up = kind == WRITE && strike == 1 && failing.always && failing.error == ENOSPC;
  return !strike ? WHOLE : fills_up ? HALF_OF_IT : NONE;
}

static int refused(void) { return errno = failing.error, -1; }

// Logs the call and lets go of the lock; returns `result`, with errno as the call left it.
static long end(struct record r, const char* path, const void* data, size_t size, long result) {
  int saved = errno;
  r.error = result < 0 ? saved : 0;
  append(r, path, data, size);
  if (dying) raise(SIGKILL);
  pthread_mutex_unlock(&shared->lock);
  errno = saved;
  return result;
}

#define CALL(...) ((struct record){__VA_ARGS__})

// ---- files

static int open_at(int dir, const char* name, int flags, mode_t mode) {
  char path[PATH_MAX], opened[PATH_MAX];
  if (!inside(dir, name, path)) return syscall(SYS_openat, dir, name, flags, mode);
  enum verdict verdict = begin(OPEN);
  inside(dir, name, path);  // again: until now another thread may have renamed a folder
  struct record r = CALL(.kind = OPEN);
  struct stat st;
  int nameless = (flags & O_TMPFILE) == O_TMPFILE, existed = !fstatat(dir, name, &st, 0);
  int fd = verdict == NONE ? refused() : syscall(SYS_openat, dir, name, flags, mode);
  if (fd >= 0 && !fstat(fd, &st)) {
    r.node = st.st_ino, r.number = st.st_mode;
    if (nameless || (!existed && flags & O_CREAT)) r.detail = CREATED | (nameless ? NAMELESS : 0);
    else if (flags & O_TRUNC && S_ISREG(st.st_mode)) r.detail = TRUNCATED;
    if (!nameless && inside_fd(fd, opened)) strcpy(path, opened);
  }
  return end(r, path, "", 0, fd);
}

#define OPEN_AT(dir, name, flags)                                         \
  va_list rest;                                                           \
  va_start(rest, flags);                                                  \
  mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0; \
  va_end(rest);                                                           \
  return open_at(dir, name, flags, mode)

int open(const char* name, int flags, ...) { OPEN_AT(AT_FDCWD, name, flags); }
int open64(const char* name, int flags, ...) { OPEN_AT(AT_FDCWD, name, flags); }
int openat(int dir, const char* name, int flags, ...) { OPEN_AT(dir, name, flags); }
int openat64(int dir, const char* name, int flags, ...) { OPEN_AT(dir, name, flags); }
int creat(const char* name, mode_t mode) { return open(name, O_CREAT | O_WRONLY | O_TRUNC, mode); }

// `offset` -1: at the file's position.
static ssize_t write_parts(int fd, const struct iovec* parts, int count, off_t offset) {
  char path[PATH_MAX] = "";
  struct stat st = {0};
  enum verdict verdict = begin(WRITE);
  inside_fd(fd, path), fstat(fd, &st);
  struct record r = CALL(.kind = WRITE, .node = st.st_ino);
  size_t size = 0;
  for (int i = 0; i < count; i++) size += parts[i].iov_len;
  // Written from the log: what is logged is what is written, whoever changes the buffer meanwhile.
  char *data = room(sizeof r + strlen(path) + size) + sizeof r + strlen(path), *at = data;
  for (int i = 0; i < count; at += parts[i++].iov_len) memcpy(at, parts[i].iov_base, parts[i].iov_len);
  if (verdict == HALF_OF_IT && !(size /= 2) && !dying) verdict = NONE;  // no short write of one byte
  ssize_t done = verdict == NONE ? refused()
                 : offset < 0    ? syscall(SYS_write, fd, data, size)
                                 : syscall(SYS_pwrite64, fd, data, size, offset);
  if (done >= 0 && !fstat(fd, &st)) {
    int appends = syscall(SYS_fcntl, fd, F_GETFL) & O_APPEND;  // on Linux pwrite, too
    r.number = appends ? st.st_size - done : offset < 0 ? lseek(fd, 0, SEEK_CUR) - done : offset;
  }
  return end(r, path, data, done < 0 ? 0 : done, done);
}

ssize_t write(int fd, const void* data, size_t size) {
  if (watched(fd)) return write_parts(fd, &(struct iovec){(void*)data, size}, 1, -1);
  if (fd == STDOUT_FILENO && shared) {
    lock();
    append(CALL(.kind = PRINT), "", data, size);
    pthread_mutex_unlock(&shared->lock);
  }
  return syscall(SYS_write, fd, data, size);
}

ssize_t writev(int fd, const struct iovec* parts, int count) {
  return watched(fd) ? write_parts(fd, parts, count, -1) : syscall(SYS_writev, fd, parts, count);
}

ssize_t pwrite64(int fd, const void* data, size_t size, off_t offset) {
  if (offset < 0 || !watched(fd)) return syscall(SYS_pwrite64, fd, data, size, offset);
  return write_parts(fd, &(struct iovec){(void*)data, size}, 1, offset);
}

ssize_t pwritev64v2(int fd, const struct iovec* parts, int count, off_t offset, int flags) {
  if (!watched(fd)) return syscall(SYS_pwritev2, fd, parts, count, offset, 0L, flags);
  return write_parts(fd, parts, count, offset);
}

// Copies within the kernel are refused as a kernel without them refuses: callers fall back on write.
ssize_t sendfile64(int out, int in, off_t* offset, size_t size) {
  return watched(out) ? (errno = ENOTSOCK, -1) : syscall(SYS_sendfile, out, in, offset, size);
}

ssize_t copy_file_range(int in, off_t* from, int out, off_t* to, size_t size, unsigned flags) {
  return watched(out) ? (errno = EXDEV, -1) : syscall(SYS_copy_file_range, in, from, out, to, size, flags);
}

// A call on a descriptor and at most a number.
static int on_fd(enum kind kind, long call, int fd, off_t number) {
  char path[PATH_MAX];
  struct stat st = {0};
  if (!inside_fd(fd, path)) return syscall(call, fd, number);
  enum verdict verdict = begin(kind);
  inside_fd(fd, path);
  fstat(fd, &st);
  long result = verdict == NONE && kind != CLOSE ? 0 : syscall(call, fd, number);
  if (verdict == NONE) result = refused();  // a failing close closes all the same
  return end(CALL(.kind = kind, .node = st.st_ino, .number = number), path, "", 0, result);
}

int fsync(int fd) { return on_fd(FSYNC, SYS_fsync, fd, 0); }
int fdatasync(int fd) { return on_fd(FSYNC, SYS_fdatasync, fd, 0); }
int ftruncate64(int fd, off_t size) { return on_fd(TRUNCATE, SYS_ftruncate, fd, size); }

int close(int fd) {
  int writing = watched(fd) && (syscall(SYS_fcntl, fd, F_GETFL) & O_ACCMODE) != O_RDONLY;
  return writing ? on_fd(CLOSE, SYS_close, fd, 0) : syscall(SYS_close, fd);
}

// ---- names in folders

int renameat2(int dir, const char* name, int to, const char* new_name, unsigned flags) {
  char path[PATH_MAX], new_path[PATH_MAX];
  if (!inside(dir, name, path) || !inside(to, new_name, new_path))
    return syscall(SYS_renameat2, dir, name, to, new_name, flags);
  enum verdict verdict = begin(RENAME);
  inside(dir, name, path), inside(to, new_name, new_path);
  long result = verdict == NONE ? refused() : syscall(SYS_renameat2, dir, name, to, new_name, flags);
  return end(CALL(.kind = RENAME, .number = flags), path, new_path, strlen(new_path), result);
}
int renameat(int dir, const char* a, int to, const char* b) { return renameat2(dir, a, to, b, 0); }
int rename(const char* a, const char* b) { return renameat2(AT_FDCWD, a, AT_FDCWD, b, 0); }

// A call with arguments a to e on `name`.
static int on_name(struct record r, int dir, const char* name, const char* target, long call, long a, long b,
                   long c, long d, long e) {
  char path[PATH_MAX];
  struct stat st;
  if (!inside(dir, name, path)) return syscall(call, a, b, c, d, e);
  enum verdict verdict = begin(r.kind);
  inside(dir, name, path);
  long result = verdict == NONE ? refused() : syscall(call, a, b, c, d, e);
  if (!result && r.kind != UNLINK && !fstatat(dir, name, &st, r.kind == TRUNCATE ? 0 : AT_SYMLINK_NOFOLLOW))
    r.node = st.st_ino, r.number = r.kind == MKDIR ? st.st_mode : r.number;
  return end(r, path, target, strlen(target), result);
}

int unlinkat(int dir, const char* name, int flags) {
  return on_name(CALL(.kind = UNLINK), dir, name, "", SYS_unlinkat, dir, (long)name, flags, 0, 0);
}
int unlink(const char* name) { return unlinkat(AT_FDCWD, name, 0); }
int rmdir(const char* name) { return unlinkat(AT_FDCWD, name, AT_REMOVEDIR); }

int mkdirat(int dir, const char* name, mode_t mode) {
  return on_name(CALL(.kind = MKDIR), dir, name, "", SYS_mkdirat, dir, (long)name, mode, 0, 0);
}
int mkdir(const char* name, mode_t mode) { return mkdirat(AT_FDCWD, name, mode); }

int linkat(int from, const char* old, int dir, const char* name, int flags) {
  return on_name(CALL(.kind = LINK), dir, name, "", SYS_linkat, from, (long)old, dir, (long)name, flags);
}
int link(const char* old, const char* name) { return linkat(AT_FDCWD, old, AT_FDCWD, name, 0); }

int symlinkat(const char* target, int dir, const char* name) {
  struct record r = CALL(.kind = LINK, .detail = SYMBOLIC);
  return on_name(r, dir, name, target, SYS_symlinkat, (long)target, dir, (long)name, 0, 0);
}
int symlink(const char* target, const char* name) { return symlinkat(target, AT_FDCWD, name); }

int truncate64(const char* name, off_t size) {
  struct record r = CALL(.kind = TRUNCATE, .number = size);
  return on_name(r, AT_FDCWD, name, "", SYS_truncate, (long)name, size, 0, 0, 0);
}

// ---- the same calls by their other names

#define ALIAS(type, name, parameters, of) type name parameters __attribute__((alias(of)))
ALIAS(int, creat64, (const char*, mode_t), "creat");
ALIAS(ssize_t, pwrite, (int, const void*, size_t, off_t), "pwrite64");
ALIAS(ssize_t, pwritev2, (int, const struct iovec*, int, off_t, int), "pwritev64v2");
ALIAS(ssize_t, sendfile, (int, int, off_t*, size_t), "sendfile64");
ALIAS(int, ftruncate, (int, off_t), "ftruncate64");
ALIAS(int, truncate, (const char*, off_t), "truncate64");
