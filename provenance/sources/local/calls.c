/* System calls for many small files at a time: what calls.py says, where a compiler was at hand.

   Guarantees: nothing is written but to the caller's memory, within the bounds that it names; a file that is in any way
   other than expected ends the batch before it, and is left to the caller. No file stays open.

   Names are relative to the working folder, each ended by NUL. An identity is five 64-bit numbers: device, inode, size
   in bytes, times of modification and change in nanoseconds. */

#define _GNU_SOURCE
#define _FILE_OFFSET_BITS 64
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FIELDS = 5, SIZE = 2, CHANGED = 4 };

#define EXPORT __attribute__((visibility("default")))

static int64_t nanoseconds(struct timespec time) { return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec; }

static void identify(const struct stat *status, int64_t *identity) {
  identity[0] = (int64_t)status->st_dev;
  identity[1] = (int64_t)status->st_ino;
  identity[SIZE] = (int64_t)status->st_size;
  identity[3] = nanoseconds(status->st_mtim);
  identity[CHANGED] = nanoseconds(status->st_ctim);
}

/* Where the next name begins; NULL if this one has no end. */
static const char *after(const char *name, const char *end) {
  const char *stop = memchr(name, 0, (size_t)(end - name));
  return stop ? stop + 1 : NULL;
}

/* The interface below, so that a library that was built from other source is not used. */
EXPORT int64_t provenance_calls_version(void) { return 1; }

/* Look at each file. Returns how many are files and were looked at, before the first that was not. */
EXPORT int64_t provenance_look(const char *names, int64_t length, int64_t *identities, int64_t room) {
  const char *end = names + length, *next;
  int64_t count = 0;
  for (; names < end && count < room; names = next, count++) {
    struct stat status;
    if (!(next = after(names, end)) || lstat(names, &status) || !S_ISREG(status.st_mode)) break;
    identify(&status, identities + FIELDS * count);
  }
  return count;
}

/* Look at each file again. Returns how many are the same as before, before the first that is not. */
EXPORT int64_t provenance_same(const char *names, int64_t length, const int64_t *identities, int64_t room) {
  const char *end = names + length, *next;
  int64_t count = 0;
  for (; names < end && count < room; names = next, count++) {
    struct stat status;
    int64_t identity[FIELDS];
    if (!(next = after(names, end)) || lstat(names, &status)) break;
    identify(&status, identity);
    if (memcmp(identity, identities + FIELDS * count, sizeof identity)) break;
  }
  return count;
}

/* Read one file whole into `into`. Returns its size; -1 for one that is no file, was changed after `recent_ns`, is
   larger than `largest`, or gives another number of bytes than it has. */
static int64_t read_one(const char *name, int64_t recent_ns, int64_t largest, char *into, int64_t *identity) {
  struct stat status;
  int64_t size = -1;
  int descriptor = open(name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (descriptor < 0) return -1;
  if (!fstat(descriptor, &status) && S_ISREG(status.st_mode)) {
    identify(&status, identity);
    /* One byte more than there should be, so that the end is seen in one read. */
    if (identity[SIZE] >= 0 && identity[SIZE] <= largest && identity[CHANGED] <= recent_ns &&
        read(descriptor, into, (size_t)identity[SIZE] + 1) == identity[SIZE])
      size = identity[SIZE];
  }
  close(descriptor);
  return size;
}

/* Look at each file when it is open, and read it whole, one after another into `into`, until `enough` bytes are there.
   `into` has room for `enough + largest + 1`. Returns how many were read. */
EXPORT int64_t provenance_read(const char *names, int64_t length, int64_t recent_ns, int64_t largest, char *into,
                               int64_t enough, int64_t *identities, int64_t room) {
  const char *end = names + length, *next;
  int64_t count = 0, held = 0;
  for (; names < end && count < room && held < enough; names = next, count++) {
    int64_t size;
    if (!(next = after(names, end))) break;
    size = read_one(names, recent_ns, largest, into + held, identities + FIELDS * count);
    if (size < 0) break;
    held += size;
  }
  return count;
}

/* The names in a folder, each ended by NUL, in any order, without `.` and `..`; of each its kind: `f`, `d`, or `?` for
   what is neither, or is not told. Returns how many; -1 if the folder cannot be read or there is no room. `used` gets the
   bytes of the names. */
EXPORT int64_t provenance_list(const char *folder, char *names, int64_t names_room, char *kinds, int64_t room,
                               int64_t *used) {
  int64_t count = 0;
  struct dirent *entry;
  DIR *stream = opendir(folder);
  if (!stream) return -1;
  *used = 0;
  for (errno = 0; (entry = readdir(stream)); errno = 0) {
    int64_t length = (int64_t)strlen(entry->d_name) + 1;
    if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
    if (count == room || length > names_room - *used) break;
    memcpy(names + *used, entry->d_name, (size_t)length);
    kinds[count++] = entry->d_type == DT_REG ? 'f' : entry->d_type == DT_DIR ? 'd' : '?';
    *used += length;
  }
  if (entry || errno) count = -1;
  closedir(stream);
  return count;
}
