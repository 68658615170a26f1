// Memory for words: aligned for vector loads, and wiped where it holds a secret.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <new>
#include <vector>

namespace strongroom::ring {

void wipe(void* memory, std::size_t bytes) noexcept;
// Best effort: keep pages out of swap. Limits of the system may refuse. Pages stay locked after
// release: unlocking works on whole pages, which neighbouring secrets may share.
void lock_pages(void* memory, std::size_t bytes) noexcept;

template <class T, bool kSecret>
struct Allocator {
    using value_type = T;
    template <class U>
    struct rebind {
        using other = Allocator<U, kSecret>;
    };
    static constexpr std::align_val_t kAlignment{64};

    Allocator() = default;
    template <class U>
    Allocator(const Allocator<U, kSecret>&) noexcept {}

    T* allocate(std::size_t n) {
        if (n > std::numeric_limits<std::size_t>::max() / sizeof(T)) throw std::bad_alloc();
        void* memory = ::operator new(n * sizeof(T), kAlignment);
        if constexpr (kSecret) lock_pages(memory, n * sizeof(T));
        return static_cast<T*>(memory);
    }
    void deallocate(T* p, std::size_t n) noexcept {
        if constexpr (kSecret) wipe(p, n * sizeof(T));
        ::operator delete(p, kAlignment);
    }
    friend bool operator==(const Allocator&, const Allocator&) { return true; }
};

using Words = std::vector<std::uint64_t, Allocator<std::uint64_t, false>>;
template <class T>
using Secret = std::vector<T, Allocator<T, true>>;

}  // namespace strongroom::ring
