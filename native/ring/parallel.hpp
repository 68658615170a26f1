// Work shared by a few threads, for the length of one call.
#pragma once

#include <cstddef>

namespace strongroom::ring {

// Until it ends, parallel_for on this thread may use up to `threads` threads, its own included; at
// least one. Without a scope it is one. Scopes of different threads do not touch each other.
class ThreadScope {
  public:
    explicit ThreadScope(std::size_t threads);
    ~ThreadScope();
    ThreadScope(const ThreadScope&) = delete;
    ThreadScope& operator=(const ThreadScope&) = delete;

  private:
    std::size_t outer_;
};

// Calls run(context, i) once for every i below `count`, in any order. The first exception that a
// call throws is thrown again here, after all calls that had begun ended.
void run_parallel(std::size_t count, void (*run)(const void* context, std::size_t i),
                  const void* context);

// Calls body(i) once for every i below `count`, on as many threads as the scope says. Threads wait
// for work in a pool of the process; after a fork the child makes its own.
template <class Body>
void parallel_for(std::size_t count, const Body& body) {
    run_parallel(
        count, [](const void* context, std::size_t i) { (*static_cast<const Body*>(context))(i); },
        &body);
}

}  // namespace strongroom::ring
