// Loops over bytes that files are read with: checksums, text, Snappy.
#ifndef GDN_FORMATS_H
#define GDN_FORMATS_H

#include <stddef.h>
#include <stdint.h>

/// Whether this processor has instructions for SHA-256.
int gdn_sha256_has_instructions(void);
/// Takes `blocks` blocks of 64 bytes into the state (FIPS 180-4, section 6.2.2).
void gdn_sha256_blocks(uint32_t state[8], const uint8_t *data, size_t blocks, int use_instructions);

/// Whether this processor has an instruction for CRC-32C; the two functions below may be called only where it has.
int gdn_crc32c_has_instruction(void);
/// Takes `count` bytes into the register of a CRC-32C (reflected bits, before the final inversion).
uint32_t gdn_crc32c(uint32_t sum, const uint8_t *bytes, size_t count);
/// Takes three pieces of `third` bytes, a multiple of 8, one behind the other, into a register each.
void gdn_crc32c_thirds(uint32_t sums[3], const uint8_t *bytes, size_t third);

/// Whether this processor has AVX2, for wide steps through UTF-8.
int gdn_utf8_has_wide(void);
/// Length of the longest beginning of `text` that is UTF-8 and ends with a whole character (Unicode standard, table 3-7).
/// `use_wide` only where the processor has wide steps.
size_t gdn_utf8_prefix(const uint8_t *text, size_t count, int use_wide);
/// Whether this processor has AVX-512 VBMI2, for wide steps through JSON strings.
int gdn_json_has_wide(void);
/// Index of the quote that ends a JSON string whose content begins at `text`, all escapes before it being valid; `count` when
/// there is none. `*has_escapes` is 1 where there is an escape, else left alone.
size_t gdn_json_string(const uint8_t *text, size_t count, int *has_escapes, int use_wide);
/// Decodes the escapes of a string's content, which `gdn_json_string` has found valid, in place. Half a surrogate pair
/// becomes U+FFFD. Returns the new length, never larger.
size_t gdn_json_unescape(uint8_t *text, size_t count, int use_wide);
/// Writes the lower halves of tokens. Returns the largest token, negative ones counting as unsigned numbers.
uint32_t gdn_narrow(const int32_t *tokens, size_t count, uint16_t *output);
/// Number of newlines.
size_t gdn_count_newlines(const uint8_t *text, size_t count);

/// Tells the system to begin bringing `count` bytes of a file to the disk, and does not wait.
void gdn_begin_writing(int file, int64_t offset, int64_t count);

/// Decodes a raw Snappy block (not the framing format) that gives exactly `size` bytes.
/// Returns NULL, or which rule the block breaks; reads and writes nothing outside the two ranges.
const char *gdn_snappy_decode(const uint8_t *block, size_t count, uint8_t *output, size_t size);

/// zlib's `z_stream` and Zstandard's buffers, so that their libraries can be called without their headers.
typedef struct {
    const uint8_t *next_in;
    unsigned avail_in;
    unsigned long total_in;
    uint8_t *next_out;
    unsigned avail_out;
    unsigned long total_out;
    const char *msg;
    void *state, *zalloc, *zfree, *opaque;
    int data_type;
    unsigned long adler, reserved;
} gdn_zlib_stream;
typedef struct {
    void *bytes;
    size_t size, position;
} gdn_zstd_buffer;

#endif
