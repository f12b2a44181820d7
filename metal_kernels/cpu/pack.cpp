#include "pack.h"

#include <algorithm>
#include <map>
#include <vector>

#include "thread_pool.h"

namespace localllm {
namespace {

// One row's superblock, spelled out.
struct Canonical {
  uint8_t codes[kSuper];
  uint8_t scales[16], mins[16];       // Super*: integer scales (two's complement) and mins
  uint16_t d, dmin;                   // Super*: float16
  uint8_t group_scales[8][4], group_mins[8][4];  // Grouped: raw numbers
};

uint16_t read_u16(const uint8_t* p) { return uint16_t(p[0] | (p[1] << 8)); }

void read_k_scales(const uint8_t* s, Canonical& c) {
  for (int j = 0; j < 8; ++j) {
    if (j < 4) {
      c.scales[j] = s[j] & 63;
      c.mins[j] = s[j + 4] & 63;
    } else {
      c.scales[j] = uint8_t((s[j + 4] & 15) | ((s[j - 4] >> 6) << 4));
      c.mins[j] = uint8_t((s[j + 4] >> 4) | ((s[j] >> 6) << 4));
    }
  }
}

void read_q4_k(const uint8_t* b, Canonical& c) {
  c.d = read_u16(b);
  c.dmin = read_u16(b + 2);
  read_k_scales(b + 4, c);
  for (int g = 0; g < 4; ++g)
    for (int i = 0; i < 32; ++i) {
      c.codes[g * 64 + i] = b[16 + g * 32 + i] & 15;
      c.codes[g * 64 + 32 + i] = b[16 + g * 32 + i] >> 4;
    }
}

void read_q5_k(const uint8_t* b, Canonical& c) {
  c.d = read_u16(b);
  c.dmin = read_u16(b + 2);
  read_k_scales(b + 4, c);
  const uint8_t *high = b + 16, *low = b + 48;
  for (int g = 0; g < 4; ++g)
    for (int i = 0; i < 32; ++i) {
      c.codes[g * 64 + i] = uint8_t((low[g * 32 + i] & 15) | (((high[i] >> (2 * g)) & 1) << 4));
      c.codes[g * 64 + 32 + i] =
          uint8_t((low[g * 32 + i] >> 4) | (((high[i] >> (2 * g + 1)) & 1) << 4));
    }
}

void read_q6_k(const uint8_t* b, Canonical& c) {
  const uint8_t *low = b, *high = b + 128;
  for (int half = 0; half < 2; ++half, low += 64, high += 32)
    for (int i = 0; i < 32; ++i) {
      uint8_t* out = c.codes + half * 128 + i;
      out[0] = uint8_t((low[i] & 15) | ((high[i] & 3) << 4));
      out[32] = uint8_t((low[i + 32] & 15) | (((high[i] >> 2) & 3) << 4));
      out[64] = uint8_t((low[i] >> 4) | (((high[i] >> 4) & 3) << 4));
      out[96] = uint8_t((low[i + 32] >> 4) | ((high[i] >> 6) << 4));
    }
  std::memcpy(c.scales, b + 192, 16);
  c.d = read_u16(b + 208);
}

void read_q2_k(const uint8_t* b, Canonical& c) {
  for (int j = 0; j < 16; ++j) {
    c.scales[j] = b[j] & 15;
    c.mins[j] = b[j] >> 4;
  }
  for (int i = 0; i < kSuper; ++i)
    c.codes[i] = (b[16 + i / 128 * 32 + i % 32] >> (2 * (i % 128 / 32))) & 3;
  c.d = read_u16(b + 80);
  c.dmin = read_u16(b + 82);
}

void read_q3_k(const uint8_t* b, Canonical& c) {
  const uint8_t *mask = b, *low = b + 32, *s = b + 96;
  for (int i = 0; i < kSuper; ++i) {
    int two = (low[i / 128 * 32 + i % 32] >> (2 * (i % 128 / 32))) & 3;
    c.codes[i] = uint8_t(two | (((mask[i % 32] >> (i / 32)) & 1) << 2));
  }
  for (int j = 0; j < 16; ++j) {
    int four = j < 8 ? s[j] & 15 : s[j - 8] >> 4;
    int two = (s[8 + j % 4] >> (2 * (j / 4))) & 3;
    c.scales[j] = uint8_t((four | (two << 4)) - 32);
  }
  c.d = read_u16(b + 108);
}

void read_iq4_xs(const uint8_t* b, Canonical& c) {
  c.d = read_u16(b);
  int high = read_u16(b + 2);
  for (int g = 0; g < 8; ++g) {
    int four = (b[4 + g / 2] >> (4 * (g & 1))) & 15;
    c.scales[g] = uint8_t((four | (((high >> (2 * g)) & 3) << 4)) - 32);
    for (int i = 0; i < 16; ++i) {
      c.codes[g * 32 + i] = b[8 + g * 16 + i] & 15;
      c.codes[g * 32 + 16 + i] = b[8 + g * 16 + i] >> 4;
    }
  }
}

void read_nibbles(const uint8_t* b, uint8_t* codes) {
  for (int i = 0; i < 16; ++i) {
    codes[i] = b[i] & 15;
    codes[16 + i] = b[i] >> 4;
  }
}

void add_fifth_bits(const uint8_t* b, uint8_t* codes) {
  for (int i = 0; i < 32; ++i) codes[i] |= ((b[i / 8] >> (i % 8)) & 1) << 4;
}

// Readers of 32-column blocks fill group g.
void read_q4_0(const uint8_t* b, Canonical& c, int g) {
  std::memcpy(c.group_scales[g], b, 2);
  read_nibbles(b + 2, c.codes + g * 32);
}
void read_q4_1(const uint8_t* b, Canonical& c, int g) {
  std::memcpy(c.group_scales[g], b, 2);
  std::memcpy(c.group_mins[g], b + 2, 2);
  read_nibbles(b + 4, c.codes + g * 32);
}
void read_q5_0(const uint8_t* b, Canonical& c, int g) {
  std::memcpy(c.group_scales[g], b, 2);
  read_nibbles(b + 6, c.codes + g * 32);
  add_fifth_bits(b + 2, c.codes + g * 32);
}
void read_q5_1(const uint8_t* b, Canonical& c, int g) {
  std::memcpy(c.group_scales[g], b, 2);
  std::memcpy(c.group_mins[g], b + 2, 2);
  read_nibbles(b + 8, c.codes + g * 32);
  add_fifth_bits(b + 4, c.codes + g * 32);
}
void read_q8_0(const uint8_t* b, Canonical& c, int g) {
  std::memcpy(c.group_scales[g], b, 2);
  for (int i = 0; i < 32; ++i) c.codes[g * 32 + i] = b[2 + i] ^ 0x80;
}
void read_mxfp4(const uint8_t* b, Canonical& c, int g) {
  c.group_scales[g][0] = b[0];
  read_nibbles(b + 1, c.codes + g * 32);
}

// Codes from a little-endian bit stream; eight of them fill whole bytes.
template <int Bits>
void read_stream(const uint8_t* from, int count, uint8_t* codes) {
  for (int i = 0; i < count; i += 8, from += Bits) {
    uint64_t eight = 0;
    std::memcpy(&eight, from, Bits);
    for (int k = 0; k < 8; ++k) codes[i + k] = uint8_t((eight >> (k * Bits)) & ((1 << Bits) - 1));
  }
}

void read_stream(int bits, const uint8_t* from, int count, uint8_t* codes) {
  switch (bits) {
    case 2: return read_stream<2>(from, count, codes);
    case 3: return read_stream<3>(from, count, codes);
    case 4: return read_stream<4>(from, count, codes);
    case 5: return read_stream<5>(from, count, codes);
    case 6: return read_stream<6>(from, count, codes);
    default: return read_stream<8>(from, count, codes);
  }
}

struct Source {
  int block_columns;
  int block_bytes;
  void (*read_super)(const uint8_t*, Canonical&);
  void (*read_group)(const uint8_t*, Canonical&, int);
};

const std::map<std::string, Source>& sources() {
  static const std::map<std::string, Source> all = {
      {"Q2_K", {256, 84, read_q2_k, nullptr}},     {"Q3_K", {256, 110, read_q3_k, nullptr}},
      {"Q4_K", {256, 144, read_q4_k, nullptr}},    {"Q5_K", {256, 176, read_q5_k, nullptr}},
      {"Q6_K", {256, 210, read_q6_k, nullptr}},    {"IQ4_XS", {256, 136, read_iq4_xs, nullptr}},
      {"Q4_0", {32, 18, nullptr, read_q4_0}},      {"Q4_1", {32, 20, nullptr, read_q4_1}},
      {"Q5_0", {32, 22, nullptr, read_q5_0}},      {"Q5_1", {32, 24, nullptr, read_q5_1}},
      {"Q8_0", {32, 34, nullptr, read_q8_0}},      {"IQ4_NL", {32, 18, nullptr, read_q4_0}},
      {"MXFP4", {32, 17, nullptr, read_mxfp4}},    {"F16", {1, 2, nullptr, nullptr}},
      {"BF16", {1, 2, nullptr, nullptr}},          {"F32", {1, 4, nullptr, nullptr}},
  };
  return all;
}

uint32_t four_codes(const uint8_t* codes) {
  uint32_t word;
  std::memcpy(&word, codes, 4);
  return word;
}

// Writes one row of a group's planes (see load_code), four columns at a time.
template <int Bits>
void write_group(const uint8_t* codes, int row, uint8_t* out) {
  auto put = [&](int j, uint32_t word) { std::memcpy(out + j * 64 + row * 4, &word, 4); };
  auto quad = [&](int j) { return four_codes(codes + j * 4); };
  if constexpr (Bits == 8) {
    for (int j = 0; j < 8; ++j) put(j, quad(j));
    return;
  }
  constexpr int kNibble = Bits >= 4 ? 4 : 0;  // bits that went before
  if constexpr (Bits >= 4) {
    for (int j = 0; j < 4; ++j)
      put(j, (quad(j) & 0x0f0f0f0fu) | ((quad(j + 4) & 0x0f0f0f0fu) << 4));
    out += 256;
  }
  constexpr bool kPairs = Bits == 2 || Bits == 3 || Bits == 6;
  if constexpr (kPairs) {
    for (int j = 0; j < 2; ++j) {
      uint32_t word = 0;
      for (int i = 0; i < 4; ++i)
        word |= ((quad(j + 2 * i) >> kNibble) & 0x03030303u) << (2 * i);
      put(j, word);
    }
    out += 128;
  }
  if constexpr (Bits & 1) {
    constexpr int kBefore = kNibble + (kPairs ? 2 : 0);
    uint32_t word = 0;
    for (int j = 0; j < 8; ++j) word |= ((quad(j) >> kBefore) & 0x01010101u) << j;
    put(0, word);
  }
}

template <int Bits>
void write_codes(const uint8_t* codes, int num_groups, int row, uint8_t* out) {
  for (int g = 0; g < num_groups; ++g)
    write_group<Bits>(codes + g * kGroup, row, out + g * 64 * Bits);
}

void write_codes(const Format& f, const uint8_t* codes, int num_groups, int row, uint8_t* out) {
  switch (f.bits) {
    case 2: return write_codes<2>(codes, num_groups, row, out);
    case 3: return write_codes<3>(codes, num_groups, row, out);
    case 4: return write_codes<4>(codes, num_groups, row, out);
    case 5: return write_codes<5>(codes, num_groups, row, out);
    case 6: return write_codes<6>(codes, num_groups, row, out);
    default: return write_codes<8>(codes, num_groups, row, out);
  }
}

// Writes one row of a superblock into its tile (zeroed beforehand).
void write_row(const Format& f, const Canonical& c, int num_groups, int row, uint8_t* out) {
  write_codes(f, c.codes, num_groups, row, out);
  ScaleOffsets at = scale_offsets(f, num_groups);
  if (f.kind == Kind::Super32) {
    for (int g = 0; g < 8; ++g) {
      out[at.scales + g * 16 + row] = c.scales[g];
      if (f.mins) out[at.mins + g / 2 * 32 + row * 2 + g % 2] = c.mins[g];
    }
  } else if (f.kind == Kind::Super16) {
    for (int g = 0; g < 16; ++g)
      out[at.scales + g * 16 + row] = uint8_t(c.scales[g] | (f.mins ? c.mins[g] << 4 : 0));
  } else {
    int size = number_bytes(f.number);
    for (int g = 0; g < scale_groups(f, num_groups); ++g) {
      std::memcpy(out + at.scales + (g * 16 + row) * size, c.group_scales[g], size);
      if (f.mins) std::memcpy(out + at.mins + (g * 16 + row) * size, c.group_mins[g], size);
    }
    return;
  }
  std::memcpy(out + at.d + row * 2, &c.d, 2);
  if (f.mins) std::memcpy(out + at.dmin + row * 2, &c.dmin, 2);
}

// 16-bit numbers go in pairs of columns, as TDPBF16PS wants them.
int64_t dense_index(int size, int row, int column) {
  return size == 4 ? int64_t(column) * 16 + row : (int64_t(column) / 2 * 16 + row) * 2 + column % 2;
}

void pack_dense_tile(const Format& f, const uint8_t* blocks, int64_t row_stride, int num_rows,
                     int num_columns, uint8_t* out) {
  int64_t row_bytes = int64_t(num_columns) * number_bytes(f.number);
  int64_t words = tile_bytes(f, num_columns) / 64;  // of four bytes, in a row of the tile
  constexpr int64_t kBlock = 256;                   // words of a row copied at a time
  for (int64_t first = 0; first < words; first += kBlock)
    for (int row = 0; row < kTileRows; ++row) {
      int64_t count = std::min(kBlock, words - first), offset = first * 4;
      int64_t present = row < num_rows ? std::clamp<int64_t>(row_bytes - offset, 0, count * 4) : 0;
      uint32_t line[kBlock] = {};
      if (present) std::memcpy(line, blocks + row * row_stride + offset, present);
      for (int64_t i = 0; i < count; ++i)
        std::memcpy(out + (first + i) * 64 + row * 4, &line[i], 4);
    }
}

void pack_gguf_tile(const Format& f, const Source& source, const uint8_t* blocks,
                    int64_t row_stride, int num_rows, int num_columns, uint8_t* out) {
  for (int s = 0; s < num_supers(num_columns); ++s) {
    int num_groups = groups_in_super(num_columns, s);
    if (num_rows < kTileRows) std::memset(out, 0, super_bytes(f, num_groups));
    for (int row = 0; row < num_rows; ++row) {
      Canonical c;
      const uint8_t* block = blocks + row * row_stride;
      block += int64_t(s) * (kSuper / source.block_columns) * source.block_bytes;
      if (source.read_super) {
        source.read_super(block, c);
      } else {
        for (int g = 0; g < num_groups; ++g)
          source.read_group(block + g * source.block_bytes, c, g);
      }
      write_row(f, c, num_groups, row, out);
    }
    out += super_bytes(f, num_groups);
  }
}

}  // namespace

int64_t gguf_row_bytes(const std::string& name, int num_columns) {
  auto found = sources().find(name);
  if (found == sources().end()) return 0;
  const Source& s = found->second;
  if (num_columns % s.block_columns != 0)
    throw std::invalid_argument(name + " needs a multiple of " + std::to_string(s.block_columns) +
                                " columns, not " + std::to_string(num_columns));
  return int64_t(num_columns / s.block_columns) * s.block_bytes;
}

void pack_gguf(const std::string& name, const uint8_t* blocks, int64_t row_stride, int num_rows,
               int num_columns, uint8_t* out) {
  Format f = parse_format(name);
  const Source& source = sources().at(name);
  int64_t bytes = tile_bytes(f, num_columns);
  ThreadPool::instance().parallel_for(num_tiles(num_rows), [&](int64_t tile) {
    int rows = std::min(kTileRows, num_rows - int(tile) * kTileRows);
    const uint8_t* from = blocks + tile * kTileRows * row_stride;
    uint8_t* to = out + tile * bytes;
    if (f.kind == Kind::Dense) pack_dense_tile(f, from, row_stride, rows, num_columns, to);
    else pack_gguf_tile(f, source, from, row_stride, rows, num_columns, to);
  });
}

void pack_affine(const Format& f, const uint32_t* weight, const uint8_t* scales,
                 const uint8_t* biases, int num_rows, int num_columns, uint8_t* out) {
  int64_t bytes = tile_bytes(f, num_columns);
  int64_t row_bytes = int64_t(num_columns) * f.bits / 8;
  int size = number_bytes(f.number), row_groups = num_columns / f.group;
  auto* stream = reinterpret_cast<const uint8_t*>(weight);
  ThreadPool::instance().parallel_for(num_tiles(num_rows), [&](int64_t tile) {
    uint8_t* to = out + tile * bytes;
    int rows = std::min(kTileRows, num_rows - int(tile) * kTileRows);
    for (int s = 0; s < num_supers(num_columns); ++s) {
      int num_groups = groups_in_super(num_columns, s);
      if (rows < kTileRows) std::memset(to, 0, super_bytes(f, num_groups));
      for (int row = 0; row < rows; ++row) {
        int64_t r = tile * kTileRows + row;
        Canonical c;
        const uint8_t* from = stream + r * row_bytes;
        read_stream(f.bits, from + int64_t(s) * (kSuper / 8) * f.bits, num_groups * kGroup, c.codes);
        for (int g = 0; g < scale_groups(f, num_groups); ++g) {
          int64_t at = r * row_groups + int64_t(s) * (kSuper / f.group) + g;
          std::memcpy(c.group_scales[g], scales + at * size, size);
          std::memcpy(c.group_mins[g], biases + at * size, size);
        }
        write_row(f, c, num_groups, row, to);
      }
      to += super_bytes(f, num_groups);
    }
  });
}

void unpack_row(const Format& f, const uint8_t* packed, int num_columns, int64_t row, float* out) {
  const uint8_t* tile = packed + row / kTileRows * tile_bytes(f, num_columns);
  int r = int(row % kTileRows);
  if (f.kind == Kind::Dense) {
    int size = number_bytes(f.number);
    for (int k = 0; k < num_columns; ++k)
      out[k] = load_number(tile + dense_index(size, r, k) * size, f.number);
    return;
  }
  for (int s = 0; s < num_supers(num_columns); ++s) {
    int num_groups = groups_in_super(num_columns, s);
    ScaleOffsets at = scale_offsets(f, num_groups);
    for (int k = 0; k < num_groups * kGroup; ++k) {
      int g = k / kGroup;
      int code = load_code(tile + g * 64 * f.bits, f.bits, r, k % kGroup);
      float value = f.codebook ? float(f.codebook[code]) : float(code - f.zero);
      float scale, min = 0;
      if (f.kind == Kind::Grouped) {
        int index = k / f.group * 16 + r, size = number_bytes(f.number);
        scale = load_number(tile + at.scales + index * size, f.number);
        if (f.mins) min = -load_number(tile + at.mins + index * size, f.number);
      } else {
        uint8_t s8 = tile[at.scales + k / f.group * 16 + r];
        bool nibbles = f.kind == Kind::Super16 && f.mins;
        scale = load_number(tile + at.d + r * 2, Number::F16) *
                float(nibbles ? s8 & 15 : int(int8_t(s8)));
        if (f.mins) {
          int m = nibbles ? s8 >> 4 : tile[at.mins + g / 2 * 32 + r * 2 + g % 2];
          min = load_number(tile + at.dmin + r * 2, Number::F16) * float(m);
        }
      }
      *out++ = scale * value - min;
    }
    tile += super_bytes(f, num_groups);
  }
}

}  // namespace localllm
