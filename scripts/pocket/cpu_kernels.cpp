// The steps between the matrix products of `pocket`'s training, forward and backward, for one core.
// Activations are bfloat16 and sums float32; every array is contiguous, rows first.

#include <cmath>
#include <cstdint>
#include <cstring>

namespace {

using bf16 = uint16_t;

inline float wide(bf16 x) {
  uint32_t bits = static_cast<uint32_t>(x) << 16;
  float f;
  std::memcpy(&f, &bits, 4);
  return f;
}

inline bf16 narrow(float f) {
  uint32_t bits;
  std::memcpy(&bits, &f, 4);
  return static_cast<bf16>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

// e^x within 1e-6 of itself for every x that a difference of scores can be.
inline float exponential(float x) {
  x = x * 1.44269504f;
  x = x < -126.0f ? -126.0f : (x > 126.0f ? 126.0f : x);
  float whole = std::nearbyint(x), f = x - whole;
  float power = 1.8775767e-3f;
  power = power * f + 8.9893397e-3f;
  power = power * f + 5.5826318e-2f;
  power = power * f + 2.4015361e-1f;
  power = power * f + 6.9315308e-1f;
  power = power * f + 9.9999994e-1f;
  uint32_t bits = static_cast<uint32_t>(static_cast<int32_t>(whole) + 127) << 23;
  float scale;
  std::memcpy(&scale, &bits, 4);
  return power * scale;
}

}  // namespace

extern "C" {

// sum = x + y, normed = RMSNorm(sum); scale[row] is what the row was multiplied by.
void add_norm(const bf16* x, const bf16* y, const float* weight, bf16* sum, bf16* normed,
              float* scale, int64_t rows, int64_t width, float eps) {
  for (int64_t r = 0; r < rows; ++r, x += width, y += width, sum += width, normed += width) {
    float square = 0;
    for (int64_t i = 0; i < width; ++i) {
      sum[i] = narrow(wide(x[i]) + wide(y[i]));
      square += wide(sum[i]) * wide(sum[i]);
    }
    scale[r] = 1 / std::sqrt(square / width + eps);
    for (int64_t i = 0; i < width; ++i) {
      normed[i] = narrow(wide(sum[i]) * scale[r] * weight[i]);
    }
  }
}

// Adds the gradient of RMSNorm's input to grad_x and that of its weight to grad_weight.
void norm_backward(const bf16* grad, const bf16* x, const float* scale, const float* weight,
                   bf16* grad_x, float* grad_weight, int64_t rows, int64_t width) {
  for (int64_t r = 0; r < rows; ++r, grad += width, x += width, grad_x += width) {
    float mean = 0;
    for (int64_t i = 0; i < width; ++i) {
      float product = wide(grad[i]) * wide(x[i]) * scale[r];
      grad_weight[i] += product;
      mean += product * weight[i];
    }
    mean /= width;
    for (int64_t i = 0; i < width; ++i) {
      float g = wide(grad[i]) * weight[i] - wide(x[i]) * scale[r] * mean;
      grad_x[i] = narrow(wide(grad_x[i]) + g * scale[r]);
    }
  }
}

// qkv [batch, tokens, 3, heads, size] to q, k, v [batch, heads, tokens, size]; q and k are turned
// and q is multiplied by q_scale. cos and sin are [tokens, size / 2].
void split_heads(const bf16* qkv, const float* cos, const float* sin, bf16* q, bf16* k, bf16* v,
                 int64_t batch, int64_t tokens, int64_t heads, int64_t size, float q_scale) {
  int64_t half = size / 2;
  for (int64_t b = 0; b < batch; ++b) {
    for (int64_t t = 0; t < tokens; ++t) {
      const float *c = cos + t * half, *s = sin + t * half;
      for (int64_t h = 0; h < heads; ++h) {
        const bf16* from = qkv + (((b * tokens + t) * 3) * heads + h) * size;
        int64_t to = ((b * heads + h) * tokens + t) * size;
        for (int64_t i = 0; i < half; ++i) {
          float first = wide(from[i]) * q_scale, second = wide(from[i + half]) * q_scale;
          q[to + i] = narrow(first * c[i] - second * s[i]);
          q[to + i + half] = narrow(second * c[i] + first * s[i]);
        }
        from += heads * size;
        for (int64_t i = 0; i < half; ++i) {
          float first = wide(from[i]), second = wide(from[i + half]);
          k[to + i] = narrow(first * c[i] - second * s[i]);
          k[to + i + half] = narrow(second * c[i] + first * s[i]);
        }
        std::memcpy(v + to, from + heads * size, size * sizeof(bf16));
      }
    }
  }
}

// The gradient of split_heads: turned back and put together.
void split_heads_backward(const bf16* grad_q, const bf16* grad_k, const bf16* grad_v,
                          const float* cos, const float* sin, bf16* grad_qkv, int64_t batch,
                          int64_t tokens, int64_t heads, int64_t size, float q_scale) {
  int64_t half = size / 2;
  for (int64_t b = 0; b < batch; ++b) {
    for (int64_t t = 0; t < tokens; ++t) {
      const float *c = cos + t * half, *s = sin + t * half;
      for (int64_t h = 0; h < heads; ++h) {
        bf16* to = grad_qkv + (((b * tokens + t) * 3) * heads + h) * size;
        int64_t from = ((b * heads + h) * tokens + t) * size;
        for (int64_t i = 0; i < half; ++i) {
          float first = wide(grad_q[from + i]), second = wide(grad_q[from + i + half]);
          to[i] = narrow((first * c[i] + second * s[i]) * q_scale);
          to[i + half] = narrow((second * c[i] - first * s[i]) * q_scale);
        }
        to += heads * size;
        for (int64_t i = 0; i < half; ++i) {
          float first = wide(grad_k[from + i]), second = wide(grad_k[from + i + half]);
          to[i] = narrow(first * c[i] + second * s[i]);
          to[i + half] = narrow(second * c[i] - first * s[i]);
        }
        std::memcpy(to + heads * size, grad_v + from, size * sizeof(bf16));
      }
    }
  }
}

// In place on [squares, tokens, tokens]: row t is the softmax of its first t + 1 scores, then zeros.
void causal_softmax(bf16* scores, float* row, int64_t squares, int64_t tokens) {
  for (int64_t n = 0; n < squares; ++n) {
    for (int64_t t = 0; t < tokens; ++t, scores += tokens) {
      float top = -3e38f, sum = 0;
      for (int64_t i = 0; i <= t; ++i) {
        row[i] = wide(scores[i]);
        top = row[i] > top ? row[i] : top;
      }
      for (int64_t i = 0; i <= t; ++i) {
        row[i] = exponential(row[i] - top);
        sum += row[i];
      }
      float factor = 1 / sum;
      for (int64_t i = 0; i <= t; ++i) scores[i] = narrow(row[i] * factor);
      std::memset(scores + t + 1, 0, (tokens - t - 1) * sizeof(bf16));
    }
  }
}

// In place on grad, the gradient of the shares, which becomes that of the scores.
void causal_softmax_backward(const bf16* shares, bf16* grad, int64_t squares, int64_t tokens) {
  for (int64_t n = 0; n < squares; ++n) {
    for (int64_t t = 0; t < tokens; ++t, grad += tokens, shares += tokens) {
      float dot = 0;
      for (int64_t i = 0; i <= t; ++i) dot += wide(shares[i]) * wide(grad[i]);
      for (int64_t i = 0; i <= t; ++i) grad[i] = narrow(wide(shares[i]) * (wide(grad[i]) - dot));
      std::memset(grad + t + 1, 0, (tokens - t - 1) * sizeof(bf16));
    }
  }
}

// gate_up [rows, 2, width] to silu(gate) * up [rows, width].
void swiglu(const bf16* gate_up, bf16* out, int64_t rows, int64_t width) {
  for (int64_t r = 0; r < rows; ++r, gate_up += 2 * width, out += width) {
    const bf16* up = gate_up + width;
    for (int64_t i = 0; i < width; ++i) {
      float gate = wide(gate_up[i]);
      out[i] = narrow(gate / (1 + exponential(-gate)) * wide(up[i]));
    }
  }
}

// In place on gate_up, which becomes its own gradient.
void swiglu_backward(const bf16* grad, bf16* gate_up, int64_t rows, int64_t width) {
  for (int64_t r = 0; r < rows; ++r, gate_up += 2 * width, grad += width) {
    bf16* up = gate_up + width;
    for (int64_t i = 0; i < width; ++i) {
      float gate = wide(gate_up[i]), g = wide(grad[i]);
      float sigmoid = 1 / (1 + exponential(-gate));
      gate_up[i] = narrow(g * wide(up[i]) * sigmoid * (1 + gate * (1 - sigmoid)));
      up[i] = narrow(g * gate * sigmoid);
    }
  }
}

// Sum of the cross entropies; in place on scores [rows, vocab], which become their own gradient
// times grad_scale.
double cross_entropy(bf16* scores, float* row, const int64_t* targets, int64_t rows, int64_t vocab,
                     float grad_scale) {
  double loss = 0;
  for (int64_t r = 0; r < rows; ++r, scores += vocab) {
    float top = -3e38f, sum = 0;
    for (int64_t i = 0; i < vocab; ++i) {
      row[i] = wide(scores[i]);
      top = row[i] > top ? row[i] : top;
    }
    loss += top - row[targets[r]];
    for (int64_t i = 0; i < vocab; ++i) {
      row[i] = exponential(row[i] - top);
      sum += row[i];
    }
    loss += std::log(sum);
    float factor = grad_scale / sum;
    row[targets[r]] -= sum;
    for (int64_t i = 0; i < vocab; ++i) scores[i] = narrow(row[i] * factor);
  }
  return loss;
}

}  // extern "C"
