// One input times several packed matrices.
#pragma once
#include <vector>

#include "formats.h"

namespace localllm {

struct Product {
  Format format;
  const uint8_t* weights;
  int num_rows;  // of the weights
  float* y;      // [inputs, num_rows]
};

// x [num_inputs, num_columns] times the transpose of every matrix. Inputs take the form that the
// kernels want once for all of them.
void multiply(const std::vector<Product>& products, int num_columns, const float* x,
              int num_inputs);

}  // namespace localllm
