// The state of one launch, and how it ends when a kernel does what it must not.
#pragma once
#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <list>
#include <random>
#include <unordered_map>
#include <vector>

#include "fiber.h"
#include "runtime.h"

namespace sim {
namespace {

constexpr uint32_t max_threads = 1024;
constexpr uint32_t max_threadgroup_bytes = 32768;
constexpr uint32_t sector_bytes = 32;

enum class State : uint8_t { running, at_collective, at_barrier, done };

struct Access {
  uint32_t region, bytes;
  uint64_t offset;
};

struct Thread : Lane {
  Fiber fiber;
  State state;
  const char* op;
  int line;
  uint32_t num_collectives, num_arrays;
  uint32_t simd_epoch;  // simdgroup barriers passed since the last threadgroup barrier
  Combine combine;  // null at a simdgroup barrier
  uint32_t argument;
  std::vector<Access> accesses;
};

// Who touched two bytes of threadgroup memory last; valid only in the threadgroup `serial`.
struct Cell {
  uint32_t serial;
  uint32_t write_epoch, read_epoch;
  uint16_t writer, write_simd_epoch, reader, read_simd_epoch;
  bool written, was_read, many_lanes, many_simdgroups;
};

struct Array : Region {
  std::vector<uint8_t> storage;
  std::vector<Cell> cells;
  uint32_t serial;  // the threadgroup it was poisoned for
};

// Who wrote a byte of device memory last in this launch.
struct Writer {
  uint32_t group, epoch;
  uint16_t thread;
  bool written;
};

struct Buffer : Region {
  const uint8_t* undefined;  // one per byte, or null: bytes that hold nothing yet
  std::vector<Writer> writers;
  uint64_t requested = 0, fetched = 0, stored = 0;
};

// Sectors that the last-level cache holds, least recently used first out.
struct Cache {
  size_t capacity;
  std::list<uint64_t> order;
  std::unordered_map<uint64_t, std::list<uint64_t>::iterator> where;
  bool touch(uint64_t sector) {
    auto found = where.find(sector);
    if (found != where.end()) {
      order.splice(order.begin(), order, found->second);
      return true;
    }
    order.push_front(sector);
    where[sector] = order.begin();
    if (order.size() > capacity) {
      where.erase(order.back());
      order.pop_back();
    }
    return false;
  }
};

struct Launch {
  std::vector<Thread> threads{max_threads};
  std::vector<Slots> slots{max_threads / simd_width};
  std::vector<Buffer> buffers;
  std::vector<const Region*> regions;
  std::vector<Array> arrays;
  Fiber scheduler;
  Thread* running;
  void (*kernel)(const Region* const*);
  uint32_t num_threads, group_serial, epoch;
  bool measured, random;
  std::mt19937_64 rng;
  Cache cache;
  char* message;
  size_t message_bytes;
  bool failed;
};

Launch* launch;
char* stacks;

[[noreturn]] void stop() {
  launch->failed = true;
  Thread* lane = launch->running;
  if (lane) fiber_switch(lane->fiber, launch->scheduler);
  abort();  // an abandoned fiber is never resumed
}

void describe(const char* format, va_list arguments) {
  if (launch->failed) return;
  int used = vsnprintf(launch->message, launch->message_bytes, format, arguments);
  size_t at = std::min<size_t>(used, launch->message_bytes);
  if (const Thread* t = launch->running)
    snprintf(launch->message + at, launch->message_bytes - at,
             " [thread %u of threadgroup (%u, %u, %u), after line %d]", t->index,
             t->threadgroup_in_grid.x, t->threadgroup_in_grid.y, t->threadgroup_in_grid.z, t->line);
}

[[noreturn]] void fault(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  describe(format, arguments);
  va_end(arguments);
  stop();
}

// As fault, from the scheduler's own stack.
void report(const char* format, ...) {
  launch->running = nullptr;
  va_list arguments;
  va_start(arguments, format);
  describe(format, arguments);
  va_end(arguments);
  launch->failed = true;
}

void lane_main() {
  launch->kernel(launch->regions.data());
  launch->running->state = State::done;
  fiber_switch(launch->running->fiber, launch->scheduler);
  abort();
}

void wait(State state, const char* op, int line) {
  Thread* lane = launch->running;
  lane->state = state;
  lane->op = op;
  lane->line = line;
  lane->num_collectives++;
  fiber_switch(lane->fiber, launch->scheduler);
}

}  // namespace
}  // namespace sim
