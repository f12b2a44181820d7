#include "matmul.h"

#include <algorithm>

#include <sys/mman.h>

#include "joint_products.h"
#include "mlx/allocator.h"
#include "mlx/backend/cpu/encoder.h"
#include "mlx/mlx.h"
#include "mlx/primitives.h"
#include "op.h"
#include "pack.h"
#include "thread_pool.h"

namespace localllm {

mx::array make_tile_memory(int64_t num_bytes) {
  // Shapes are int32: large tables are shown as rows of 64 bytes, which tiles are multiples of.
  mx::array out(mx::Shape{mx::ShapeElem(num_bytes / 64), 64}, mx::uint8, nullptr, {});
  out.set_data(mx::allocator::malloc(num_bytes));
  out.set_status(mx::array::Status::available);
  // Large pages: a decode step streams all weights, and page walks cost a tenth of it.
  constexpr uintptr_t kHuge = 2 << 20;
  auto begin = reinterpret_cast<uintptr_t>(out.data<uint8_t>());
  uintptr_t first = (begin + kHuge - 1) / kHuge * kHuge, last = (begin + num_bytes) / kHuge * kHuge;
  if (last > first) madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);
  return out;
}

Format affine_format(int bits, int group_size, mx::Dtype number) {
  std::string name = number == mx::float16 ? "f16" : number == mx::bfloat16 ? "bf16" : "f32";
  return parse_format("affine" + std::to_string(bits) + "_g" + std::to_string(group_size) + "_" +
                      name);
}

namespace {

// One input times one matrix or several; outputs in the order of the matrices.
class QuantizedMatmul : public mx::Primitive {
 public:
  QuantizedMatmul(mx::Stream s, const std::vector<Matrix>& matrices) : mx::Primitive(s) {
    for (const Matrix& w : matrices) formats_.push_back(w.format);
    num_columns_ = matrices[0].num_columns;
  }

  void eval_cpu(const std::vector<mx::array>& in, std::vector<mx::array>& out) override {
    for (auto& y : out) y.set_data(mx::allocator::malloc(y.nbytes()));
    enqueue(stream(), in, out, [formats = formats_, k = num_columns_](Arrays& in, Arrays& out) {
      std::vector<Product> products;
      for (size_t i = 0; i < out.size(); ++i)
        products.push_back({formats[i], in[i + 1].data<uint8_t>(), out[i].shape(-1),
                            out[i].data<float>()});
      multiply(products, k, in[0].data<float>(), int(in[0].size() / k));
    });
  }
  void eval_gpu(const std::vector<mx::array>&, std::vector<mx::array>&) override {
    throw std::runtime_error("QuantizedMatmul runs on the CPU stream only");
  }
  bool is_equivalent(const mx::Primitive&) const override { return false; }
  const char* name() const override { return "QuantizedMatmul"; }

 private:
  std::vector<Format> formats_;
  int num_columns_;
};

class TakeRows : public Op {
 public:
  TakeRows(mx::Stream s, const Matrix& w) : Op(s), format_(w.format), num_columns_(w.num_columns) {}

  void eval_cpu(const std::vector<mx::array>& in, mx::array& out) override {
    out.set_data(mx::allocator::malloc(out.nbytes()));
    enqueue(in, out, [f = format_, k = num_columns_](Arrays& in, mx::array& out) {
      const auto* packed = in[0].data<uint8_t>();
      const auto* ids = in[1].data<int32_t>();
      auto* y = out.data<float>();
      parallel_ranges(in[1].size(), 8, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) unpack_row(f, packed, k, ids[i], y + i * k);
      });
    });
  }
  const char* name() const override { return "TakeRows"; }

 private:
  Format format_;
  int num_columns_;
};

}  // namespace

Matrix pack_gguf_matrix(const std::string& name, const uint8_t* blocks, int64_t row_stride,
                        int num_rows, int num_columns) {
  Format f = parse_format(name);
  mx::array packed = make_tile_memory(num_tiles(num_rows) * tile_bytes(f, num_columns));
  pack_gguf(name, blocks, row_stride, num_rows, num_columns, packed.data<uint8_t>());
  return {f, num_rows, num_columns, packed};
}

Matrix pack_affine_matrix(mx::array weight, mx::array scales, mx::array biases, int bits,
                          int group_size) {
  auto stream = mx::default_stream(mx::Device::cpu);
  weight = mx::contiguous(weight, false, stream);
  scales = mx::contiguous(scales, false, stream);
  biases = mx::contiguous(mx::astype(biases, scales.dtype(), stream), false, stream);
  mx::eval(weight, scales, biases);
  Format f = affine_format(bits, group_size, scales.dtype());
  int num_rows = weight.shape(0), num_columns = int(int64_t(weight.shape(1)) * 32 / bits);
  mx::array packed = make_tile_memory(num_tiles(num_rows) * tile_bytes(f, num_columns));
  pack_affine(f, weight.data<uint32_t>(), scales.data<uint8_t>(), biases.data<uint8_t>(), num_rows,
              num_columns, packed.data<uint8_t>());
  return {f, num_rows, num_columns, packed};
}

Arrays matmul_many(const mx::array& x, const std::vector<Matrix>& matrices,
                   mx::StreamOrDevice s) {
  auto stream = mx::to_stream(s, mx::Device::cpu);
  Arrays in = {as_float(x, stream)};
  std::vector<mx::Shape> shapes;
  for (const Matrix& w : matrices) {
    if (x.ndim() == 0 || x.shape(-1) != w.num_columns)
      throw std::invalid_argument("matmul: x needs " + std::to_string(w.num_columns) + " columns");
    shapes.push_back(x.shape());
    shapes.back().back() = w.num_rows;
    in.push_back(w.packed);
  }
  std::vector<mx::Dtype> dtypes(matrices.size(), mx::float32);
  auto products = std::make_shared<QuantizedMatmul>(stream, matrices);
  Arrays out = mx::array::make_arrays(std::move(shapes), dtypes, products, in);
  for (auto& y : out) y = mx::astype(y, x.dtype(), stream);
  return out;
}

mx::array matmul(const mx::array& x, const Matrix& w, mx::StreamOrDevice s) {
  return matmul_many(x, {w}, s)[0];
}

mx::array take_rows(const Matrix& w, const mx::array& ids, mx::StreamOrDevice s) {
  auto stream = mx::to_stream(s, mx::Device::cpu);
  auto shape = ids.shape();
  shape.push_back(w.num_columns);
  return mx::array(shape, mx::float32, std::make_shared<TakeRows>(stream, w),
                   {w.packed, as_int32(ids, stream)});
}

}  // namespace localllm
