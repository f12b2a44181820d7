#include "thread_pool.h"

#include <algorithm>
#include <chrono>
#include <fstream>
#include <set>
#include <string>

#include <pthread.h>
#include <sched.h>
#include <unistd.h>

namespace localllm {
namespace {

// Long enough to bridge the gap between two ops of a decode step, short enough to cost nothing.
constexpr auto kSpin = std::chrono::microseconds(50);

int num_physical_cores() {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0) return 1;
  std::set<std::string> cores;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &allowed)) continue;
    std::string path = "/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/";
    std::ifstream file(path + "thread_siblings_list");
    std::string siblings;
    if (!std::getline(file, siblings)) siblings = std::to_string(cpu);
    cores.insert(siblings);
  }
  return std::max<int>(1, int(cores.size()));
}

// What a container's quota allows, rounded up; a large number where there is none.
int num_allowed_by_quota() {
  std::ifstream file("/sys/fs/cgroup/cpu.max");
  int64_t quota = 0, period = 0;
  if (!(file >> quota >> period) || quota <= 0 || period <= 0) return 1 << 16;
  return int((quota + period - 1) / period);
}

void pause_cpu() { __builtin_ia32_pause(); }

}  // namespace

ThreadPool& ThreadPool::instance() {
  // Leaked on purpose: MLX's stream thread may still run ops while statics are destroyed.
  static ThreadPool* pool = new ThreadPool();
  return *pool;
}

ThreadPool::ThreadPool() {
  num_threads_ = std::min(num_physical_cores(), num_allowed_by_quota());
  start_workers();
  // A forked child has none of the parent's threads.
  pthread_atfork(nullptr, nullptr, [] {
    ThreadPool& pool = instance();
    for (auto& worker : pool.workers_) worker.detach();
    pool.workers_.clear();
    pool.num_threads_ = 1;
  });
}

ThreadPool::~ThreadPool() { stop_workers(); }

void ThreadPool::set_num_threads(int n) {
  std::lock_guard<std::mutex> caller(caller_mutex_);
  stop_workers();
  num_threads_ = std::max(1, n);
  start_workers();
}

void ThreadPool::start_workers() {
  stopping_ = false;
  uint64_t seen = generation_.load();
  for (int i = 1; i < num_threads_; ++i) workers_.emplace_back([this, seen] { work(seen); });
}

void ThreadPool::stop_workers() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  for (auto& worker : workers_) worker.join();
  workers_.clear();
}

bool ThreadPool::wait_for_work(uint64_t seen) {
  auto ready = [&] { return stopping_.load() || generation_.load() != seen; };
  auto deadline = std::chrono::steady_clock::now() + kSpin;
  do {
    for (int i = 0; i < 32; ++i) {
      if (ready()) return !stopping_.load();
      pause_cpu();
    }
  } while (std::chrono::steady_clock::now() < deadline);
  std::unique_lock<std::mutex> lock(mutex_);
  num_sleeping_.fetch_add(1);
  wake_.wait(lock, ready);
  num_sleeping_.fetch_sub(1);
  return !stopping_.load();
}

void ThreadPool::run_tasks() {
  for (;;) {
    int64_t task = next_task_.fetch_add(1, std::memory_order_relaxed);
    if (task >= num_tasks_) return;
    (*body_)(task);
  }
}

void ThreadPool::work(uint64_t seen) {
  while (wait_for_work(seen)) {
    seen = generation_.load(std::memory_order_acquire);
    uint64_t job = job_.load(std::memory_order_acquire);
    while ((job & 1) && !job_.compare_exchange_weak(job, job + 2, std::memory_order_acq_rel)) {
    }
    if (!(job & 1)) continue;
    run_tasks();
    job_.fetch_sub(2, std::memory_order_release);
  }
}

void ThreadPool::parallel_for(int64_t num_tasks, const std::function<void(int64_t)>& body) {
  std::lock_guard<std::mutex> caller(caller_mutex_);
  if (workers_.empty() || num_tasks <= 1) {
    for (int64_t task = 0; task < num_tasks; ++task) body(task);
    return;
  }
  body_ = &body;
  num_tasks_ = num_tasks;
  next_task_.store(0, std::memory_order_relaxed);
  job_.store(1, std::memory_order_release);
  generation_.fetch_add(1);
  if (num_sleeping_.load() > 0) {
    // The empty critical section closes the window between a worker's check and its wait.
    { std::lock_guard<std::mutex> lock(mutex_); }
    wake_.notify_all();
  }
  run_tasks();
  job_.fetch_and(~uint64_t(1), std::memory_order_acq_rel);
  for (int spins = 0; job_.load(std::memory_order_acquire) != 0; ++spins) {
    if (spins < 4096) pause_cpu();
    else std::this_thread::yield();
  }
}

void parallel_ranges(int64_t n, int64_t grain, const std::function<void(int64_t, int64_t)>& body) {
  int64_t num_tasks = (n + grain - 1) / grain;
  ThreadPool::instance().parallel_for(num_tasks, [&](int64_t task) {
    body(task * grain, std::min(n, (task + 1) * grain));
  });
}

}  // namespace localllm
