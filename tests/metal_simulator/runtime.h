// The GPU as the simulated kernels see it: memory regions that check every access, and lanes that
// meet at collectives. Kernels are compiled against this file alone; runtime.cpp is built once.
#pragma once
#include <stddef.h>
#include <stdint.h>

namespace sim {

enum class Space : uint8_t { device, constant, threadgroup };

// One bound buffer or one threadgroup array. Offsets are bytes from its start.
struct Region {
  const char* name;
  uint8_t* data;
  uint64_t bytes;
  Space space;
};

struct Position {
  uint32_t x, y, z;
};

// What the launch attributes of the running lane are.
struct Lane {
  Position thread_in_grid, thread_in_threadgroup, threadgroup_in_grid, threads_per_threadgroup;
  Position threads_per_grid, threadgroups_per_grid;
  uint32_t index, lane, simdgroup;
};

constexpr uint32_t simd_width = 32;
constexpr uint32_t slot_bytes = 32;

// Every lane of a simdgroup leaves its operand in its slot; `combine` runs once when all 32 have
// arrived and replaces the operands by the results.
struct Slots {
  alignas(16) uint8_t data[simd_width][slot_bytes];
};
using Combine = void (*)(Slots&, uint32_t argument);

const Lane& current();
void read(const Region*, int64_t offset, uint32_t bytes, uint32_t alignment);
void write(const Region*, int64_t offset, uint32_t bytes, uint32_t alignment);
const Region* threadgroup_array(const char* name, uint32_t bytes);
void collective(const char* op, int line, void* operand, uint32_t bytes, Combine, uint32_t argument);
void threadgroup_barrier(int line);
void simdgroup_barrier(int line);

}  // namespace sim
