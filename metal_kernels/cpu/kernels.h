// The table of kernels one instruction set offers; `scalar` is the definition of all others.
#pragma once
#include <cstdint>

#include "activations.h"
#include "attention.h"
#include "formats.h"
#include "int8_rows.h"
#include "pointwise.h"
#include "quantize.h"

namespace localllm {

struct MatmulJob {
  const Format& format;
  const uint8_t* weights;
  int num_rows;      // of the weights: the outputs
  int num_columns;   // K
  int num_inputs;    // rows of x
  const Panel& panel;       // quantized formats
  const float* x;           // dense formats: [num_inputs, num_columns]
  const uint16_t* x_split;  // dense formats on AMX, or null
  float* y;                 // [num_inputs, num_rows]
};

struct MatmulKernels {
  // Quantizes rows [begin, end) of x into the panel.
  void (*quantize_rows)(const float* x, const Panel& panel, int begin, int end);
  // Fills the columns of y that belong to weight tiles [begin, end).
  void (*matmul)(const MatmulJob& job, int begin, int end);
  // Null, or: F16 and BF16 weights want rows [begin, end) of x split into bfloat16 parts, in whole
  // tiles of 16 rows and steps of 32 columns of 64 bytes.
  void (*split_rows)(const float* x, int num_columns, uint16_t* out, int begin, int end);
};

namespace scalar { extern const MatmulKernels kMatmul; }
namespace avx2 { extern const MatmulKernels kMatmul; }
namespace avx512 { extern const MatmulKernels kMatmul; }
namespace amx { extern const MatmulKernels kMatmul; }

struct Kernels {
  const char* name;
  const MatmulKernels& matmul;
  const AttentionKernels& attention;
  const Int8Kernels& int8;
  const PointwiseKernels& pointwise;
  const QuantizeKernels& quantize;
};

const Kernels& kernels();                  // of the chosen instruction set
const char* choose_isa(const char* name);  // "" for the best; returns the chosen name, or ""

}  // namespace localllm
