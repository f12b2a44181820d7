// Quantizes sixteen blocks at a time, one in each lane; built once per instruction set.
#include "quantize.h"

#include <algorithm>
#include <cmath>

#include "quantize_search.h"

namespace localllm::LOCALLLM_ISA {
namespace {

struct alignas(64) Batch {
  float x[kSuper * 16], w[kSuper * 16];              // [column, block]
  float scale[16 * 16], min[16 * 16], sum_w[16 * 16];  // [group, block]
};

// `count` columns of the source as float32.
void read_columns(const uint8_t* source, Number type, int count, float* out) {
  if (type == Number::F32) {
    std::memcpy(out, source, size_t(count) * 4);
    return;
  }
  const auto* halves = reinterpret_cast<const uint16_t*>(source);
  if (type == Number::F16)
    for (int i = 0; i < count; i += 16) store(out + i, load(halves + i));
  else
    for (int i = 0; i < count; ++i) out[i] = bfloat_to_float(halves[i]);
}

// What an error in each column counts. `mean` is the mean square of its block.
float weight_of(const BlockLayout& f, float x, float mean, const float* importance) {
  if (importance) return *importance * std::sqrt(2 * mean + x * x);
  return f.mins ? std::sqrt(mean) + std::fabs(x) : x * x;
}

bool read_batch(const QuantizeJob& job, int64_t first, int count, Batch& b) {
  const BlockLayout& f = job.layout;
  int64_t per_row = job.num_columns / f.columns;
  bool finite = true;
  float row[kSuper];
  for (int lane = 0; lane < kBlocksPerBatch; ++lane) {
    int64_t block = std::min(first + lane, first + count - 1);  // idle lanes repeat the last
    int64_t start = block * f.columns * number_bytes(job.source_type);
    read_columns(job.source + start, job.source_type, f.columns, row);
    float sum = 0;
    for (int i = 0; i < f.columns; ++i) sum += row[i] * row[i];
    finite = finite && std::isfinite(sum);
    float mean = sum / float(f.columns);
    const float* importance =
        job.importance ? job.importance + block % per_row * f.columns : nullptr;
    for (int i = 0; i < f.columns; ++i) {
      b.x[16 * i + lane] = row[i];
      b.w[16 * i + lane] = weight_of(f, row[i], mean, importance ? importance + i : nullptr);
    }
  }
  return finite;
}

Vec largest_magnitude(const float* x, int n) {
  Vec top = set1(0.0f);
  for (int i = 0; i < n; ++i) top = max(top, magnitude(load(x + 16 * i)));
  return top;
}

// The scale, and the min, of every group.
void fit_groups(const BlockLayout& f, Batch& b) {
  for (int g = 0; g < f.columns / f.group; ++g) {
    const float *x = b.x + 16 * f.group * g, *w = b.w + 16 * f.group * g;
    ScaleAndMin fit = {set1(0.0f), set1(0.0f)};
    if (f.mins)
      fit = fit_scale_and_min(x, w, f.group, float(f.high));
    else if (f.search)
      fit.scale = fit_scale(x, w, f.group, float(f.low), float(f.high), float(f.low));
    else
      fit.scale = largest_magnitude(x, f.group) / set1(float(f.high));
    Vec sum = set1(0.0f);
    for (int i = 0; i < f.group; ++i) sum = sum + load(w + 16 * i);
    store(b.scale + 16 * g, fit.scale);
    store(b.min + 16 * g, fit.min);
    store(b.sum_w + 16 * g, sum);
  }
}

Vec to_half_and_back(Vec a, uint16_t* halves) {
  float values[16];
  store(values, a);
  for (int lane = 0; lane < 16; ++lane) {
    halves[lane] = float_to_half(values[lane]);
    values[lane] = half_to_float(halves[lane]);
  }
  return load(values);
}

// Integers for the groups' scales (or mins) under one float16, which is returned; `values` becomes
// what the integers stand for.
Vec fit_second_level(float* values, const float* weights, int groups, float low, float high,
                     float* codes, uint16_t* halves) {
  float peak_code = low < 0 ? low : high;
  Vec d = to_half_and_back(fit_scale(values, weights, groups, low, high, peak_code), halves);
  Vec inverse = inverse_or_zero(d);
  for (int g = 0; g < groups; ++g) {
    Vec code = to_code(load(values + 16 * g) * inverse, low, high);
    store(codes + 16 * g, code);
    store(values + 16 * g, d * code);
  }
  return d;
}

void quantize_batch(const BlockLayout& f, Batch& b, int count, uint8_t* out) {
  fit_groups(f, b);
  int groups = f.columns / f.group;
  uint16_t d[16] = {0}, dmin[16] = {0};
  float scale_codes[16 * 16] = {0}, min_codes[16 * 16] = {0};
  if (f.scale_high) {
    fit_second_level(b.scale, b.sum_w, groups, float(f.scale_low), float(f.scale_high), scale_codes,
                     d);
    if (f.mins)
      fit_second_level(b.min, b.sum_w, groups, 0, float(f.scale_high), min_codes, dmin);
  } else {
    store(b.scale, to_half_and_back(load(b.scale), d));
    store(b.min, set1(0.0f) - to_half_and_back(set1(0.0f) - load(b.min), dmin));
  }
  for (int g = 0; g < groups; ++g) {
    Vec inverse = inverse_or_zero(load(b.scale + 16 * g)), min = load(b.min + 16 * g);
    float* x = b.x + 16 * f.group * g;
    for (int i = 0; i < f.group; ++i) {
      Vec code = to_code((load(x + 16 * i) + min) * inverse, float(f.low), float(f.high));
      store(x + 16 * i, code - set1(float(f.low)));
    }
  }
  BlockParts parts;
  for (int lane = 0; lane < count; ++lane) {
    for (int i = 0; i < f.columns; ++i) parts.codes[i] = uint8_t(int(b.x[16 * i + lane]));
    for (int g = 0; g < groups; ++g) {
      parts.scales[g] = uint8_t(int(scale_codes[16 * g + lane]));
      parts.mins[g] = uint8_t(int(min_codes[16 * g + lane]));
    }
    parts.d = d[lane];
    parts.dmin = dmin[lane];
    f.pack(parts, out + int64_t(lane) * f.num_bytes);
  }
}

bool quantize(const QuantizeJob& job, int64_t begin, int64_t end) {
  static thread_local Batch batch;
  bool finite = true;
  for (int64_t i = begin; i < end; ++i) {
    int64_t first = i * kBlocksPerBatch;
    int count = int(std::min<int64_t>(kBlocksPerBatch, job.num_blocks - first));
    finite = read_batch(job, first, count, batch) && finite;
    quantize_batch(job.layout, batch, count, job.out + first * job.layout.num_bytes);
  }
  return finite;
}

}  // namespace

extern const QuantizeKernels kQuantize = {quantize};

}  // namespace localllm::LOCALLLM_ISA
