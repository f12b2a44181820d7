#include "matmul.h"

#include <algorithm>

#include <sys/mman.h>

#include "kernels.h"
#include "mlx/allocator.h"
#include "mlx/backend/cpu/encoder.h"
#include "mlx/mlx.h"
#include "mlx/primitives.h"
#include "op.h"
#include "pack.h"
#include "scratch.h"
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

void run_matmul(const Format& f, const uint8_t* weights, int num_rows, int num_columns,
                const float* x, int num_inputs, float* y) {
  static thread_local Scratch plane_scratch, info_scratch, split_scratch;
  const MatmulKernels& k = kernels().matmul;
  int64_t grain = std::max(1, 32768 / num_columns);
  Panel panel;
  panel.num_rows = num_inputs;
  panel.num_columns = num_columns;
  panel.num_supers = num_supers(num_columns);
  if (f.kind != Kind::Dense) {
    int64_t num_blocks = int64_t(num_inputs) * panel.num_supers;
    panel.planes = plane_scratch.get<int8_t>(num_blocks * 512 + 1024);  // AMX reads whole tiles
    panel.info = info_scratch.get<BlockInfo>(num_blocks + kTileRows);
    parallel_ranges(num_inputs, grain, [&](int64_t begin, int64_t end) {
      k.quantize_rows(x, panel, int(begin), int(end));
    });
  }
  uint16_t* split = nullptr;
  if (f.kind == Kind::Dense && f.number != Number::F32 && k.split_rows) {
    int64_t tiles = num_tiles(num_inputs), steps = (num_columns + 31) / 32;
    split = split_scratch.get<uint16_t>(tiles * steps * 1024);
    parallel_ranges(num_inputs, grain, [&](int64_t begin, int64_t end) {
      k.split_rows(x, num_columns, split, int(begin), int(end));
    });
  }
  MatmulJob job{f, weights, num_rows, num_columns, num_inputs, panel, x, split, y};
  int tiles = num_tiles(num_rows);
  // Many inputs: fewer, larger ranges reuse inputs in the cache. Few: balance matters more.
  int ranges = ThreadPool::instance().num_threads() * (num_inputs > 32 ? 2 : 8);
  int share = std::clamp(tiles / ranges, 1, 16);
  parallel_ranges(tiles, round_up(share, 2), [&](int64_t begin, int64_t end) {
    k.matmul(job, int(begin), int(end));
  });
}

class QuantizedMatmul : public Op {
 public:
  QuantizedMatmul(mx::Stream s, const Matrix& w)
      : Op(s), format_(w.format), num_rows_(w.num_rows), num_columns_(w.num_columns) {}

  void eval_cpu(const std::vector<mx::array>& in, mx::array& out) override {
    out.set_data(mx::allocator::malloc(out.nbytes()));
    enqueue(in, out, [f = format_, n = num_rows_, k = num_columns_](Arrays& in, mx::array& out) {
      int rows = int(in[0].size() / k);
      run_matmul(f, in[1].data<uint8_t>(), n, k, in[0].data<float>(), rows, out.data<float>());
    });
  }
  const char* name() const override { return "QuantizedMatmul"; }

 private:
  Format format_;
  int num_rows_, num_columns_;
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

mx::array matmul(const mx::array& x, const Matrix& w, mx::StreamOrDevice s) {
  if (x.ndim() == 0 || x.shape(-1) != w.num_columns)
    throw std::invalid_argument("matmul: x needs " + std::to_string(w.num_columns) + " columns");
  auto stream = mx::to_stream(s, mx::Device::cpu);
  auto shape = x.shape();
  shape.back() = w.num_rows;
  mx::array y(shape, mx::float32, std::make_shared<QuantizedMatmul>(stream, w),
              {as_float(x, stream), w.packed});
  return mx::astype(y, x.dtype(), stream);
}

mx::array take_rows(const Matrix& w, const mx::array& ids, mx::StreamOrDevice s) {
  auto stream = mx::to_stream(s, mx::Device::cpu);
  auto shape = ids.shape();
  shape.push_back(w.num_columns);
  return mx::array(shape, mx::float32, std::make_shared<TakeRows>(stream, w),
                   {w.packed, as_int32(ids, stream)});
}

}  // namespace localllm
