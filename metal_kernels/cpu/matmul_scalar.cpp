// The definition of quantized and dense matmul. The other instruction sets give the same bits,
// except dense formats on AMX.
#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels.h"

namespace localllm::scalar {
namespace {

void quantize_block(const float* x, int num_columns, int8_t* planes, int64_t plane_stride,
                    int64_t step_stride, BlockInfo& info) {
  float largest = 0;
  bool finite = true;
  for (int k = 0; k < num_columns; ++k) {
    largest = std::max(largest, std::fabs(x[k]));
    finite = finite && std::isfinite(x[k]);
  }
  if (largest < 1e-30f) largest = 0;
  float inverse = largest > 0 && finite ? kQuantMax / largest : 0;
  info = BlockInfo{};
  info.scale = finite ? largest / kQuantMax : std::numeric_limits<float>::quiet_NaN();
  for (int k = 0; k < kSuper; ++k) {
    int q = k < num_columns && inverse > 0 ? int(std::nearbyint(x[k] * inverse)) : 0;
    int high = (q + 128) >> 8, low = q - 256 * high;
    int8_t* to = planes + k / 64 * step_stride + k % 64;
    to[0] = int8_t(high);
    to[plane_stride] = int8_t(low);
    info.sums16[0][k / 16] += int16_t(high);
    info.sums16[1][k / 16] += int16_t(low);
  }
  complete(info);
}

void quantize_rows(const float* x, const Panel& panel, int begin, int end) {
  for (int row = begin; row < end; ++row) {
    int tile = row / kTileRows, r = row % kTileRows, rows = panel.rows_in_tile(tile);
    for (int s = 0; s < panel.num_supers; ++s) {
      int columns = std::min(kSuper, panel.num_columns - s * kSuper);
      auto* planes = const_cast<int8_t*>(panel.block(tile, s)) + r * 64;
      auto* info = const_cast<BlockInfo*>(panel.block_info(tile, s)) + r;
      quantize_block(x + int64_t(row) * panel.num_columns + s * kSuper, columns, planes,
                     int64_t(rows) * 64, int64_t(rows) * 128, *info);
    }
  }
}

int value_of(const Format& f, int code) { return f.codebook ? f.codebook[code] : code - f.zero; }

struct Dot {
  int high = 0, low = 0;
};

struct Block {  // one row's view of a panel block
  const int8_t* planes;
  int rows;
  int high(int k) const { return planes[k / 64 * rows * 128 + k % 64]; }
  int low(int k) const { return planes[k / 64 * rows * 128 + rows * 64 + k % 64]; }
};

Dot dot(const Format& f, const uint8_t* tile, int row, const Block& x, int begin, int end) {
  Dot sum;
  for (int k = begin; k < end; ++k) {
    const uint8_t* group = tile + k / kGroup * 64 * f.bits;
    int v = value_of(f, load_code(group, f.bits, row, k % kGroup));
    sum.high += v * x.high(k);
    sum.low += v * x.low(k);
  }
  return sum;
}

float add_super(const Format& f, const uint8_t* tile, int row, const Block& x,
                const BlockInfo& info, float acc) {
  ScaleOffsets at = scale_offsets(f, 8);
  Dot total;
  int mins = 0;
  bool nibbles = f.kind == Kind::Super16 && f.mins;
  for (int g = 0; g < kSuper / f.group; ++g) {
    uint8_t byte = tile[at.scales + g * 16 + row];
    int scale = nibbles ? byte & 15 : int(int8_t(byte));
    Dot part = dot(f, tile, row, x, g * f.group, (g + 1) * f.group);
    total.high += scale * part.high;
    total.low += scale * part.low;
    if (!f.mins) continue;
    if (nibbles) mins += (byte >> 4) * info.scaled_sums16[g];
    else mins += tile[at.mins + g / 2 * 32 + row * 2 + g % 2] * info.scaled_sums32[g];
  }
  float d = load_number(tile + at.d + row * 2, Number::F16);
  acc = std::fma(d * info.scale, std::fma(256.0f, float(total.high), float(total.low)), acc);
  if (!f.mins) return acc;
  float dmin = load_number(tile + at.dmin + row * 2, Number::F16);
  float sum_scale = nibbles ? info.sum_scale16 : info.sum_scale32;
  return std::fma(-(dmin * sum_scale), float(mins), acc);
}

float add_grouped(const Format& f, const uint8_t* tile, int num_groups, int row, const Block& x,
                  const BlockInfo& info, float acc) {
  ScaleOffsets at = scale_offsets(f, num_groups);
  int size = number_bytes(f.number);
  float sum = 0;
  int columns = dot_columns(f);
  for (int i = 0; i < num_groups * kGroup / columns; ++i) {
    Dot part = dot(f, tile, row, x, i * columns, (i + 1) * columns);
    int index = (i * columns / f.group * 16 + row) * size;
    sum = std::fma(load_number(tile + at.scales + index, f.number),
                   float(256 * part.high + part.low), sum);
    if (f.mins)
      sum = std::fma(load_number(tile + at.mins + index, f.number),
                     columns == 64 ? info.inputs64[i] : info.inputs32[i], sum);
  }
  return std::fma(info.scale, sum, acc);
}

float dense_dot(const Format& f, const uint8_t* tile, int row, const float* x, int num_columns) {
  float acc = 0;
  int size = number_bytes(f.number);
  for (int k = 0; k < num_columns; ++k) {
    int64_t at = size == 4 ? int64_t(k) * 16 + row : (int64_t(k) / 2 * 16 + row) * 2 + k % 2;
    acc = std::fma(x[k], load_number(tile + at * size, f.number), acc);
  }
  return acc;
}

float output(const MatmulJob& job, const uint8_t* tile, int row, int input) {
  const Format& f = job.format;
  if (f.kind == Kind::Dense)
    return dense_dot(f, tile, row, job.x + int64_t(input) * job.num_columns, job.num_columns);
  float acc = 0;
  int input_tile = input / kTileRows, r = input % kTileRows;
  for (int s = 0; s < num_supers(job.num_columns); ++s) {
    int num_groups = groups_in_super(job.num_columns, s);
    Block x{job.panel.block(input_tile, s) + r * 64, job.panel.rows_in_tile(input_tile)};
    const BlockInfo& info = job.panel.block_info(input_tile, s)[r];
    acc = f.kind == Kind::Grouped ? add_grouped(f, tile, num_groups, row, x, info, acc)
                                  : add_super(f, tile, row, x, info, acc);
    tile += super_bytes(f, num_groups);
  }
  return acc;
}

void matmul(const MatmulJob& job, int begin, int end) {
  for (int t = begin; t < end; ++t) {
    const uint8_t* tile = job.weights + t * tile_bytes(job.format, job.num_columns);
    int rows = std::min(kTileRows, job.num_rows - t * kTileRows);
    for (int input = 0; input < job.num_inputs; ++input)
      for (int row = 0; row < rows; ++row)
        job.y[int64_t(input) * job.num_rows + t * kTileRows + row] = output(job, tile, row, input);
  }
}

}  // namespace

extern const MatmulKernels kMatmul = {quantize_rows, matmul, nullptr};

}  // namespace localllm::scalar
