// What a packed weight matrix looks like in memory: the one layout shared by all kernels.
//
// Rows come in tiles of 16, columns in superblocks of 256 (the last one may be shorter). Within a
// superblock first come the codes of its groups of 32 columns, 64 * bits bytes each, then its scales.
// Codes are unsigned; `zero` is subtracted when they are used. Vector j (0..7) of a group holds
// columns 4j..4j+3 of 16 rows, four bytes a row, which is what VPDPBUSD and the AMX tiles eat.
#pragma once
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>

namespace localllm {

constexpr int kTileRows = 16;
constexpr int kSuper = 256;
constexpr int kGroup = 32;

enum class Kind : uint8_t {
  Super32,  // integer scales per 32 columns under one float scale per 256 (Q4_K, Q5_K, IQ4_XS)
  Super16,  // the same per 16 columns (Q2_K, Q3_K, Q6_K)
  Grouped,  // a float scale per 32, 64 or 128 columns (Q4_0 ... Q8_0, MXFP4, MLX affine)
  Dense,    // F16, BF16, F32
};

enum class Number : uint8_t { F16, BF16, F32, E8M0 };

static constexpr int number_bytes(Number n) {
  switch (n) {
    case Number::F32: return 4;
    case Number::E8M0: return 1;
    default: return 2;
  }
}

struct Format {
  Kind kind;
  int bits;               // of one code; Dense: of one number
  int zero;               // subtracted from every code
  bool mins;              // a second term, -min (Super*) or +min (Grouped), per group
  Number number;          // of Grouped scales and Dense values
  int group;              // columns a scale stands for
  const int8_t* codebook;  // 16 values, code -> value + zero is stored as uint8; null: linear
};

static constexpr int round_up(int n, int m) { return (n + m - 1) / m * m; }

static constexpr int scale_groups(const Format& f, int num_groups) {
  return (num_groups * kGroup + f.group - 1) / f.group;
}

// Columns of a Grouped format that are summed as integers before a scale applies.
static constexpr int dot_columns(const Format& f) { return f.group >= 64 ? 64 : 32; }

static constexpr int codes_bytes(const Format& f, int num_groups) { return num_groups * 64 * f.bits; }

// Bytes of one tile's superblock that has `num_groups` (1..8) groups of 32 columns.
static constexpr int super_bytes(const Format& f, int num_groups) {
  int bytes = codes_bytes(f, num_groups);
  switch (f.kind) {
    case Kind::Super32: bytes += 8 * 16 + (f.mins ? 8 * 16 : 0) + 32 + (f.mins ? 32 : 0); break;
    case Kind::Super16: bytes += 16 * 16 + 32 + (f.mins ? 32 : 0); break;
    default:
      bytes += scale_groups(f, num_groups) * 16 * number_bytes(f.number) * (f.mins ? 2 : 1);
  }
  return round_up(bytes, 64);
}

// Bytes of a tile (16 rows, all columns).
static inline int64_t tile_bytes(const Format& f, int num_columns) {
  if (f.kind == Kind::Dense)
    return int64_t(round_up(num_columns, kGroup)) * 16 * number_bytes(f.number);
  int tail = num_columns % kSuper / kGroup;
  return int64_t(num_columns / kSuper) * super_bytes(f, 8) + (tail ? super_bytes(f, tail) : 0);
}

static inline int num_tiles(int num_rows) { return (num_rows + kTileRows - 1) / kTileRows; }
static inline int num_supers(int num_columns) { return (num_columns + kSuper - 1) / kSuper; }
static inline int groups_in_super(int num_columns, int super) {
  int left = num_columns - super * kSuper;
  return (left < kSuper ? left : kSuper) / kGroup;
}

extern const int8_t kIq4Values[16];
extern const int8_t kMxfp4Values[16];

// "Q4_K", ..., or "affine4_g64_f16": bits, group size and the type of scales and biases.
Format parse_format(const std::string& name);

static inline float bits_to_float(uint32_t u) {
  float f;
  std::memcpy(&f, &u, 4);
  return f;
}
static inline uint32_t float_to_bits(float f) {
  uint32_t u;
  std::memcpy(&u, &f, 4);
  return u;
}

static inline float half_to_float(uint16_t h) {
  uint32_t sign = uint32_t(h & 0x8000) << 16, exponent = (h >> 10) & 31, mantissa = h & 0x3ff;
  if (exponent == 31) return bits_to_float(sign | 0x7f800000 | (mantissa << 13));
  if (exponent == 0) {
    float value = float(mantissa) * 0x1p-24f;
    return sign ? -value : value;
  }
  return bits_to_float(sign | ((exponent + 112) << 23) | (mantissa << 13));
}

static inline uint16_t float_to_half(float f) {
  uint32_t u = float_to_bits(f), sign = (u >> 16) & 0x8000, magnitude = u & 0x7fffffff;
  if (magnitude > 0x7f800000) return uint16_t(sign | 0x7e00);
  if (magnitude >= 0x477ff000) return uint16_t(sign | 0x7c00);
  if (magnitude < 0x38800000) {  // subnormal: the addition rounds to nearest even
    float shifted = bits_to_float(magnitude) + 0.5f;
    return uint16_t(sign | (float_to_bits(shifted) - 0x3f000000));
  }
  uint32_t rounded = magnitude + 0xfff + ((magnitude >> 13) & 1);
  return uint16_t(sign | ((rounded - 0x38000000) >> 13));
}

static inline float bfloat_to_float(uint16_t b) { return bits_to_float(uint32_t(b) << 16); }

static inline uint16_t float_to_bfloat(float f) {
  uint32_t u = float_to_bits(f);
  if ((u & 0x7fffffff) > 0x7f800000) return uint16_t((u >> 16) | 0x40);
  return uint16_t((u + 0x7fff + ((u >> 16) & 1)) >> 16);
}

static inline float e8m0_to_float_half(uint8_t e) {
  return bits_to_float(e < 2 ? 0x00200000u << e : uint32_t(e - 1) << 23);
}

static inline float load_number(const uint8_t* p, Number n) {
  uint16_t h;
  float f;
  switch (n) {
    case Number::F32: std::memcpy(&f, p, 4); return f;
    case Number::E8M0: return e8m0_to_float_half(*p);
    case Number::F16: std::memcpy(&h, p, 2); return half_to_float(h);
    default: std::memcpy(&h, p, 2); return bfloat_to_float(h);
  }
}

// Code of one row and column of a group of 32 (definition of the bit planes).
static inline int load_code(const uint8_t* group, int bits, int row, int column) {
  int j = column / 4, byte = row * 4 + column % 4, code = 0, shift = 0;
  if (bits == 8) return group[j * 64 + byte];
  if (bits >= 4) {
    code = (group[(j & 3) * 64 + byte] >> (4 * (j >> 2))) & 15;
    group += 256;
    shift = 4;
  }
  if (bits == 2 || bits == 3 || bits == 6) {
    code |= ((group[(j & 1) * 64 + byte] >> (2 * (j >> 1))) & 3) << shift;
    group += 128;
    shift += 2;
  }
  if (bits & 1) code |= ((group[byte] >> j) & 1) << shift;
  return code;
}

// Where the scales of a superblock lie, counted from its start.
struct ScaleOffsets {
  int scales, mins, d, dmin;
};
static constexpr ScaleOffsets scale_offsets(const Format& f, int num_groups) {
  int base = codes_bytes(f, num_groups);
  switch (f.kind) {
    case Kind::Super32: {
      int d = base + 128 + (f.mins ? 128 : 0);
      return {base, base + 128, d, d + 32};
    }
    case Kind::Super16: return {base, base, base + 256, base + 288};
    default: {
      int bytes = scale_groups(f, num_groups) * 16 * number_bytes(f.number);
      return {base, base + bytes, base, base + bytes};
    }
  }
}

}  // namespace localllm
