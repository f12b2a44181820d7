// The searches for a group's scale, sixteen groups at once: a lane is a group. Sums run over the
// columns in their order, so every instruction set, and NumPy, comes to the same bits.
#pragma once
#include <limits>

#include "simd.h"

namespace localllm::LOCALLLM_ISA {

constexpr float kTiny = 1e-30f;  // what spreads less is constant

inline Vec round(Vec a) {
  Vec magic = set1(12582912.0f);  // 1.5 * 2^23: adding it rounds to an integer
  return (a + magic) - magic;
}
inline Vec to_code(Vec a, float low, float high) {
  return round(min(max(a, set1(low)), set1(high)));
}
inline Vec magnitude(Vec a) { return max(a, set1(0.0f) - a); }
inline Vec inverse_or_zero(Vec a) {
  return where_less(set1(0.0f), magnitude(a), set1(1.0f) / a, set1(0.0f));
}

// `scale` such that x is about scale * code, codes in [low, high]. Least squares under the weights w
// for each of 19 first guesses, in which the largest x gets about `peak_code`; the best is taken.
// x and w: [n, 16].
inline Vec fit_scale(const float* x, const float* w, int n, float low, float high,
                     float peak_code) {
  Vec zero = set1(0.0f), peak = zero, largest = zero;
  for (int i = 0; i < n; ++i) {
    Vec v = load(x + 16 * i), a = magnitude(v);
    peak = where_less(largest, a, v, peak);
    largest = max(largest, a);
  }
  peak = where_less(set1(kTiny), largest, peak, set1(1.0f));
  Vec scale = where_less(set1(kTiny), largest, peak / set1(peak_code), zero), best = zero;
  for (int step = -9; step <= 9; ++step) {
    Vec inverse = set1(peak_code + 0.1f * float(step)) / peak, xl = zero, ll = zero;
    for (int i = 0; i < n; ++i) {
      Vec v = load(x + 16 * i), code = to_code(inverse * v, low, high);
      Vec weighted = load(w + 16 * i) * code;
      xl = xl + weighted * v;
      ll = ll + weighted * code;
    }
    Vec fitted = xl / ll, gain = xl * fitted;
    scale = where_less(best, gain, fitted, scale);
    best = where_less(best, gain, gain, best);
  }
  return scale;
}

struct ScaleAndMin {
  Vec scale, min;
};

// The same for x about scale * code - min, codes in [0, high] and min >= 0, with 37 first guesses.
inline ScaleAndMin fit_scale_and_min(const float* x, const float* w, int n, float high) {
  Vec zero = set1(0.0f), low = load(x), top = low, sum_w = load(w), sum_x = sum_w * low;
  for (int i = 1; i < n; ++i) {
    Vec v = load(x + 16 * i), a = load(w + 16 * i);
    low = min(low, v);
    top = max(top, v);
    sum_w = sum_w + a;
    sum_x = sum_x + a * v;
  }
  low = min(low, zero);
  Vec range = max(top - low, set1(kTiny));
  float codes[32 * 16], shifted[32 * 16];
  for (int i = 0; i < n; ++i) store(shifted + 16 * i, load(x + 16 * i) - low);
  auto error_of = [&](Vec scale, Vec offset) {
    Vec error = zero;
    for (int i = 0; i < n; ++i) {
      Vec miss = scale * load(codes + 16 * i) + offset - load(x + 16 * i);
      error = error + load(w + 16 * i) * (miss * miss);
    }
    return error;
  };
  Vec scale = range / set1(high), offset = low, inverse = set1(high) / range;
  for (int i = 0; i < n; ++i)
    store(codes + 16 * i, to_code(inverse * load(shifted + 16 * i), 0, high));
  Vec best = error_of(scale, offset);
  for (int step = 0; step <= 36; ++step) {
    inverse = set1(high + (0.05f * float(step) - 0.9f)) / range;
    Vec sum_l = zero, sum_ll = zero, sum_xl = zero;
    for (int i = 0; i < n; ++i) {
      Vec code = to_code(inverse * load(shifted + 16 * i), 0, high);
      store(codes + 16 * i, code);
      Vec weighted = load(w + 16 * i) * code;
      sum_l = sum_l + weighted;
      sum_ll = sum_ll + weighted * code;
      sum_xl = sum_xl + weighted * load(x + 16 * i);
    }
    Vec spread = sum_w * sum_ll - sum_l * sum_l;
    Vec new_scale = (sum_w * sum_xl - sum_x * sum_l) / spread;
    Vec new_offset = (sum_ll * sum_x - sum_l * sum_xl) / spread;
    new_scale = where_less(zero, new_offset, sum_xl / sum_ll, new_scale);
    new_offset = where_less(zero, new_offset, zero, new_offset);
    Vec error = error_of(new_scale, new_offset);
    error = where_less(zero, spread, error, set1(std::numeric_limits<float>::infinity()));
    scale = where_less(error, best, new_scale, scale);
    offset = where_less(error, best, new_offset, offset);
    best = where_less(error, best, error, best);
  }
  return {scale, zero - offset};
}

}  // namespace localllm::LOCALLLM_ISA
