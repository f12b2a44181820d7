// Normalisation, gated activations and rotary embedding. Compiled once per instruction set.
#include "pointwise.h"

#include "simd.h"

namespace localllm::LOCALLLM_ISA {
namespace {

template <typename F>
void for_each_vec(int64_t n, F f) {  // f(offset, count)
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) f(i, 16);
  if (i < n) f(i, int(n - i));
}

Vec load_n(const float* p, int n) { return n == 16 ? load(p) : load_part(p, n); }
void store_n(float* p, Vec a, int n) { n == 16 ? store(p, a) : store_part(p, a, n); }

void rms_norm(const float* x, const float* weight, float eps, int width, float* y) {
  Vec squares = set1(0);
  for_each_vec(width, [&](int64_t i, int n) {
    Vec a = load_n(x + i, n);
    squares = fma(a, a, squares);
  });
  Vec scale = set1(1.0f / std::sqrt(sum(squares) / float(width) + eps));
  for_each_vec(width, [&](int64_t i, int n) {
    store_n(y + i, load_n(x + i, n) * scale * load_n(weight + i, n), n);
  });
}

void swiglu(const float* gate, const float* up, int64_t count, float* y) {
  for_each_vec(count, [&](int64_t i, int n) {
    Vec g = load_n(gate + i, n);
    store_n(y + i, g * sigmoid(g) * load_n(up + i, n), n);
  });
}

void geglu(const float* gate, const float* up, int64_t count, float* y) {
  for_each_vec(count, [&](int64_t i, int n) {
    Vec g = load_n(gate + i, n);
    Vec inner = set1(0.7978845608028654f) * fma(set1(0.044715f) * g * g, g, g);
    Vec half = set1(0.5f) * g;
    store_n(y + i, fma(half, tanh(inner), half) * load_n(up + i, n), n);
  });
}

void rope(const float* x, const float* cos, const float* sin, int half, bool interleaved, float* y) {
  if (interleaved) {
    for (int i = 0; i < half; ++i) {
      float a = x[2 * i], b = x[2 * i + 1];
      y[2 * i] = a * cos[i] - b * sin[i];
      y[2 * i + 1] = a * sin[i] + b * cos[i];
    }
    return;
  }
  for_each_vec(half, [&](int64_t i, int n) {
    Vec a = load_n(x + i, n), b = load_n(x + half + i, n);
    Vec c = load_n(cos + i, n), s = load_n(sin + i, n);
    store_n(y + i, a * c - b * s, n);
    store_n(y + half + i, fma(a, s, b * c), n);
  });
}

void to_half(const float* x, int64_t count, uint16_t* y) {
  int64_t i = 0;
#if defined(__AVX512F__)
  for (; i + 16 <= count; i += 16) {
    __m256i half = _mm512_cvtps_ph(_mm512_loadu_ps(x + i), _MM_FROUND_TO_NEAREST_INT);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(y + i), half);
  }
#elif defined(__AVX2__)
  for (; i + 8 <= count; i += 8) {
    __m128i half = _mm256_cvtps_ph(_mm256_loadu_ps(x + i), _MM_FROUND_TO_NEAREST_INT);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(y + i), half);
  }
#endif
  for (; i < count; ++i) y[i] = float_to_half(x[i]);
}

}  // namespace

extern const PointwiseKernels kPointwise = {rms_norm, swiglu, geglu, rope, to_half};

}  // namespace localllm::LOCALLLM_ISA
