// Begins to bring written bytes of a file to the disk, without waiting; nothing where the system has no call for that.
#if defined(__linux__)
#define _GNU_SOURCE
#include <fcntl.h>
#endif

#include "gdn_formats.h"

void gdn_begin_writing(int file, int64_t offset, int64_t count) {
#if defined(__linux__)
    (void)sync_file_range(file, offset, count, SYNC_FILE_RANGE_WRITE);
#else
    (void)file, (void)offset, (void)count;
#endif
}
