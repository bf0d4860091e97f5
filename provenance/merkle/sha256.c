/* SHA-256 (FIPS 180-4) of many messages, three at a time, by the SHA extensions of x86-64 processors.

   One message waits most of the time for the result of the instruction before; three keep the unit busy. What a message is,
   compiled.py says; nothing is read or written beyond the lengths that it hands in. No secret is hashed here. */

#include <stdint.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

#if defined(__x86_64__)

#include <cpuid.h>
#include <immintrin.h>

enum { STREAMS = 3, BLOCK = 64, DIGEST = 32 };

#define TARGET __attribute__((target("sha,sse4.1,ssse3")))

static const uint32_t ROUND_CONSTANTS[64] __attribute__((aligned(16))) = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

/* The eight words a to h of a state, as the instructions want them: a b e f, and c d g h, from the highest down. */
typedef struct {
  __m128i abef, cdgh;
} state;

TARGET static inline state first_state(void) {
  state made = {_mm_set_epi32(0x6a09e667, (int)0xbb67ae85, 0x510e527f, (int)0x9b05688c),
                _mm_set_epi32(0x3c6ef372, (int)0xa54ff53a, 0x1f83d9ab, 0x5be0cd19)};
  return made;
}

TARGET static void put_digest(state from, uint8_t *digest) {
  const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
  __m128i abef = _mm_shuffle_epi32(from.abef, 0x1b), cdgh = _mm_shuffle_epi32(from.cdgh, 0x1b);
  _mm_storeu_si128((__m128i *)digest, _mm_shuffle_epi8(_mm_unpacklo_epi64(abef, cdgh), swap));
  _mm_storeu_si128((__m128i *)(digest + 16), _mm_shuffle_epi8(_mm_unpackhi_epi64(abef, cdgh), swap));
}

/* One block into each of the states. */
TARGET static inline void compress(state *states, const uint8_t *const *blocks) {
  const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
  __m128i abef[STREAMS], cdgh[STREAMS], words[STREAMS][4];
  for (int s = 0; s < STREAMS; s++) {
    abef[s] = states[s].abef;
    cdgh[s] = states[s].cdgh;
    for (int i = 0; i < 4; i++)
      words[s][i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(blocks[s] + 16 * i)), swap);
  }
#pragma GCC unroll 16
  for (int group = 0; group < 16; group++) {
    const __m128i constants = _mm_load_si128((const __m128i *)(ROUND_CONSTANTS + 4 * group));
#pragma GCC unroll 4
    for (int s = 0; s < STREAMS; s++) {
      __m128i *w = words[s], sum = _mm_add_epi32(w[group % 4], constants);
      cdgh[s] = _mm_sha256rnds2_epu32(cdgh[s], abef[s], sum);
      abef[s] = _mm_sha256rnds2_epu32(abef[s], cdgh[s], _mm_shuffle_epi32(sum, 0x0e));
      if (group < 12) { /* the words of four groups ahead */
        __m128i next = _mm_sha256msg1_epu32(w[group % 4], w[(group + 1) % 4]);
        next = _mm_add_epi32(next, _mm_alignr_epi8(w[(group + 3) % 4], w[(group + 2) % 4], 4));
        w[group % 4] = _mm_sha256msg2_epu32(next, w[(group + 3) % 4]);
      }
    }
  }
  for (int s = 0; s < STREAMS; s++) {
    states[s].abef = _mm_add_epi32(states[s].abef, abef[s]);
    states[s].cdgh = _mm_add_epi32(states[s].cdgh, cdgh[s]);
  }
}

/* A message under way: a first block that begins with a prefix, blocks where they lie, then one or two with the padding. */
typedef struct {
  const uint8_t *whole;
  int64_t whole_left;
  uint8_t *digest;
  int first_left, last_at, last_left;
  uint8_t first[BLOCK], last[2 * BLOCK];
} message;

static inline void put_length(uint8_t *end, uint64_t length_bytes) {
  uint64_t bits = __builtin_bswap64(8 * length_bytes);
  memcpy(end - 8, &bits, 8);
}

