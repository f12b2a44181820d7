// Memory an op needs while it runs. Kept per thread between calls; grows, is never shared.
#pragma once
#include <cstddef>
#include <cstdlib>
#include <new>

namespace localllm {

class Scratch {
 public:
  ~Scratch() { std::free(data_); }
  template <typename T>
  T* get(size_t count) {
    size_t bytes = (count * sizeof(T) + 63) / 64 * 64;
    if (bytes > bytes_) {
      std::free(data_);
      data_ = std::aligned_alloc(64, bytes);
      if (!data_) throw std::bad_alloc();
      bytes_ = bytes;
    }
    return static_cast<T*>(data_);
  }

 private:
  void* data_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace localllm
