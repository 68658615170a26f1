#include "ring/memory.hpp"

#include <cstring>

#if defined(__unix__) || defined(__APPLE__)
#include <sys/mman.h>
#endif

namespace strongroom::ring {

void wipe(void* memory, std::size_t bytes) noexcept {
    std::memset(memory, 0, bytes);
    // The barrier makes the store observable, so that it is not removed as dead.
    asm volatile("" : : "r"(memory) : "memory");
}

void lock_pages(void* memory, std::size_t bytes) noexcept {
#if defined(__unix__) || defined(__APPLE__)
    static_cast<void>(mlock(memory, bytes));
#else
    static_cast<void>(memory);
    static_cast<void>(bytes);
#endif
}

}  // namespace strongroom::ring