/* Begin a message of a prefix (0 to 255; -1 for none) and `length` bytes. */
static inline void begin(message *m, int64_t prefix, const uint8_t *data, int64_t length, uint8_t *digest) {
  uint64_t total = (uint64_t)length + (prefix >= 0);
  int64_t rest, head = 0;
  m->digest = digest;
  m->first_left = 0;
  if (prefix >= 0) {
    head = 1;
    if (total >= BLOCK) {
      m->first[0] = (uint8_t)prefix;
      memcpy(m->first + 1, data, BLOCK - 1);
      m->first_left = 1;
      data += BLOCK - 1;
      length -= BLOCK - 1;
      head = 0;
    }
  }
  m->whole = data;
  m->whole_left = head ? 0 : length / BLOCK;
  rest = length - BLOCK * m->whole_left;
  if (head) m->last[0] = (uint8_t)prefix;
  memcpy(m->last + head, data + BLOCK * m->whole_left, (size_t)rest);
  rest += head;
  m->last_at = 0;
  m->last_left = rest + 9 <= BLOCK ? 1 : 2;
  m->last[rest] = 0x80;
  memset(m->last + rest + 1, 0, (size_t)(BLOCK * m->last_left - rest - 1));
  put_length(m->last + BLOCK * m->last_left, total);
}

/* The next block of a message; NULL when there is none. */
static inline const uint8_t *next_block(message *m) {
  if (m->first_left) {
    m->first_left = 0;
    return m->first;
  }
  if (m->whole_left) {
    const uint8_t *block = m->whole;
    m->whole_left--;
    m->whole += BLOCK;
    return block;
  }
  if (m->last_left) {
    m->last_left--;
    m->last_at += BLOCK;
    return m->last + m->last_at - BLOCK;
  }
  return NULL;
}

/* The interface below; 0 where the processor cannot. */
EXPORT int64_t provenance_sha256_version(void) {
  unsigned a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_SSE4_1) || !(c & bit_SSSE3)) return 0;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & (1u << 29)) ? 1 : 0;
}

/* The digests of `count` messages: each a prefix (-1 for none) and `data` from offsets[i] to offsets[i + 1]; where there are
   no offsets, `width` bytes each. */
TARGET EXPORT void provenance_sha256_messages(const uint8_t *data, const int64_t *offsets, int64_t width,
                                              int64_t count, int64_t prefix, uint8_t *digests) {
  static const uint8_t nothing[BLOCK];
  message messages[STREAMS];
  state states[STREAMS];
  int busy[STREAMS] = {0}, working = 0;
  int64_t taken = 0;
  for (int s = 0; s < STREAMS; s++) messages[s].first_left = messages[s].last_left = 0, messages[s].whole_left = 0;
  for (;;) {
    const uint8_t *blocks[STREAMS];
    for (int s = 0; s < STREAMS; s++) {
      blocks[s] = next_block(&messages[s]);
      if (blocks[s]) continue;
      if (busy[s]) put_digest(states[s], messages[s].digest);
      working -= busy[s];
      busy[s] = taken < count;
      if (busy[s]) {
        int64_t from = offsets ? offsets[taken] : width * taken, to = offsets ? offsets[taken + 1] : from + width;
        begin(&messages[s], prefix, data + from, to - from, digests + DIGEST * taken);
        states[s] = first_state();
        taken++;
        working++;
        blocks[s] = next_block(&messages[s]);
      } else {
        blocks[s] = nothing;
      }
    }
    if (!working) return;
    compress(states, blocks);
  }
}

/* Hashes that go on: of each, its eight words in the order of the standard, and `count` blocks. */
TARGET EXPORT void provenance_sha256_blocks(uint32_t *const *words, const uint8_t *const *blocks, int64_t count) {
  state states[STREAMS];
  const uint8_t *places[STREAMS];
  for (int s = 0; s < STREAMS; s++) {
    const uint32_t *w = words[s];
    states[s].abef = _mm_set_epi32((int)w[0], (int)w[1], (int)w[4], (int)w[5]);
    states[s].cdgh = _mm_set_epi32((int)w[2], (int)w[3], (int)w[6], (int)w[7]);
    places[s] = blocks[s];
  }
  for (; count > 0; count--) {
    compress(states, places);
    for (int s = 0; s < STREAMS; s++) places[s] += BLOCK;
  }
  for (int s = 0; s < STREAMS; s++) {
    uint32_t *w = words[s], x[4], y[4];
    _mm_storeu_si128((__m128i *)x, states[s].abef);
    _mm_storeu_si128((__m128i *)y, states[s].cdgh);
    w[0] = x[3], w[1] = x[2], w[2] = y[3], w[3] = y[2], w[4] = x[1], w[5] = x[0], w[6] = y[1], w[7] = y[0];
  }
}

#else

EXPORT int64_t provenance_sha256_version(void) { return 0; }

#endif
