// Memory for words: aligned for vector loads, and wiped where it holds a secret.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <new>
#include <utility>
#include <vector>

namespace strongroom::ring {

void wipe(void* memory, std::size_t bytes) noexcept;

// Blocks aligned to a cache line. A thread keeps a few that it gave back and takes them again: an
// operation allocates and releases the same sizes over and over, and returning them to the system
// in between costs more than the arithmetic (page faults). Blocks for secrets are kept apart.
void* take_block(std::size_t bytes, bool secret);
void give_block(void* block, std::size_t bytes, bool secret) noexcept;

template <class T, bool kSecret>
struct Allocator {
    using value_type = T;
    template <class U>
    struct rebind {
        using other = Allocator<U, kSecret>;
    };

    Allocator() = default;
    template <class U>
    Allocator(const Allocator<U, kSecret>&) noexcept {}

    T* allocate(std::size_t n) {
        if (n > std::numeric_limits<std::size_t>::max() / sizeof(T)) throw std::bad_alloc();
        return static_cast<T*>(take_block(n * sizeof(T), kSecret));
    }
    void deallocate(T* p, std::size_t n) noexcept {
        if constexpr (kSecret) wipe(p, n * sizeof(T));
        give_block(p, n * sizeof(T), kSecret);
    }
    // Words that nobody set are not zeroed: they would be written twice. Secrets always begin as
    // zero.
    template <class U>
    void construct(U* p) {
        if constexpr (kSecret) {
            ::new (static_cast<void*>(p)) U();
        } else {
            ::new (static_cast<void*>(p)) U;
        }
    }
    template <class U, class... Arguments>
    void construct(U* p, Arguments&&... arguments) {
        ::new (static_cast<void*>(p)) U(std::forward<Arguments>(arguments)...);
    }
    friend bool operator==(const Allocator&, const Allocator&) { return true; }
};

// A vector of a given size holds unspecified words until they are set.
using Words = std::vector<std::uint64_t, Allocator<std::uint64_t, false>>;
template <class T>
using Secret = std::vector<T, Allocator<T, true>>;

}  // namespace strongroom::ring
