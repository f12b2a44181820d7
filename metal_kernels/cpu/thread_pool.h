// One persistent pool for every op: the calling thread works too, the others sleep when idle.
#pragma once
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace localllm {

class ThreadPool {
 public:
  static ThreadPool& instance();

  int num_threads() const { return num_threads_; }
  void set_num_threads(int n);

  // Calls body(task) once for each task in [0, num_tasks), in no fixed order. One caller at a time:
  // MLX streams may call from several threads, and then take turns.
  void parallel_for(int64_t num_tasks, const std::function<void(int64_t)>& body);

  ~ThreadPool();

 private:
  ThreadPool();
  void start_workers();
  void stop_workers();
  void work(uint64_t seen);
  void run_tasks();
  bool wait_for_work(uint64_t seen);

  std::mutex caller_mutex_;
  std::vector<std::thread> workers_;
  int num_threads_ = 1;

  std::mutex mutex_;
  std::condition_variable wake_;
  std::atomic<uint64_t> generation_{0};
  // Bit 0: the job accepts workers; the rest counts, in twos, the workers inside it. A worker that
  // wakes late finds the job closed and nobody waits for it.
  std::atomic<uint64_t> job_{0};
  std::atomic<int> num_sleeping_{0};
  std::atomic<bool> stopping_{false};
  const std::function<void(int64_t)>* body_ = nullptr;
  std::atomic<int64_t> next_task_{0};
  int64_t num_tasks_ = 0;
};

// Splits [0, n) into ranges of `grain` and calls body(begin, end) for each.
void parallel_ranges(int64_t n, int64_t grain, const std::function<void(int64_t, int64_t)>& body);

}  // namespace localllm
