#include "ring/parallel.hpp"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#endif

namespace strongroom::ring {

namespace {

thread_local std::size_t allowed_threads = 1;

inline void pause_briefly() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

struct Job {
    void (*run)(const void*, std::size_t);
    const void* context;
    std::size_t count;
    std::atomic<std::size_t> next{0};
    std::mutex failure_lock;
    std::exception_ptr failure;

    // Takes calls until none is left. Parallel loops inside of them run on this thread alone.
    void work() noexcept {
        const ThreadScope alone(1);
        for (std::size_t i = next++; i < count; i = next++) {
            try {
                run(context, i);
            } catch (...) {
                const std::lock_guard guard(failure_lock);
                if (!failure) failure = std::current_exception();
                next = count;
            }
        }
    }
};

// A thread and its place for work: empty, a job that is offered, or one that the thread is working
// on. An offer that was not taken up is withdrawn when there is nothing left to do, so that a call
// does not wait for a thread that the system has no processor for.
class Worker {
  public:
    Worker() {
        std::thread([this] { serve(); }).detach();
    }

    void give(Job& job) {
        job_ = &job;
        state_.store(kOffered, std::memory_order_release);
        state_.notify_one();
    }

    void withdraw_or_wait() {
        std::uint32_t offered = kOffered;
        if (!state_.compare_exchange_strong(offered, kIdle)) wait_while(kWorking);
    }

  private:
    static constexpr std::uint32_t kIdle = 0;
    static constexpr std::uint32_t kOffered = 1;
    static constexpr std::uint32_t kWorking = 2;

    void serve() {
        for (;;) {
            wait_while(kIdle);
            std::uint32_t offered = kOffered;
            if (!state_.compare_exchange_strong(offered, kWorking)) continue;
            job_->work();
            state_.store(kIdle, std::memory_order_release);
            state_.notify_one();
        }
    }

    // An operation has several parallel parts with little in between, so whoever waits looks for
    // some tens of microseconds before it sleeps.
    void wait_while(std::uint32_t state) {
        for (int looks = 0; looks < 4000; ++looks) {
            if (state_.load(std::memory_order_acquire) != state) return;
            pause_briefly();
        }
        state_.wait(state, std::memory_order_acquire);
    }

    std::atomic<std::uint32_t> state_{kIdle};
    Job* job_ = nullptr;
};

// Workers that have nothing to do. Neither the pool nor its workers are ever destroyed: threads may
// still be waiting when the process ends.
class Pool {
  public:
    // Up to `wanted` workers, new ones if need be; fewer if the system refuses threads.
    std::vector<Worker*> take(std::size_t wanted) {
        std::vector<Worker*> taken;
        taken.reserve(wanted);
        const std::lock_guard guard(lock_);
        try {
            while (taken.size() < wanted) {
                if (idle_.empty()) idle_.push_back(new Worker);
                taken.push_back(idle_.back());
                idle_.pop_back();
            }
        } catch (const std::system_error&) {
        }
        return taken;
    }

    void give_back(const std::vector<Worker*>& workers) {
        const std::lock_guard guard(lock_);
        idle_.insert(idle_.end(), workers.begin(), workers.end());
    }

  private:
    std::mutex lock_;
    std::vector<Worker*> idle_;
};

std::atomic<Pool*> current_pool{nullptr};

// A child of fork has none of its parent's threads, and the parent's pool may have been locked at
// that moment; so it forgets that pool and makes a new one when it needs one.
void forget_pool() {
    current_pool.store(nullptr);
}

Pool& pool() {
#if defined(__unix__) || defined(__APPLE__)
    static const int registered = pthread_atfork(nullptr, nullptr, forget_pool);
    static_cast<void>(registered);
#endif
    Pool* existing = current_pool.load();
    if (existing == nullptr) {
        auto* fresh = new Pool;
        if (current_pool.compare_exchange_strong(existing, fresh)) return *fresh;
        delete fresh;
    }
    return *existing;
}

}  // namespace

ThreadScope::ThreadScope(std::size_t threads) : outer_(allowed_threads) {
    allowed_threads = std::max<std::size_t>(threads, 1);
}

ThreadScope::~ThreadScope() {
    allowed_threads = outer_;
}

void run_parallel(std::size_t count, void (*run)(const void*, std::size_t), const void* context) {
    const std::size_t helpers = std::min(allowed_threads, count) - (count == 0 ? 0 : 1);
    if (helpers == 0) {
        for (std::size_t i = 0; i < count; ++i) run(context, i);
        return;
    }
    Job job{run, context, count, {}, {}, {}};
    const std::vector<Worker*> workers = pool().take(helpers);
    for (Worker* worker : workers) worker->give(job);
    job.work();
    for (Worker* worker : workers) worker->withdraw_or_wait();
    pool().give_back(workers);
    if (job.failure) std::rethrow_exception(job.failure);
}

}  // namespace strongroom::ring
